//! Why a record was not used: every reason, by name and in a sentence.

use std::fmt;

use super::fingerprint::Fingerprint;

/// Why bytes that were found are a miss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// Fewer bytes than a header.
    Short,
    /// A format that this build does not know.
    UnknownFormat(u8),
    /// The far tier kept the record in parts, and one is missing or another's.
    Torn,
    /// A codec that this build or region does not have.
    UnknownCodec(u8),
    /// A compression that this build does not have.
    UnknownCompression(u8),
    /// The check failed: damaged bytes, or the record of another key.
    Corrupt,
    /// Written under a higher `version` of the function: not to be overwritten.
    HigherVersion(u16),
    /// Written under a lower `version` of the function.
    LowerVersion(u16),
    /// Written from another type, or by another custom codec.
    OtherType {
        /// What the record knows its type by.
        found: Fingerprint,
        /// What it would know the reader's by.
        expected: Fingerprint,
    },
    /// Invalidated: a scope has another generation now.
    OtherGeneration,
    /// Larger than `max_value`; the size in bytes.
    TooLarge(u64),
    /// The compressed bytes do not give what they announce.
    Decompress,
    /// The codec, or the type's `Deserialize`, refused the bytes.
    Decode(Box<str>),
    /// The value ended before the bytes did.
    TrailingBytes,
}

impl Miss {
    /// A short name that never changes, for counters.
    pub fn name(&self) -> &'static str {
        match self {
            Miss::Short => "short",
            Miss::UnknownFormat(_) => "unknown_format",
            Miss::Torn => "torn",
            Miss::UnknownCodec(_) => "unknown_codec",
            Miss::UnknownCompression(_) => "unknown_compression",
            Miss::Corrupt => "corrupt",
            Miss::HigherVersion(_) => "higher_version",
            Miss::LowerVersion(_) => "lower_version",
            Miss::OtherType { .. } => "other_type",
            Miss::OtherGeneration => "other_generation",
            Miss::TooLarge(_) => "too_large",
            Miss::Decompress => "decompress",
            Miss::Decode(_) => "decode",
            Miss::TrailingBytes => "trailing_bytes",
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Short => f.write_str("the record is shorter than its header"),
            Miss::UnknownFormat(format) => write!(f, "this build does not know record format {format}"),
            Miss::Torn => f.write_str("it is kept in parts, of which one is missing or another's"),
            Miss::UnknownCodec(codec) => write!(f, "neither this build nor the region has codec {codec}"),
            Miss::UnknownCompression(compression) => write!(f, "this build does not have compression {compression}"),
            Miss::Corrupt => f.write_str("the bytes are damaged, or belong to another key"),
            Miss::HigherVersion(version) => write!(f, "it was written under the higher version {version}"),
            Miss::LowerVersion(version) => write!(f, "it was written under the lower version {version}"),
            Miss::OtherType { found, expected } => {
                write!(f, "it was written from another type or by another custom codec: {found}, not {expected}")
            }
            Miss::OtherGeneration => f.write_str("it was invalidated with its scope"),
            Miss::TooLarge(len) => write!(f, "its {len} bytes are more than `max_value`"),
            Miss::Decompress => f.write_str("it could not be decompressed"),
            Miss::Decode(reason) => write!(f, "it could not be decoded: {reason}"),
            Miss::TrailingBytes => f.write_str("bytes are left behind the value"),
        }
    }
}

impl std::error::Error for Miss {}
