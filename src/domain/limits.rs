//! Limits on what callers of the REST API can create, as set in the configuration.

use std::num::NonZeroUsize;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

/// Maximum length of a name, in characters; also of token descriptions, user names and email addresses. The value is
/// GitLab's.
pub const MAX_NAME_CHARS: usize = 255;

/// Maximum length of a group's description, in characters. The value is GitLab's.
pub const MAX_GROUP_DESCRIPTION_CHARS: usize = 500;

/// Limits for callers of the REST API: the keys of `[limits]`. A maximum holds for new objects only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Limits {
    /// Maximum number of active personal access tokens of one user; as many inactive ones are kept for listing.
    pub max_personal_tokens: NonZeroUsize,
    /// Maximum number of active group access tokens of one group; as many inactive ones are kept for listing.
    pub max_group_tokens: NonZeroUsize,
    /// Maximum number of active deploy tokens of one group; as many expired ones are kept for listing.
    pub max_deploy_tokens: NonZeroUsize,
    /// Maximum number of direct members of one group. Inherited members and the users of its tokens are not counted.
    pub max_members: NonZeroUsize,
    /// Maximum number of groups below one top-level group, at any depth.
    pub max_subgroups: NonZeroUsize,
    /// Maximum number of groups in a path.
    pub max_group_depth: NonZeroUsize,
    /// Maximum number of tombstones of deleted tokens, over all groups and users.
    pub max_tombstones: NonZeroUsize,
    /// Maximum number of changes per minute and caller, for callers who are no administrators; 0: unlimited.
    pub changes_per_minute: u32,
    /// Maximum number of changes per minute and administrator; 0: unlimited.
    pub admin_changes_per_minute: u32,
    /// Maximum lifetime of a new personal access token, in days; 0: unlimited.
    pub personal_token_days: u32,
    /// Maximum lifetime of a new group access token, in days; 0: unlimited.
    pub group_token_days: u32,
    /// Maximum lifetime of a new deploy token, in days; 0: unlimited.
    pub deploy_token_days: u32,
}

impl Limits {
    /// Limits without any maximum.
    pub const NONE: Self = Self {
        max_personal_tokens: NonZeroUsize::MAX,
        max_group_tokens: NonZeroUsize::MAX,
        max_deploy_tokens: NonZeroUsize::MAX,
        max_members: NonZeroUsize::MAX,
        max_subgroups: NonZeroUsize::MAX,
        max_group_depth: NonZeroUsize::MAX,
        max_tombstones: NonZeroUsize::MAX,
        changes_per_minute: 0,
        admin_changes_per_minute: 0,
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
