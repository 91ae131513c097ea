//! The stored form of a directory: one record for each user, group, membership, token and tombstone, and one for the
//! whole service. Holds no state.

use serde::{Deserialize, Serialize};

use super::skipped::Skipped;
use crate::domain::access::Membership;
use crate::domain::group::Group;
use crate::domain::id::{CredentialId, GroupId, TokenId, UserId};
use crate::domain::token::{Token, Tombstone};
use crate::domain::user::User;

/// One stored record about identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The record of a user.
    User(User),
    /// The record of a group.
    Group(Group),
    /// The membership of a user in a group.
    Membership(Membership),
    /// The record of a token that was not deleted.
    Token(Token),
    /// The tombstone of a deleted token.
    Tombstone(Tombstone),
    /// The switches and counters of the whole service.
    Service(Service),
}

/// The key of a record. Its text form is the key in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKey {
    /// The record of a user.
    User(UserId),
    /// The record of a group.
    Group(GroupId),
    /// The membership of a user in a group.
    Membership(GroupId, UserId),
    /// The record of a token that was not deleted.
    Token(TokenId),
    /// The tombstone of a deleted token.
    Tombstone(CredentialId),
    /// The switches and counters of the whole service.
    Service,
}

/// The error for a text that is no key of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no key of a record")]
pub struct RecordKeyError;

/// One write of a change. The writes of one change are applied together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "most writes are puts, and a change has few")]
pub enum Write {
    /// Adds the record, or replaces the one with the same key.
    Put(Record),
    /// Removes the record with this key, if it exists.
    Remove(RecordKey),
}

/// The record of the whole service: switches that are set at run time, and the last numbers that were assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The switch of the proxy for all groups; `None`: as configured.
    pub proxy_enabled: Option<bool>,
    /// The last number assigned to a user.
    pub last_user: u64,
    /// The last number assigned to a group.
    pub last_group: u64,
    /// The last number assigned to a token.
    pub last_token: u64,
    /// Numbers of users that restores skipped.
    #[serde(default, skip_serializing_if = "Skipped::is_empty")]
    pub skipped_users: Skipped,
    /// Numbers of tokens that restores skipped.
    #[serde(default, skip_serializing_if = "Skipped::is_empty")]
    pub skipped_tokens: Skipped,
}

impl Service {
    /// Returns true if this number was assigned to a user here.
    pub fn has_assigned_user(&self, id: UserId) -> bool {
        id.0 <= self.last_user && !self.skipped_users.contains(id.0)
    }

    /// Returns true if this number was assigned to a token here.
    pub fn has_assigned_token(&self, id: TokenId) -> bool {
        id.0 <= self.last_token && !self.skipped_tokens.contains(id.0)
    }

    /// Returns the service with the numbers that either of the two has assigned. Its own switches stay.
    pub fn with_numbers_of(&self, other: &Self) -> Self {
        let (last_user, last_token) = (self.last_user.max(other.last_user), self.last_token.max(other.last_token));
        let users = [(&self.skipped_users, self.last_user), (&other.skipped_users, other.last_user)];
        let tokens = [(&self.skipped_tokens, self.last_token), (&other.skipped_tokens, other.last_token)];
        Self {
            last_user,
            last_token,
            last_group: self.last_group.max(other.last_group),
            skipped_users: Skipped::by_both(users, last_user),
            skipped_tokens: Skipped::by_both(tokens, last_token),
            ..self.clone()
        }
    }

    /// Returns the service with this many more numbers skipped.
    pub fn skipping(&self, count: u64) -> Self {
        let (last_user, last_token) = (self.last_user + count, self.last_token + count);
        Self {
            last_user,
            last_token,
            last_group: self.last_group + count,
            skipped_users: self.skipped_users.and(self.last_user + 1..=last_user),
            skipped_tokens: self.skipped_tokens.and(self.last_token + 1..=last_token),
            ..self.clone()
        }
    }
}

impl Record {
    /// Returns the key of this record.
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

impl std::str::FromStr for RecordKey {
    type Err = RecordKeyError;

    fn from_str(text: &str) -> Result<Self, RecordKeyError> {
        let number = |digits: &str| digits.parse().map_err(|_| RecordKeyError);
        let mut parts = text.split('/');
        let key = match (parts.next(), parts.next(), parts.next()) {
            (Some("user"), Some(id), None) => Self::User(UserId(number(id)?)),
            (Some("group"), Some(id), None) => Self::Group(GroupId(number(id)?)),
            (Some("membership"), Some(group), Some(user)) => {
                Self::Membership(GroupId(number(group)?), UserId(number(user)?))
            }
            (Some("token"), Some(id), None) => Self::Token(TokenId(number(id)?)),
            (Some("tombstone"), Some(id), None) => Self::Tombstone(id.parse().map_err(|_| RecordKeyError)?),
            (Some("service"), None, None) => Self::Service,
            _ => return Err(RecordKeyError),
        };
        // A key has one text form, so that two texts never mean one record.
        if parts.next().is_none() && key.to_string() == text { Ok(key) } else { Err(RecordKeyError) }
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = RecordKey> {
        prop_oneof![
            any::<u64>().prop_map(|id| RecordKey::User(UserId(id))),
            any::<u64>().prop_map(|id| RecordKey::Group(GroupId(id))),
            any::<(u64, u64)>().prop_map(|(group, user)| RecordKey::Membership(GroupId(group), UserId(user))),
            any::<u64>().prop_map(|id| RecordKey::Token(TokenId(id))),
            any::<[u8; 16]>().prop_map(|bits| RecordKey::Tombstone(CredentialId::from_random(bits))),
            Just(RecordKey::Service),
        ]
    }

    proptest! {
        #[test]
        fn a_key_survives_being_printed_and_parsed(key in key()) {
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }

        #[test]
        fn a_text_that_is_parsed_is_the_one_that_is_printed(
            text in "(user|group|membership|token|tombstone|service)(/[0-9a-fA-F+]{0,3}){0,3}",
        ) {
            if let Ok(key) = text.parse::<RecordKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }

    #[test]
    fn a_key_of_each_kind_is_parsed() {
        let (user, group, token) = (UserId(1), GroupId(2), TokenId(3));
        let next = |key: &RecordKey| match key {
            RecordKey::User(_) => Some(RecordKey::Group(group)),
            RecordKey::Group(_) => Some(RecordKey::Membership(group, user)),
            RecordKey::Membership(..) => Some(RecordKey::Token(token)),
            RecordKey::Token(_) => Some(RecordKey::Tombstone(CredentialId::from_random([4; 16]))),
            RecordKey::Tombstone(_) => Some(RecordKey::Service),
            RecordKey::Service => None,
        };
        for key in std::iter::successors(Some(RecordKey::User(user)), next) {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "user", "user/", "user/07", "user/1/2", "service/1", "event/0000000000000001"] {
            assert_eq!(text.parse::<RecordKey>(), Err(RecordKeyError), "{text}");
        }
        assert_eq!("user/7".parse::<RecordKey>().unwrap(), RecordKey::User(UserId(7)));
    }
}
