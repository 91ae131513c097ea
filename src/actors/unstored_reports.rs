//! Reports to the operator about content that is passed on to clients without being stored: a counter, a log line
//! per image, and a warning that names the folder, its free space and the setting.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::digest::Digest;
use crate::domain::download::Unstored;
use crate::domain::origin::Origin;
use crate::store::blobs::BlobFiles;
use crate::store::free_space::FreeSpace;

/// A kind of content that is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Manifests, their links and their tags.
    Manifests,
    /// Blobs and their links.
    Blobs,
}

/// Counts and logs what is not stored.
pub(super) struct UnstoredReports {
    kind: Kind,
    free_space: FreeSpace,
    /// The blobs, whose quota may be reached before the disk is full.
    files: Option<BlobFiles>,
    last: Mutex<Last>,
    /// True if any image is remembered. Lets the usual pull skip the mutex.
    any: AtomicBool,
}

/// Times of the last warnings about the disk of the cache, by reason.
static DISK_WARNINGS: Mutex<BTreeMap<&'static str, Instant>> = Mutex::new(BTreeMap::new());

/// The times of the last log lines.
#[derive(Default)]
struct Last {
    warnings: BTreeMap<&'static str, Instant>,
    images: HashMap<Origin, Image>,
    /// The time when old images were last forgotten.
    forgot: Option<Instant>,
}

/// An image of which some content was not stored.
struct Image {
    logged: Instant,
    /// That content, each with the time when it was last not stored.
    unstored: HashMap<Digest, Instant>,
}

/// Minimum time between two warnings for the same reason.
const WARN_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Minimum time between two log lines of the same image.
const IMAGE_INTERVAL: Duration = Duration::from_secs(60);
/// Time for which content that was not stored is remembered: longer than a day, so that an image that is pulled once a
/// day is not forgotten. Content that is stored meanwhile is forgotten at once.
const UNSTORED_TTL: Duration = Duration::from_secs(36 * 60 * 60);
/// Interval at which older entries are removed.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of images that are remembered. Further images are not logged until some of these are forgotten.
const MAX_IMAGES: usize = 1_000;
/// Maximum number of contents that are remembered of one image.
const MAX_UNSTORED_PER_IMAGE: usize = 100;

impl UnstoredReports {
    /// Creates the reports about one kind of content. `free_space` is the folder in which that content is stored.
    pub(super) fn new(kind: Kind, free_space: FreeSpace) -> Self {
        Self { kind, free_space, files: None, last: Mutex::default(), any: AtomicBool::new(false) }
    }

    /// Creates the reports about blobs, which have a quota, too.
    pub(super) fn of_blobs(files: BlobFiles) -> Self {
        Self { files: Some(files.clone()), ..Self::new(Kind::Blobs, files.free_space().clone()) }
    }

    /// Counts and logs that some content is not stored; `content` is the image that it belongs to and its digest, if
    /// they are known. Makes a system call at most once an hour per reason, and blocks on nothing else.
    pub(super) fn report(&self, reason: Unstored, content: Option<(&Origin, &Digest)>) {
        let word = reason.word();
        self.kind.count(word);
        let now = Instant::now();
        let mut last = self.last();
        let warns = match reason {
            Unstored::TooLong | Unstored::OverGroupQuota => is_due(&mut last.warnings, reason, now),
            // One warning for all kinds: they are on the same disk.
            Unstored::NoSpace | Unstored::StoreFailed => {
                is_due(&mut DISK_WARNINGS.lock().unwrap_or_else(PoisonError::into_inner), reason, now)
            }
        };
        let logged = content.filter(|(image, digest)| last.record(image, digest, now));
        self.any.store(!last.images.is_empty(), Ordering::Relaxed);
        drop(last);
        if let Some((image, _)) = logged {
            self.log(reason, image);
        }
        if warns {
            self.warn(reason);
        }
    }

    /// Remembers content that would not be stored, as if it had been reported, and writes the log line of its image.
    /// The counter and the warning follow when it is requested.
    pub(super) fn expect(&self, reason: Unstored, image: &Origin, contents: &[Digest]) {
        let now = Instant::now();
        let mut last = self.last();
        let due = contents.iter().filter(|digest| last.record(image, digest, now)).count() > 0;
        self.any.store(!last.images.is_empty(), Ordering::Relaxed);
        drop(last);
        if due {
            self.log(reason, image);
        }
    }

    /// Returns true if some content of this image that `contents` has was not stored when it was last requested.
    /// Without any contents, as for an index, all that belongs to the image counts. `contents` is called only if it
    /// matters.
    pub(super) fn concerns(&self, image: &Origin, contents: impl FnOnce() -> Vec<Digest>) -> bool {
        if !self.any.load(Ordering::Relaxed) || !self.remembers(image) {
            return false;
        }
        let contents = contents();
        let last = self.last();
        let Some(image) = last.images.get(image) else { return false };
        contents.is_empty() || contents.iter().any(|digest| image.unstored.contains_key(digest))
    }

