//! Traffic by hour: in the index of this process, or in the database of several replicas, which add up theirs.

use crate::domain::id::GroupId;
use crate::domain::traffic::{Hour, Traffic};
use crate::store::content::ContentStore;
use crate::store::error::StoreError;
use crate::store::fleet::FleetTraffic;

/// The traffic of groups that is written. Cheap to clone.
#[derive(Clone)]
pub enum TrafficRecords {
    /// Of this process.
    Own(ContentStore),
    /// Of all replicas.
    Shared(FleetTraffic),
}

impl TrafficRecords {
    /// Adds what these groups had in an hour.
    ///
    /// # Errors
    ///
    /// Fails if there is no space for it, or if the store fails.
    pub async fn add(&self, hour: Hour, of_groups: Vec<(GroupId, Traffic)>) -> Result<(), StoreError> {
        match self {
            Self::Own(content) => content.record_traffic(hour, of_groups).await,
            Self::Shared(fleet) => fleet.add(hour, of_groups).await,
        }
    }

    /// Returns the hours from `since` on in which a group, or any, had traffic, the earliest first.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn since(&self, group: Option<GroupId>, since: Hour) -> Result<Vec<(Hour, Traffic)>, StoreError> {
        match self {
            Self::Own(content) => content.traffic(group, since).await,
            Self::Shared(fleet) => fleet.since(group, since).await,
        }
    }

    /// Removes the traffic of all groups before an hour.
    ///
    /// # Errors
    ///
    /// Fails if the store fails.
    pub async fn forget_before(&self, hour: Hour) -> Result<(), StoreError> {
        match self {
            Self::Own(content) => content.forget_traffic_before(hour).await,
            Self::Shared(fleet) => fleet.forget_before(hour).await,
        }
    }
}
