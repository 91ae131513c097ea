//! The share of a file system that must stay free. Pure arithmetic: its size and free space are looked up elsewhere.

use std::fmt;

/// The space of a file system that must stay free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinFree {
    /// A percentage of the whole file system.
    Percent(u8),
    /// A number of bytes.
    Bytes(u64),
}

impl MinFree {
    /// Returns the number of bytes that must stay free on a file system of `total` bytes.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Percent(percent) => (total / 100).saturating_mul(percent.into()),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl fmt::Display for MinFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_stay_free_is_a_share_or_a_size() {
        assert_eq!(MinFree::Percent(10).of(1_000), 100);
        assert_eq!(MinFree::Percent(100).of(u64::MAX), u64::MAX / 100 * 100);
        assert_eq!(MinFree::Bytes(7).of(1_000), 7);
    }
}
