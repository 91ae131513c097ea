//! The components of a server: its stores, the handles of its actors, and the state that the routes get.
//!
//! | file | content |
//! |---|---|
//! | [`stores`] | opens the stores |
//! | [`caches`] | the caches of manifests, blobs and lists |
//! | [`records`] | what is recorded of changes, logins, pulls and traffic |
//! | [`followed_accounts`] | accounts of groups: follows the directory, encrypts older passwords again |
//! | [`shared_parts`] | what works with the other replicas |
//! | [`background`] | the work in the background |
//! | [`states`] | states of the routes, and what can be reloaded |

mod background;
mod caches;
mod followed_accounts;
mod records;
mod shared_parts;
mod states;
mod stores;

use std::sync::Arc;

use actix_rt::{Arbiter, ArbiterHandle};
use arc_swap::ArcSwap;

use self::caches::Caches;
use self::followed_accounts::follow_accounts;
use self::records::Records;
pub(super) use self::shared_parts::SharedParts;
pub(super) use self::stores::Stores;
use super::StartError;
use super::fleet::Fleet;
use crate::actors::blob_cache::{BlobCacheHandle, GroupQuotas};
use crate::actors::group_accounts::GroupAccounts;
use crate::actors::images::Images;
use crate::actors::janitor::JanitorHandle;
use crate::actors::policy_evaluator::PolicyEvaluatorHandle;
use crate::actors::token_issuer::TokenIssuerHandle;
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::actors::warming::Warmer;
use crate::auth::jwt::Signer;
use crate::auth::sealing::SealingKeys;
use crate::http::CurrentUpstreams;
use crate::settings::Settings;

/// The handles of all actors, which are running.
pub(super) struct Handles {
    /// Handle of the writer of identities, with the current directory.
    pub(super) policy: PolicyEvaluatorHandle,
    /// Checks logins and issues tokens.
    pub(super) tokens: TokenIssuerHandle,
    /// Handle of the janitor, which runs background tasks.
    pub(super) janitor: JanitorHandle,
    records: Records,
    caches: Caches,
    images: Images,
    upstream: UpstreamHandle,
    accounts: GroupAccounts,
    /// The upstreams that the routes use.
    current_upstreams: CurrentUpstreams,
    warmer: Warmer,
    /// The parts that work with the other replicas; `None`: there are none.
    pub(super) shared: Option<SharedParts>,
}

impl Handles {
    /// Starts the actors over these stores, each kind on a thread of its own.
    ///
    /// # Errors
    /// The settings of an upstream cannot be used, or the store cannot be read.
    pub(super) async fn start(
        stores: Stores,
        (signer, account_keys): (Signer, SealingKeys),
        settings: &Settings,
        fleet: Option<&Fleet>,
    ) -> Result<Self, StartError> {
        let identity_arbiter = arbiter();
        let upstream = start_upstream(settings)?;
        let policy = start_policy(&stores, settings, fleet, &identity_arbiter).await?;
        fleet.iter().for_each(|fleet| upstream.share_limits(fleet.upstream_reports()));
        let start_shared = |fleet| SharedParts::start(fleet, (&policy, &upstream, &stores.content), &identity_arbiter);
        let shared = fleet.zip(stores.shared.clone()).map(start_shared).transpose()?;
        let current_upstreams = CurrentUpstreams::new(ArcSwap::from_pointee(settings.pull_rules()));
        let accounts = follow_accounts(&policy, account_keys, upstream.clone(), current_upstreams.clone()).await?;
        let records = Records::open(&stores, settings, fleet).await?;
        let (auth, failed_logins) = (&settings.auth, fleet.map(Fleet::failed_logins));
        let passwords = (auth.passwords.clone(), failed_logins);
        let tokens = TokenIssuerHandle::start(passwords, policy.clone(), signer, auth.public_groups, &identity_arbiter);
        let caches = Caches::start((&upstream, shared.as_ref()), &stores, quotas(&policy), settings);
        let (content, files) = (stores.content.clone(), stores.files.clone());
        let janitor = background::start_janitor(stores, (&policy, &caches, &records), settings, &identity_arbiter);
        if let Some(shared) = &shared {
            let of_content = (&content, &shared.content, &caches.manifests);
            background::follow_fleet((&policy, &janitor), of_content, settings).await?;
        }
        let warmer = Warmer::new(caches.manifests.clone(), caches.blobs.clone(), upstream.clone(), arbiter());
        let stores = (content, files, records.traffic_records.clone());
        let images = Images::new(stores, caches.manifests.clone(), caches.blobs.clone(), janitor.clone());
        Ok(Self {
            policy,
            tokens,
            janitor,
            records,
            caches,
            images,
            upstream,
            accounts,
            current_upstreams,
            warmer,
            shared,
        })
    }

    /// Returns the handle of the cache of blobs.
    pub(super) fn blobs(&self) -> &BlobCacheHandle {
        &self.caches.blobs
    }
}

fn start_upstream(settings: &Settings) -> Result<UpstreamHandle, StartError> {
    let upstreams = settings.upstreams.iter().cloned().collect();
    Ok(UpstreamHandle::start(upstreams, settings.proxy.network_mode, &arbiter())?)
}

async fn start_policy(
    stores: &Stores,
    settings: &Settings,
    fleet: Option<&Fleet>,
    arbiter: &ArbiterHandle,
) -> Result<PolicyEvaluatorHandle, StartError> {
    let max_waiting = settings.storage.max_waiting_changes.get();
    let shared = fleet.map(Fleet::shared).transpose()?;
    Ok(PolicyEvaluatorHandle::start(stores.identities.clone(), arbiter, max_waiting, shared).await?)
}

/// Returns the quotas of groups, which follow the directory.
fn quotas(policy: &PolicyEvaluatorHandle) -> GroupQuotas {
    let policy = policy.clone();
    Arc::new(move |group| policy.at_present().group(group)?.cache.max_bytes)
}

/// Starts a thread with an event loop, for one kind of actors.
fn arbiter() -> ArbiterHandle {
    Arbiter::new().handle()
}
