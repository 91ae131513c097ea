//! The follower of cached content: carries out, in the index of this replica, what other replicas have changed in that
//! of the fleet. Images that they have cached are taken over, so that all replicas list the same; images that they have
//! removed go here, too.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::time::sleep;

use super::janitor::JanitorHandle;
use super::manifest_cache::ManifestCacheHandle;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::store::content::ContentStore;
use crate::store::error::StoreError;
use crate::store::fleet::{ContentEvent, ContentEvents, FleetContent, FollowedContent, ImagePlace};
use crate::store::images::ImageKey;
use crate::telemetry::LineLimit;

/// The parts that the follower works with.
#[derive(Clone)]
pub struct ContentFollower {
    /// The index of this replica.
    pub content: ContentStore,
    /// Its manifests, with tags and links in memory.
    pub manifests: ManifestCacheHandle,
    /// Removes images and what only they name.
    pub janitor: JanitorHandle,
    /// The file with the last event that was carried out.
    pub file: PathBuf,
}

/// State of the loop.
struct Following {
    parts: ContentFollower,
    shared: Arc<FleetContent>,
    followed: FollowedContent,
    /// Images whose manifest is not in the bucket yet, and the time of their event.
    waiting: Vec<(ImageKey, Instant)>,
    last_tidying: Instant,
}

/// Interval at which events are looked for.
const INTERVAL: Duration = Duration::from_millis(250);
/// Time for which an image is waited for whose manifest is not in the bucket yet. Later it is taken over when it is
/// pulled.
const WAITING_TIME: Duration = Duration::from_secs(30);
/// Maximum number of images that are waited for.
const MAX_WAITING: usize = 10_000;
/// Number of images that are read at once where all are taken over.
const IMAGES_AT_ONCE: i64 = 200;
/// Interval at which old events are removed.
const TIDY_INTERVAL: Duration = Duration::from_secs(3600);

impl ContentFollower {
    /// Brings the index of this replica up to date, and starts to follow the others on this arbiter. Call it before
    /// requests are served: what was removed while this replica was away must not come back.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a file of this replica cannot be read or written.
    pub async fn start(self, arbiter: &ArbiterHandle) -> Result<(), StoreError> {
        let Some(shared) = self.content.shared().cloned() else { return Ok(()) };
        let before = FollowedContent::read(&self.file)?;
        let known = before.as_ref().map_or(0, |before| before.last);
        let found = shared.events_after(known).await?;
        let is_same = before.as_ref().is_some_and(|before| before.fleet == found.fleet) && found.events.is_some();
        let mut following = Following {
            followed: FollowedContent { fleet: found.fleet.clone(), last: known },
            parts: self,
            shared,
            waiting: Vec::new(),
            last_tidying: Instant::now(),
        };
        if is_same {
            following.carry_out(found).await?;
        } else {
            following.begin_anew(&found).await?;
        }
        arbiter.spawn_fn(move || drop(actix_rt::spawn(following.run(!is_same))));
        Ok(())
    }

    /// Takes over all images of the fleet that this replica does not have.
    async fn take_over_all(&self, shared: &FleetContent) -> Result<(), StoreError> {
        let mut place = ImagePlace::default();
        loop {
            let images = shared.images_after(place, IMAGES_AT_ONCE).await?;
            let Some((last, ..)) = images.last() else { return Ok(()) };
            place = last.clone();
            for (_, image, _) in &images {
                self.content.take_over_image(image).await?;
            }
        }
    }
}

impl Following {
    /// Removes what this replica has cached for groups: it belongs to other identities, or removals were missed. The
    /// blobs of other replicas are in the bucket.
    async fn begin_anew(&mut self, found: &ContentEvents) -> Result<(), StoreError> {
        let groups = self.parts.content.groups().await?;
        if !groups.is_empty() {
            tracing::warn!(
                groups = groups.len(),
                "what this replica has cached belongs to no state of the fleet's index that is known any more; it is removed"
            );
        }
        for (group, _) in groups {
            self.parts.content.mark_purged(group).await?;
            self.parts.content.remove_links(group).await?;
            self.parts.janitor.purge_here(group).await;
        }
        // Images that come meanwhile are taken over twice, which does no harm.
        self.followed.last = found.last;
        self.followed.write(&self.parts.file)
    }

