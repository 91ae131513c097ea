//! Manifests that the replicas of a fleet share: of replicas that need the same one at the same time, one sends a `GET`
//! upstream, which registries count as a pull, and the others get the manifest from that one. A manifest that another
//! replica has fetched before is requested there only after a `HEAD`, by which upstream confirms it to the account of
//! the request now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use quick_cache::sync::Cache;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::domain::fleet::messages::ManifestOf;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::content::ContentStore;
use crate::store::error::StoreError;
use crate::store::fleet::Claims;
pub use crate::store::fleet::{Claim, Leader};
pub use crate::store::manifests::Manifest;
use crate::upstream::replicas::ReplicaClient;
use crate::upstream::{Content, ContentHead};

/// Requests for manifests, shared with the other replicas. Cheap to clone.
#[derive(Clone)]
pub struct SharedManifests {
    claims: Claims,
    replicas: ReplicaClient,
    store: ContentStore,
    /// The requests of this replica that are under way, by key.
    running: Arc<Mutex<Running>>,
    /// Manifests that this replica has fetched a moment ago, by key.
    recent: Arc<Cache<Digest, (Instant, Arc<Manifest>)>>,
    /// Manifests that this replica has received, by the key of their digest: it may send them to others.
    received: Arc<Cache<Digest, ()>>,
}

/// Requests that are under way, by key, each with its manifest once it is there.
type Running = HashMap<Digest, watch::Receiver<Option<Arc<Manifest>>>>;

/// The lead of this replica: others wait for its manifest. Dropped without a result, it tells them that there is none.
pub struct Lead {
    shared: SharedManifests,
    origin: Origin,
    key: Digest,
    epoch: i64,
    result: watch::Sender<Option<Arc<Manifest>>>,
}

/// Maximum number of manifests of which it is known that this replica has received them.
const MAX_RECEIVED: usize = 100_000;
/// Maximum number of manifests that were fetched a moment ago.
const MAX_RECENT: usize = 64;
/// Time for which a manifest is given to replicas whose request came while it was being fetched.
const RECENT: Duration = Duration::from_secs(2);
/// Number of times that a lead is looked for.
const MAX_LOOKUPS: usize = 6;
/// Pause between them.
const LOOKUP_INTERVAL: Duration = Duration::from_millis(50);

impl SharedManifests {
    /// Shares the requests for manifests, which are kept in this store.
    pub fn new(claims: Claims, replicas: ReplicaClient, store: ContentStore) -> Self {
        let (recent, received) = (Arc::new(Cache::new(MAX_RECENT)), Arc::new(Cache::new(MAX_RECEIVED)));
        Self { claims, replicas, store, running: Arc::default(), recent, received }
    }

    /// Returns who fetches a manifest; `None`: the database does not respond, so that this replica fetches it for
    /// itself. `failed` is the number of a lead whose replica did not have it.
    pub async fn claim(&self, origin: &Origin, reference: &Reference, failed: Option<i64>) -> Option<Claim> {
        let key = key(origin, &reference.to_string());
        self.claims.claim(&key, failed).await
    }

    /// Begins the lead of this replica.
    pub fn lead(&self, origin: &Origin, reference: &Reference, epoch: i64) -> Lead {
        let (key, (result, waiting)) = (key(origin, &reference.to_string()), watch::channel(None));
        self.running().insert(key, waiting);
        Lead { shared: self.clone(), origin: origin.clone(), key, epoch, result }
    }

    /// Returns the manifest of a leader; `None` if that has none, or does not respond. `digest` is given where upstream
    /// has confirmed it: the leader may have fetched it before.
    pub async fn of_leader(
        &self,
        leader: &Leader,
        origin: &Origin,
        reference: &Reference,
        digest: Option<Digest>,
    ) -> Option<Content> {
        let wanted = ManifestOf { origin: origin.clone(), reference: reference.clone(), digest };
        let at = (leader.replica.id, leader.replica.address.as_str());
        let found = self.replicas.while_alive(at, self.replicas.manifest(at, &wanted)).await??;
        if digest.is_some_and(|digest| digest != found.digest) {
            return None;
        }
        self.received.insert(key(origin, &found.digest.to_string()), ());
        let length = Some(found.bytes.len() as u64);
        let head = ContentHead { media_type: Some(found.media_type), length, digest: Some(found.digest) };
        let stream = stream::iter([Ok::<Bytes, _>(found.bytes)]).boxed();
        Some(Content { head, stream, mirror: None })
    }

    /// Returns a manifest for another replica: that of the request under way, or the one with this digest, if this
    /// replica has received it for this origin.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read.
    pub async fn for_replica(&self, wanted: &ManifestOf) -> Result<Option<Arc<Manifest>>, StoreError> {
        let ManifestOf { origin, reference, digest } = wanted;
        let name = key(origin, &reference.to_string());
        // Its lead may be known to others a moment before it is entered here.
        for _ in 0..MAX_LOOKUPS {
            let running = self.running().get(&name).cloned();
            if let Some(mut running) = running
                && let Ok(manifest) = running.wait_for(Option::is_some).await
            {
                return Ok(manifest.clone());
            }
            // Without a digest the request came while the lead was under way: what it brought is as fresh.
            if digest.is_none()
                && let Some((at, manifest)) = self.recent.get(&name)
                && at.elapsed() < RECENT
            {
                return Ok(Some(manifest));
            }
            if digest.is_some() {
                break;
            }
            sleep(LOOKUP_INTERVAL).await;
        }
        match digest.filter(|digest| self.received.contains_key(&key(origin, &digest.to_string()))) {
            Some(digest) => Ok(self.store.manifest(digest).await?.map(Arc::new)),
            None => Ok(None),
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// Ends the lead with a manifest, which those that wait get; `None`: there is none.
    pub fn finish(self, manifest: Option<Arc<Manifest>>) {
        let (claims, key, epoch) = (self.shared.claims.clone(), self.key, self.epoch);
        let is_there = manifest.is_some();
        if let Some(manifest) = manifest {
            self.shared.received.insert(super::shared_manifests::key(&self.origin, &manifest.digest.to_string()), ());
            self.shared.recent.insert(self.key, (Instant::now(), manifest.clone()));
            self.result.send_replace(Some(manifest));
        }
        // In the background: the client waits.
        actix_rt::spawn(async move {
            if is_there { claims.complete(&key, epoch).await.ok() } else { claims.release(&key, epoch).await.ok() }
        });
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut running = self.shared.running();
        // A later lead may have entered another one.
        if running.get(&self.key).is_some_and(|waiting| self.result.subscribe().same_channel(waiting)) {
            running.remove(&self.key);
        }
    }
}

/// Returns the key of a manifest in the table of shared downloads.
fn key(origin: &Origin, name: &str) -> Digest {
    let origin = serde_json::to_string(origin).unwrap_or_default();
    sha256::digest(format!("manifest\n{origin}\n{name}").as_bytes())
}
