//! Changes to identities: a [`Directory`] and a request give the [`Write`]s that carry it out, or the reason why not.
//! Pure: secrets, credential ids and the time are passed in. Whether the caller has the right is decided before, on the same
//! directory; decided here is what no right can change (a name that is taken, the last owner, the last administrator), for how
//! long and how many things can be made ([`Terms`]), and what the settings keep for administrators ([`group`]).
//!
//! Numbers of users, groups and tokens come from the counters in [`Service`], written by the change that uses them, so
//! that none is given twice.

pub mod group;
pub mod loss;
pub mod maker;
pub mod member;
pub mod retention;
pub mod rotation;
pub mod service;
pub mod summary;
pub mod token;
pub mod user;

#[cfg(test)]
mod consistency;

use super::access::Membership;
use super::directory::{Directory, Record, RecordKey, Service, Write};
use super::id::{GroupId, TokenId, UserId};
use super::limits::{Limits, MAX_NAME_CHARS};
use super::token::{Token, TokenOwner, Tombstone};
use jiff::Timestamp;
use std::collections::HashSet;

/// The steps of a change and what it made, or why it cannot be.
pub type Edit<T> = Result<(Vec<Write>, T), EditError>;

/// What a change is made under.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Who makes it.
    pub maker: maker::Maker,
    /// The user who makes it, for the record.
    pub by: Option<UserId>,
    /// The maxima.
    pub limits: &'a Limits,
    /// The time.
    pub now: Timestamp,
}

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

/// Refuses a name that is empty or too long, or would take more than one line.
fn check_name(name: &str) -> Result<(), EditError> {
    if name.is_empty() {
        return Err(EditError::invalid("name", "can't be blank"));
    }
    check_line("name", name, MAX_NAME_CHARS)
}

/// Refuses a text that is too long or contains control characters, which would break lists and logs.
fn check_line(field: &'static str, text: &str, max_chars: usize) -> Result<(), EditError> {
    if text.contains(char::is_control) {
        return Err(EditError::invalid(field, "can't contain line breaks or other control characters"));
    }
    check_length(field, text, max_chars)
}

/// Refuses a text of more characters, as GitLab says it.
fn check_length(field: &'static str, text: &str, max_chars: usize) -> Result<(), EditError> {
    match text.chars().count() > max_chars {
        true => Err(EditError::invalid(field, format!("is too long (maximum is {max_chars} characters)"))),
        false => Ok(()),
    }
}

