//! Cached content as the replicas of a fleet share it: the index in the database, and the objects in the bucket. No
//! failure here fails a pull: a replica that cannot reach an engine goes by its own index and files, and by upstream.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join3;
use quick_cache::sync::Cache;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;
use url::Url;

use super::bucket::{Bucket, ObjectBytes};
use super::claims::Claims;
use super::content_events::{self, ContentEvents};
use super::database::Database;
use super::index::{FleetIndex, FleetLookUp, ImagePlace, StoredObject};
use super::index_changes::IndexChanges;
use super::jobs::{self, Lease};
use super::keeping::Kept;
use super::objects::Objects;
use super::run_on;
use super::uploads::{Uploader, Uploads};
use crate::domain::digest::Digest;
use crate::domain::id::{GroupId, ReplicaId};
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::store::blobs::BlobFiles;
use crate::store::embedded::content::EmbeddedContent;
use crate::store::error::StoreError;
use crate::store::grant::Grant;
use crate::store::images::{GroupTotals, ImageKey, Pulls};
use crate::store::link::TagEntry;
use crate::store::manifests::Manifest;

/// The shared content.
pub struct FleetContent {
    index: FleetIndex,
    objects: Objects,
    bucket: Bucket,
    uploads: Uploads,
    changes: IndexChanges,
    /// Limits the manifests that are read from the bucket at the same time.
    reading: Semaphore,
    /// The totals of groups, with the time at which they were read.
    totals: Mutex<Option<TotalsAt>>,
    /// Objects that were looked for a short time ago.
    known_objects: Cache<Digest, (Instant, Option<StoredObject>)>,
    database_pause: Pause,
    bucket_pause: Pause,
}

/// Totals of groups, with the time at which they were read.
type TotalsAt = (Instant, HashMap<GroupId, GroupTotals>);

/// Time after a failure of an engine in which pulls do not ask it, so that they do not all wait for it.
struct Pause {
    began: Instant,
    /// Milliseconds since `began` until which it lasts.
    until: AtomicU64,
    length: Duration,
}

