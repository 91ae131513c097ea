//! Objects that clients may have found wrong, because they came back for them: each is read back, and is not used any
//! more if its content is another one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::FleetContent;
use super::objects::KnownObject;
use crate::domain::digest::Digest;

/// The verification of objects: one at a time.
pub(super) struct Suspects {
    known: Cache<Digest, Suspicion>,
    /// Permits for the objects that wait, or are being read back. No admission limit: no client waits for it.
    waiting: Arc<Semaphore>,
    reading: Semaphore,
}

/// State of an object that was suspected.
#[derive(Clone)]
enum Suspicion {
    /// It waits, or is being read back.
    UnderWay,
    /// It had the right content at this time, with this stamp.
    Refuted(Instant, String),
}

/// Maximum number of objects that wait, or are being read back. Further ones are when they are suspected again.
const MAX_WAITING: usize = 256;
/// Maximum number of objects that are remembered.
const MAX_KNOWN: usize = 4096;
/// Time for which an object that was not overwritten counts as right.
const TRUST_TTL: Duration = Duration::from_secs(600);

impl Suspects {
    pub(super) fn new() -> Self {
        let waiting = Arc::new(Semaphore::new(MAX_WAITING));
        Self { known: Cache::new(MAX_KNOWN), waiting, reading: Semaphore::new(1) }
    }

    /// Returns a permit to read the object back; `None` if others wait, or if that is under way.
    fn begin(&self, digest: &Digest) -> Option<OwnedSemaphorePermit> {
        if matches!(self.known.get(digest), Some(Suspicion::UnderWay)) {
            return None;
        }
        let permit = self.waiting.clone().try_acquire_owned().ok()?;
        self.known.insert(*digest, Suspicion::UnderWay);
        Some(permit)
    }

    fn trusts(&self, digest: &Digest, stamp: &str) -> bool {
        match self.known.get(digest) {
            Some(Suspicion::Refuted(at, verified)) => verified == stamp && at.elapsed() < TRUST_TTL,
            Some(Suspicion::UnderWay) | None => false,
        }
    }
}

impl FleetContent {
    /// Looks again at an object that a client may have found wrong. Returns true if it may be: it is read back in the
    /// background then, and is not used any more if it is. False: it was read back a short time ago.
    pub async fn suspect(self: &Arc<Self>, digest: &Digest) -> bool {
        self.known_objects.remove(digest);
        let Some(known) = self.known_object(digest).await else { return true };
        if self.suspects.trusts(digest, &known.stamp) {
            return false;
        }
        if let Some(permit) = self.suspects.begin(digest) {
            let (shared, digest) = (self.clone(), *digest);
            self.bucket.runtime().spawn(async move { shared.read_back(digest, known, permit).await });
        }
        true
    }

    async fn read_back(&self, digest: Digest, known: KnownObject, _waiting: OwnedSemaphorePermit) {
        let _reading = self.suspects.reading.acquire().await;
        let began = Instant::now();
        let found = self.bucket.holds(&known.object.name, &digest).await;
        self.suspects.known.remove(&digest);
        match found {
            Ok(Some(true)) => {
                self.suspects.known.insert(digest, Suspicion::Refuted(began, known.stamp));
            }
            Ok(Some(false)) => self.report_wrong(digest, known.object),
            Ok(None) => self.drop_object(digest, known.object),
            Err(error) => self.failed(&digest, &error),
        }
    }
}
