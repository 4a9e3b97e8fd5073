//! Why a value is not kept far although it could be written, and what its author can do.

use std::fmt;

use super::codec::Codec;
use super::miss::Miss;

/// Why a value must not be kept far under its codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misread {
    /// Its record is a miss.
    Refused(Miss),
    /// Its record gives another value.
    Different,
    /// It cannot be compared: its `Serialize` refuses names.
    Incomparable(String),
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misread::Refused(miss) => write!(f, "what was written cannot be read: {miss}"),
            Misread::Different => f.write_str("what was written is read as another value"),
            Misread::Incomparable(reason) => write!(f, "what was written cannot be compared: {reason}"),
        }
    }
}

impl std::error::Error for Misread {}

impl Misread {
    /// What its author can do about a type that `codec` does not carry.
    pub(crate) fn remedy(&self, codec: &Codec) -> &'static str {
        match self {
            // No codec changes what the type tells the comparison, which goes by names as JSON does.
            Misread::Incomparable(_) => "change the type's `Serialize`, or say `near_only`",
            Misread::Refused(_) | Misread::Different if codec.name() == "json" => {
                "change the type's serde attributes, or say `near_only`"
            }
            Misread::Refused(_) | Misread::Different => {
                "set `codec = \"json\"`, which keeps the names of fields, or change the type's serde attributes, or say \
                 `near_only`"
            }
        }
    }
}

#[cfg(all(test, feature = "bincode", feature = "postcard", feature = "json"))]
mod tests {
    use super::*;

    #[test]
    fn another_codec_is_proposed_only_where_it_helps() {
        let proposes = |misread: Misread, codec| misread.remedy(&codec).contains("json");
        assert!(proposes(Misread::Different, Codec::Bincode));
        assert!(proposes(Misread::Refused(Miss::TrailingBytes), Codec::Postcard));
        assert!(!proposes(Misread::Different, Codec::Json));
        assert!(!proposes(Misread::Incomparable("x".into()), Codec::Bincode));
    }
}
