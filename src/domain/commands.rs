//! Commands that change identities: from a [`Directory`] and a request, each returns the [`Write`]s that carry out
//! the change, or the reason why it is refused. Pure: secrets, credential ids and the time are passed in.
//!
//! The caller's rights are checked beforehand, on the same directory. This module enforces what no right can override
//! (a name that is taken, the last owner, the last administrator), lifetimes and maximum numbers ([`Terms`]), and
//! what the settings reserve for administrators ([`group`]).
//!
//! Numbers of users, groups and tokens come from the counters in [`Service`]. The change that uses a number also
//! writes the counter, so that no number is assigned twice.

pub mod group;
pub mod loss;
pub mod maker;
pub mod member;
pub mod retention;
pub mod rotation;
pub mod service;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod token;
pub mod user;

use super::access::Membership;
use super::directory::{Directory, Record, RecordKey, Service, Write};
use super::id::{GroupId, TokenId, UserId};
use super::limits::{Limits, MAX_NAME_CHARS};
use super::token::{Token, TokenOwner, Tombstone};
use jiff::Timestamp;
use std::collections::HashSet;
use std::sync::Arc;

/// The writes of a change and its result, or the reason why it is refused.
pub type CommandResult<T> = Result<(Vec<Write>, T), CommandError>;

/// The conditions under which a change is made.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The maker, whose own end can limit the end of what it creates.
    pub maker: maker::Maker,
    /// The user who makes the change, for the record.
    pub by: Option<UserId>,
    /// The configured limits.
    pub limits: &'a Limits,
    /// The time of the change.
    pub now: Timestamp,
}

/// The reason why a change is refused. The texts are for the user who sent the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The object of the change does not exist, or no longer.
    #[error("{0} not found")]
    Missing(Resource),
    /// A field has a value that is not allowed.
    #[error("{field} {reason}")]
    Invalid {
        /// The field, as the REST API names it.
        field: &'static str,
        /// The rest of a sentence that begins with the field's name.
        reason: String,
    },
    /// The change conflicts with something that exists already.
    #[error("{0}")]
    Conflict(String),
    /// Only administrators may make the change. The text states no more, so that it does not reveal which paths are
    /// reserved.
    #[error("403 Forbidden")]
    Forbidden,
    /// The change would break a rule, such as one that keeps the service or a group from having no owner.
    #[error("{0}")]
    Refused(&'static str),
}

/// The kind of object that a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A user.
    User,
    /// A group.
    Group,
    /// A membership.
    Member,
    /// A personal, group or deploy token.
    Token,
}

impl CommandError {
    fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }
}

/// Checks a name: not empty, not too long, one line.
fn check_name(name: &str) -> Result<(), CommandError> {
    if name.is_empty() {
        return Err(CommandError::invalid("name", "can't be blank"));
    }
    check_line("name", name, MAX_NAME_CHARS)
}

/// Checks the length of a text of one line. Control characters would break lists and logs.
fn check_line(field: &'static str, text: &str, max_chars: usize) -> Result<(), CommandError> {
    if text.contains(char::is_control) {
        return Err(CommandError::invalid(field, "can't contain line breaks or other control characters"));
    }
    check_length(field, text, max_chars)
}

/// Checks the length of a text. The error has GitLab's wording.
fn check_length(field: &'static str, text: &str, max_chars: usize) -> Result<(), CommandError> {
    match text.chars().count() > max_chars {
        true => Err(CommandError::invalid(field, format!("is too long (maximum is {max_chars} characters)"))),
        false => Ok(()),
    }
}

/// Checks that one more can be added where `there` of them exist.
fn check_number(things: &str, there: usize, max: usize) -> Result<(), CommandError> {
    match there < max {
        true => Ok(()),
        false => Err(CommandError::invalid("base", format!("Maximum number of {things} ({max}) exceeded"))),
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Member => "Member",
            Self::Token => "Token",
        })
    }
}

/// A change under construction.
struct ChangeBuilder {
    service: Service,
    numbered: bool,
    writes: Vec<Write>,
    /// The tokens that this change ends, so that none is ended twice.
    ended: HashSet<TokenId>,
}

impl ChangeBuilder {
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

    /// Deletes a token and leaves a tombstone, from which later logins get the reason of their refusal.
    fn delete_token(&mut self, directory: &Directory, token: &Token, now: Timestamp) {
        self.ended.insert(token.id);
        self.put_tombstone(directory, token, Tombstone::of(token, now));
        self.tombstone_old_secret(directory, token, now);
        self.remove(RecordKey::Token(token.id));
    }

    /// Leaves a tombstone of a token's old secret, if it has one.
    fn tombstone_old_secret(&mut self, directory: &Directory, token: &Token, now: Timestamp) {
        if let Some(stone) = Tombstone::of_old_secret(token, now) {
            self.put_tombstone(directory, token, stone);
        }
    }

    /// Puts a tombstone with the name of the user as which the token acts.
    fn put_tombstone(&mut self, directory: &Directory, token: &Token, stone: Tombstone) {
        let user = token.user().and_then(|user| directory.user(user));
        self.put(Record::Tombstone(stone.of_user(user)));
    }

