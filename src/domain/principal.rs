//! Principals: who makes a request.

use std::fmt;

use super::id::{TokenId, UserId};

/// The user or token that makes a request. Its text form is the name in JWTs and logs, such as `user:7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// An anonymous caller.
    Nobody,
    /// A person.
    User(UserId),
    /// A group access token, and the bot as which it acts.
    GroupToken {
        /// The token.
        token: TokenId,
        /// The bot of the group.
        bot: UserId,
    },
    /// A deploy token.
    DeployToken(TokenId),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody"),
            Self::User(user) => write!(f, "user:{user}"),
            Self::GroupToken { token, .. } => write!(f, "group_token:{token}"),
            Self::DeployToken(token) => write!(f, "deploy_token:{token}"),
        }
    }
}
