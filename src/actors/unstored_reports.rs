//! Reports to the operator about content that is passed on to clients without being stored: a counter, a log line
//! per image, and a warning that names the folder, its free space and the setting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::download::Unstored;
use crate::domain::origin::Origin;
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
    last: Mutex<Last>,
    /// True if any image is remembered. Lets the usual pull skip the mutex.
    any: AtomicBool,
}

/// The times of the last log lines.
#[derive(Default)]
struct Last {
    warnings: HashMap<&'static str, Instant>,
    images: HashMap<Origin, Image>,
    /// The time when old images were last forgotten.
    forgot: Option<Instant>,
}

/// An image of which some content was not stored.
#[derive(Clone, Copy)]
struct Image {
    logged: Instant,
    seen: Instant,
}

/// Minimum time between two warnings for the same reason.
const WARN_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Minimum time between two log lines of the same image.
const IMAGE_INTERVAL: Duration = Duration::from_secs(60);
/// Time after which an image is forgotten if all of its content was stored meanwhile.
const IMAGE_TTL: Duration = Duration::from_secs(10 * 60);
/// Maximum number of images that are remembered. Further images are not logged until some of these are forgotten.
const MAX_IMAGES: usize = 1_000;

impl UnstoredReports {
    /// Creates the reports about one kind of content. `free_space` is the folder in which that content is stored.
    pub(super) fn new(kind: Kind, free_space: FreeSpace) -> Self {
        Self { kind, free_space, last: Mutex::default(), any: AtomicBool::new(false) }
    }

    /// Counts and logs that some content is not stored; `image` is the image that it belongs to, if that is known.
    /// Makes a system call at most once an hour per reason, and blocks on nothing else.
    pub(super) fn report(&self, reason: Unstored, image: Option<&Origin>) {
        let word = reason.word();
        self.kind.count(word);
        let now = Instant::now();
        let mut last = self.last();
        let warns = last.warnings.get(word).is_none_or(|at| now.duration_since(*at) >= WARN_INTERVAL);
        if warns {
            last.warnings.insert(word, now);
        }
        let image = image.filter(|image| last.record(image, now));
        self.any.store(!last.images.is_empty(), Ordering::Relaxed);
        drop(last);
        if let Some(image) = image {
            let kind = self.kind.name();
            tracing::info!(%image, reason = word, "{kind} of this image are not stored, so each pull requests them from upstream");
        }
        if warns {
            self.warn(reason);
        }
    }

    /// Returns true if some content of this image was not stored in the last [`IMAGE_TTL`], and none was stored since.
    pub(super) fn concerns(&self, image: &Origin) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let mut last = self.last();
        let concerned = last.images.get(image).map(|image| image.seen.elapsed() < IMAGE_TTL);
        // Without this, entries would only expire when new ones arrive, and pulls would keep taking the mutex.
        if last.forgot.is_none_or(|at| at.elapsed() >= IMAGE_INTERVAL) {
            last.forget_old(Instant::now());
            self.any.store(!last.images.is_empty(), Ordering::Relaxed);
        }
        concerned == Some(true)
    }

    /// Records that content of this image was stored.
    pub(super) fn stored(&self, image: &Origin) {
        if self.any.load(Ordering::Relaxed) {
            let mut last = self.last();
            last.images.remove(image);
            self.any.store(!last.images.is_empty(), Ordering::Relaxed);
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn(&self, reason: Unstored) {
        let (kind, folder) = (self.kind.name(), self.free_space.folder().display());
        let free_bytes = self.free_space.free().ok();
        match reason {
            Unstored::NoSpace => tracing::warn!(
                reason = reason.word(),
                %folder,
                free_bytes,
                min_free = %self.free_space.min_free(),
                setting = "storage.min_free",
                "the disk of the cache is full, so {kind} are passed on to clients without being stored: free some space in this \
                 folder, or move it to a larger disk"
            ),
            Unstored::TooLong => tracing::warn!(
                reason = reason.word(),
                setting = self.kind.max_bytes(),
                "{kind} longer than this setting are passed on to clients without being stored"
            ),
            Unstored::StoreFailed => tracing::warn!(
                reason = reason.word(),
                %folder,
                free_bytes,
                "the cache cannot be written, so {kind} are passed on to clients without being stored"
            ),
        }
    }
}

impl Last {
    fn forget_old(&mut self, now: Instant) {
        self.forgot = Some(now);
        self.images.retain(|_, image| now.duration_since(image.seen) < IMAGE_TTL);
    }

    /// Records that content of this image is not stored. Returns true if a log line is due.
    fn record(&mut self, image: &Origin, now: Instant) -> bool {
        if let Some(known) = self.images.get_mut(image) {
            known.seen = now;
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
            self.images.insert(image.clone(), Image { logged: now, seen: now });
        }
        has_room
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
