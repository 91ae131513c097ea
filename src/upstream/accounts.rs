//! The accounts of one upstream, each with one or two credentials, and which of these a request begins with: those of
//! the settings, and those of groups. The `Debug` output of a credential contains no password.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use secrecy::SecretString;

use super::error::UpstreamError;
use super::group_logins::GroupLogins;
use super::options::AccountOptions;
use crate::domain::origin::Account;
use crate::domain::repository::UpstreamName;
use crate::domain::takeover::{Credential, Takeover};

/// User name and password.
pub(super) type Credentials = (String, SecretString);

/// The accounts of one upstream.
pub(super) struct Accounts {
    upstream: UpstreamName,
    /// Those of the settings, by user name.
    configured: HashMap<String, Arc<KnownAccount>>,
    /// Those of groups, at all upstreams.
    of_groups: GroupLogins,
}

/// An account with its credentials.
pub(super) struct KnownAccount {
    account: Account,
    /// The account in log lines.
    shown: String,
    first: Arc<Credentials>,
    second: Option<Arc<Credentials>>,
    takeover: Mutex<Takeover>,
}

/// A credential of an account, with which a request is sent.
#[derive(Clone)]
pub(super) struct Selected {
    pub(super) account: Arc<KnownAccount>,
    pub(super) credential: Credential,
    pub(super) credentials: Arc<Credentials>,
}

impl Accounts {
    /// Creates the accounts of this upstream with these options, and those of groups.
    pub(super) fn new(upstream: UpstreamName, options: &[AccountOptions], of_groups: GroupLogins) -> Self {
        let known = |options: &AccountOptions| {
            let second = options.second.as_ref();
            let account = KnownAccount {
                account: Account::Username(options.username.clone()),
                shown: format!("account '{}'", options.username),
                first: Arc::new((options.username.clone(), options.password.clone())),
                second: second.map(|second| Arc::new((second.username.clone(), second.password.clone()))),
                takeover: Mutex::default(),
            };
            (options.username.clone(), Arc::new(account))
        };
        Self { upstream, configured: options.iter().map(known).collect(), of_groups }
    }

    /// Returns the accounts of an upstream that has none.
    pub(super) fn none(upstream: UpstreamName) -> Self {
        Self { upstream, configured: HashMap::new(), of_groups: GroupLogins::default() }
    }

    /// Iterates over all accounts, with the anonymous one.
    pub(super) fn all(&self) -> impl Iterator<Item = Account> {
        let configured = self.configured.keys().cloned().map(Account::Username);
        std::iter::once(Account::Anonymous).chain(configured).chain(self.of_groups.at(&self.upstream))
    }

    /// Returns the known account; `None` for the anonymous one.
    ///
    /// # Errors
    ///
    /// Fails with [`UpstreamError::NotConfigured`] if there is no such account, and with
    /// [`UpstreamError::UnreadableAccount`] if it is one of a group whose password cannot be decrypted.
    pub(super) fn of(&self, account: &Account) -> Result<Option<Arc<KnownAccount>>, UpstreamError> {
        match account {
            Account::Anonymous => Ok(None),
            Account::Username(name) => self.configured.get(name).cloned().map(Some).ok_or(UpstreamError::NotConfigured),
            Account::OfGroup { id, .. } => self.of_groups.login(*id, &self.upstream).map(Some),
        }
    }
}

impl KnownAccount {
    /// Creates an account of a group, which log lines show with these words.
    pub(super) fn of_group(account: Account, shown: String, password: SecretString) -> Self {
        let first = Arc::new((account.username().to_owned(), password));
        Self { account, shown, first, second: None, takeover: Mutex::default() }
    }

    /// Returns the account as origins name it.
    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Returns the account as log lines show it.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns the passwords of all credentials.
    pub(super) fn passwords(&self) -> impl Iterator<Item = &SecretString> {
        [&self.first].into_iter().chain(&self.second).map(|credentials| &credentials.1)
    }

    /// Returns true if the account has a second credential.
    pub(super) fn has_second(&self) -> bool {
        self.second.is_some()
    }

    /// Returns this credential, if the account has it.
    pub(super) fn select(self: &Arc<Self>, credential: Credential) -> Option<Selected> {
        let credentials = match credential {
            Credential::First => Some(&self.first),
            Credential::Second => self.second.as_ref(),
        };
        credentials.map(|credentials| Selected { account: self.clone(), credential, credentials: credentials.clone() })
    }

    /// Returns the credential that a request begins with, and the one that follows if it is refused.
    pub(super) fn order(self: &Arc<Self>, now: Instant) -> impl Iterator<Item = Selected> {
        let begin = if self.has_second() { self.takeover().begin(now) } else { Credential::First };
        [begin, begin.other()].into_iter().filter_map(|credential| self.select(credential))
    }

    /// Returns the state of the takeover.
    pub(super) fn takeover(&self) -> MutexGuard<'_, Takeover> {
        self.takeover.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
