//! Reports to the operator about content that is passed on to clients without being stored: a counter, a line for each
//! image, and a warning that names the folder, its free space and the setting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::download::Unstored;
use crate::domain::origin::Origin;
use crate::store::room::Room;

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
    room: Room,
    last: Mutex<Last>,
    /// True where any image is remembered, for a look that waits for nobody.
    any: AtomicBool,
}

/// The times of the last lines.
#[derive(Default)]
struct Last {
    warnings: HashMap<&'static str, Instant>,
    images: HashMap<Origin, Image>,
    /// The time when old images were last forgotten.
    forgot: Option<Instant>,
}

/// An image of which something was not stored.
#[derive(Clone, Copy)]
struct Image {
    logged: Instant,
    seen: Instant,
}

/// A warning for the same reason is repeated after this time at the earliest.
const WARN_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The line of one image is repeated after this time at the earliest.
const IMAGE_INTERVAL: Duration = Duration::from_secs(60);
/// An image of which nothing was left unstored for this time is forgotten.
const MEMORY: Duration = Duration::from_secs(10 * 60);
/// Number of images that are remembered; of more none gets a line until some of them are forgotten.
const MAX_IMAGES: usize = 1_000;

impl UnstoredReports {
    /// Reports about content of this kind, which is stored in this room.
    pub(super) fn new(kind: Kind, room: Room) -> Self {
        Self { kind, room, last: Mutex::default(), any: AtomicBool::new(false) }
    }

    /// Counts and logs that something is not stored; `image` is what it belongs to, where that is known. Makes a system
    /// call once an hour, and waits for nothing else.
    pub(super) fn report(&self, reason: Unstored, image: Option<&Origin>) {
        let word = reason.word();
        self.kind.count(word);
        let now = Instant::now();
        let mut last = self.last();
        let warns = last.warnings.get(word).is_none_or(|at| now.duration_since(*at) >= WARN_INTERVAL);
        if warns {
            last.warnings.insert(word, now);
        }
        let image = image.filter(|image| last.takes(image, now));
        self.any.store(!last.images.is_empty(), Ordering::Relaxed);
        drop(last);
        if let Some(image) = image {
            tracing::info!(%image, reason = word, "{} of this image are not stored, so upstream is asked at each pull", self.kind.name());
        }
        if warns {
            self.warn(reason);
        }
    }

    /// Says whether something of this image was not stored in the last minutes, and nothing of it since.
    pub(super) fn concerns(&self, image: &Origin) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let mut last = self.last();
        let concerned = last.images.get(image).map(|image| image.seen.elapsed() < MEMORY);
        // Once nothing is remembered, no pull looks here any more.
        if last.forgot.is_none_or(|at| at.elapsed() >= IMAGE_INTERVAL) {
            last.forget_old(Instant::now());
            self.any.store(!last.images.is_empty(), Ordering::Relaxed);
        }
        concerned == Some(true)
    }

    /// Learns that something of this image was stored.
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
        let (kind, folder) = (self.kind.name(), self.room.folder().display());
        let free_bytes = self.room.free().ok();
        match reason {
            Unstored::NoRoom => tracing::warn!(
                reason = reason.word(),
                %folder,
                free_bytes,
                min_free = %self.room.min_free(),
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
        self.images.retain(|_, image| now.duration_since(image.seen) < MEMORY);
    }

    /// Notes that something of this image is not stored, and says whether it gets a line now.
    fn takes(&mut self, image: &Origin, now: Instant) -> bool {
        if let Some(known) = self.images.get_mut(image) {
            known.seen = now;
            let takes = now.duration_since(known.logged) >= IMAGE_INTERVAL;
            if takes {
                known.logged = now;
            }
            return takes;
        }
        if self.images.len() >= MAX_IMAGES {
            self.forget_old(now);
        }
        let takes = self.images.len() < MAX_IMAGES;
        if takes {
            self.images.insert(image.clone(), Image { logged: now, seen: now });
        }
        takes
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
            Self::Manifests => metrics::counter!("dependency_proxy_unstored_manifests_total", "reason" => reason),
            Self::Blobs => metrics::counter!("dependency_proxy_unstored_blobs_total", "reason" => reason),
        };
        counter.increment(1);
    }

    /// The setting of the greatest length that is stored.
    fn max_bytes(self) -> &'static str {
        match self {
            Self::Manifests => "cache.max_manifest_bytes",
            Self::Blobs => "cache.max_blob_bytes",
        }
    }
}
