//! What a server of a certain version can do.

use std::fmt;

/// A server's version, such as 1.6.18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
    /// The third; what follows it (`-rc1`, `_23_gabc`) is not looked at.
    pub patch: u32,
}

impl Version {
    /// Meta commands as this client speaks them: `HD`, and the length in the line of `ms`.
    pub const META: Version = Version { major: 1, minor: 6, patch: 10 };
    /// `md` with `C` compares, and the CAS that `ms` tells is the right one.
    pub const FENCED_DELETE: Version = Version { major: 1, minor: 6, patch: 13 };
    /// A miss of `mg` echoes the opaque too.
    pub const OPAQUE_ON_MISS: Version = Version { major: 1, minor: 6, patch: 18 };

    /// Reads what follows the word `VERSION`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim().splitn(3, '.').map(|part| {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            part[..digits].parse().ok()
        });
        let (major, minor, patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(Version { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What may be asked of a server, and what must be expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Whether `md` compares the CAS: without, no takeover and no hand-back.
    pub fenced_delete: bool,
    /// Whether a miss echoes the opaque.
    pub opaque_on_miss: bool,
}

impl Features {
    /// Those of this version; `None` where it is too old for this client.
    pub fn of(version: Version) -> Option<Self> {
        (version >= Version::META).then_some(Features {
            fenced_delete: version >= Version::FENCED_DELETE,
            opaque_on_miss: version >= Version::OPAQUE_ON_MISS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_by_number() {
        let version = |text| Version::parse(text).map(|version| version.to_string());
        assert_eq!(version("1.6.18"), Some("1.6.18".to_owned()));
        assert_eq!(version(" 1.6.9_23_gabc\r"), Some("1.6.9".to_owned()));
        assert_eq!(version("1.6.40-rc1"), Some("1.6.40".to_owned()));
        for bad in ["", "1.6", "1.6.x", "one.two.three", "99999999999.1.1"] {
            assert_eq!(version(bad), None, "{bad}");
        }
        assert!(Version::parse("1.6.9") < Some(Version::META));
    }

    #[test]
    fn features_begin_with_their_versions() {
        let of = |text| Version::parse(text).and_then(Features::of);
        let features = |fenced_delete, opaque_on_miss| Some(Features { fenced_delete, opaque_on_miss });
        assert_eq!(of("1.5.22"), None);
        assert_eq!(of("1.6.9"), None);
        assert_eq!(of("1.6.10"), features(false, false));
        assert_eq!(of("1.6.13"), features(true, false));
        assert_eq!(of("1.6.18"), features(true, true));
        assert_eq!(of("2.0.0"), features(true, true));
    }
}
