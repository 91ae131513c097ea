//! The maxima that the settings set for what callers of the REST API make.

use jiff::{SignedDuration, Timestamp};

/// The longest name, in characters; the same for descriptions of tokens, user names and addresses. GitLab's.
pub const MAX_NAME_CHARS: usize = 255;

/// The longest description of a group, in characters. GitLab's.
pub const MAX_GROUP_DESCRIPTION_CHARS: usize = 500;

/// What callers can make at most. A maximum of 0 days is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Active personal access tokens of a user, and as many that ended.
    pub personal_tokens: usize,
    /// Active group access tokens of a group, and as many that ended.
    pub group_tokens: usize,
    /// Deploy tokens of a group, and as many that expired.
    pub deploy_tokens: usize,
    /// Members of a group, those of the groups above it and of its tokens not counted.
    pub members: usize,
    /// Groups below one at the top, however deep.
    pub subgroups: usize,
    /// Groups in a path.
    pub group_depth: usize,
    /// Tombstones of deleted tokens, all together.
    pub tombstones: usize,
    /// Days that a new personal access token is valid.
    pub personal_token_days: u32,
    /// Days that a new group access token is valid.
    pub group_token_days: u32,
    /// Days that a new deploy token is valid.
    pub deploy_token_days: u32,
}

impl Limits {
    /// No maximum at all.
    pub const NONE: Self = Self {
        personal_tokens: usize::MAX,
        group_tokens: usize::MAX,
        deploy_tokens: usize::MAX,
        members: usize::MAX,
        subgroups: usize::MAX,
        group_depth: usize::MAX,
        tombstones: usize::MAX,
        personal_token_days: 0,
        group_token_days: 0,
        deploy_token_days: 0,
    };
}

/// The last moment at which something made now can end that may last for so many days; `None`: there is none.
pub(super) fn latest(days: u32, now: Timestamp) -> Option<Timestamp> {
    if days == 0 { None } else { now.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok() }
}
