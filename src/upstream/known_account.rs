//! An account at an upstream with its credentials. The `Debug` output of a credential contains no password.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use secrecy::SecretString;

use crate::domain::origin::Account;
use crate::domain::takeover::{AccountCredential, Takeover};

/// User name and password.
pub(super) type Credentials = (String, SecretString);

/// An account with its credentials.
pub(super) struct KnownAccount {
    pub(super) account: Account,
    /// The account in log lines.
    pub(super) shown: String,
    pub(super) first: Arc<Credentials>,
    pub(super) second: Option<Arc<Credentials>>,
    pub(super) takeover: Mutex<Takeover>,
}

/// A credential of an account, with which a request is sent.
#[derive(Clone)]
pub(super) struct Selected {
    pub(super) account: Arc<KnownAccount>,
    pub(super) credential: AccountCredential,
    pub(super) credentials: Arc<Credentials>,
}

impl KnownAccount {
    /// Creates an account of a group. `shown` is the account in log lines.
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
    pub(super) fn select(self: &Arc<Self>, credential: AccountCredential) -> Option<Selected> {
        let credentials = match credential {
            AccountCredential::First => Some(&self.first),
            AccountCredential::Second => self.second.as_ref(),
        };
        credentials.map(|credentials| Selected { account: self.clone(), credential, credentials: credentials.clone() })
    }

    /// Returns the credential that a request begins with, and the one that follows if it is refused.
    pub(super) fn order(self: &Arc<Self>, now: Instant) -> impl Iterator<Item = Selected> {
        let begin = if self.has_second() { self.takeover().begin(now) } else { AccountCredential::First };
        [begin, begin.other()].into_iter().filter_map(|credential| self.select(credential))
    }

    /// Returns the state of the takeover.
    pub(super) fn takeover(&self) -> MutexGuard<'_, Takeover> {
        self.takeover.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
