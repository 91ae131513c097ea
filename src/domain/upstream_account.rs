//! Accounts of groups at upstreams, as the directory stores them: the secret is sealed with a key that is not in the
//! store. Contains no secret in clear text.
//!
//! Each password has an id of its own, and links, tags, negative entries, tokens and backoffs belong to that id. The
//! person who replaces the password of an account need not have known the old one, and a user name proves nothing: some
//! registries accept any user name with a token. So a new password opens nothing that upstream has served to the old
//! one before upstream has served it again. Nothing is downloaded again for that.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{AccountId, GroupId};
use super::origin::Account;
use super::repository::UpstreamName;

/// Maximum length of the user name of an account, in characters, as in GitLab.
pub const MAX_USERNAME_CHARS: usize = 255;

/// Maximum length of the password of an account, in characters: keys of service accounts at cloud providers have some
/// thousands.
pub const MAX_PASSWORD_CHARS: usize = 8192;

/// An account of a group at one upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamAccount {
    /// The id, new with each password.
    pub id: AccountId,
    /// The user name at the upstream.
    pub username: String,
    /// The sealed password.
    pub secret: SealedSecret,
    /// The time at which the password was set.
    pub set_at: Timestamp,
}

/// A secret that a key of the key file has sealed (`auth::sealing`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// The id of the key.
    pub key: String,
    /// The nonce, in hexadecimal digits.
    pub nonce: String,
    /// The encrypted secret with its tag, in hexadecimal digits.
    pub sealed: String,
}

/// The group, upstream and account that a sealed secret belongs to. It can be opened for no others.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The group.
    pub group: GroupId,
    /// The upstream.
    pub upstream: &'a UpstreamName,
    /// The account.
    pub id: AccountId,
    /// The user name at the upstream.
    pub username: &'a str,
}

impl UpstreamAccount {
    /// Returns the account as origins name it.
    pub fn account(&self) -> Account {
        Account::OfGroup { id: self.id, username: self.username.clone() }
    }

    /// Returns the binding of the secret, if this group has the account at this upstream.
    pub fn binding<'a>(&'a self, group: GroupId, upstream: &'a UpstreamName) -> Binding<'a> {
        Binding { group, upstream, id: self.id, username: &self.username }
    }
}

impl Binding<'_> {
    /// Returns the binding as associated data. No field but the last can contain a line feed.
    pub fn bytes(&self) -> Vec<u8> {
        let Self { group, upstream, id, username } = self;
        format!("account\n{group}\n{upstream}\n{id}\n{username}").into_bytes()
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSecret").field("key", &self.key).finish_non_exhaustive()
    }
}