    async fn run(mut self, takes_over_all: bool) {
        if takes_over_all {
            let (parts, shared) = (self.parts.clone(), self.shared.clone());
            actix_rt::spawn(async move { report(parts.take_over_all(&shared).await) });
        }
        loop {
            sleep(INTERVAL).await;
            report(self.look().await);
            if self.last_tidying.elapsed() > TIDY_INTERVAL {
                self.last_tidying = Instant::now();
                report(self.shared.forget_old_events().await);
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let found = self.shared.events_after(self.followed.last).await?;
        if found.fleet != self.followed.fleet || found.events.is_none() {
            // After a restore of the database, too.
            self.followed.fleet.clone_from(&found.fleet);
            self.begin_anew(&found).await?;
            return self.parts.take_over_all(&self.shared).await;
        }
        self.carry_out(found).await?;
        let waiting = std::mem::take(&mut self.waiting);
        for (image, since) in waiting.into_iter().filter(|(_, since)| since.elapsed() < WAITING_TIME) {
            self.take_over(image, since).await?;
        }
        Ok(())
    }

    async fn carry_out(&mut self, found: ContentEvents) -> Result<(), StoreError> {
        if found.last == self.followed.last {
            return Ok(());
        }
        for event in found.events.unwrap_or_default() {
            self.carry_out_one(event).await?;
        }
        self.followed.last = found.last;
        self.followed.write(&self.parts.file)
    }

    async fn carry_out_one(&mut self, event: ContentEvent) -> Result<(), StoreError> {
        let ContentFollower { content, janitor, .. } = &self.parts;
        match event {
            ContentEvent::Image(image) => self.take_over(image, Instant::now()).await?,
            ContentEvent::Denied { origin, tag } => self.change_tag(origin, tag, false).await?,
            ContentEvent::Gone { origin, tag } => self.change_tag(origin, tag, true).await?,
            ContentEvent::Removed { group, origin, references } => {
                self.waiting.retain(|(image, _)| {
                    image.group != group || image.origin != origin || !references.contains(&image.reference)
                });
                janitor.remove_images_here(group, origin, references).await?;
            }
            ContentEvent::Purged(group) => {
                self.waiting.retain(|(image, _)| image.group != group);
                janitor.purge_here(group).await;
            }
            ContentEvent::Pinned { image, pinned } => content.pin_here(image, pinned).await?,
        }
        Ok(())
    }

    async fn take_over(&mut self, image: ImageKey, since: Instant) -> Result<(), StoreError> {
        if !self.parts.content.take_over_image(&image).await? && self.waiting.len() < MAX_WAITING {
            self.waiting.push((image.clone(), since));
        }
        if let Reference::Tag(tag) = &image.reference {
            self.parts.manifests.forget_tag(&image.origin, tag);
        }
        Ok(())
    }

    async fn change_tag(&self, origin: Origin, tag: Tag, is_gone: bool) -> Result<(), StoreError> {
        self.parts.content.change_tag_here(origin.clone(), tag.clone(), is_gone).await?;
        self.parts.manifests.forget_tag(&origin, &tag);
        Ok(())
    }
}

fn report(outcome: Result<(), StoreError>) {
    static LINES: LineLimit<()> = LineLimit::new();
    match outcome {
        Ok(()) | Err(StoreError::Closed) => {}
        Err(error) => {
            if let Some(left_out) = LINES.admit(&()) {
                tracing::warn!(%error, left_out, "what other replicas have changed in the cache could not all be followed");
            }
        }
    }
}
