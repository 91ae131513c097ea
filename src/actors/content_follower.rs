//! The follower of cached content: carries out, in the index of this replica, what other replicas have changed in that
//! of the fleet. Images that they have cached are taken over, so that all replicas list the same; images that they have
//! removed go here, too.

mod pull_counts;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::time::sleep;

use self::pull_counts::PullCounts;
use super::failures;
use super::janitor::JanitorHandle;
use super::manifest_cache::ManifestCacheHandle;
use crate::domain::origin::Origin;
use crate::domain::reference::{Reference, Tag};
use crate::store::content::ContentStore;
use crate::store::error::StoreError;
use crate::store::fleet::{
    ContentEvent, ContentEvents, FleetContent, FollowedContent, ImagePlace, NumberedContentEvent,
};
use crate::store::images::ImageKey;

/// The parts that the follower works with.
#[derive(Clone)]
pub struct ContentFollower {
    /// The index of this replica.
    pub content: ContentStore,
    /// The content that all replicas share.
    pub shared: Arc<FleetContent>,
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
    /// The content of the file of this replica.
    written: Option<FollowedContent>,
    /// True if all images of the fleet were taken over.
    is_complete: Arc<AtomicBool>,
    /// Images of others that are not taken over yet, and the times of their events.
    waiting: VecDeque<(ImageKey, Instant)>,
    last_tidying: Instant,
    counts: PullCounts,
}

/// Interval at which new events are read.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Time for which an image is waited for whose manifest is not in the bucket yet. Later it is taken over when it is
/// pulled.
const WAITING_TIME: Duration = Duration::from_secs(30);
/// Maximum number of images that are waited for.
const MAX_WAITING: usize = 10_000;
/// Number of images that are read at once where all are taken over.
const IMAGES_AT_ONCE: i64 = 200;
/// Time after which the images of a fleet are read again where the database did not respond.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
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
        let before = FollowedContent::read(&self.file)?;
        let (mut takes_over_all, followed) = (before.is_none(), before.clone().unwrap_or_default());
        let mut following = Following {
            shared: self.shared.clone(),
            parts: self,
            followed,
            written: before,
            is_complete: Arc::new(AtomicBool::new(true)),
            waiting: VecDeque::new(),
            last_tidying: Instant::now(),
            counts: PullCounts::new(),
        };
        following.shared.set_followed(following.followed.last.number);
        loop {
            let found = following.shared.events_after(&following.followed.last).await?;
            if takes_over_all || found.fleet != following.followed.fleet || found.events.is_none() {
                following.begin_anew().await?;
                takes_over_all = true;
                break;
            }
            let has_more = found.has_more;
            following.carry_out(found).await?;
            if !has_more {
                break;
            }
        }
        arbiter.spawn_fn(move || drop(actix_rt::spawn(following.run(takes_over_all))));
        Ok(())
    }

    /// Takes over all images of the fleet after a place that this replica does not have. The place moves with those
    /// that are done.
    async fn take_over_all(&self, shared: &FleetContent, place: &mut ImagePlace) -> Result<(), StoreError> {
        loop {
            let images = shared.images_after(place.clone(), IMAGES_AT_ONCE).await?;
            let Some((last, _)) = images.last() else { return Ok(()) };
            *place = last.clone();
            for (_, image) in &images {
                // One that fails is taken over when it is pulled.
                report(self.content.take_over_image(image).await.map(drop));
            }
        }
    }
}

