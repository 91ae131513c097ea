//! What a directory is made of, as it is stored: one record for each user, group, membership and token. Keeps nothing.

use serde::{Deserialize, Serialize};

use crate::domain::access::Membership;
use crate::domain::group::Group;
use crate::domain::id::{CredentialId, GroupId, TokenId, UserId};
use crate::domain::token::{Token, Tombstone};
use crate::domain::user::User;

/// One thing that is stored about identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A user.
    User(User),
    /// A group.
    Group(Group),
    /// A membership.
    Membership(Membership),
    /// A token.
    Token(Token),
    /// What stays of a deleted token.
    Tombstone(Tombstone),
    /// What holds for the whole service.
    Service(Service),
}

/// What a record is found by. Its text form is the key in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKey {
    /// A user.
    User(UserId),
    /// A group.
    Group(GroupId),
    /// A membership.
    Membership(GroupId, UserId),
    /// A token.
    Token(TokenId),
    /// What stays of a deleted token.
    Tombstone(CredentialId),
    /// What holds for the whole service.
    Service,
}

/// One step of a change. The steps of one change happen together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "most writes are puts, and a change has few")]
pub enum Write {
    /// Adds the record, or replaces the one with its key.
    Put(Record),
    /// Removes the record with this key, if there is one.
    Remove(RecordKey),
}

/// What holds for the whole service: switches set at run time, and the next numbers to give away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The switch of the whole proxy; `None`: as configured.
    pub proxy_enabled: Option<bool>,
    /// The last number given to a user.
    pub last_user: u64,
    /// The last number given to a group.
    pub last_group: u64,
    /// The last number given to a token.
    pub last_token: u64,
}

impl Record {
    /// What this record is found by.
    pub fn key(&self) -> RecordKey {
        match self {
            Self::User(user) => RecordKey::User(user.id),
            Self::Group(group) => RecordKey::Group(group.id),
            Self::Membership(member) => RecordKey::Membership(member.group, member.user),
            Self::Token(token) => RecordKey::Token(token.id),
            Self::Tombstone(stone) => RecordKey::Tombstone(stone.credential),
            Self::Service(_) => RecordKey::Service,
        }
    }
}

impl std::fmt::Display for RecordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => write!(f, "user/{id}"),
            Self::Group(id) => write!(f, "group/{id}"),
            Self::Membership(group, user) => write!(f, "membership/{group}/{user}"),
            Self::Token(id) => write!(f, "token/{id}"),
            Self::Tombstone(id) => write!(f, "tombstone/{id}"),
            Self::Service => f.write_str("service"),
        }
    }
}
