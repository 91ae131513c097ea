//! The accounts of one upstream, each with one or two credentials, and which of these a request begins with. The
//! `Debug` output of a credential contains no password.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use secrecy::SecretString;

use super::error::UpstreamError;
use super::options::AccountOptions;
use crate::domain::origin::Account;
use crate::domain::takeover::{Credential, Takeover};

/// User name and password.
pub(super) type Credentials = (String, SecretString);

/// The accounts of one upstream, by user name.
#[derive(Default)]
pub(super) struct Accounts(HashMap<String, Arc<KnownAccount>>);

/// An account with its credentials.
pub(super) struct KnownAccount {
    username: String,
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
    /// Creates the accounts with these options.
    pub(super) fn new(options: &[AccountOptions]) -> Self {
        let known = |options: &AccountOptions| {
            let second = options.second.as_ref();
            let account = KnownAccount {
                username: options.username.clone(),
                first: Arc::new((options.username.clone(), options.password.clone())),
                second: second.map(|second| Arc::new((second.username.clone(), second.password.clone()))),
                takeover: Mutex::default(),
            };
            (options.username.clone(), Arc::new(account))
        };
        Self(options.iter().map(known).collect())
    }

    /// Iterates over all accounts, with the anonymous one.
    pub(super) fn all(&self) -> impl Iterator<Item = Account> {
        std::iter::once(Account::Anonymous).chain(self.0.keys().cloned().map(Account::Username))
    }

    /// Returns the known account; `None` for the anonymous one.
    ///
    /// # Errors
    ///
    /// Fails with [`UpstreamError::NotConfigured`] if there is no account with this name.
    pub(super) fn of(&self, account: &Account) -> Result<Option<&Arc<KnownAccount>>, UpstreamError> {
        match account {
            Account::Anonymous => Ok(None),
            Account::Username(name) => self.0.get(name).map(Some).ok_or(UpstreamError::NotConfigured),
        }
    }
}

impl KnownAccount {
    /// Returns the user name that identifies the account.
    pub(super) fn username(&self) -> &str {
        &self.username
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
