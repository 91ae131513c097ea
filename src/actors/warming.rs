//! Warming: images are pulled into the cache before anyone requests them. A job pulls a few images at a time, as a
//! member of the group would, and gives way to others where a registry's pull limit is nearly reached. No actor: the
//! jobs run on an arbiter of their own, and what is cached already is not pulled again, so that a job which was
//! interrupted is continued by the next one with the same images.
//!
//! | file | content |
//! |---|---|
//! | [`job`] | the state of a job, as it is shown |
//! | [`image`] | one image: its manifests and their blobs |

mod image;
mod job;

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
    /// admitted wait as long as it takes, and are shown with it. What is refused is a job; see [`MAX_RUNNING_JOBS`].
    images: Semaphore,
}

#[derive(Default)]
struct Jobs {
    last: u64,
    known: BTreeMap<u64, Arc<Job>>,
}

/// Error: as many jobs as are allowed are running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyJobs;

/// Maximum number of jobs that run at the same time, and of images of one job.
pub const MAX_RUNNING_JOBS: usize = 20;
/// Maximum number of images of one job.
pub const MAX_IMAGES: usize = 1000;

/// Number of images that are pulled at the same time, over all jobs.
const IMAGES_AT_ONCE: usize = 3;

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
        let (jobs, images) = (Mutex::default(), Semaphore::new(IMAGES_AT_ONCE));
        Self(Arc::new(Inner { manifests, blobs, upstream, arbiter, jobs, images }))
    }

    /// Starts to pull these images for a group: for these platforms, and for all if there are none. Returns the number
    /// of the job.
    ///
    /// # Errors
    ///
    /// Fails if too many jobs are running.
    pub fn start(&self, group: GroupId, images: Vec<WarmImage>, platforms: Vec<Platform>) -> Result<u64, TooManyJobs> {
        let job = {
            let mut jobs = self.jobs();
            jobs.known.retain(|_, job| job.ended_at().is_none_or(|end| end.elapsed() < MAX_ENDED_JOB_AGE));
            if jobs.known.values().filter(|job| job.ended_at().is_none()).count() >= MAX_RUNNING_JOBS {
                return Err(TooManyJobs);
            }
            jobs.last += 1;
            let job = Arc::new(Job::new(jobs.last, group, images, platforms));
            let number = jobs.last;
            jobs.known.insert(number, job.clone());
            job
        };
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

impl Inner {
    async fn run(&self, job: &Arc<Job>) {
        let warm = |number: usize| async move {
            // Closed never.
            let Ok(_permit) = self.images.acquire().await else { return };
            let task =
                ImageTask { manifests: &self.manifests, blobs: &self.blobs, upstream: &self.upstream, job, number };
            task.run().await;
        };
        stream::iter(0..job.len()).for_each_concurrent(IMAGES_AT_ONCE, warm).await;
    }
}
