//! A change under construction: collects the writes, assigns numbers, and ends what belongs to something that ends.
//! Refuses nothing.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::maker;
use crate::domain::access::Membership;
use crate::domain::directory::{Directory, Record, RecordKey, Service, Write};
use crate::domain::id::{GroupId, TokenId, UserId};
use crate::domain::token::{Token, TokenOwner, Tombstone};

/// A change under construction.
pub(super) struct ChangeBuilder {
    service: Service,
    numbered: bool,
    writes: Vec<Write>,
    /// The tokens that this change ends, so that none is ended twice.
    ended: HashSet<TokenId>,
}

impl ChangeBuilder {
    /// Begins a change of this directory.
    pub(super) fn of(directory: &Directory) -> Self {
        Self { service: directory.service().clone(), numbered: false, writes: Vec::new(), ended: HashSet::new() }
    }

    /// Returns the number of a new user.
    pub(super) fn next_user(&mut self) -> UserId {
        self.numbered = true;
        self.service.last_user += 1;
        UserId(self.service.last_user)
    }

    /// Returns the number of a new group.
    pub(super) fn next_group(&mut self) -> GroupId {
        self.numbered = true;
        self.service.last_group += 1;
        GroupId(self.service.last_group)
    }

    /// Returns the number of a new token.
    pub(super) fn next_token(&mut self) -> TokenId {
        self.numbered = true;
        self.service.last_token += 1;
        TokenId(self.service.last_token)
    }

    /// Adds a record, or replaces the one with its key.
    pub(super) fn put(&mut self, record: Record) {
        self.writes.push(Write::Put(record));
    }

    /// Removes the record with this key.
    pub(super) fn remove(&mut self, key: RecordKey) {
        self.writes.push(Write::Remove(key));
    }

    /// Returns the number of writes so far.
    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    /// Removes the record of a token that has ended.
    pub(super) fn remove_token(&mut self, token: TokenId) {
        self.ended.insert(token);
        self.remove(RecordKey::Token(token));
    }

    /// Deletes a token and leaves a tombstone, from which later logins get the reason of their refusal.
    pub(super) fn delete_token(&mut self, directory: &Directory, token: &Token, now: Timestamp) {
        self.ended.insert(token.id);
        self.put_tombstone(directory, token, Tombstone::of(token, now));
        self.tombstone_old_secret(directory, token, now);
        self.remove(RecordKey::Token(token.id));
    }

    /// Leaves a tombstone of a token's old secret, if it has one.
    pub(super) fn tombstone_old_secret(&mut self, directory: &Directory, token: &Token, now: Timestamp) {
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
    pub(super) fn end(&mut self, directory: &Directory, token: &Token, now: Timestamp) {
        let makers = self.end_alone(directory, token, now);
        self.end_tokens_created_by(directory, makers, now);
    }

    /// Deletes a user with all memberships and all tokens that act as the user, which leave tombstones. What the
    /// tokens made ends with them.
    pub(super) fn delete_user(&mut self, directory: &Directory, user: UserId, now: Timestamp) {
        let makers = self.delete_user_alone(directory, user, now);
        self.end_tokens_created_by(directory, makers, now);
    }

    /// Ends everything that these tokens made, directly or indirectly, as [`maker`] describes.
    pub(super) fn end_tokens_created_by(
        &mut self,
        directory: &Directory,
        mut makers: HashSet<TokenId>,
        now: Timestamp,
    ) {
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
    pub(super) fn forget(&mut self, directory: &Directory, token: &Token, now: Timestamp) {
        let others = |bot| directory.tokens().any(|other| other.user() == Some(bot) && !self.is_over(other, token));
        match token.owner {
            TokenOwner::Group { bot, .. } if !others(bot) => {
                self.delete_user_alone(directory, bot, now);
            }
            _ if token.revoked_at.is_some() => self.delete_token(directory, token, now),
            TokenOwner::Personal { .. } | TokenOwner::Group { .. } | TokenOwner::Deploy { .. } => {
                self.remove_token(token.id);
            }
        }
    }

    fn is_over(&self, other: &Token, token: &Token) -> bool {
        other.id == token.id || self.ended.contains(&other.id)
    }

    /// Makes `to` the maker of everything that `from` made, and the basis of everything that rests on `from`. Brings
    /// the ends of all that forward to the end of `to`.
    pub(super) fn hand_on(&mut self, directory: &Directory, from: TokenId, to: &Token) {
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
    pub(super) fn bring_forward(
        &mut self,
        directory: &Directory,
        mut makers: HashSet<TokenId>,
        end: Option<Timestamp>,
    ) {
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

    /// Returns the writes of the change, with the result.
    pub(super) fn finish<T>(mut self, value: T) -> (Vec<Write>, T) {
        if self.numbered {
            self.writes.push(Write::Put(Record::Service(self.service)));
        }
        (self.writes, value)
    }
}
