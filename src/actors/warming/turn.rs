//! Permits of images that are being pulled: a few over all jobs, and as many for the jobs of one group, so that no
//! group has more in the queue before them than another. An image that waits for its registry holds none, because it
//! may wait for a day, and others have other registries.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

/// Number of images that are pulled at the same time, over all jobs, and over those of one group.
pub(super) const IMAGES_AT_ONCE: usize = 3;

/// The queues in which images wait for permits.
#[derive(Clone)]
pub(super) struct Queues {
    /// That of the jobs of one group.
    pub(super) group: Arc<Semaphore>,
    /// That of all jobs, in which images are in the order of their arrival.
    pub(super) all: Arc<Semaphore>,
}

/// The turn of one image, which its manifests and blobs share.
pub(super) struct Turn {
    queues: Queues,
    permit: Mutex<Option<Arc<Permit>>>,
}

/// Permission to pull.
pub(super) struct Permit {
    _all: Option<OwnedSemaphorePermit>,
    _group: Option<OwnedSemaphorePermit>,
}

impl Turn {
    pub(super) fn of(queues: Queues) -> Self {
        Self { queues, permit: Mutex::default() }
    }

    /// Returns the permit of the image; waits for one if it has none. To be kept while something is pulled.
    pub(super) async fn take(&self) -> Arc<Permit> {
        let mut permit = self.permit.lock().await;
        if let Some(permit) = &*permit {
            return permit.clone();
        }
        permit.insert(Arc::new(self.queues.permit().await)).clone()
    }

    /// Gives the permit back, as soon as nothing of the image is being pulled.
    pub(super) async fn release(&self) {
        *self.permit.lock().await = None;
    }
}

impl Queues {
    async fn permit(&self) -> Permit {
        // In this order, so that what waits for its group takes nothing from others. Nothing closes the semaphores.
        let group = self.group.clone().acquire_owned().await.ok();
        let all = self.all.clone().acquire_owned().await.ok();
        Permit { _all: all, _group: group }
    }
}