    /// Ends a token and everything that it made. A personal token is kept and listed as revoked. A group access token
    /// is deleted with its bot, and a deploy token alone; both leave tombstones.
    fn end(&mut self, directory: &Directory, token: &Token, now: Timestamp) {
        let makers = self.end_alone(directory, token, now);
        self.end_made_by(directory, makers, now);
    }

    /// Deletes a user with all memberships and all tokens that act as the user, which leave tombstones. What the
    /// tokens made ends with them.
    fn delete_user(&mut self, directory: &Directory, user: UserId, now: Timestamp) {
        let makers = self.delete_user_alone(directory, user, now);
        self.end_made_by(directory, makers, now);
    }

    /// Ends everything that these tokens made, directly or indirectly, as [`maker`] describes.
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

    /// Ends a token, but not what it made. Returns the tokens that ended with it.
    fn end_alone(&mut self, directory: &Directory, token: &Token, now: Timestamp) -> HashSet<TokenId> {
        match token.owner {
            TokenOwner::Group { bot, .. } => return self.delete_user_alone(directory, bot, now),
            TokenOwner::Deploy { .. } => self.delete_token(directory, token, now),
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
            self.delete_token(directory, token, now);
            tokens.insert(token.id);
        }
        for member in directory.memberships().filter(|member| member.user == user) {
            self.remove(RecordKey::Membership(member.group, member.user));
        }
        self.remove(RecordKey::User(user));
        tokens
    }

    /// Removes a token that has ended, with its bot if the bot has no other token. A revoked token leaves a
    /// tombstone.
    fn forget(&mut self, directory: &Directory, token: &Token, now: Timestamp) {
        let others = |bot| directory.tokens().any(|other| other.user() == Some(bot) && !self.is_over(other, token));
        match token.owner {
            TokenOwner::Group { bot, .. } if !others(bot) => {
                self.delete_user_alone(directory, bot, now);
            }
            _ if token.revoked_at.is_some() => self.delete_token(directory, token, now),
            TokenOwner::Personal { .. } | TokenOwner::Group { .. } | TokenOwner::Deploy { .. } => {
                self.ended.insert(token.id);
                self.remove(RecordKey::Token(token.id));
            }
        }
    }

    fn is_over(&self, other: &Token, token: &Token) -> bool {
        other.id == token.id || self.ended.contains(&other.id)
    }

    /// Makes `to` the maker of everything that `from` made, and the basis of everything that rests on `from`. Brings
    /// the ends of all that forward to the end of `to`.
    fn hand_on(&mut self, directory: &Directory, from: TokenId, to: &Token) {
        let by_successor = |by: Option<TokenId>| if by == Some(from) { Some(to.id) } else { by };
        let of_it = |token: &&Arc<Token>| [token.made_by, token.rests_on].contains(&Some(from));
        let mut handed_on = HashSet::new();
        for token in directory.tokens().filter(of_it).filter(|token| !self.ended.contains(&token.id)) {
            let (made_by, rests_on) = (by_successor(token.made_by), by_successor(token.rests_on));
            let expires_at = maker::earlier(token.expires_at, to.expires_at);
            handed_on.insert(token.id);
            self.writes.push(Write::Put(Record::Token(Token { made_by, rests_on, expires_at, ..Token::clone(token) })));
        }
        for member in directory.memberships().filter(|member| member.made_by == Some(from)) {
            let expires_at = maker::earlier(member.expires_at, to.expires_at);
            self.put(Record::Membership(Membership { made_by: Some(to.id), expires_at, ..Membership::clone(member) }));
        }
        self.bring_forward(directory, handed_on, to.expires_at);
    }

    /// Brings the ends of everything that these tokens made, directly or indirectly, forward to `end`, so that it
    /// does not outlive them.
    fn bring_forward(&mut self, directory: &Directory, mut makers: HashSet<TokenId>, end: Option<Timestamp>) {
        let outlives = |own| maker::is_later(own, end);
        let mut seen = makers.clone();
        while end.is_some() && !makers.is_empty() {
            let made = |by: Option<TokenId>| by.is_some_and(|maker| makers.contains(&maker));
            for member in directory.memberships().filter(|member| made(member.made_by) && outlives(member.expires_at)) {
                self.put(Record::Membership(Membership { expires_at: end, ..Membership::clone(member) }));
            }
            let mut next = HashSet::new();
            for token in directory.tokens().filter(|token| made(token.made_by) || made(token.rests_on)) {
                if self.ended.contains(&token.id) || !seen.insert(token.id) {
                    continue;
                }
                next.insert(token.id);
                if token.revoked_at.is_none() && outlives(token.expires_at) {
                    self.put(Record::Token(Token { expires_at: end, ..Token::clone(token) }));
                }
            }
            makers = next;
        }
    }

    fn finish<T>(mut self, value: T) -> (Vec<Write>, T) {
        if self.numbered {
            self.writes.push(Write::Put(Record::Service(self.service)));
        }
        (self.writes, value)
    }
}
