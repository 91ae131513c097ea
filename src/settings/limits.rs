//! The section `[limits]`: maximum numbers of objects and changes for callers of the REST API.

use std::num::NonZeroUsize;

use serde::Deserialize;

use crate::domain::limits::Limits as Maxima;

/// Maximum numbers of objects and changes for callers of the REST API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// Maximum validity of a new personal access token, in days; 0: unlimited.
    pub personal_token_days: u32,
    /// Maximum validity of a new group access token, in days; 0: unlimited.
    pub group_token_days: u32,
    /// Maximum validity of a new deploy token, in days; 0: unlimited.
    pub deploy_token_days: u32,
}

impl Limits {
    /// Returns those limits that changes of identities enforce.
    pub fn maxima(&self) -> Maxima {
        Maxima {
            personal_tokens: self.max_personal_tokens.get(),
            group_tokens: self.max_group_tokens.get(),
            deploy_tokens: self.max_deploy_tokens.get(),
            members: self.max_members.get(),
            subgroups: self.max_subgroups.get(),
            group_depth: self.max_group_depth.get(),
            tombstones: self.max_tombstones.get(),
            personal_token_days: self.personal_token_days,
            group_token_days: self.group_token_days,
            deploy_token_days: self.deploy_token_days,
        }
    }
}
