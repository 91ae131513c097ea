//! The format of the records of images. Lists that are not in the order of names read all records of a group, which
//! takes a quarter of the time that JSON takes. Records of the first version, which are JSON, are read as well, and
//! replaced by the comparison with the files.

use jiff::Timestamp;
use serde::Deserialize;

use super::StoreError;
use crate::domain::digest::Digest;

/// The record of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct ImageRecord {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Time since which it has this digest.
    pub cached_at: Timestamp,
    /// Time of the last pull.
    pub last_pulled_at: Timestamp,
    /// Number of pulls.
    pub pulls: u64,
    /// True if it is neither evicted nor removed for its age.
    pub pinned: bool,
}

/// First byte of a record. One of the first version begins with a brace.
const VERSION: u8 = 2;

/// Length of a time in bytes: seconds and nanoseconds.
const TIME_BYTES: usize = 8 + 4;

/// Length of a record in bytes: version, digest, two times, pulls, and 1 if it is pinned.
const RECORD_BYTES: usize = 1 + 32 + 2 * TIME_BYTES + 8 + 1;

impl ImageRecord {
    /// Returns the bytes of the record.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(RECORD_BYTES);
        bytes.push(VERSION);
        bytes.extend(self.digest.as_bytes());
        for time in [self.cached_at, self.last_pulled_at] {
            bytes.extend(time.as_second().to_be_bytes());
            bytes.extend(time.subsec_nanosecond().to_be_bytes());
        }
        bytes.extend(self.pulls.to_be_bytes());
        bytes.push(u8::from(self.pinned));
        bytes
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// Fails if it is none.
    pub(super) fn decoded(bytes: &[u8]) -> Result<Self, StoreError> {
        if bytes.first() == Some(&b'{') {
            return Ok(serde_json::from_slice(bytes)?);
        }
        fields(bytes).ok_or_else(|| StoreError::Damaged("the record of an image is damaged".to_owned()))
    }

    /// Reads a record; `None` if it is none.
    pub(super) fn read(bytes: Option<sled::IVec>) -> Option<Self> {
        bytes.and_then(|bytes| Self::decoded(&bytes).ok())
    }
}

/// Returns true for a record of the present version.
pub(super) fn is_present_version(bytes: &[u8]) -> bool {
    bytes.first() == Some(&VERSION)
}

fn fields(bytes: &[u8]) -> Option<ImageRecord> {
    let bytes: &[u8; RECORD_BYTES] = bytes.try_into().ok()?;
    let (version, rest) = bytes.split_first()?;
    let (digest, rest) = rest.split_first_chunk::<32>()?;
    let (cached_at, rest) = rest.split_first_chunk::<TIME_BYTES>()?;
    let (last_pulled_at, rest) = rest.split_first_chunk::<TIME_BYTES>()?;
    let (pulls, pinned) = rest.split_first_chunk::<8>()?;
    (*version == VERSION).then_some(ImageRecord {
        digest: Digest::from_bytes(*digest),
        cached_at: time(cached_at)?,
        last_pulled_at: time(last_pulled_at)?,
        pulls: u64::from_be_bytes(*pulls),
        pinned: pinned == [1],
    })
}

fn time(bytes: &[u8; TIME_BYTES]) -> Option<Timestamp> {
    let (second, nanosecond) = bytes.split_first_chunk::<8>()?;
    Timestamp::new(i64::from_be_bytes(*second), i32::from_be_bytes(nanosecond.try_into().ok()?)).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(
            digest: [u8; 32], cached_at in -377_705_023_201_i64..253_402_207_200, nanosecond in 0..1_000_000_000,
            pulled_at in -377_705_023_201_i64..253_402_207_200, pulls: u64, pinned: bool,
        ) {
            let cached_at = Timestamp::new(cached_at, nanosecond).unwrap();
            let last_pulled_at = Timestamp::from_second(pulled_at).unwrap();
            let digest = Digest::from_bytes(digest);
            let record = ImageRecord { digest, cached_at, last_pulled_at, pulls, pinned };
            prop_assert_eq!(ImageRecord::decoded(&record.encoded()).unwrap(), record);
        }

        #[test]
        fn other_bytes_are_no_record(bytes: Vec<u8>) {
            prop_assert!(ImageRecord::decoded(&bytes).is_err());
        }
    }

    #[test]
    fn a_record_of_the_first_version_is_read() {
        let digest = Digest::from_bytes([7; 32]);
        let json = format!(
            r#"{{"digest":"{digest}","cached_at":"2026-01-02T03:04:05Z","last_pulled_at":"2026-01-02T03:05:00Z","pulls":3,"pinned":true}}"#
        );
        let record = ImageRecord::decoded(json.as_bytes()).unwrap();
        assert_eq!((record.digest, record.pulls, record.pinned), (digest, 3, true));
        assert!(is_present_version(&record.encoded()) && !is_present_version(json.as_bytes()));
    }
}
