//! The accounts of one upstream: those of the settings, and those of groups.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::error::UpstreamError;
use super::group_logins::GroupLogins;
use super::known_account::KnownAccount;
use super::options::AccountOptions;
use crate::domain::origin::Account;
use crate::domain::repository::UpstreamName;

/// The accounts of one upstream.
pub(super) struct Accounts {
    upstream: UpstreamName,
    /// Those of the settings, by user name.
    configured: HashMap<String, Arc<KnownAccount>>,
    /// Those of groups, at all upstreams.
    of_groups: GroupLogins,
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
