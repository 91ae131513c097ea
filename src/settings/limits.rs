//! The section `[limits]`: what callers of the REST API can make at most.

use serde::Deserialize;

use crate::domain::limits::Limits as Maxima;

/// What callers of the REST API can make at most.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
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
            personal_token_days: self.personal_token_days,
            group_token_days: self.group_token_days,
            deploy_token_days: self.deploy_token_days,
        }
    }
}
