//! Events of cached content that this replica has carried out, and what it has removed meanwhile.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::FleetContent;
use crate::store::error::StoreError;
use crate::store::fleet::content_events::{self, ContentEvents, Mark, Seen};
use crate::store::fleet::index::ImagePlace;
use crate::store::images::ImageKey;

impl FleetContent {
    /// Returns the events that this replica has carried out.
    pub(in crate::store) fn seen(&self) -> Seen {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        Seen { number: self.followed.load(Ordering::SeqCst), done: done.iter().copied().collect() }
    }

    /// Records that this replica has carried out all events up to this one.
    pub fn set_followed(&self, number: i64) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        self.followed.store(number, Ordering::SeqCst);
        done.retain(|done| *done > number);
    }

    /// Returns the number of removals from the index of this replica so far. What was looked up before another one is
    /// not taken over.
    pub(in crate::store) fn removals(&self) -> u64 {
        *self.removals.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that takes over what was looked up after this number of removals. Returns `None`, and does
    /// nothing, if there was another one. Blocks.
    pub(in crate::store) fn unless_removed<T>(&self, removals: u64, take_over: impl FnOnce() -> T) -> Option<T> {
        let known = self.removals.read().unwrap_or_else(PoisonError::into_inner);
        (*known == removals).then(take_over)
    }

    /// Records that something is about to be removed from the index of this replica. Blocks while something is taken
    /// over, which is then removed as well.
    pub(in crate::store) fn note_removal(&self) {
        *self.removals.write().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    /// Records that this replica has carried out an event that it has made.
    pub(in crate::store) fn note_done(&self, number: i64) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
    }

    /// Returns true if this process has carried out this event, which it has made. After a crash it may not have.
    pub fn is_done(&self, number: i64) -> bool {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).contains(&number)
    }

    /// Returns the events after this place.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn events_after(&self, known: &Mark) -> Result<ContentEvents, StoreError> {
        content_events::after(self.index.database(), self.index.replica(), known).await
    }

    /// Returns the id of the database, and the last event.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn newest_event(&self) -> Result<(String, Mark), StoreError> {
        content_events::newest(self.index.database()).await
    }

    /// Returns the images of all groups after a place in their order, at most this number.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn images_after(&self, after: ImagePlace, limit: i64) -> Result<Vec<(ImagePlace, ImageKey)>, StoreError> {
        self.index.images_after(after, limit).await
    }

    /// Removes events that no replica needs any more.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub async fn forget_old_events(&self) -> Result<(), StoreError> {
        content_events::forget_old(self.index.database()).await
    }
}
