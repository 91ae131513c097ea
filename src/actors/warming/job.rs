//! The state of a job: its images, and the blobs that are being pulled.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::future::AbortHandle;
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::domain::digest::Digest;
use crate::domain::freshness::Freshness;
use crate::domain::id::GroupId;
use crate::domain::origin::Origin;
use crate::domain::platform::Platform;
use crate::domain::reference::Reference;

/// An image to be pulled.
#[derive(Clone, Debug)]
pub struct WarmImage {
    /// The image as it was written.
    pub name: String,
    /// The upstream, account and repository.
    pub origin: Origin,
    /// The tag or digest.
    pub reference: Reference,
    /// The freshness of the tag.
    pub freshness: Freshness,
}

/// The state of a job at one time.
#[derive(Clone, Debug)]
pub struct JobProgress {
    /// The number of the job.
    pub number: u64,
    /// The time of its start.
    pub created_at: Timestamp,
    /// True while it runs.
    pub running: bool,
    /// True if it was ended before all images were pulled.
    pub cancelled: bool,
    /// The images, in the order in which they were given.
    pub images: Vec<ImageProgress>,
}

/// The state of an image of a job.
#[derive(Clone, Debug)]
pub struct ImageProgress {
    /// The image as it was written.
    pub name: String,
    /// Its state.
    pub state: WarmingState,
    /// Its blobs, as far as they are known. Those of several images may be the same.
    pub layers: Vec<LayerProgress>,
}

/// State of an image of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarmingState {
    /// It has not begun.
    Waiting,
    /// It is being pulled.
    Running,
    /// It waits, for this reason and about this time.
    Held {
        /// The reason, as a sentence.
        because: String,
        /// The time.
        time: Duration,
    },
    /// All of it is cached.
    Done,
    /// It could not be pulled, for this reason.
    Failed(String),
}

/// A blob of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerProgress {
    /// The digest.
    pub digest: Digest,
    /// The length in bytes, where it is known.
    pub length: Option<u64>,
    /// Number of bytes that have arrived.
    pub received: u64,
    /// True if all of it is cached.
    pub done: bool,
}

/// A job, as its tasks change it.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) group: GroupId,
    /// The queue in which its images wait for those of the other jobs of the group.
    pub(super) queue: Arc<Semaphore>,
    pub(super) platforms: Vec<Platform>,
    pub(super) images: Vec<WarmImage>,
    created_at: Timestamp,
    state: Mutex<State>,
    abort: OnceLock<AbortHandle>,
}

struct State {
    images: Vec<ImageProgress>,
    ended: Option<Instant>,
    cancelled: bool,
}

impl Job {
    pub(super) fn new(
        number: u64,
        group: GroupId,
        queue: Arc<Semaphore>,
        images: Vec<WarmImage>,
        platforms: Vec<Platform>,
    ) -> Self {
        let waiting = |image: &WarmImage| ImageProgress {
            name: image.name.clone(),
            state: WarmingState::Waiting,
            layers: Vec::new(),
        };
        let state = State { images: images.iter().map(waiting).collect(), ended: None, cancelled: false };
        let (created_at, state) = (Timestamp::now(), Mutex::new(state));
        Self { number, group, queue, platforms, images, created_at, state, abort: OnceLock::new() }
    }

    /// Returns the number of images.
    pub(super) fn len(&self) -> usize {
        self.images.len()
    }

    pub(super) fn progress(&self) -> JobProgress {
        let state = self.state();
        JobProgress {
            number: self.number,
            created_at: self.created_at,
            running: state.ended.is_none(),
            cancelled: state.cancelled,
            images: state.images.clone(),
        }
    }

    pub(super) fn ended_at(&self) -> Option<Instant> {
        self.state().ended
    }

    /// Sets the handle that ends the job.
    pub(super) fn abort_with(&self, abort: AbortHandle) {
        self.abort.get_or_init(|| abort);
    }

    pub(super) fn cancel(&self) {
        self.abort.get().into_iter().for_each(AbortHandle::abort);
    }

    pub(super) fn end(&self, cancelled: bool, now: Instant) {
        let mut state = self.state();
        (state.ended, state.cancelled) = (Some(now), cancelled);
    }

    pub(super) fn set(&self, image: usize, state: WarmingState) {
        self.change(image, |image| image.state = state);
    }

    /// Changes the progress of a blob, which is added if it is new.
    pub(super) fn change_layer(&self, image: usize, digest: Digest, change: impl FnOnce(&mut LayerProgress)) {
        self.change(image, |image| {
            let known = image.layers.iter().position(|layer| layer.digest == digest);
            let known = known.unwrap_or_else(|| {
                image.layers.push(LayerProgress { digest, length: None, received: 0, done: false });
                image.layers.len() - 1
            });
            change(&mut image.layers[known]);
        });
    }

    fn change(&self, image: usize, change: impl FnOnce(&mut ImageProgress)) {
        if let Some(image) = self.state().images.get_mut(image) {
            change(image);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
