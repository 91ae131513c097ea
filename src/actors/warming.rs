//! Warming: images are pulled into the cache before anyone requests them. A job pulls a few images at a time, as a
//! member of the group would, and gives way to others where a registry's pull limit is nearly reached. No actor: the
//! jobs run on an arbiter of their own, and what is cached already is not pulled again, so that a job which was
//! interrupted is continued by the next one with the same images.
//!
//! | file | content |
//! |---|---|
//! | [`job`] | the state of a job, as it is shown |
//! | [`image`] | one image: its manifests and their blobs |
//! | [`turn`] | the permits of images |

mod image;
mod job;
mod turn;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::ArbiterHandle;
use futures::StreamExt;
use futures::future::abortable;
use futures::stream;
use tokio::sync::Semaphore;

use self::image::ImageTask;
use self::job::Job;
pub use self::job::{ImageProgress, JobProgress, LayerProgress, WarmImage, WarmingState};
use self::turn::{IMAGES_AT_ONCE, Queues, Turn};
use super::blob_cache::BlobCacheHandle;
use super::manifest_cache::ManifestCacheHandle;
use super::upstream_fetcher::UpstreamHandle;
use crate::domain::id::GroupId;
use crate::domain::platform::Platform;

/// Handle that starts jobs and shows them. Cheap to clone.
#[derive(Clone)]
pub struct Warmer(Arc<Inner>);

struct Inner {
    manifests: ManifestCacheHandle,
    blobs: BlobCacheHandle,
    upstream: UpstreamHandle,
    arbiter: ArbiterHandle,
    jobs: Mutex<Jobs>,
    /// Limits the images of all jobs that are pulled at the same time. No admission limit: the images of a job that was
    /// admitted wait as long as it takes, and are shown with it. What is refused is a job; see [`TooManyJobs`].
    images: Arc<Semaphore>,
}

#[derive(Default)]
struct Jobs {
    last: u64,
    known: BTreeMap<u64, Arc<Job>>,
}

/// Error: as many jobs as are allowed are running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooManyJobs {
    /// The group has its share.
    #[error("{MAX_RUNNING_JOBS_OF_GROUP} jobs of this group are running, as many as it may have")]
    OfGroup,
    /// All groups together.
    #[error("too many jobs are running")]
    OfAll,
}

/// Maximum number of jobs that run at the same time.
const MAX_RUNNING_JOBS: usize = 40;
/// Maximum number of jobs of one group that run at the same time: one group does not take all.
const MAX_RUNNING_JOBS_OF_GROUP: usize = 10;
/// Maximum number of images of one job.
pub const MAX_IMAGES: usize = 1000;

/// Time for which a job is shown after its end.
const MAX_ENDED_JOB_AGE: Duration = Duration::from_secs(60 * 60);

impl Warmer {
    /// Returns the handle. The jobs run on this arbiter.
    pub fn new(
        manifests: ManifestCacheHandle,
        blobs: BlobCacheHandle,
        upstream: UpstreamHandle,
        arbiter: ArbiterHandle,
    ) -> Self {
        let (jobs, images) = (Mutex::default(), Arc::new(Semaphore::new(IMAGES_AT_ONCE)));
        Self(Arc::new(Inner { manifests, blobs, upstream, arbiter, jobs, images }))
    }

    /// Starts to pull these images for a group: for these platforms, and for all if there are none. Returns the number
    /// of the job.
    ///
    /// # Errors
    ///
    /// Fails if too many jobs are running, of this group or of all.
    pub fn start(&self, group: GroupId, images: Vec<WarmImage>, platforms: Vec<Platform>) -> Result<u64, TooManyJobs> {
        let job = self.jobs().add(group, images, platforms)?;
        let (inner, running) = (self.0.clone(), job.clone());
        let (work, abort) = abortable(async move { inner.run(&running).await });
        job.abort_with(abort);
        let ended = job.clone();
        self.0.arbiter.spawn(async move {
            let cancelled = work.await.is_err();
            ended.end(cancelled, Instant::now());
        });
        Ok(job.number)
    }

    /// Returns the state of a group's job; `None` if there is none of this number.
    pub fn job(&self, group: GroupId, number: u64) -> Option<JobProgress> {
        let job = self.jobs().known.get(&number).filter(|job| job.group == group).cloned();
        job.map(|job| job.progress())
    }

    /// Returns the states of a group's jobs, the oldest first. Ended ones are shown for an hour.
    pub fn jobs_of(&self, group: GroupId) -> Vec<JobProgress> {
        let jobs: Vec<Arc<Job>> = self.jobs().known.values().filter(|job| job.group == group).cloned().collect();
        jobs.iter().map(|job| job.progress()).collect()
    }

    /// Ends a group's job; what it has pulled stays. Returns false if there is none of this number.
    pub fn cancel(&self, group: GroupId, number: u64) -> bool {
        let job = self.jobs().known.get(&number).filter(|job| job.group == group).cloned();
        job.iter().for_each(|job| job.cancel());
        job.is_some()
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    fn add(
        &mut self,
        group: GroupId,
        images: Vec<WarmImage>,
        platforms: Vec<Platform>,
    ) -> Result<Arc<Job>, TooManyJobs> {
        self.known.retain(|_, job| job.ended_at().is_none_or(|end| end.elapsed() < MAX_ENDED_JOB_AGE));
        let running: Vec<&Arc<Job>> = self.known.values().filter(|job| job.ended_at().is_none()).collect();
        let of_group: Vec<&Arc<Job>> = running.iter().copied().filter(|job| job.group == group).collect();
        if of_group.len() >= MAX_RUNNING_JOBS_OF_GROUP {
            return Err(TooManyJobs::OfGroup);
        }
        if running.len() >= MAX_RUNNING_JOBS {
            return Err(TooManyJobs::OfAll);
        }
        let queue = of_group.first().map(|job| job.queue.clone());
        let queue = queue.unwrap_or_else(|| Arc::new(Semaphore::new(IMAGES_AT_ONCE)));
        self.last += 1;
        let job = Arc::new(Job::new(self.last, group, queue, images, platforms));
        self.known.insert(self.last, job.clone());
        Ok(job)
    }
}

impl Inner {
    /// Pulls the images of a job. Each waits for its turn by itself, so that those that are held stop no others.
    async fn run(&self, job: &Arc<Job>) {
        let queues = Queues { group: job.queue.clone(), all: self.images.clone() };
        let warm = |number: usize| {
            let turn = Turn::of(queues.clone());
            async move {
                // A job may have many images, and the state of a pull is large: it is made when it begins.
                drop(turn.take().await);
                let (manifests, blobs, upstream) = (&self.manifests, &self.blobs, &self.upstream);
                Box::pin(ImageTask { manifests, blobs, upstream, job, number, turn }.run()).await;
            }
        };
        stream::iter(0..job.len()).for_each_concurrent(None, warm).await;
    }
}
