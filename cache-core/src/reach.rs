//! Where the values of a function can be kept.

/// Where values can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// In both tiers.
    Everywhere,
    /// In the near one.
    Near,
}