    /// Records that this content of an image is stored.
    pub(super) fn stored(&self, image: &Origin, digest: &Digest) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let mut last = self.last();
        let Some(known) = last.images.get_mut(image) else { return };
        known.unstored.remove(digest);
        if known.unstored.is_empty() {
            last.images.remove(image);
            self.any.store(!last.images.is_empty(), Ordering::Relaxed);
        }
    }

    fn remembers(&self, image: &Origin) -> bool {
        let mut last = self.last();
        // Without this, entries would only expire when new ones arrive, and pulls would keep taking the mutex.
        if last.forgot.is_none_or(|at| at.elapsed() >= FORGET_INTERVAL) {
            last.forget_old(Instant::now());
            self.any.store(!last.images.is_empty(), Ordering::Relaxed);
        }
        last.images.contains_key(image)
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if the quota leaves less space than the disk.
    fn is_quota_reached(&self) -> bool {
        let Some(files) = &self.files else { return false };
        files.room_left().is_ok_and(|room| self.free_space.left().is_ok_and(|left| room < left))
    }

    fn log(&self, reason: Unstored, image: &Origin) {
        let (kind, reason) = (self.kind.name(), reason.word());
        tracing::info!(%image, reason, "{kind} of this image are not stored, so each pull requests them from upstream");
    }

    fn warn(&self, reason: Unstored) {
        let (kind, folder) = (self.kind.name(), self.free_space.folder().display());
        let free_bytes = self.free_space.free().ok();
        match reason {
            Unstored::NoSpace if self.is_quota_reached() => tracing::warn!(
                reason = reason.word(),
                %folder,
                free_bytes,
                setting = "storage.max_bytes",
                "storage.max_bytes leaves too little space, beside what is pinned and being read, so what is not \
                 cached yet is passed on to clients without being stored: raise it, or unpin images"
            ),
            Unstored::NoSpace => tracing::warn!(
                reason = reason.word(),
                %folder,
                free_bytes,
                min_free = %self.free_space.min_free(),
                setting = "storage.min_free",
                "the disk of the cache is full, so what is not cached yet is passed on to clients without being \
                 stored: free some space in this folder, or move it to a larger disk"
            ),
            Unstored::TooLong => tracing::warn!(
                reason = reason.word(),
                setting = self.kind.max_bytes(),
                "{kind} longer than this setting are passed on to clients without being stored"
            ),
            Unstored::OverGroupQuota => tracing::warn!(
                reason = reason.word(),
                "{kind} longer than the quota of their group are passed on to clients without being stored; an owner of the group \
                 can change it (group change --max-size)"
            ),
            Unstored::StoreFailed => tracing::warn!(
                reason = reason.word(),
                %folder,
                free_bytes,
                "the cache cannot be written, so what is not cached yet is passed on to clients without being stored"
            ),
        }
    }
}

/// Returns true if a warning for this reason is due, and records its time then.
fn is_due(warnings: &mut BTreeMap<&'static str, Instant>, reason: Unstored, now: Instant) -> bool {
    let is_due = warnings.get(reason.word()).is_none_or(|at| now.duration_since(*at) >= WARN_INTERVAL);
    if is_due {
        warnings.insert(reason.word(), now);
    }
    is_due
}

impl Last {
    fn forget_old(&mut self, now: Instant) {
        self.forgot = Some(now);
        self.images.retain(|_, image| {
            image.unstored.retain(|_, seen| now.duration_since(*seen) < UNSTORED_TTL);
            !image.unstored.is_empty()
        });
    }

    /// Records that this content of an image is not stored. Returns true if a log line is due.
    fn record(&mut self, image: &Origin, digest: &Digest, now: Instant) -> bool {
        if let Some(known) = self.images.get_mut(image) {
            known.record(digest, now);
            let is_due = now.duration_since(known.logged) >= IMAGE_INTERVAL;
            if is_due {
                known.logged = now;
            }
            return is_due;
        }
        if self.images.len() >= MAX_IMAGES {
            self.forget_old(now);
        }
        let has_room = self.images.len() < MAX_IMAGES;
        if has_room {
            self.images.insert(image.clone(), Image { logged: now, unstored: HashMap::from([(*digest, now)]) });
        }
        has_room
    }
}

impl Image {
    fn record(&mut self, digest: &Digest, now: Instant) {
        if self.unstored.len() < MAX_UNSTORED_PER_IMAGE || self.unstored.contains_key(digest) {
            self.unstored.insert(*digest, now);
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Manifests => "manifests",
            Self::Blobs => "blobs",
        }
    }

    fn count(self, reason: &'static str) {
        let counter = match self {
            Self::Manifests => {
                metrics::counter!("dependency_proxy_unstored_manifests_total", "reason" => reason)
            }
            Self::Blobs => metrics::counter!("dependency_proxy_unstored_blobs_total", "reason" => reason),
        };
        counter.increment(1);
    }

    /// Returns the name of the setting that limits the length of stored content.
    fn max_bytes(self) -> &'static str {
        match self {
            Self::Manifests => "cache.max_manifest_bytes",
            Self::Blobs => "cache.max_blob_bytes",
        }
    }
}

#[cfg(test)]
mod tests;
