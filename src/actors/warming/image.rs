//! One image of a job: its manifests, within what is left of the registry's pull limit, and then their blobs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

use super::job::{Job, LayerProgress, WarmImage, WarmingState};
use super::turn::Turn;
use crate::actors::blob_cache::{BlobCacheHandle, OpenBlob, Transfer};
use crate::actors::manifest_cache::{Leased, ManifestCacheHandle, PullManifest, PulledManifest};
use crate::actors::pull_failure::{Cause, PullFailure, ReservedFor, image_name};
use crate::actors::upstream_fetcher::UpstreamHandle;
use crate::domain::digest::Digest;
use crate::domain::manifest::Descriptor;
use crate::domain::platform;
use crate::domain::pull_budget::Scarcity;
use crate::domain::reference::Reference;

/// The pull of one image.
pub(super) struct ImageTask<'a> {
    pub(super) manifests: &'a ManifestCacheHandle,
    pub(super) blobs: &'a BlobCacheHandle,
    pub(super) upstream: &'a UpstreamHandle,
    pub(super) job: &'a Arc<Job>,
    /// The number of the image in the job.
    pub(super) number: usize,
    /// Its permit, without which nothing is pulled.
    pub(super) turn: Turn,
}

/// Number of blobs of an image that are pulled at the same time.
const LAYERS_AT_ONCE: usize = 3;

/// Interval at which the rest of a pull limit is checked while it is too small.
const BUDGET_INTERVAL: Duration = Duration::from_secs(60);

/// Maximum time for which a manifest or blob waits for a pull limit. That of Docker Hub is for six hours.
const MAX_LIMITED_TIME: Duration = Duration::from_secs(24 * 3600);

/// Maximum number of attempts after failures that may pass.
const MAX_ATTEMPTS: u32 = 5;
/// Pause before an image is pulled again, multiplied by the number of its failures.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Failed attempts to pull a manifest or blob.
#[derive(Default)]
struct Attempts {
    /// Number of those that failed for another reason than a pull limit.
    failures: u32,
    /// Time of the first one since which the pull limit was reached, or nearly reached, each time.
    limited_since: Option<Instant>,
}

