//! The accounts of groups at all upstreams, with their passwords. They change while the service runs, without a new
//! client: connections, pull limits and backoffs of an upstream stay. Shows no password.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use secrecy::SecretString;

use super::error::UpstreamError;
use super::known_account::KnownAccount;
use crate::domain::id::AccountId;
use crate::domain::origin::Account;
use crate::domain::repository::UpstreamName;

/// The accounts of groups, which all clients share. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct GroupLogins(Arc<ArcSwap<HashMap<AccountId, LoginEntry>>>);

/// An account of a group at an upstream, with its password.
#[derive(Clone, Debug)]
pub struct GroupLogin {
    /// The upstream, which alone gets the password.
    pub upstream: UpstreamName,
    /// The account.
    pub account: Account,
    /// The account in log lines, such as `account 'robot' of the group team`.
    pub shown: String,
    /// The password; `None` if it cannot be decrypted.
    pub password: Option<SecretString>,
}

#[derive(Clone)]
struct LoginEntry {
    upstream: UpstreamName,
    account: Account,
    /// `None` if the password cannot be decrypted.
    known: Option<Arc<KnownAccount>>,
}

impl GroupLogins {
    /// Replaces all accounts. Those whose id is known are kept, because each password has an id of its own; one that
    /// could not be decrypted, or is shown in another way, is replaced. Returns the accounts that are gone.
    pub(super) fn replace(&self, logins: Vec<GroupLogin>) -> Vec<(UpstreamName, Account)> {
        let before = self.0.load_full();
        let login = |login: GroupLogin| {
            let GroupLogin { upstream, account, shown, password } = login;
            let id = account.of_group()?;
            // The group may have got another path.
            let kept = before.get(&id).and_then(|login| login.known.clone()).filter(|known| known.shown() == shown);
            let made = |password| Arc::new(KnownAccount::of_group(account.clone(), shown, password));
            let known = kept.or_else(|| password.map(made));
            Some((id, LoginEntry { upstream, account, known }))
        };
        let after: HashMap<AccountId, LoginEntry> = logins.into_iter().filter_map(login).collect();
        let gone = before.iter().filter(|(id, _)| !after.contains_key(id));
        let gone = gone.map(|(_, login)| (login.upstream.clone(), login.account.clone())).collect();
        self.0.store(Arc::new(after));
        gone
    }

    /// Returns the account with this id at this upstream.
    ///
    /// # Errors
    ///
    /// Fails if there is none, or if its password cannot be decrypted.
    pub(super) fn login(&self, id: AccountId, upstream: &UpstreamName) -> Result<Arc<KnownAccount>, UpstreamError> {
        let logins = self.0.load();
        let login = logins.get(&id).filter(|login| login.upstream == *upstream).ok_or(UpstreamError::NotConfigured)?;
        login.known.clone().ok_or(UpstreamError::UnreadableAccount)
    }

    /// Returns the accounts at this upstream.
    pub(super) fn at(&self, upstream: &UpstreamName) -> Vec<Account> {
        let logins = self.0.load();
        logins.values().filter(|login| login.upstream == *upstream).map(|login| login.account.clone()).collect()
    }
}
