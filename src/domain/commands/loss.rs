//! Losses: everything that a change takes away, derived from its writes, so that it can be shown before the change is
//! made.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::maker::is_later;
use crate::domain::access::Membership;
use crate::domain::directory::{Directory, Record, RecordKey, Write};
use crate::domain::group::Group;
use crate::domain::id::{GroupId, TokenId, UserId};
use crate::domain::token::Token;
use crate::domain::user::User;

/// Everything that a change takes away, without duplicates, ordered by number. Bots and their memberships are parts
/// of their tokens and are not listed.
#[derive(Clone, Debug, Default)]
pub struct Loss {
    /// The groups that are deleted.
    pub groups: BTreeMap<GroupId, Arc<Group>>,
    /// The people who are deleted.
    pub users: BTreeMap<UserId, Arc<User>>,
    /// The memberships of people that end.
    pub members: BTreeMap<(GroupId, UserId), Arc<Membership>>,
    /// The tokens that end, without those that had ended already.
    pub tokens: BTreeMap<TokenId, Arc<Token>>,
}

impl Loss {
    /// Returns the loss that these writes cause in this directory at this time.
    pub fn of(directory: &Directory, writes: &[Write], now: Timestamp) -> Self {
        let mut loss = Self::default();
        for write in writes {
            match write {
                Write::Remove(key) => loss.add(directory, *key, now),
                Write::Put(Record::Token(token)) if token.revoked_at.is_some() => {
                    loss.add_token(directory, token.id, now)
                }
                // A group, user or membership that is put is not taken away, whatever of it changes.
                Write::Put(
                    Record::User(_)
                    | Record::Group(_)
                    | Record::Membership(_)
                    | Record::Token(_)
                    | Record::Tombstone(_)
                    | Record::Service(_),
                ) => {}
            }
        }
        loss
    }

    /// Returns the tokens and memberships that these writes leave with an earlier end, besides the token that the
    /// change is about.
    pub fn brought_forward(directory: &Directory, writes: &[Write], changed: TokenId, now: Timestamp) -> Self {
        let mut loss = Self::default();
        for write in writes {
            match write {
                Write::Put(Record::Token(token)) if token.id != changed && token.revoked_at.is_none() => {
                    let old = directory.token(token.id).filter(|old| is_later(old.expires_at, token.expires_at));
                    loss.tokens.extend(old.filter(|old| old.is_active(now)).map(|old| (old.id, old.clone())));
                }
                Write::Put(Record::Membership(new)) => {
                    let old = directory.membership(new.group, new.user);
                    let old = old.filter(|old| is_later(old.expires_at, new.expires_at) && old.is_active(now));
                    loss.members.extend(old.map(|old| ((old.group, old.user), old.clone())));
                }
                Write::Put(
                    Record::User(_) | Record::Group(_) | Record::Token(_) | Record::Tombstone(_) | Record::Service(_),
                )
                | Write::Remove(_) => {}
            }
        }
        loss
    }

    /// Returns true if nothing is taken away.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.users.is_empty() && self.members.is_empty() && self.tokens.is_empty()
    }

    /// Returns the numbers of these objects as a text: the same for the same objects, and empty for none.
    pub fn numbers(&self) -> String {
        let mut parts: Vec<String> = self.groups.keys().map(|group| format!("group {}", group.0)).collect();
        parts.extend(self.users.keys().map(|user| format!("user {}", user.0)));
        parts.extend(self.members.keys().map(|(group, user)| format!("member {} {}", group.0, user.0)));
        parts.extend(self.tokens.keys().map(|token| format!("token {}", token.0)));
        parts.join(", ")
    }

    fn add(&mut self, directory: &Directory, key: RecordKey, now: Timestamp) {
        let is_person = |id| directory.user(id).is_some_and(|user| user.bot_of.is_none());
        match key {
            RecordKey::Group(id) => self.groups.extend(directory.group(id).map(|group| (id, group.clone()))),
            RecordKey::User(id) if is_person(id) => {
                self.users.extend(directory.user(id).map(|user| (id, user.clone())));
            }
            RecordKey::Membership(group, user) if is_person(user) => {
                let member = directory.membership(group, user);
                self.members.extend(member.map(|member| ((group, user), member.clone())));
            }
            RecordKey::Token(id) => self.add_token(directory, id, now),
            RecordKey::User(_) | RecordKey::Membership(..) | RecordKey::Tombstone(_) | RecordKey::Service => {}
        }
    }

    fn add_token(&mut self, directory: &Directory, id: TokenId, now: Timestamp) {
        let active = directory.token(id).filter(|token| token.is_active(now));
        self.tokens.extend(active.map(|token| (id, token.clone())));
    }
}
