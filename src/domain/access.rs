//! Access levels and memberships, as GitLab numbers them. Says what a membership is, not what it allows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{GroupId, TokenId, UserId};

/// How much a member may do. Ordered: each level may do all that the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
#[repr(u8)]
pub enum AccessLevel {
    /// May pull.
    Guest = 10,
    /// As a guest here.
    Planner = 15,
    /// As a guest here.
    Reporter = 20,
    /// As a guest here.
    Developer = 30,
    /// As a guest here.
    Maintainer = 40,
    /// May change the group, its members and its tokens, and purge its cache.
    Owner = 50,
}

/// A number is not an access level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("access_level is one of 10, 15, 20, 30, 40 and 50")]
pub struct AccessLevelError;

impl TryFrom<u8> for AccessLevel {
    type Error = AccessLevelError;

    fn try_from(number: u8) -> Result<Self, AccessLevelError> {
        [Self::Guest, Self::Planner, Self::Reporter, Self::Developer, Self::Maintainer, Self::Owner]
            .into_iter()
            .find(|level| u8::from(*level) == number)
            .ok_or(AccessLevelError)
    }
}

impl From<AccessLevel> for u8 {
    fn from(level: AccessLevel) -> Self {
        level as Self
    }
}

/// That a user belongs to a group, and so to all groups below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The group.
    pub group: GroupId,
    /// The member.
    pub user: UserId,
    /// What the member may do there.
    pub level: AccessLevel,
    /// From when on the membership no longer counts.
    pub expires_at: Option<Timestamp>,
    /// When it was given.
    pub created_at: Timestamp,
    /// The group access token that gave it, with which it ends; see `edit::maker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<TokenId>,
}

impl Membership {
    /// Whether it counts at this time.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}
