//! Where content comes from: an upstream, the account it is asked with, and a repository there. Never a secret.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::repository::{Repository, UpstreamName};

/// What decides whether two groups may share an answer of upstream: they would have asked the same registry, with the
/// same account, for the same repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The registry that is asked.
    pub upstream: UpstreamName,
    /// As whom it is asked.
    pub account: Account,
    /// What it is asked for.
    pub repository: Repository,
}

/// The account with which an upstream is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// Without credentials.
    Anonymous,
    /// With the configured credentials of this user name there.
    Username(String),
}

impl Origin {
    /// Whether bytes that came from `other` were given to the same account of the same registry.
    pub fn shares_account_with(&self, other: &Self) -> bool {
        self.upstream == other.upstream && self.account == other.account
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.upstream, self.repository)
    }
}
