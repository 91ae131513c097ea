//! The registries of one upstream: its mirrors in the order of the settings, then its own registry. The other layers
//! see them as one registry.
//!
//! A mirror that delivers decides: mirrors are trusted for what tags stand for, and for what is public. What a mirror
//! does not have, refuses or cannot deliver is requested from the next. Only the outcome of upstream's own registry,
//! the last, is a failure, so that a mirror never decides that there is no such content or that an account may not have
//! it.
//!
//! All mirrors together have half of the header timeout, in equal parts, and all registries together the whole: the
//! time limits of a response (`domain::deadlines`) hold with mirrors, too. A mirror that fails is skipped for a while
//! ([`mirror`]). Whether upstream's own registry may be requested is decided by others (`actors::upstream_fetcher`),
//! which therefore request the mirrors first ([`Registry::mirrors_alone`]), and then it ([`Registry::own_alone`]).
//!
//! The pages of lists are in [`lists`].

mod lists;
mod mirror;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use url::Url;

use self::mirror::Mirror;
use super::clients::ClientPool;
use super::content::{Content, ContentHead, ManifestHead};
use super::error::UpstreamError;
use super::group_logins::GroupLogins;
use super::mirror_state::Item;
use super::options::{ConnectionOptions, SetupError, UpstreamOptions};
use super::registry::{LoginOutcome, RegistryClient};
use crate::domain::digest::Digest;
use crate::domain::origin::{Account, Origin};
use crate::domain::pull_budget::{LimitReport, PullBudget};
use crate::domain::reference::Reference;

/// One upstream: its mirrors and its own registry. Call all methods on the runtime that called the first one, because
/// connections belong to that runtime.
#[derive(Clone)]
pub struct Registry {
    mirrors: Vec<Arc<Mirror>>,
    own: Arc<RegistryClient>,
    header_timeout: Duration,
    requested: Requested,
    /// Time that the mirrors have taken before.
    spent: Duration,
}

/// The registries that are requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Requested {
    All,
    Mirrors,
    Own,
}

impl Registry {
    /// Creates the clients of one upstream.
    ///
    /// # Errors
    ///
    /// Fails if one of its options cannot be used.
    pub fn new(options: UpstreamOptions) -> Result<Self, SetupError> {
        Self::with_pool(&options, &mut ClientPool::default(), &GroupLogins::default())
    }

    /// As [`Self::new`], with HTTP clients that several upstreams share, and with the accounts of groups.
    pub(super) fn with_pool(
        options: &UpstreamOptions,
        pool: &mut ClientPool,
        of_groups: &GroupLogins,
    ) -> Result<Self, SetupError> {
        let header_timeout = options.connection.header_timeout;
        let number = u32::try_from(options.mirrors.len()).unwrap_or(u32::MAX).max(1);
        let connection =
            ConnectionOptions { header_timeout: header_timeout / 2 / number, ..options.connection.clone() };
        let of_mirrors = UpstreamOptions { connection, ..options.clone() };
        let mut mirror = |url: &Url| {
            let client = RegistryClient::of_mirror(url.clone(), &of_mirrors, pool, of_groups)?;
            Ok(Mirror::new(client, options.name.clone()))
        };
        let mirrors = options.mirrors.iter().map(&mut mirror).collect::<Result<_, _>>()?;
        let own = Arc::new(RegistryClient::of_upstream(options, pool, of_groups)?);
        Ok(Self { mirrors, own, header_timeout, requested: Requested::All, spent: Duration::ZERO })
    }

    /// Returns the mirrors without upstream's own registry; `None` if there are none. What no mirror delivers fails
    /// with [`UpstreamError::NotFound`].
    pub fn mirrors_alone(&self) -> Option<Self> {
        (!self.mirrors.is_empty()).then(|| Self { requested: Requested::Mirrors, ..self.clone() })
    }

    /// Returns upstream's own registry without the mirrors, which have taken `spent` of the time.
    pub fn own_alone(&self, spent: Duration) -> Self {
        Self { requested: Requested::Own, spent, ..self.clone() }
    }

    /// Returns the clients of the mirrors in their order, then that of upstream's own registry.
    pub fn clients(&self) -> impl Iterator<Item = &RegistryClient> {
        self.mirrors.iter().map(|mirror| mirror.client()).chain([&*self.own])
    }

    /// Forgets an account that does not exist any more.
    pub(super) fn forget(&self, account: &Account) {
        self.clients().for_each(|client| client.forget(account));
    }

    /// Sends the password of an account to upstream's own registry, for no repository. A mirror never decides about an
    /// account.
    ///
    /// # Errors
    ///
    /// Fails if the account is refused or unknown, or if there is no response.
    pub async fn log_in(&self, account: &Account) -> Result<LoginOutcome, UpstreamError> {
        let deadline = self.deadline(self.header_timeout);
        by(deadline, self.by_own(Box::pin(self.own.try_account(account)))).await
    }

