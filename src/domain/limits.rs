//! The maxima that the settings set for what callers of the REST API make.

use jiff::{SignedDuration, Timestamp};

/// What callers can make at most. A maximum of 0 days is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Days that a new personal access token is valid.
    pub personal_token_days: u32,
    /// Days that a new group access token is valid.
    pub group_token_days: u32,
    /// Days that a new deploy token is valid.
    pub deploy_token_days: u32,
}

impl Limits {
    /// No maximum at all.
    pub const NONE: Self = Self { personal_token_days: 0, group_token_days: 0, deploy_token_days: 0 };
}

/// The last moment at which something made now can end that may last for so many days; `None`: there is none.
pub(super) fn latest(days: u32, now: Timestamp) -> Option<Timestamp> {
    if days == 0 { None } else { now.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok() }
}
