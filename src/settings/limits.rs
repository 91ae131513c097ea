//! The section `[limits]`: what callers of the REST API can make at most.

use std::num::NonZeroUsize;

use serde::Deserialize;

use crate::domain::limits::Limits as Maxima;

/// What callers of the REST API can make at most.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Active personal access tokens of a user, and as many that ended.
    pub max_personal_tokens: NonZeroUsize,
    /// Active group access tokens of a group, and as many that ended.
    pub max_group_tokens: NonZeroUsize,
    /// Deploy tokens of a group, and as many that expired.
    pub max_deploy_tokens: NonZeroUsize,
    /// Members of a group, those of the groups above it and of its tokens not counted.
    pub max_members: NonZeroUsize,
    /// Groups below one at the top, however deep.
    pub max_subgroups: NonZeroUsize,
    /// Groups in a path.
    pub max_group_depth: NonZeroUsize,
    /// Deleted tokens that are remembered, all together.
    pub max_tombstones: NonZeroUsize,
    /// Changes that one caller can make in a minute, who is no administrator; 0: any number.
    pub changes_per_minute: u32,
    /// The same for administrators.
    pub admin_changes_per_minute: u32,
    /// Days that a new personal access token is valid; 0: any number.
    pub personal_token_days: u32,
    /// Days that a new group access token is valid; 0: any number.
    pub group_token_days: u32,
    /// Days that a new deploy token is valid; 0: any number.
    pub deploy_token_days: u32,
}

impl Limits {
    /// What the edits of identities need of them.
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