impl ImageTask<'_> {
    /// Pulls the image, and records how it goes.
    pub(super) async fn run(&self) {
        self.job.set(self.number, WarmingState::Running);
        let state = match self.pull().await {
            Ok(()) => WarmingState::Done,
            Err(sentence) => WarmingState::Failed(sentence),
        };
        self.job.set(self.number, state);
    }

    async fn pull(&self) -> Result<(), String> {
        let reference = self.image().reference.clone();
        let top = self.manifest(reference.clone()).await?;
        let mut blobs = top.blobs();
        let children = self.children(&top);
        // Dropped early: the next manifests may need its share of memory.
        drop(top);
        if blobs.is_empty() && children.is_empty() {
            return Err(format!("{} has no manifest for these platforms", self.named(&reference)));
        }
        for child in children {
            blobs.extend(self.manifest(Reference::Digest(child)).await?.blobs());
        }
        // Manifests of several platforms may name the same blob.
        let blobs: HashMap<Digest, Descriptor> = blobs.into_iter().map(|blob| (blob.digest, blob)).collect();
        for blob in blobs.values() {
            self.job.change_layer(self.number, blob.digest, |layer| layer.length = blob.size);
        }
        let pulls: Vec<_> = blobs.keys().map(|digest| self.blob(*digest)).collect();
        stream::iter(pulls).buffer_unordered(LAYERS_AT_ONCE).try_collect::<()>().await?;
        if self.blobs.passes_through(&self.image().origin, || blobs.keys().copied().collect()) {
            return Err("some of its blobs could not be stored: the disk is full, or they are too long".to_owned());
        }
        Ok(())
    }

    fn image(&self) -> &WarmImage {
        &self.job.images[self.number]
    }

    fn named(&self, reference: &Reference) -> String {
        image_name(&self.image().origin, &reference.to_string())
    }

    /// Returns the manifests of the wanted platforms, if this is an index.
    fn children(&self, top: &PulledManifest) -> Vec<Digest> {
        let Some(bytes) = top.manifest.clone().map(Leased::into_bytes) else { return Vec::new() };
        let wanted = &self.job.platforms;
        let is_wanted = |found: &platform::Platform| wanted.is_empty() || wanted.iter().any(|one| found.fits(one));
        let of_index = platform::of_index(&bytes);
        of_index.into_iter().filter(|(_, platform)| is_wanted(platform)).map(|(digest, _)| digest).collect()
    }

    /// Pulls a manifest. Waits for up to a day while the pull limit is reached or nearly reached.
    async fn manifest(&self, reference: Reference) -> Result<PulledManifest, String> {
        let WarmImage { origin, freshness, .. } = self.image().clone();
        let of = |head| PullManifest {
            group: self.job.group,
            origin: origin.clone(),
            reference: reference.clone(),
            head,
            // The `GET` follows. If it is refused, nothing was pulled that a list could show.
            noted: false,
            freshness,
            on_demand: false,
        };
        let mut attempts = Attempts::default();
        loop {
            let permit = self.turn.take().await;
            // A `HEAD` is no pull, and reports what is left of the limit.
            let mut outcome = self.manifests.pull(of(true)).await.outcome;
            if outcome.as_ref().is_ok_and(|pulled| pulled.manifest.is_none()) {
                outcome = match self.upstream.scarcity(&origin) {
                    Scarcity::Plenty => self.manifests.pull(of(false)).await.outcome,
                    Scarcity::Low | Scarcity::VeryLow => {
                        Err(self.failure(&reference, Cause::Reserved(ReservedFor::Misses)))
                    }
                };
            }
            drop(permit);
            match outcome {
                Ok(pulled) => return Ok(pulled),
                Err(failure) => self.wait_after(&failure, &mut attempts).await?,
            }
        }
    }

    fn failure(&self, reference: &Reference, cause: Cause) -> PullFailure {
        PullFailure { origin: self.image().origin.clone(), image: self.named(reference), cause, is_list: false }
    }

    /// Pulls a blob, whose bytes are not read again.
    async fn blob(&self, digest: Digest) -> Result<(), String> {
        let origin = self.image().origin.clone();
        let mut attempts = Attempts::default();
        loop {
            let permit = self.turn.take().await;
            let wanted = OpenBlob { group: self.job.group, origin: origin.clone(), digest };
            let error = match self.receive(wanted).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            drop(permit);
            self.wait_after(&self.failure(&Reference::Digest(digest), error), &mut attempts).await?;
        }
    }

    async fn receive(&self, wanted: OpenBlob) -> Result<(), Cause> {
        let digest = wanted.digest;
        let change = |change: &dyn Fn(&mut LayerProgress)| {
            self.job.change_layer(self.number, digest, |layer| change(layer));
        };
        let opened = self.blobs.open(wanted).await.map_err(|error| Cause::from(&error))?;
        let length = opened.length();
        change(&|layer| (layer.length, layer.received) = (Some(length), 0));
        if !opened.source().is_from_cache() {
            let mut chunks = opened.chunks(0..length, Transfer::ZeroCopy);
            while let Some(chunk) = chunks.next().await {
                let received = chunk.map_err(|error| Cause::from(&error))?.length();
                change(&|layer| layer.received += received);
            }
        }
        change(&|layer| (layer.received, layer.done) = (length, true));
        Ok(())
    }

    /// Waits until the next attempt after a failure, without a permit.
    ///
    /// # Errors
    ///
    /// Fails with a sentence if there is none: it will not pass, or has not passed after several attempts.
    async fn wait_after(&self, failure: &PullFailure, attempts: &mut Attempts) -> Result<(), String> {
        let time = attempts.pause_after(failure, Instant::now()).ok_or_else(|| failure.to_string())?;
        self.job.set(self.number, WarmingState::Held { because: failure.reason(), time });
        self.turn.release().await;
        sleep(time).await;
        drop(self.turn.take().await);
        self.job.set(self.number, WarmingState::Running);
        Ok(())
    }
}

impl Attempts {
    /// Returns the time until the next attempt after a failure; `None` if there is none.
    fn pause_after(&mut self, failure: &PullFailure, now: Instant) -> Option<Duration> {
        let pause = if matches!(failure.cause, Cause::RateLimited { .. }) {
            failure.retry_after()
        } else if matches!(failure.cause, Cause::Reserved(_)) {
            BUDGET_INTERVAL
        } else {
            self.limited_since = None;
            self.failures += 1;
            let is_repeated = failure.cause.may_pass() && self.failures < MAX_ATTEMPTS;
            return is_repeated.then(|| RETRY_INTERVAL * self.failures);
        };
        let since = *self.limited_since.get_or_insert(now);
        (now.duration_since(since) < MAX_LIMITED_TIME).then_some(pause)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::origin::{Account, Origin};

    fn failure(cause: Cause) -> PullFailure {
        let origin = Origin {
            upstream: "docker.io".parse().unwrap(),
            account: Account::Anonymous,
            repository: "library/app".parse().unwrap(),
        };
        PullFailure { origin, image: "app:1".to_owned(), cause, is_list: false }
    }

    #[test]
    fn a_pull_limit_is_waited_for_until_a_day_has_passed() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let limited = failure(Cause::RateLimited { limit: None, retry_after: Some(Duration::from_secs(90)) });
        let mut after = |hours: u64| attempts.pause_after(&limited, start + Duration::from_secs(hours * 3600));
        assert_eq!([after(0), after(6), after(23)], [Some(Duration::from_secs(90)); 3]);
        assert_eq!(after(24), None);
    }

    #[test]
    fn what_may_pass_is_repeated_a_few_times() {
        let mut attempts = Attempts::default();
        let busy = failure(Cause::Busy);
        let pauses: Vec<_> = (0..5).map(|_| attempts.pause_after(&busy, Instant::now())).collect();
        let seconds = |number| Some(Duration::from_secs(number));
        assert_eq!(pauses, [seconds(5), seconds(10), seconds(15), seconds(20), None]);
    }
}
