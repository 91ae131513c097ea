//! The client of one registry (OCI distribution specification, "Pull" and "Content Discovery"): sends requests,
//! logs in after challenges and interprets responses. Verifies no digests.
//!
//! If a `HEAD` is inconclusive, a `GET` decides: for a blob in this module, by a request for its first byte; for a
//! manifest in the caller, which needs the manifest anyway. A request that fails with 502, 503 or 504 is repeated
//! once after a short delay, apart from downloads of blobs, which have their own retry schedule.

mod blobs;
mod content_request;
mod credentials;
mod lists;
mod login;
mod manifests;
mod requests;

pub use self::login::LoginOutcome;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use url::Url;

use super::accounts::Accounts;
use super::budgets::Budgets;
use super::clients::ClientPool;
use super::group_logins::GroupLogins;
use super::head_support::HeadSupport;
use super::hosts::Hosts;
use super::options::{AccountOptions, SetupError, UpstreamOptions};
use super::refused_accounts::RefusedAccounts;
use super::tokens::Tokens;
use super::transport::Transport;
use crate::domain::origin::Account;
use crate::domain::pull_budget::{LimitReport, PullBudget};

/// The registry at one address, with the tokens that it issued. Call all methods on the runtime that called the first
/// one, because connections belong to that runtime.
pub struct RegistryClient {
    base: Url,
    /// Mark of the registry, which does not show its address.
    mark: String,
    /// True if a request that a gateway failed is repeated here; false if the next registry follows.
    repeats: bool,
    accounts: Accounts,
    has_accounts: bool,
    /// The passwords of all accounts in the settings: an error message of upstream that repeats one is dropped.
    passwords: Vec<SecretString>,
    transport: Arc<Transport>,
    tokens: Arc<Tokens>,
    manifest_heads: HeadSupport,
    blob_heads: HeadSupport,
    /// Repositories that ignore ranges and send the whole blob.
    ignored_ranges: HeadSupport,
    accounts_refused: Arc<RefusedAccounts>,
    /// Limits that upstream reports; `None` for a mirror.
    budgets: Option<Budgets>,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl RegistryClient {
    /// Creates the client of an upstream's own registry.
    ///
    /// # Errors
    ///
    /// Fails if one of the options cannot be used.
    pub(super) fn of_upstream(
        options: &UpstreamOptions,
        pool: &mut ClientPool,
        of_groups: &GroupLogins,
    ) -> Result<Self, SetupError> {
        let hosts = Hosts::new(options.url.clone(), options.auth_hosts.clone(), options.redirect_hosts.clone());
        let accounts_refused = RefusedAccounts::of(options.name.clone());
        Self::new(options, hosts, accounts_refused, pool, of_groups)
    }

    /// Creates the client of a mirror. It has the accounts only if they may be sent there. The header timeout is that
    /// of these options.
    ///
    /// # Errors
    ///
    /// Fails if one of the options cannot be used.
    pub(super) fn of_mirror(
        mirror: Url,
        options: &UpstreamOptions,
        pool: &mut ClientPool,
        of_groups: &GroupLogins,
    ) -> Result<Self, SetupError> {
        let UpstreamOptions { url, auth_hosts, redirect_hosts, .. } = options.clone();
        let hosts = Hosts::of_mirror(mirror.clone(), url, auth_hosts, redirect_hosts);
        // A refusal by a mirror is none by upstream.
        let unreported = RefusedAccounts::unreported(options.name.clone());
        let mut client = Self::new(options, hosts, unreported, pool, of_groups)?;
        if !client.transport.hosts.may_have_credentials(&mirror) {
            (client.accounts, client.has_accounts) = (Accounts::none(options.name.clone()), false);
        }
        // A limit that a mirror reports is not the one at upstream.
        Ok(Self { repeats: false, budgets: None, ..client })
    }

    fn new(
        options: &UpstreamOptions,
        hosts: Hosts,
        accounts_refused: RefusedAccounts,
        pool: &mut ClientPool,
        of_groups: &GroupLogins,
    ) -> Result<Self, SetupError> {
        let clients = pool.clients(options)?;
        Ok(Self {
            base: hosts.base().clone(),
            mark: mark_of(hosts.base()),
            repeats: true,
            passwords: options.accounts.iter().flat_map(AccountOptions::passwords).cloned().collect(),
            accounts: Accounts::new(options.name.clone(), &options.accounts, of_groups.clone()),
            has_accounts: true,
            accounts_refused: Arc::new(accounts_refused),
            budgets: Some(Budgets::of(options.name.clone())),
            transport: Arc::new(Transport { upstream: options.name.clone(), clients, hosts }),
            tokens: Arc::default(),
            manifest_heads: HeadSupport::default(),
            blob_heads: HeadSupport::default(),
            ignored_ranges: HeadSupport::default(),
            header_timeout: options.connection.header_timeout,
            idle_timeout: options.connection.idle_timeout,
        })
    }

    /// Iterates over the accounts that requests may use: none, those that are configured, and those of groups.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        self.accounts.all()
    }

    /// Returns what `read` returns of the pull budget of an account; `None` if upstream reports none.
    pub fn budget<T>(&self, account: &Account, read: impl FnOnce(&PullBudget) -> T) -> Option<T> {
        self.budgets.as_ref()?.of_account(account, read)
    }

    /// Records a report of upstream to another replica at this time.
    pub fn learn_report(&self, account: &Account, report: LimitReport, at: Instant) {
        self.budgets.iter().for_each(|budgets| budgets.learn_elsewhere(account, report.clone(), at));
    }

    /// Returns the last reports of upstream to this process, as far as they came since the last call.
    pub fn take_reports(&self) -> Vec<(Account, LimitReport, Instant)> {
        self.budgets.as_ref().map(Budgets::take_reported).unwrap_or_default()
    }

    /// Forgets an account that does not exist any more.
    pub(super) fn forget(&self, account: &Account) {
        self.accounts_refused.forget(account);
        self.budgets.iter().for_each(|budgets| budgets.forget(account));
    }

    /// Returns the passwords that an error message must not repeat, when this account is used.
    fn passwords(&self, account: &Account) -> Cow<'_, [SecretString]> {
        match self.accounts.of(account) {
            Ok(Some(known)) if account.of_group().is_some() => {
                Cow::Owned(self.passwords.iter().chain(known.passwords()).cloned().collect())
            }
            Ok(_) | Err(_) => Cow::Borrowed(&self.passwords),
        }
    }

    /// Returns the address of the registry.
    pub fn url(&self) -> &Url {
        &self.base
    }

    /// Returns the mark of the registry in the queries of the next pages of its lists.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Returns the maximum time until the headers of a response arrive.
    pub fn header_timeout(&self) -> Duration {
        self.header_timeout
    }

    /// Returns true if the accounts of the upstream may be sent to this registry.
    pub fn has_accounts(&self) -> bool {
        self.has_accounts
    }

    /// Returns the maximum time for a `HEAD`. It leaves time for a `GET` that decides if the `HEAD` is
    /// inconclusive.
    fn head_timeout(&self) -> Duration {
        self.header_timeout / 2
    }
}

/// Returns the first 16 hexadecimal digits of the SHA-256 of an address.
fn mark_of(url: &Url) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, url.as_str().as_bytes());
    hex::encode(&digest.as_ref()[..8])
}
