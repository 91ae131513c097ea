//! Writes: how the records of a change get into the directory and out of it, with the keys that they are found by.

use std::sync::Arc;

use super::{Directory, Holder, Record, RecordKey, Service, Write};
use crate::domain::digest::Digest;
use crate::domain::id::CredentialId;

impl Directory {
    /// Applies the writes of a change in their order.
    pub fn apply(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Put(record) => self.put(record.clone()),
                Write::Remove(key) => self.remove(*key),
            }
        }
    }

    /// Adds a record, or replaces the one with its key.
    pub(super) fn put(&mut self, record: Record) {
        self.remove(record.key());
        match record {
            Record::User(user) => {
                self.usernames.insert(user.username.folded(), user.id);
                if let Some(password) = &user.password {
                    self.credentials.insert(password.credential, Holder::Password(user.id));
                }
                self.users.insert(user.id, Arc::new(user));
            }
            Record::Group(group) => {
                self.paths.insert(group.path.clone(), group.id);
                if group.has_choices() {
                    self.choosing.insert(group.id);
                }
                self.groups.insert(group.id, Arc::new(group));
            }
            Record::Membership(member) => {
                self.members.insert((member.group, member.user), Arc::new(member));
            }
            Record::Token(token) => {
                self.secrets.insert(token.secret, token.credential);
                self.credentials.insert(token.credential, Holder::Token(token.id));
                if let Some(old) = token.by_old_secret() {
                    self.secrets.insert(old.secret, old.credential);
                    self.credentials.insert(old.credential, Holder::OldSecret(old.id));
                    self.by_old_secret.insert(old.id, Arc::new(old));
                }
                self.tokens.insert(token.id, Arc::new(token));
            }
            Record::Tombstone(stone) => {
                self.secrets.insert(stone.secret, stone.credential);
                self.credentials.insert(stone.credential, Holder::Tombstone);
                self.tombstones.insert(stone.credential, Arc::new(stone));
            }
            Record::Service(service) => self.service = service,
        }
    }

    fn remove(&mut self, key: RecordKey) {
        match key {
            RecordKey::User(id) => {
                if let Some(user) = self.users.remove(&id) {
                    // Within one change another user may already have taken the name.
                    if self.usernames.get(&user.username.folded()) == Some(&id) {
                        self.usernames.remove(&user.username.folded());
                    }
                    if let Some(password) = &user.password {
                        self.credentials.remove(&password.credential);
                    }
                }
            }
            RecordKey::Group(id) => {
                self.choosing.remove(&id);
                if let Some(group) = self.groups.remove(&id)
                    && self.paths.get(&group.path) == Some(&id)
                {
                    self.paths.remove(&group.path);
                }
            }
            RecordKey::Membership(group, user) => {
                self.members.remove(&(group, user));
            }
            RecordKey::Token(id) => {
                if let Some(token) = self.tokens.remove(&id) {
                    self.forget(token.secret, token.credential, Holder::Token(id));
                }
                if let Some(old) = self.by_old_secret.remove(&id) {
                    self.forget(old.secret, old.credential, Holder::OldSecret(id));
                }
            }
            RecordKey::Tombstone(id) => {
                if let Some(stone) = self.tombstones.remove(&id) {
                    self.forget(stone.secret, id, Holder::Tombstone);
                }
            }
            RecordKey::Service => self.service = Service::default(),
        }
    }

    /// Removes a secret and its credential id, if `holder` still holds them.
    fn forget(&mut self, secret: Digest, credential: CredentialId, holder: Holder) {
        // A token and its tombstone share both keys, so removing the token must not remove those of its tombstone.
        if self.credentials.get(&credential) == Some(&holder) {
            self.credentials.remove(&credential);
            self.secrets.remove(&secret);
        }
    }
}