impl Following {
    /// Removes what this replica has cached for groups: it belongs to other identities, or removals were missed. The
    /// blobs of other replicas are in the bucket.
    async fn begin_anew(&mut self) -> Result<(), StoreError> {
        // Images that come from now on are taken over twice, which does no harm.
        let (fleet, last) = self.shared.newest_event().await?;
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
            self.parts.content.end_purge(group).await?;
            self.parts.janitor.complete_removal(group);
        }
        self.waiting.clear();
        self.followed = FollowedContent { fleet, last };
        self.shared.set_followed(self.followed.last.number);
        self.written = None;
        // Until all images are taken over, a start begins anew. What takes over those of before does not change this.
        self.is_complete = Arc::default();
        FollowedContent::remove(&self.parts.file)
    }

    /// Takes over all images in the background. Where the database is away, it goes on once it is back.
    fn take_over_all(&self) {
        let (parts, shared, is_complete) = (self.parts.clone(), self.shared.clone(), self.is_complete.clone());
        actix_rt::spawn(async move {
            let mut place = ImagePlace::default();
            while let Err(error) = parts.take_over_all(&shared, &mut place).await {
                report(Err(error));
                sleep(RETRY_INTERVAL).await;
            }
            is_complete.store(true, Ordering::SeqCst);
        });
    }

    /// Shares the records of who pulled in the background. What the database does not take is shared at the next start.
    fn share_pull_records(&self) {
        let content = self.parts.content.clone();
        actix_rt::spawn(async move {
            let shared = content.share_pull_records().await;
            failures::report("who pulled images at this replica could not all be shared", shared);
        });
    }

    async fn run(mut self, takes_over_all: bool) {
        if takes_over_all {
            self.take_over_all();
        }
        self.share_pull_records();
        loop {
            sleep(LOOK_INTERVAL).await;
            report(self.look().await);
            report(self.take_over_waiting().await);
            report(self.counts.follow(&self.shared, &self.parts.content).await);
            if self.last_tidying.elapsed() > TIDY_INTERVAL {
                self.last_tidying = Instant::now();
                report(self.shared.forget_old_events().await);
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let found = self.shared.events_after(&self.followed.last).await?;
        if found.fleet != self.followed.fleet || found.events.is_none() {
            // After a restore of the database, too.
            self.begin_anew().await?;
            self.take_over_all();
            return Ok(());
        }
        self.carry_out(found).await
    }

    /// Takes over images that wait, for at most as long as removals may be late.
    async fn take_over_waiting(&mut self) -> Result<(), StoreError> {
        let began = Instant::now();
        for _ in 0..self.waiting.len() {
            if began.elapsed() > LOOK_INTERVAL {
                break;
            }
            let Some((image, since)) = self.waiting.pop_front() else { break };
            if !self.parts.content.take_over_image(&image).await? && since.elapsed() < WAITING_TIME {
                self.waiting.push_back((image, since));
            } else if let Reference::Tag(tag) = &image.reference {
                self.parts.manifests.forget_tag(&image.origin, tag);
            }
        }
        Ok(())
    }

    async fn carry_out(&mut self, found: ContentEvents) -> Result<(), StoreError> {
        if found.last == self.followed.last {
            return self.write();
        }
        for NumberedContentEvent { number, is_own, event } in found.events.unwrap_or_default() {
            match event {
                None => tracing::warn!(number, "an event of a later release was left out"),
                // After a crash this replica may not have carried out what it has made.
                Some(ContentEvent::Removed { .. } | ContentEvent::Purged(_))
                    if is_own && self.shared.is_done(number) => {}
                Some(event @ (ContentEvent::Removed { .. } | ContentEvent::Purged(_))) => {
                    self.carry_out_one(event).await?
                }
                Some(_) if is_own => {}
                Some(event) => self.carry_out_one(event).await?,
            }
        }
        self.followed.last = found.last;
        self.shared.set_followed(self.followed.last.number);
        self.write()
    }

    /// Writes the file of this replica, once all images of before are taken over.
    fn write(&mut self) -> Result<(), StoreError> {
        if self.is_complete.load(Ordering::SeqCst) && self.written.as_ref() != Some(&self.followed) {
            self.followed.write(&self.parts.file)?;
            self.written = Some(self.followed.clone());
        }
        Ok(())
    }

    async fn carry_out_one(&mut self, event: ContentEvent) -> Result<(), StoreError> {
        let ContentFollower { content, janitor, .. } = &self.parts;
        match event {
            // It may wait for the bucket, and removals must not wait for it.
            ContentEvent::Image(image) => self.wait_for(image),
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

    fn wait_for(&mut self, image: ImageKey) {
        if let Reference::Tag(tag) = &image.reference {
            self.parts.manifests.forget_tag(&image.origin, tag);
        }
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back((image, Instant::now()));
        }
    }

    async fn change_tag(&self, origin: Origin, tag: Tag, is_gone: bool) -> Result<(), StoreError> {
        self.parts.content.change_tag_here(origin.clone(), tag.clone(), is_gone).await?;
        self.parts.manifests.forget_tag(&origin, &tag);
        Ok(())
    }
}

fn report(outcome: Result<(), StoreError>) {
    failures::report("what other replicas have changed in the cache could not all be followed", outcome);
}
