//! Pulls of images and who made them, as all replicas have counted them. They are written in the background: a pull
//! waits for nothing.

use std::collections::HashMap;

use super::FleetContent;
use crate::domain::pull_record::Day;
use crate::store::embedded::index::StoredPullRecord;
use crate::store::error::StoreError;
use crate::store::fleet::pulls::{CountPlace, Counted};
use crate::store::images::{ImageKey, ImagePulls, Pulls, PullsQuery};

impl FleetContent {
    /// Adds pulls at this replica.
    pub(in crate::store) fn note_pulls(&self, pulls: HashMap<ImageKey, Pulls>) {
        self.pulls.add(pulls);
        if !self.database_pause.is_on() {
            let pulls = self.pulls.clone();
            self.index.database().runtime().spawn(async move { pulls.write().await.ok() });
        }
    }

    /// Adds records of who pulled, as this replica has summed them.
    pub(in crate::store) fn note_pull_records(&self, records: Vec<StoredPullRecord>) {
        self.pull_records.add(records);
        if !self.database_pause.is_on() {
            let records = self.pull_records.clone();
            self.index.database().runtime().spawn(async move { records.write().await.ok() });
        }
    }

    /// Writes the pulls and records that wait, at the stop of this replica.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(super) async fn write_pulls(&self) -> Result<(), StoreError> {
        self.pulls.write().await?;
        self.pull_records.write().await
    }

    /// Writes records of who pulled, as this replica has summed them, and waits until they are written.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(in crate::store) async fn write_pull_records(&self, records: Vec<StoredPullRecord>) -> Result<(), StoreError> {
        self.pull_records.add(records);
        self.pull_records.write().await
    }

    /// Returns a part of the records of who pulled an image at any replica; `None` if the database does not respond.
    pub(in crate::store) async fn pull_records(&self, image: Vec<u8>, query: &PullsQuery) -> Option<ImagePulls> {
        if self.database_pause.is_on() {
            return None;
        }
        let read = self.pull_records.read(image, query).await;
        read.inspect_err(|error| tracing::debug!(%error, "records of pulls could not be read")).ok()
    }

    /// Removes the records of who pulled before a day, of all replicas.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached.
    pub(in crate::store) async fn forget_pull_records_before(&self, day: Day) -> Result<(), StoreError> {
        self.pull_records.forget_before(day).await
    }

    /// Returns images whose pulls were counted after this place, which moves behind them.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub async fn counted_after(&self, place: &mut CountPlace) -> Result<Counted, StoreError> {
        self.index.counted_after(place).await
    }

    /// Returns the number of pulls of an image at this replica that the others do not know yet.
    pub(in crate::store) fn waiting_pulls(&self, image: &ImageKey) -> u64 {
        self.pulls.of(image)
    }
}
