//! Disk space for blobs: how much may be stored, and how much has to be evicted for it, by the quota of the store and
//! by what must stay free on the disk.

use super::BlobFiles;
use crate::domain::quota::Quota;
use crate::store::error::StoreError;

/// Maximum of [`small_files_bytes`].
const MAX_SMALL_FILES_BYTES: u64 = 16 << 20;

/// Maximum of [`BlobFiles::headroom`].
const MAX_HEADROOM_BYTES: u64 = 1 << 30;

impl BlobFiles {
    /// Returns the number of bytes that may be stored before the free space on the disk falls below the configured
    /// minimum, or the quota is reached.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space.
    pub fn room_left(&self) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.balance()?).unwrap_or(0))
    }

    /// Returns the number of bytes to evict so that this number of bytes can be stored; `None` if they cannot be stored
    /// even if all other content is evicted.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space.
    pub fn missing(&self, bytes: u64) -> Result<Option<u64>, StoreError> {
        let (bytes, of_disk) = (i128::from(bytes), self.free_space.balance()?);
        let of_disk =
            if of_disk < bytes { bytes + i128::from(small_files_bytes(self.free_space.total()?)) - of_disk } else { 0 };
        let missing = of_disk.max(bytes - self.balance_of_quota()?).max(0);
        Ok(u64::try_from(missing).ok().filter(|missing| *missing <= self.usage.totals().bytes))
    }

    /// Returns the length of the longest blob that could be stored if all other content were evicted, beside the
    /// downloads that are running.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its free space.
    pub fn room_for_one(&self) -> Result<u64, StoreError> {
        let (stored, unwritten) = (i128::from(self.usage.totals().bytes), i128::from(self.usage.unwritten()));
        Ok(u64::try_from(self.balance()? + stored - unwritten).unwrap_or(0))
    }

    /// Returns the number of bytes by which the quota is too full for what is stored next without waiting.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its size.
    pub fn lacking_headroom(&self) -> Result<u64, StoreError> {
        let left = self.limit()?.saturating_sub(self.usage.bytes());
        Ok((self.headroom()? / 2).saturating_sub(left))
    }

    /// Returns the number of bytes to evict beyond those that are needed, so that not each blob has to wait for an
    /// eviction: a fiftieth of what can be stored, at most 1 GiB.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its size.
    pub fn headroom(&self) -> Result<u64, StoreError> {
        Ok((self.room_for_one()? / 50).min(MAX_HEADROOM_BYTES))
    }

    /// Returns the number of bytes that may still be stored; negative if more is stored than may be.
    fn balance(&self) -> Result<i128, StoreError> {
        Ok(self.free_space.balance()?.min(self.balance_of_quota()?))
    }

    fn balance_of_quota(&self) -> Result<i128, StoreError> {
        Ok(i128::from(self.limit()?) - i128::from(self.usage.bytes()))
    }

    /// Returns the quota in bytes.
    fn limit(&self) -> Result<u64, StoreError> {
        if self.quota == Quota::Unlimited { Ok(u64::MAX) } else { Ok(self.quota.of(self.free_space.total()?)) }
    }

    /// Returns the maximum size of all stored content in bytes; `None`: no maximum.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not report its size.
    pub fn max_bytes(&self) -> Result<Option<u64>, StoreError> {
        if self.quota == Quota::Unlimited { Ok(None) } else { self.limit().map(Some) }
    }
}

/// Returns the number of bytes that an eviction leaves to manifests, links and tags on a file system of `total` bytes.
fn small_files_bytes(total: u64) -> u64 {
    MAX_SMALL_FILES_BYTES.min(total / 40)
}
