//! Cached content as the replicas of a fleet share it: the index in the database, and the objects in the bucket. No
//! failure here fails a pull: a replica that cannot reach an engine goes by its own index and files, and by upstream.

mod following;
mod objects;
mod pulls;
mod suspects;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use futures::future::join4;
use quick_cache::sync::Cache;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use self::objects::KnownObject;
use self::suspects::Suspects;
use super::bucket::Bucket;
use super::claims::Claims;
use super::content_events::Seen;
use super::database::Database;
use super::index::{FleetIndex, FleetLookUp};
use super::index_changes::IndexChanges;
use super::objects::Objects;
use super::pause::Pause;
use super::pull_records::WaitingRecords;
use super::pulls::WaitingPulls;
use super::uploads::{Uploader, Uploads};
use crate::domain::digest::Digest;
use crate::domain::id::{GroupId, ReplicaId};
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::store::blobs::BlobFiles;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::error::StoreError;
use crate::store::grant::Grant;
use crate::store::images::GroupTotals;

/// The shared content.
pub struct FleetContent {
    pub(super) index: FleetIndex,
    objects: Objects,
    pub(super) bucket: Bucket,
    uploads: Uploads,
    pub(super) changes: IndexChanges,
    /// Limits the manifests that are read from the bucket at the same time. No admission limit: whoever waits too long
    /// gets the manifest from upstream.
    reading: Semaphore,
    /// The totals of groups, with the time at which they were read.
    totals: Mutex<Option<TotalsAt>>,
    /// Objects that were looked for a short time ago.
    known_objects: Cache<Digest, (Instant, Option<KnownObject>)>,
    /// Names of objects with other content than that of their digest.
    wrong_objects: Cache<Digest, String>,
    suspects: Suspects,
    pulls: WaitingPulls,
    pull_records: WaitingRecords,
    /// The last event that this replica has carried out.
    followed: AtomicI64,
    /// Number of removals from the index of this replica. Locked while something is taken over.
    removals: RwLock<u64>,
    /// Events of this replica that it has carried out itself.
    done: std::sync::Mutex<HashSet<i64>>,
    pub(super) database_pause: Pause,
    bucket_pause: Pause,
}

/// Totals of groups, with the time at which they were read.
type TotalsAt = (Instant, HashMap<GroupId, GroupTotals>);

/// Maximum number of manifests that are read from the bucket at the same time, of at most 16 MiB each.
const MAX_READING: usize = 4;
/// Time for which totals of groups are used again.
const TOTALS_AGE: Duration = Duration::from_secs(5);
/// Maximum number of objects that are known from earlier requests.
const MAX_KNOWN_OBJECTS: usize = 100_000;
/// Maximum number of wrong objects that are remembered, for the time until they are dropped.
const MAX_WRONG_OBJECTS: usize = 1_000;

impl FleetContent {
    /// Starts to share what this machine has stored.
    pub fn start(
        (database, bucket, claims): (Database, Bucket, Claims),
        replica: ReplicaId,
        content: Arc<EmbeddedContent>,
        files: BlobFiles,
    ) -> Self {
        let (index, objects) = (FleetIndex::new(database.clone(), replica), Objects::new(database.clone()));
        let uploader = Uploader { bucket: bucket.clone(), objects: objects.clone(), claims, files, content };
        let changes = IndexChanges::start(index.clone());
        Self {
            pulls: WaitingPulls::new(index.clone(), changes.clone()),
            pull_records: WaitingRecords::new(index.clone()),
            changes,
            index,
            objects,
            bucket,
            uploads: Uploads::start(uploader),
            reading: Semaphore::new(MAX_READING),
            totals: Mutex::default(),
            known_objects: Cache::new(MAX_KNOWN_OBJECTS),
            wrong_objects: Cache::new(MAX_WRONG_OBJECTS),
            suspects: Suspects::new(),
            followed: AtomicI64::default(),
            removals: RwLock::default(),
            done: std::sync::Mutex::default(),
            database_pause: Pause::new(Duration::from_secs(1)),
            bucket_pause: Pause::new(Duration::from_secs(5)),
        }
    }

