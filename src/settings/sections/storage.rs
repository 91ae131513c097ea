//! The section `[storage]`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::Deserialize;

use crate::actors::blob_cache::VerifyOptions;
use crate::domain::min_free::MinFree;
use crate::domain::quota::Quota;
use crate::formats::quantity;
use crate::settings::ValidationError;

/// Folders, free space and the verification of stored blobs.
#[derive(Clone, Debug, Deserialize)]
pub struct Storage {
    /// Folder of identities and the index.
    pub data_dir: PathBuf,
    /// Folder of manifests and blobs.
    pub cache_dir: PathBuf,
    /// Minimum free space on the file systems of both folders.
    #[serde(deserialize_with = "quantity::min_free")]
    pub min_free: MinFree,
    /// Maximum size of all stored content.
    #[serde(deserialize_with = "quantity::quota")]
    pub max_bytes: Quota,
    /// Number of days after its last pull after which an image is removed from its group; 0: never.
    pub unpulled_days: u32,
    /// The verification of stored blobs.
    #[serde(rename = "*verification")]
    pub verification: VerifyOptions,
    /// Maximum number of changes of identities that wait to be stored.
    pub max_waiting_changes: NonZeroUsize,
}

impl Storage {
    pub(in crate::settings) fn check(&self) -> Result<(), ValidationError> {
        if self.data_dir.as_os_str().is_empty() {
            return Err(ValidationError::new(["storage", "data_dir"], "is empty"));
        }
        if self.verification.interval.is_zero() {
            return Err(ValidationError::new(["storage", "verify_interval"], "is zero"));
        }
        Ok(())
    }

    pub(in crate::settings) fn with_defaults(mut self) -> Self {
        if self.cache_dir.as_os_str().is_empty() {
            self.cache_dir = self.data_dir.join("cache");
        }
        self
    }
}
