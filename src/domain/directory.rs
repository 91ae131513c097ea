//! The directory: all users, groups, members and tokens as one value that is cheap to copy and to change. Decides
//! nothing and stores nothing: a change is a list of [`Write`]s, applied here and made durable by the store.

mod record;
mod skipped;
mod version;
mod writes;

use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet};

pub use self::record::{Record, RecordKey, RecordKeyError, Service, Write};
pub use self::skipped::Skipped;
pub use self::version::Version;

use super::access::Membership;
use super::digest::Digest;
use super::group::{Group, GroupPath};
use super::id::{AccountId, CredentialId, GroupId, TokenId, UserId};
use super::token::{Token, TokenOwner, Tombstone};
use super::user::User;

/// A snapshot of all identities. A copy costs a few reference counts, and a changed copy shares everything that did
/// not change.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    users: OrdMap<UserId, Arc<User>>,
    usernames: HashMap<String, UserId>,
    groups: OrdMap<GroupId, Arc<Group>>,
    paths: HashMap<GroupPath, GroupId>,
    /// The groups that have chosen something for their pulls.
    choosing: OrdSet<GroupId>,
    members: OrdMap<(GroupId, UserId), Arc<Membership>>,
    tokens: OrdMap<TokenId, Arc<Token>>,
    /// The tokens that have an old secret, each as [`Token::by_old_secret`] returns it.
    by_old_secret: HashMap<TokenId, Arc<Token>>,
    tombstones: HashMap<CredentialId, Arc<Tombstone>>,
    secrets: HashMap<Digest, CredentialId>,
    credentials: HashMap<CredentialId, Holder>,
    service: Service,
}

/// The record that a credential id belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Password(UserId),
    Token(TokenId),
    OldSecret(TokenId),
    Tombstone,
}

/// A credential id or secret, resolved to its record.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The password of this user.
    Password(Arc<User>),
    /// A token that was not deleted; it may be revoked or expired.
    Token(Arc<Token>),
    /// A token that was found by the secret that its last rotation replaced, which may have ended:
    /// [`Token::by_old_secret`].
    OldSecret(Arc<Token>),
    /// A deleted token, of which the tombstone remains.
    Deleted(Arc<Tombstone>),
}

impl Directory {
    /// Builds a directory from these records.
    pub fn from_records(records: impl IntoIterator<Item = Record>) -> Self {
        let mut directory = Self::default();
        for record in records {
            directory.put(record);
        }
        directory
    }

