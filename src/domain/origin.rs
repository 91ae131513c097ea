//! Origins of content: an upstream, the account of the requests to it, and a repository there. Contains no secret.
//! (An HTTP origin is something else.)

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::AccountId;
use super::reference::Reference;
use super::repository::{Repository, UpstreamName};

/// The origin of content. Two groups may share an upstream response only if their origins are equal: both would have
/// sent the request to the same registry, with the same account, for the same repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The registry.
    pub upstream: UpstreamName,
    /// The account that authenticates to it.
    pub account: Account,
    /// The repository at the registry.
    pub repository: Repository,
}

/// The account with which requests to an upstream are authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// No credentials.
    Anonymous,
    /// The configured credentials with this user name at the upstream.
    Username(String),
    /// The account of a group. The id alone distinguishes accounts: two groups may have the same user name with
    /// different passwords, and only upstream knows whether both are the same account there.
    OfGroup {
        /// The id, which is new with each password.
        id: AccountId,
        /// The user name at the upstream.
        username: String,
    },
}

impl Origin {
    /// Returns the name of the image as users write it: without the registry if that is Docker Hub.
    pub fn image_name(&self) -> String {
        if self.upstream.is_docker_hub() { self.repository.to_string() } else { self.to_string() }
    }

    /// Returns the name of the image with this tag or digest, such as `library/alpine:3.22`.
    pub fn name_of(&self, reference: &Reference) -> String {
        let separator = if matches!(reference, Reference::Digest(_)) { '@' } else { ':' };
        format!("{}{separator}{reference}", self.image_name())
    }
}

impl Account {
    /// Returns the user name; an empty text for requests without credentials.
    pub fn username(&self) -> &str {
        match self {
            Self::Anonymous => "",
            Self::Username(username) | Self::OfGroup { username, .. } => username,
        }
    }

    /// Returns the account as metrics label it: its user name, and for that of a group the beginning of its id, too.
    pub fn label(&self) -> String {
        match self {
            Self::Anonymous | Self::Username(_) => self.username().to_owned(),
            Self::OfGroup { id, username } => format!("{username}#{}", &id.to_string()[..8]),
        }
    }

    /// Returns the id of the account of a group.
    pub fn of_group(&self) -> Option<AccountId> {
        if let Self::OfGroup { id, .. } = self { Some(*id) } else { None }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.upstream, self.repository)
    }
}
