//! The maximum size of the stored content. Pure arithmetic: the file system's size is looked up elsewhere.

use std::fmt;

/// The maximum size of all stored content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// A percentage of the whole file system, from 1 to 100.
    Percent(u8),
    /// A number of bytes, more than zero.
    Bytes(u64),
    /// No maximum beside the free space.
    Unlimited,
}

impl Quota {
    /// Returns the number of bytes on a file system of `total` bytes.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Percent(percent) => (total / 100).saturating_mul(percent.into()),
            Self::Bytes(bytes) => bytes,
            Self::Unlimited => u64::MAX,
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_share_a_size_or_none() {
        assert_eq!(Quota::Percent(80).of(1_000), 800);
        assert_eq!(Quota::Bytes(7).of(1_000), 7);
        assert_eq!(Quota::Unlimited.of(1_000), u64::MAX);
    }
}
