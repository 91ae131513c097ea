//! Changes to identities: a [`Directory`] and a request give the [`Write`]s that carry it out, or the reason why not.
//! Pure: secrets, credential ids and the time are passed in. Whether the caller has the right to ask is decided before;
//! what no right can change (a name that is taken, the last owner, the last administrator) is decided here.
//!
//! Numbers of users, groups and tokens come from the counters in [`Service`], written by the change that uses them, so
//! that none is given twice.

pub mod group;
pub mod member;
pub mod retention;
pub mod service;
pub mod token;
pub mod user;

#[cfg(test)]
mod consistency;

use super::directory::{Directory, Record, RecordKey, Service, Write};
use super::id::{GroupId, TokenId, UserId};
use super::token::{Token, Tombstone};
use jiff::Timestamp;

/// The steps of a change and what it made, or why it cannot be.
pub type Edit<T> = Result<(Vec<Write>, T), EditError>;

/// Why a change cannot be made. The texts are for the person who asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// What was to be changed is not there, or no longer.
    #[error("{0} not found")]
    Missing(Thing),
    /// A field does not have a value that is possible.
    #[error("{field} {reason}")]
    Invalid {
        /// The field, as the REST API names it.
        field: &'static str,
        /// The rest of a sentence that starts with the field.
        reason: String,
    },
    /// There is one already.
    #[error("{0}")]
    Conflict(String),
    /// A token that is revoked or expired cannot be made new.
    #[error("Token is not active")]
    Inactive,
    /// Only administrators may; the text says no more, so that nobody is told what is kept for whom.
    #[error("403 Forbidden")]
    Forbidden,
    /// A rule that protects the service or a group from being left to nobody.
    #[error("{0}")]
    Refused(&'static str),
}

/// What a change was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A user.
    User,
    /// A group.
    Group,
    /// A membership.
    Member,
    /// A personal, group or deploy token.
    Token,
}

impl EditError {
    fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Member => "Member",
            Self::Token => "Token",
        })
    }
}

/// A change that is being put together.
struct Draft {
    service: Service,
    numbered: bool,
    writes: Vec<Write>,
}

impl Draft {
    fn of(directory: &Directory) -> Self {
        Self { service: directory.service().clone(), numbered: false, writes: Vec::new() }
    }

    fn next_user(&mut self) -> UserId {
        self.numbered = true;
        self.service.last_user += 1;
        UserId(self.service.last_user)
    }

    fn next_group(&mut self) -> GroupId {
        self.numbered = true;
        self.service.last_group += 1;
        GroupId(self.service.last_group)
    }

    fn next_token(&mut self) -> TokenId {
        self.numbered = true;
        self.service.last_token += 1;
        TokenId(self.service.last_token)
    }

    fn put(&mut self, record: Record) {
        self.writes.push(Write::Put(record));
    }

    fn remove(&mut self, key: RecordKey) {
        self.writes.push(Write::Remove(key));
    }

    /// Deletes a token and leaves what tells its user so.
    fn bury(&mut self, token: &Token, now: Timestamp) {
        self.put(Record::Tombstone(Tombstone::of(token, now)));
        self.remove(RecordKey::Token(token.id));
    }

    /// Deletes a user with all memberships, and buries all tokens that act as it.
    fn delete_user(&mut self, directory: &Directory, user: UserId, now: Timestamp) {
        for token in directory.tokens().filter(|token| token.user() == Some(user)) {
            self.bury(token, now);
        }
        for member in directory.memberships().filter(|member| member.user == user) {
            self.remove(RecordKey::Membership(member.group, user));
        }
        self.remove(RecordKey::User(user));
    }

    fn finish<T>(mut self, value: T) -> (Vec<Write>, T) {
        if self.numbered {
            self.writes.push(Write::Put(Record::Service(self.service)));
        }
        (self.writes, value)
    }
}
