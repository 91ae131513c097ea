//! Records of changes, logins, pulls and traffic.

use super::stores::Stores;
use crate::actors::audit::AuditTrail;
use crate::actors::last_used::LastUsed;
use crate::actors::pull_records::PullRecords;
use crate::actors::pulls::PullCounts;
use crate::actors::traffic::{TrafficCounts, TrafficRecords};
use crate::server::StartError;
use crate::server::fleet::Fleet;
use crate::settings::Settings;
use crate::store::audit_file::AuditFile;

/// The records, which the routes fill and the janitor writes.
pub(super) struct Records {
    pub(super) audit: AuditTrail,
    /// Times of last use of credentials.
    pub(super) last_used: LastUsed,
    pub(super) pulls: PullCounts,
    /// Pullers of each image.
    pub(super) pull_records: PullRecords,
    /// Traffic of groups that is not written yet.
    pub(super) traffic: TrafficCounts,
    /// Traffic of groups that is written.
    pub(super) traffic_records: TrafficRecords,
}

impl Records {
    /// Opens the records in these stores; in a fleet, the traffic of all replicas.
    ///
    /// # Errors
    /// The times of last use cannot be read.
    pub(super) async fn open(stores: &Stores, settings: &Settings, fleet: Option<&Fleet>) -> Result<Self, StartError> {
        let (identities, options) = (&stores.identities, &settings.audit);
        let file = options.file.as_deref().map(|file| AuditFile::new(file, &settings.storage.data_dir));
        let audit = AuditTrail::new(identities.clone(), options.events, file);
        let last_used = LastUsed::new(identities.last_used().await?, options.address_days);
        let pull_records = PullRecords::new(options.pulls);
        let pulls = PullCounts::new(pull_records.clone());
        let traffic_records = match fleet {
            Some(fleet) => TrafficRecords::Shared(fleet.traffic()),
            None => TrafficRecords::Own(stores.content.clone()),
        };
        Ok(Self { audit, last_used, pulls, pull_records, traffic: TrafficCounts::default(), traffic_records })
    }
}