/// Maximum number of manifests that are read from the bucket at the same time, of at most 16 MiB each.
const MAX_READING: usize = 4;
/// Time for which totals of groups are used again: they are counted over all links.
const TOTALS_AGE: Duration = Duration::from_secs(30);
/// Maximum number of objects that are known from earlier requests.
const MAX_KNOWN_OBJECTS: usize = 100_000;
/// Time for which they are: an object is deleted ten minutes after it was doomed, and a URL is accepted for one.
const KNOWN_AGE: Duration = Duration::from_secs(300);
/// Time for which it is known that there is no object with some content.
const UNKNOWN_AGE: Duration = Duration::from_secs(2);
/// Maximum length of a manifest in bytes.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

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
        Self {
            changes: IndexChanges::start(index.clone()),
            index,
            objects,
            bucket,
            uploads: Uploads::start(uploader),
            reading: Semaphore::new(MAX_READING),
            totals: Mutex::default(),
            known_objects: Cache::new(MAX_KNOWN_OBJECTS),
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

    /// Returns the object with this content; `None` if there is none, or if an engine has failed a moment ago.
    pub async fn object(&self, digest: &Digest) -> Option<StoredObject> {
        if self.database_pause.is_on() || self.bucket_pause.is_on() {
            return None;
        }
        match self.objects.find(digest).await {
            Ok(found) => found,
            Err(_) => {
                self.database_pause.begin();
                None
            }
        }
    }

    /// Works as [`Self::object`], and uses for a time what was found before.
    pub async fn known_object(&self, digest: &Digest) -> Option<StoredObject> {
        if let Some((at, object)) = self.known_objects.get(digest)
            && at.elapsed() < if object.is_some() { KNOWN_AGE } else { UNKNOWN_AGE }
        {
            return object;
        }
        if self.database_pause.is_on() {
            return None;
        }
        let object = self.object(digest).await;
        self.known_objects.insert(*digest, (Instant::now(), object.clone()));
        object
    }

    /// Returns a URL by which a client gets an object for a minute; `None` without a setting for it, or if the
    /// credentials cannot be had.
    pub async fn url(&self, object: &StoredObject) -> Option<Url> {
        match self.bucket.url(&object.name).await? {
            Ok(url) => Some(url),
            Err(error) => {
                tracing::debug!(%error, "a URL of the object store cannot be signed");
                None
            }
        }
    }

    /// Returns the lengths of those of these contents that are in the bucket, in bytes; none if the database does not
    /// respond.
    pub async fn sizes(&self, digests: &[Digest]) -> HashMap<Digest, u64> {
        if digests.is_empty() || self.database_pause.is_on() {
            return HashMap::new();
        }
        self.objects.sizes(digests).await.unwrap_or_default()
    }

    /// Returns what each group has cached at all replicas together, as it was at most half a minute ago; `None` if the
    /// database does not respond.
    pub async fn totals(&self) -> Option<HashMap<GroupId, GroupTotals>> {
        let mut known = self.totals.lock().await;
        if known.as_ref().is_none_or(|(at, _)| at.elapsed() > TOTALS_AGE) {
            *known = Some((Instant::now(), self.objects.totals().await.ok()?));
        }
        known.as_ref().map(|(_, totals)| totals.clone())
    }

    /// Returns the bytes of an object from this offset on; `None` if the store does not send any.
    pub async fn bytes(&self, digest: &Digest, object: &StoredObject, from: u64) -> Option<ObjectBytes> {
        match self.bucket.get(&object.name, from).await {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                tracing::debug!(%digest, %error, "an object cannot be read");
                self.failed(digest, object).await;
                None
            }
        }
    }

    /// Returns the manifest of an object; `None` if it cannot be read, or is too long.
    pub async fn manifest(&self, digest: &Digest, object: &StoredObject) -> Option<Manifest> {
        let media_type = object.media_type.clone()?;
        if object.size > MAX_MANIFEST_BYTES || self.bucket_pause.is_on() {
            return None;
        }
        let _permit = self.reading.acquire().await.ok()?;
        match self.bucket.read(&object.name, digest, object.size).await {
            Ok(bytes) => Some(Manifest { digest: *digest, media_type, bytes }),
            Err(StoreError::Damaged(_)) => {
                self.report_wrong(*digest, object.clone());
                None
            }
            Err(error) => {
                tracing::debug!(%digest, %error, "a manifest cannot be read from the object store");
                self.failed(digest, object).await;
                None
            }
        }
    }

    /// Drops an object whose bytes do not have its digest: nobody reads it any more.
    pub fn report_wrong(&self, digest: Digest, object: StoredObject) {
        tracing::error!(%digest, object = object.name, "an object does not have the content of its digest; it is not used any more");
        metrics::counter!("dependency_proxy_fleet_wrong_objects_total").increment(1);
        let objects = self.objects.clone();
        self.bucket.runtime().spawn(async move { objects.drop(&digest, &object.name).await.ok() });
    }

    /// Drops an object that is gone. After another failure the bucket is not asked for a time.
    async fn failed(&self, digest: &Digest, object: &StoredObject) {
        match self.bucket.is_gone(&object.name).await {
            Ok(true) => drop(self.objects.drop(digest, &object.name).await),
            Ok(false) | Err(_) => self.bucket_pause.begin(),
        }
    }

    /// Adds what a group was granted, in the background. `is_image`: a digest counts as an image of its own.
    pub(in crate::store) fn note(&self, grant: &Grant, is_image: bool) {
        self.changes.add(grant, is_image);
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
    /// the care of the object store. Waits for at most this time, and for an engine that does not respond for at most the
    /// time of `patience`.
    pub async fn hand_over(&self, limit: Duration, patience: Duration) {
        let released = timeout(patience, jobs::release(self.index.database(), self.index.replica()));
        let flushed = timeout(limit.min(patience), self.changes.flush());
        let (left, flushed, _) = join3(self.uploads.finished(limit, patience), flushed, released).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("the last links and tags are not shared: other replicas ask upstream for them");
        }
        if left > 0 {
            tracing::warn!(left, "some content is not uploaded yet: the next start goes on with it");
        }
    }

    /// Removes images of a group, for all replicas.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn remove_images(
        &self,
        group: GroupId,
        origin: &Origin,
        references: &[Reference],
    ) -> Result<(), StoreError> {
        self.changes.flush().await?;
        self.index.remove_images(group, origin, references).await
    }

    /// Removes all that a group has cached, for all replicas.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn purge(&self, group: GroupId) -> Result<(), StoreError> {
        self.changes.flush().await?;
        self.index.purge(group).await
    }

    /// Pins an image, or ends that, for all replicas.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn pin(&self, image: &ImageKey, pinned: bool) -> Result<(), StoreError> {
        self.changes.flush().await?;
        self.index.pin(image, pinned).await
    }

    /// Returns the events of other replicas after this number.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn events_after(&self, known: i64) -> Result<ContentEvents, StoreError> {
        content_events::after(self.index.database(), self.index.replica(), known).await
    }

    /// Returns the images of all groups after a place in their order, at most this number.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn images_after(
        &self,
        after: ImagePlace,
        limit: i64,
    ) -> Result<Vec<(ImagePlace, ImageKey, Digest)>, StoreError> {
        self.index.images_after(after, limit).await
    }

    /// Removes events that no replica needs any more.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn forget_old_events(&self) -> Result<(), StoreError> {
        content_events::forget_old(self.index.database()).await
    }

    /// Records which contents clients have read, in the background. What cannot be recorded is lost: it is recorded the
    /// next time.
    pub(in crate::store) fn note_reads(&self, digests: Vec<Digest>) {
        if digests.is_empty() || self.database_pause.is_on() {
            return;
        }
        let objects = self.objects.clone();
        self.index.database().runtime().spawn(async move { objects.note_reads(&digests).await.ok() });
    }

    /// Takes the care of the object store, or keeps it; `None`: another replica has it.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn take_keeping(&self) -> Result<Option<Lease>, StoreError> {
        jobs::take_keeping(self.index.database(), self.index.replica()).await
    }

    /// Removes from the object store what nobody needs, so that at most this number of bytes stays.
    ///
    /// # Errors
    ///
    /// Fails if an engine cannot be reached. The next run goes on.
    pub async fn keep(&self, lease: &Lease, max_bytes: Option<u64>) -> Result<Kept, StoreError> {
        self.index.keep(lease, &self.bucket, max_bytes).await
    }

    /// Deletes objects that uploads have left behind whose replica was killed. Returns their number.
    ///
    /// # Errors
    ///
    /// Fails if an engine cannot be reached. The next run goes on.
    pub async fn delete_nameless(&self) -> Result<u64, StoreError> {
        let (index, bucket) = (self.index.clone(), self.bucket.clone());
        run_on(self.bucket.runtime(), async move { index.delete_nameless(&bucket).await }).await
    }

    /// Removes links of a group that holds more than this number of bytes. Returns their number.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. The next run goes on.
    pub async fn trim_group(&self, lease: &Lease, group: GroupId, max_bytes: u64) -> Result<u64, StoreError> {
        self.index.trim_group(lease, group, max_bytes).await
    }

    /// Removes links and images of groups that are none of these.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached. The next run goes on.
    pub async fn forget_groups_but(&self, lease: &Lease, groups: &[GroupId]) -> Result<(), StoreError> {
        self.index.forget_groups_but(lease, groups).await
    }

    /// Returns images of a group that nobody has pulled at any replica for this number of days, by origin.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn unpulled(&self, group: GroupId, days: u32) -> Result<Vec<(Origin, Vec<Reference>)>, StoreError> {
        self.index.unpulled(group, days).await
    }

    /// Records that images were pulled, in the background.
    pub(in crate::store) fn note_pulls(&self, pulls: HashMap<ImageKey, Pulls>) {
        if pulls.is_empty() || self.database_pause.is_on() {
            return;
        }
        let index = self.index.clone();
        self.index.database().runtime().spawn(async move { index.note_pulls(pulls.iter()).await.ok() });
    }

    /// Returns true if this replica is the one that has a tag confirmed by upstream now; also if nobody knows.
    pub async fn may_revalidate(&self, origin: &Origin, tag: &Tag) -> bool {
        self.database_pause.is_on() || self.index.begin_revalidation(origin, tag).await.unwrap_or(true)
    }

    /// Waits until another replica has had a tag confirmed, for at most this time; `None` if it has not.
    pub async fn revalidated(&self, origin: &Origin, tag: &Tag, limit: Duration) -> Option<TagEntry> {
        self.index.revalidated(origin, tag, limit).await
    }
}

impl Pause {
    fn new(length: Duration) -> Self {
        Self { began: Instant::now(), until: AtomicU64::default(), length }
    }

    fn begin(&self) {
        let until = (self.began.elapsed() + self.length).as_millis();
        self.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.began.elapsed().as_millis() < self.until.load(Ordering::Relaxed).into()
    }
}

fn count_look_up(result: &'static str) {
    metrics::counter!("dependency_proxy_fleet_lookups_total", "result" => result).increment(1);
}
