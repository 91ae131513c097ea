//! Access levels and memberships. The numbers are GitLab's (REST API, "Members",
//! <https://docs.gitlab.com/api/members/>). This module defines them; [`policy`](super::policy) decides what they
//! allow.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{GroupId, TokenId, UserId};

/// The rights of a member in a group. Ordered: each level includes the rights of all lower levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
#[repr(u8)]
pub enum AccessLevel {
    /// Can pull.
    Guest = 10,
    /// The same rights as [`Guest`](Self::Guest) in this service.
    Planner = 15,
    /// The same rights as [`Guest`](Self::Guest) in this service.
    Reporter = 20,
    /// The same rights as [`Guest`](Self::Guest) in this service.
    Developer = 30,
    /// The same rights as [`Guest`](Self::Guest) in this service.
    Maintainer = 40,
    /// Can change the group, its members and its tokens, and purge its cache.
    Owner = 50,
}

/// The error for a number that is not an access level.
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

impl AccessLevel {
    /// Returns its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guest => "Guest",
            Self::Planner => "Planner",
            Self::Reporter => "Reporter",
            Self::Developer => "Developer",
            Self::Maintainer => "Maintainer",
            Self::Owner => "Owner",
        }
    }
}

impl From<AccessLevel> for u8 {
    fn from(level: AccessLevel) -> Self {
        level as Self
    }
}

/// The membership of a user in a group, which also counts for all groups below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The group that the user is a member of.
    pub group: GroupId,
    /// The user who is the member.
    pub user: UserId,
    /// The member's access level in the group.
    pub level: AccessLevel,
    /// The time from which the membership no longer counts; `None`: it has no end.
    pub expires_at: Option<Timestamp>,
    /// The time at which the membership was granted.
    pub created_at: Timestamp,
    /// The group access token that granted the membership, which ends with that token; see `commands::maker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<TokenId>,
}

impl Membership {
    /// Returns true if the membership has not ended at this time.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}