    /// Returns all records, for an export.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        // Without `..`: a new kind of record must not be left out of exports and journals.
        let Self {
            users,
            groups,
            members,
            tokens,
            tombstones,
            service,
            // Found by other keys, and computed from the records.
            usernames: _,
            paths: _,
            choosing: _,
            by_old_secret: _,
            secrets: _,
            credentials: _,
        } = self;
        let users = users.values().map(|user| Record::User(User::clone(user)));
        let groups = groups.values().map(|group| Record::Group(Group::clone(group)));
        let members = members.values().map(|member| Record::Membership(Membership::clone(member)));
        let tokens = tokens.values().map(|token| Record::Token(Token::clone(token)));
        let tombstones = tombstones.values().map(|stone| Record::Tombstone(Tombstone::clone(stone)));
        let service = std::iter::once(Record::Service(service.clone()));
        service.chain(users).chain(groups).chain(members).chain(tokens).chain(tombstones)
    }

    /// Returns true if there are no users.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Returns the record with the switches and counters of the whole service.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Returns the user with this id.
    pub fn user(&self, id: UserId) -> Option<&Arc<User>> {
        self.users.get(&id)
    }

    /// Returns the user of this name; the case of letters is ignored.
    pub fn user_named(&self, name: &str) -> Option<&Arc<User>> {
        self.user(*self.usernames.get(&name.to_ascii_lowercase())?)
    }

    /// Returns all users, ordered by id.
    pub fn users(&self) -> impl DoubleEndedIterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// Returns the group with this id.
    pub fn group(&self, id: GroupId) -> Option<&Arc<Group>> {
        self.groups.get(&id)
    }

    /// Returns the group at this path.
    pub fn group_at(&self, path: &GroupPath) -> Option<&Arc<Group>> {
        self.group(*self.paths.get(path)?)
    }

    /// Returns the paths of groups that are in this directory and no longer in it after these writes.
    pub fn vacated_by(&self, writes: &[Write]) -> Vec<GroupPath> {
        let ids = writes.iter().filter_map(|write| match write {
            Write::Put(Record::Group(group)) => Some(group.id),
            Write::Remove(RecordKey::Group(id)) => Some(*id),
            Write::Put(_) | Write::Remove(_) => None,
        });
        let mut after = self.clone();
        after.apply(writes);
        let paths = ids.filter_map(|id| self.group(id)).map(|group| group.path.clone());
        paths.filter(|path| after.group_at(path).is_none()).collect()
    }

    /// Returns all groups, ordered by id.
    pub fn groups(&self) -> impl DoubleEndedIterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// Returns the groups that have chosen something for their pulls, ordered by id.
    pub fn choosing_groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.choosing.iter().filter_map(|id| self.group(*id))
    }

    /// Returns the group that has this account at an upstream.
    pub fn holder_of_account(&self, id: AccountId) -> Option<&Arc<Group>> {
        self.choosing_groups().find(|group| group.upstream_accounts.values().any(|account| account.id == id))
    }

    /// Returns the group, then its parent, and so on up to the top-level group.
    pub fn lineage(&self, id: GroupId) -> impl Iterator<Item = &Arc<Group>> {
        std::iter::successors(self.group(id), |group| self.group(group.parent?))
    }

    /// Returns the user's direct membership of this group; memberships of groups above are not considered.
    pub fn membership(&self, group: GroupId, user: UserId) -> Option<&Arc<Membership>> {
        self.members.get(&(group, user))
    }

    /// Returns the direct memberships of this group, ordered by user id.
    pub fn members(&self, group: GroupId) -> impl Iterator<Item = &Arc<Membership>> {
        self.members.range((group, UserId(0))..=(group, UserId(u64::MAX))).map(|(_, member)| member)
    }

    /// Returns all memberships of all groups.
    pub fn memberships(&self) -> impl Iterator<Item = &Arc<Membership>> {
        self.members.values()
    }

    /// Returns the token with this number.
    pub fn token(&self, id: TokenId) -> Option<&Arc<Token>> {
        self.tokens.get(&id)
    }

    /// Returns all tokens, ordered by number.
    pub fn tokens(&self) -> impl DoubleEndedIterator<Item = &Arc<Token>> {
        self.tokens.values()
    }

    /// Returns the tombstones of all deleted tokens.
    pub fn tombstones(&self) -> impl Iterator<Item = &Arc<Tombstone>> {
        self.tombstones.values()
    }

    /// Returns the deleted tokens of groups that have tombstones, as revoked tokens, ordered by number, if `is_wanted`
    /// holds of group and number. Those of users stay in [`Self::tokens`] when they are revoked.
    pub fn deleted_tokens(&self, is_wanted: impl Fn(GroupId, TokenId) -> bool) -> Vec<Arc<Token>> {
        let is_wanted = |stone: &&Arc<Tombstone>| {
            let group = stone.owner.as_ref().and_then(TokenOwner::group);
            group.zip(stone.token).is_some_and(|(group, id)| is_wanted(group, id) && self.token(id).is_none())
        };
        let tokens = self.tombstones().filter(is_wanted).filter_map(|stone| stone.revoked_token());
        let mut tokens: Vec<_> = tokens.map(Arc::new).collect();
        tokens.sort_by_key(|token| token.id);
        tokens
    }

    /// Returns the credential with this id; `None` if there is none, as for a password that has been changed.
    pub fn credential(&self, id: CredentialId) -> Option<Credential> {
        match self.credentials.get(&id)? {
            Holder::Password(user) => self.user(*user).cloned().map(Credential::Password),
            Holder::Token(token) => self.token(*token).cloned().map(Credential::Token),
            Holder::OldSecret(token) => self.by_old_secret.get(token).cloned().map(Credential::OldSecret),
            Holder::Tombstone => self.tombstones.get(&id).cloned().map(Credential::Deleted),
        }
    }

    /// Returns the record with this key.
    pub fn record(&self, key: RecordKey) -> Option<Record> {
        match key {
            RecordKey::User(id) => self.user(id).map(|user| Record::User(user.as_ref().clone())),
            RecordKey::Group(id) => self.group(id).map(|group| Record::Group(group.as_ref().clone())),
            RecordKey::Membership(group, user) => {
                self.membership(group, user).map(|member| Record::Membership(member.as_ref().clone()))
            }
            RecordKey::Token(id) => self.token(id).map(|token| Record::Token(token.as_ref().clone())),
            RecordKey::Tombstone(id) => self.tombstones.get(&id).map(|stone| Record::Tombstone(stone.as_ref().clone())),
            RecordKey::Service => Some(Record::Service(self.service.clone())),
        }
    }

    /// Returns the credential whose secret has this SHA-256. Passwords cannot be found this way.
    pub fn secret(&self, secret: &Digest) -> Option<Credential> {
        self.credential(*self.secrets.get(secret)?)
    }
}
