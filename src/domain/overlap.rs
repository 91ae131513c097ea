//! Overlaps: the time for which the secret that a rotation replaces stays valid beside the new one. Reads no clock.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

/// A length of time from 0, where the replaced secret ends at once, to 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap(SignedDuration);

/// The reason why a text is not a valid overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverlapError {
    /// The text is not a length of time, or is a negative one.
    #[error("is not a length of time such as 24h, 7d or 3600, in seconds")]
    Malformed,
    /// The time is longer than the maximum.
    #[error("must be at most {} days", Overlap::MAX_DAYS)]
    TooLong,
}

impl Overlap {
    /// No overlap: the replaced secret ends at once.
    pub const NONE: Self = Self(SignedDuration::ZERO);
    /// The overlap of a rotation that specifies none.
    pub const DEFAULT: Self = Self(SignedDuration::from_hours(24));
    /// Maximum overlap, in days.
    pub const MAX_DAYS: i64 = 30;

    const MAX: SignedDuration = SignedDuration::from_hours(24 * Self::MAX_DAYS);

    /// Returns true if the replaced secret ends at once.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Returns the end of an overlap that begins now.
    pub fn end(self, now: Timestamp) -> Timestamp {
        now.checked_add(self.0).unwrap_or(now)
    }
}

impl FromStr for Overlap {
    type Err = OverlapError;

    /// Parses whole seconds, whole days with the unit `d`, or units from hours down such as `1h 30m`.
    fn from_str(text: &str) -> Result<Self, OverlapError> {
        let text = text.trim();
        let length = match (text.parse::<u32>(), text.strip_suffix('d').map(|days| days.trim().parse::<u32>())) {
            (Ok(seconds), _) => Some(SignedDuration::from_secs(seconds.into())),
            (_, Some(Ok(days))) => Some(SignedDuration::from_hours(24 * i64::from(days))),
            _ => text.parse().ok(),
        };
        match length {
            Some(length) if length > Self::MAX => Err(OverlapError::TooLong),
            Some(length) if !length.is_negative() => Ok(Self(length)),
            Some(_) | None => Err(OverlapError::Malformed),
        }
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_seconds_or_has_a_unit() {
        for (text, seconds) in
            [("0", 0), ("90", 90), ("24h", 86_400), ("1h 30m", 5_400), ("30d", 2_592_000), ("2 d", 172_800)]
        {
            assert_eq!(text.parse(), Ok(Overlap(SignedDuration::from_secs(seconds))), "{text}");
        }
        for text in ["", "d", "-1", "-1h", "tomorrow", "1.5"] {
            assert_eq!(text.parse::<Overlap>(), Err(OverlapError::Malformed), "{text}");
        }
        for text in ["31d", "721h", "2592001", "4294967295"] {
            assert_eq!(text.parse::<Overlap>(), Err(OverlapError::TooLong), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        assert_eq!(Overlap::DEFAULT.to_string(), "24h");
        for overlap in [Overlap::NONE, Overlap::DEFAULT, "1h 30m".parse().unwrap(), "30d".parse().unwrap()] {
            assert_eq!(overlap.to_string().parse(), Ok(overlap));
        }
    }
}
