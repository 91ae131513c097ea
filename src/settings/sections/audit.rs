//! The section `[audit]`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::actors::audit::AuditOptions;
use crate::actors::pull_records::PullRecordOptions;
use crate::domain::last_use::AddressDays;
use crate::formats;
use crate::settings::ValidationError;

/// Events, uses and pulls: what is kept of who did what.
#[derive(Clone, Debug, Deserialize)]
pub struct Audit {
    /// The events.
    #[serde(rename = "*events")]
    pub events: AuditOptions,
    /// The records of who pulled images.
    #[serde(rename = "*pulls")]
    pub pulls: PullRecordOptions,
    /// Number of days for which the addresses are kept from which a token was used; 0: none is.
    pub address_days: AddressDays,
    /// The file to which events are appended; `None`: none.
    #[serde(deserialize_with = "formats::path")]
    pub file: Option<PathBuf>,
}

/// Minimum of the sizes of audit events, in bytes: some hundred events.
const MIN_AUDIT_BYTES: u64 = 256 << 10;
/// Maximum of the size of the events of changes, in bytes: they are in every export and backup of the identities.
const MAX_AUDIT_BYTES: u64 = 1 << 30;

/// Maximum number of days for which is kept who pulled an image.
const MAX_PULL_DAYS: u32 = 366;

impl Audit {
    pub(in crate::settings) fn check(&self) -> Result<(), ValidationError> {
        let sizes = [
            ("max_bytes", self.events.max_bytes),
            ("max_refusal_bytes", self.events.max_refusal_bytes),
            ("max_pull_bytes", self.pulls.max_pull_bytes),
        ];
        if let Some((key, _)) =
            sizes.into_iter().find(|(_, bytes)| !(MIN_AUDIT_BYTES..=MAX_AUDIT_BYTES).contains(bytes))
        {
            return Err(ValidationError::new(["audit", key], "is not between 256KiB and 1GiB"));
        }
        if self.pulls.pull_days > MAX_PULL_DAYS {
            return Err(ValidationError::new(["audit", "pull_days"], "is more than 366"));
        }
        Ok(())
    }
}
