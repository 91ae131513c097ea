//! Limits on what callers of the REST API can create, as set in the configuration.

use jiff::{SignedDuration, Timestamp};

/// Maximum length of a name, in characters; also of token descriptions, user names and email addresses. The value is
/// GitLab's.
pub const MAX_NAME_CHARS: usize = 255;

/// Maximum length of a group's description, in characters. The value is GitLab's.
pub const MAX_GROUP_DESCRIPTION_CHARS: usize = 500;

/// The limits. Lifetimes are in days, and 0 means no maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of active personal access tokens of a user, and of ended ones that are kept.
    pub personal_tokens: usize,
    /// Maximum number of active group access tokens of a group, and of ended ones that are kept.
    pub group_tokens: usize,
    /// Maximum number of active deploy tokens of a group, and of expired ones that are kept.
    pub deploy_tokens: usize,
    /// Maximum number of direct members of a group, without the bots of its tokens.
    pub members: usize,
    /// Maximum number of groups below a top-level group, at any depth.
    pub subgroups: usize,
    /// Maximum number of groups in a path.
    pub group_depth: usize,
    /// Maximum number of tombstones of deleted tokens in the whole service.
    pub tombstones: usize,
    /// Maximum lifetime of a new personal access token, in days.
    pub personal_token_days: u32,
    /// Maximum lifetime of a new group access token, in days.
    pub group_token_days: u32,
    /// Maximum lifetime of a new deploy token, in days.
    pub deploy_token_days: u32,
}

impl Limits {
    /// Limits without any maximum.
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

/// Returns the latest end of something that is created now and may last for this many days; `None` if there is no
/// maximum.
pub(super) fn latest(days: u32, now: Timestamp) -> Option<Timestamp> {
    if days == 0 { None } else { now.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok() }
}
