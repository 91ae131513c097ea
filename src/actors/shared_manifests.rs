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

use super::received::Received;
use crate::domain::digest::Digest;
use crate::domain::fleet::messages::ManifestOf;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::content::ContentStore;
use crate::store::error::StoreError;
pub use crate::store::fleet::{Claim, Leader};
use crate::store::fleet::{Claims, key_of_manifest};
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
    received: Received,
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

/// Maximum number of manifests that are kept for [`MAX_RECENT_AGE`] after their fetch.
const MAX_RECENT: usize = 64;
/// Time after its fetch for which a manifest is sent to replicas that requested it while it was being fetched.
const MAX_RECENT_AGE: Duration = Duration::from_secs(2);
/// Number of times that a lead is looked for.
const MAX_LOOKUPS: usize = 6;
/// Pause between them.
const LOOKUP_INTERVAL: Duration = Duration::from_millis(50);

impl SharedManifests {
    /// Shares the requests for manifests, which are kept in this store.
    pub fn new(claims: Claims, replicas: ReplicaClient, store: ContentStore) -> Self {
        let recent = Arc::new(Cache::new(MAX_RECENT));
        Self { claims, replicas, store, running: Arc::default(), recent, received: Received::default() }
    }

    /// Returns who fetches a manifest; `None`: the database does not respond, so that this replica fetches it for
    /// itself. `failed` is the number of a lead whose replica did not have it.
    pub async fn claim(&self, origin: &Origin, reference: &Reference, failed: Option<i64>) -> Option<Claim> {
        let key = key_of_manifest(origin, &reference.to_string());
        self.claims.claim(&key, failed).await
    }

    /// Begins the lead of this replica.
    pub fn lead(&self, origin: &Origin, reference: &Reference, epoch: i64) -> Lead {
        let (key, (result, waiting)) = (key_of_manifest(origin, &reference.to_string()), watch::channel(None));
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
        let found = self.replicas.while_alive(leader.at(), self.replicas.manifest(leader.at(), &wanted)).await??;
        if digest.is_some_and(|digest| digest != found.digest) {
            return None;
        }
        self.received.note(key_of_manifest(origin, &found.digest.to_string()));
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
        let name = key_of_manifest(origin, &reference.to_string());
        let Some(digest) = digest else { return Ok(self.being_fetched(&name).await) };
        if let Some(manifest) = self.of_running(&name).await {
            return Ok(Some(manifest));
        }
        if !self.received.has(&key_of_manifest(origin, &digest.to_string())) {
            return Ok(None);
        }
        Ok(self.store.manifest(*digest).await?.map(Arc::new))
    }

    /// Returns the manifest of the request that was under way when another replica asked for it.
    async fn being_fetched(&self, name: &Digest) -> Option<Arc<Manifest>> {
        // Its lead may be known to others a moment before it is entered here.
        for _ in 0..MAX_LOOKUPS {
            if let Some(manifest) = self.of_running(name).await {
                return Some(manifest);
            }
            // What the lead brought since then is as fresh.
            if let Some((at, manifest)) = self.recent.get(name)
                && at.elapsed() < MAX_RECENT_AGE
            {
                return Some(manifest);
            }
            sleep(LOOKUP_INTERVAL).await;
        }
        None
    }

    /// Waits for the manifest of the request under way; `None` if there is no request, or it brings none.
    async fn of_running(&self, name: &Digest) -> Option<Arc<Manifest>> {
        let mut running = self.running().get(name).cloned()?;
        running.wait_for(Option::is_some).await.ok().and_then(|manifest| manifest.clone())
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
            self.shared.received.note(key_of_manifest(&self.origin, &manifest.digest.to_string()));
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