    /// Iterates over the accounts that requests may use: none, those that are configured, and those of groups.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        self.own.accounts()
    }

    /// Returns what `read` returns of the pull budget of an account; `None` if upstream reports none.
    pub fn budget<T>(&self, account: &Account, read: impl FnOnce(&PullBudget) -> T) -> Option<T> {
        self.own.budget(account, read)
    }

    /// Records a report of upstream to another replica at this time.
    pub fn learn_report(&self, account: &Account, report: LimitReport, at: std::time::Instant) {
        self.own.learn_report(account, report, at);
    }

    /// Returns the last reports of upstream to this process, as far as they came since the last call.
    pub fn take_reports(&self) -> Vec<(Account, LimitReport, std::time::Instant)> {
        self.own.take_reports()
    }

    /// Sends a `HEAD` for a manifest, which Docker Hub does not count as a pull. The digest in the response is a claim.
    ///
    /// # Errors
    ///
    /// Fails with errors that a `GET` would meet, too.
    pub async fn head_manifest(&self, origin: &Origin, reference: &Reference) -> Result<ManifestHead, UpstreamError> {
        let deadline = self.deadline(self.header_timeout / 2);
        let mut is_open = false;
        for mirror in self.requested_mirrors() {
            match mirror.head_manifest(origin, reference).await {
                Some(ManifestHead::Confirmed(head)) => return Ok(ManifestHead::Confirmed(head)),
                Some(_) => is_open = true,
                None => {}
            }
        }
        if is_open && self.requested == Requested::Mirrors {
            return Ok(ManifestHead::Open);
        }
        if Instant::now() >= deadline && self.requested != Requested::Mirrors {
            // Mirrors took the time, which shows nothing about upstream's own registry.
            return Ok(ManifestHead::Open);
        }
        let head = timeout_at(deadline, self.by_own(Box::pin(self.own.head_manifest(origin, reference)))).await;
        match head.unwrap_or(Ok(ManifestHead::TooSlow)) {
            // A mirror may respond to the `GET`.
            Err(_) if is_open => Ok(ManifestHead::Open),
            head => head,
        }
    }

    /// Requests a manifest or index, in the form in which upstream stores it. The caller bounds its length and
    /// verifies its digest.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send it.
    pub async fn manifest(&self, origin: &Origin, reference: &Reference) -> Result<Content, UpstreamError> {
        let deadline = self.deadline(self.header_timeout);
        match self.of_mirrors(async |mirror| mirror.manifest(origin, reference).await).await {
            Some(content) => Ok(content),
            None => by(deadline, self.by_own(Box::pin(self.own.manifest(origin, reference)))).await,
        }
    }

    /// Requests the head of a blob. A success proves that this account may read the blob in this repository.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not confirm that it has the blob.
    pub async fn head_blob(&self, origin: &Origin, digest: &Digest) -> Result<ContentHead, UpstreamError> {
        let deadline = self.deadline(self.header_timeout);
        let head = async |client: &RegistryClient, origin: &Origin| client.head_blob(origin, digest).await;
        match self.of_mirrors(async |mirror| mirror.request(origin, &Item::Digest(*digest), head).await).await {
            Some(head) => Ok(head),
            None => by(deadline, self.by_own(Box::pin(head(&self.own, origin)))).await,
        }
    }

    /// Requests a blob from the offset `from`. Each request begins at the first registry, because the addresses to
    /// which registries redirect expire. A mirror that broke off is skipped then.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send it.
    pub async fn blob(&self, origin: &Origin, digest: &Digest, from: u64) -> Result<Content, UpstreamError> {
        let deadline = self.deadline(self.header_timeout);
        match self.of_mirrors(async |mirror| mirror.blob(origin, digest, from).await).await {
            Some(content) => Ok(content),
            None => by(deadline, self.by_own(Box::pin(self.own.blob(origin, digest, from)))).await,
        }
    }

    /// Requests this range of a blob, which must not be empty. The head states the length of the whole blob.
    /// `None`: upstream ignores ranges and would send all of the blob.
    ///
    /// # Errors
    ///
    /// Fails if upstream does not send exactly this range.
    pub async fn blob_range(
        &self,
        origin: &Origin,
        digest: &Digest,
        range: &Range<u64>,
    ) -> Result<Option<Content>, UpstreamError> {
        let deadline = self.deadline(self.header_timeout);
        match self.of_mirrors(async |mirror| mirror.blob_range(origin, digest, range).await).await {
            Some(content) => Ok(Some(content)),
            None => by(deadline, self.by_own(Box::pin(self.own.blob_range(origin, digest, range)))).await,
        }
    }

    /// Returns the response of the first mirror that has what is requested; `None` if none has it.
    async fn of_mirrors<T>(&self, request: impl AsyncFn(&Arc<Mirror>) -> Option<T>) -> Option<T> {
        for mirror in self.requested_mirrors() {
            if let Some(response) = request(mirror).await {
                return Some(response);
            }
        }
        None
    }

    fn requested_mirrors(&self) -> &[Arc<Mirror>] {
        if self.requested == Requested::Own { &[] } else { &self.mirrors }
    }

    /// Returns the response of upstream's own registry, if it is requested. Long futures are to be on the heap, so that
    /// they are not part of several others.
    async fn by_own<T>(&self, response: impl Future<Output = Result<T, UpstreamError>>) -> Result<T, UpstreamError> {
        if self.requested == Requested::Mirrors { Err(UpstreamError::NotFound) } else { response.await }
    }

    /// Returns the time at which a response of the last registry must have begun, if all have this time.
    fn deadline(&self, limit: Duration) -> Instant {
        Instant::now() + limit.saturating_sub(self.spent)
    }
}

async fn by<T>(
    deadline: Instant,
    response: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    timeout_at(deadline, response).await.unwrap_or(Err(UpstreamError::TimedOut))
}