    /// Looks up a tag or a digest for a group; `None` if nothing is known of it, or the database does not respond.
    pub async fn look_up(&self, group: GroupId, origin: &Origin, reference: &Reference) -> Option<FleetLookUp> {
        if self.database_pause.is_on() {
            return None;
        }
        match self.index.look_up(group, origin, reference).await {
            Ok(found) => {
                count_look_up(if found.is_some() { "found" } else { "unknown" });
                found
            }
            Err(error) => {
                tracing::debug!(%error, image = %origin, "a lookup in the index of the fleet failed");
                count_look_up("failed");
                self.database_pause.begin();
                None
            }
        }
    }

    /// Returns what each group has cached at all replicas together, as it was counted last: some seconds ago, in a
    /// large fleet minutes, and longer while the database does not respond; `None` if it has not responded yet.
    pub async fn totals(&self) -> Option<HashMap<GroupId, GroupTotals>> {
        let mut known = self.totals.lock().await;
        if !self.database_pause.is_on() && known.as_ref().is_none_or(|(at, _)| at.elapsed() > TOTALS_AGE) {
            match self.counted_totals().await {
                Ok(totals) => *known = Some((Instant::now(), totals)),
                Err(_) => self.database_pause.begin(),
            }
        }
        known.as_ref().map(|(_, totals)| totals.clone())
    }

    /// Adds what a group was granted, in the background. `seen` is [`Self::seen`] before it was granted, or read.
    /// `is_image`: a digest counts as an image of its own.
    pub(in crate::store) fn note(&self, grant: &Grant, is_image: bool, seen: Seen) {
        self.changes.add(grant, is_image, seen);
    }

    /// Records that upstream refuses a tag, in the background.
    pub(in crate::store) fn note_denied(&self, origin: Origin, tag: Tag) {
        self.changes.deny(origin, tag);
    }

    /// Records that upstream does not have a tag any more, in the background.
    pub(in crate::store) fn note_gone(&self, origin: Origin, tag: Tag) {
        self.changes.drop_tag(origin, tag);
    }

    /// Uploads stored content in the background.
    pub(in crate::store) fn upload(&self, digest: Digest) {
        self.uploads.add(digest);
    }

    /// Hands over what this replica has and the others do not, at its stop: the changes of the index, the uploads, and
    /// the care of the object store. Waits for at most this time, and for an engine that does not respond for at most
    /// the time of `patience`.
    pub async fn hand_over(&self, limit: Duration, patience: Duration) {
        let released = timeout(patience, self.release_keeping());
        let flushed = timeout(limit.min(patience), self.changes.flush());
        let written = timeout(limit.min(patience), self.write_pulls());
        let uploaded = self.uploads.finished(limit, patience);
        let (left, flushed, written, _) = join4(uploaded, flushed, written, released).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::warn!("the last pulls of images are not counted at the other replicas");
        }
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("the last links and tags are not shared: other replicas request them from upstream");
        }
        if left > 0 {
            tracing::warn!(left, "some content is not uploaded yet: the next start goes on with it");
        }
    }

    /// Records which contents clients have read, in the background, and uploads those that the object store lacks. What
    /// cannot be recorded is lost: it is recorded the next time.
    pub(in crate::store) fn note_reads(&self, digests: Vec<Digest>) {
        if digests.is_empty() || self.database_pause.is_on() {
            return;
        }
        let (objects, uploads) = (self.objects.clone(), self.uploads.clone());
        self.index.database().runtime().spawn(async move { note_reads(&objects, &uploads, &digests).await.ok() });
    }
}

async fn note_reads(objects: &Objects, uploads: &Uploads, digests: &[Digest]) -> Result<(), StoreError> {
    objects.note_reads(digests).await?;
    let read_now: Vec<_> = digests.iter().map(|digest| (*digest, Duration::ZERO)).collect();
    objects.lacking(&read_now).await?.into_iter().for_each(|digest| uploads.add(digest));
    Ok(())
}

fn count_look_up(result: &'static str) {
    metrics::counter!("dependency_proxy_fleet_lookups_total", "result" => result).increment(1);
}