/// Refuses one more where there are this many already.
fn check_number(things: &str, there: usize, max: usize) -> Result<(), EditError> {
    match there < max {
        true => Ok(()),
        false => Err(EditError::invalid("base", format!("Maximum number of {things} ({max}) exceeded"))),
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
    /// The tokens that this change ends, so that none is ended twice.
    ended: HashSet<TokenId>,
}

impl Draft {
    fn of(directory: &Directory) -> Self {
        Self { service: directory.service().clone(), numbered: false, writes: Vec::new(), ended: HashSet::new() }
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
        self.ended.insert(token.id);
        self.put(Record::Tombstone(Tombstone::of(token, now)));
        self.bury_old_secret(token, now);
        self.remove(RecordKey::Token(token.id));
    }

    /// Leaves what tells the user of a token's old secret, if it has one, that this has ended.
    fn bury_old_secret(&mut self, token: &Token, now: Timestamp) {
        if let Some(stone) = Tombstone::of_old_secret(token, now) {
            self.put(Record::Tombstone(stone));
        }
    }

    /// Ends a token, and what it made. A personal one stays to be listed as revoked; a group access token goes with its bot
    /// and a deploy token goes alone, both leaving tombstones.
    fn end(&mut self, directory: &Directory, token: &Token, now: Timestamp) {
        let makers = self.end_alone(directory, token, now);
        self.end_made_by(directory, makers, now);
    }

    /// Deletes a user with all memberships, and buries all tokens that act as it; what they made ends.
    fn delete_user(&mut self, directory: &Directory, user: UserId, now: Timestamp) {
        let makers = self.delete_user_alone(directory, user, now);
        self.end_made_by(directory, makers, now);
    }

    /// Ends what these tokens made, and what that made, as [`maker`] says.
    fn end_made_by(&mut self, directory: &Directory, mut makers: HashSet<TokenId>, now: Timestamp) {
        while !makers.is_empty() {
            let made = |by: Option<TokenId>| by.is_some_and(|maker| makers.contains(&maker));
            for member in directory.memberships().filter(|member| made(member.made_by)) {
                self.remove(RecordKey::Membership(member.group, member.user));
            }
            let mut next = HashSet::new();
            for token in directory.tokens().filter(|token| made(token.made_by) || made(token.rests_on)) {
                if !self.ended.contains(&token.id) {
                    next.extend(self.end_alone(directory, token, now));
                }
            }
            makers = next;
        }
    }

    /// Ends a token, but not what it made; returns the tokens that ended with it.
    fn end_alone(&mut self, directory: &Directory, token: &Token, now: Timestamp) -> HashSet<TokenId> {
        match token.owner {
            TokenOwner::Group { bot, .. } => return self.delete_user_alone(directory, bot, now),
            TokenOwner::Deploy { .. } => self.bury(token, now),
            TokenOwner::Personal { .. } => {
                self.ended.insert(token.id);
                let revoked_at = token.revoked_at.or(Some(now));
                self.put(Record::Token(Token { revoked_at, ..token.clone() }));
            }
        }
        HashSet::from([token.id])
    }

    fn delete_user_alone(&mut self, directory: &Directory, user: UserId, now: Timestamp) -> HashSet<TokenId> {
        let mut tokens = HashSet::new();
        for token in directory.tokens().filter(|token| token.user() == Some(user)) {
            self.bury(token, now);
            tokens.insert(token.id);
        }
        for member in directory.memberships().filter(|member| member.user == user) {
            self.remove(RecordKey::Membership(member.group, member.user));
        }
        self.remove(RecordKey::User(user));
        tokens
    }

    /// Forgets a token that has ended, with its bot where that has no other; one that was revoked leaves a tombstone.
    fn forget(&mut self, directory: &Directory, token: &Token, now: Timestamp) {
        let others = |bot| directory.tokens().any(|other| other.user() == Some(bot) && !self.is_over(other, token));
        match token.owner {
            TokenOwner::Group { bot, .. } if !others(bot) => {
                self.delete_user_alone(directory, bot, now);
            }
            _ if token.revoked_at.is_some() => self.bury(token, now),
            TokenOwner::Personal { .. } | TokenOwner::Group { .. } | TokenOwner::Deploy { .. } => {
                self.ended.insert(token.id);
                self.remove(RecordKey::Token(token.id));
            }
        }
    }

    fn is_over(&self, other: &Token, token: &Token) -> bool {
        other.id == token.id || self.ended.contains(&other.id)
    }

    /// Makes `to` the maker of all that `from` made, and what rests on `from` rest on it.
    fn hand_on(&mut self, directory: &Directory, from: TokenId, to: TokenId) {
        let ended = self.ended.clone();
        let by_successor = |by: Option<TokenId>| if by == Some(from) { Some(to) } else { by };
        let of_it = |token: &Token| [token.made_by, token.rests_on].contains(&Some(from));
        for token in directory.tokens().filter(|token| of_it(token) && !ended.contains(&token.id)) {
            let (made_by, rests_on) = (by_successor(token.made_by), by_successor(token.rests_on));
            self.put(Record::Token(Token { made_by, rests_on, ..Token::clone(token) }));
        }
        for member in directory.memberships().filter(|member| member.made_by == Some(from)) {
            self.put(Record::Membership(Membership { made_by: Some(to), ..Membership::clone(member) }));
        }
    }

    fn finish<T>(mut self, value: T) -> (Vec<Write>, T) {
        if self.numbered {
            self.writes.push(Write::Put(Record::Service(self.service)));
        }
        (self.writes, value)
    }
}
