//! Records of who pulled which image, by day, image and credential. In sled alone.

use std::ops::Bound;
use std::sync::{MutexGuard, PoisonError};

use super::{Index, StoreError, key, read};
use crate::domain::pull_record::{Day, PullRecord};
use crate::store::images::{ImagePulls, PullKey, PullsQuery};

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct StoredPullRecord {
    /// The group, upstream, repository and reference.
    pub(in crate::store) image: Vec<u8>,
    pub(in crate::store) day: Day,
    /// The id of the credential; zeros for none.
    pub(in crate::store) credential: [u8; 16],
    /// A [`PullRecord`] as JSON.
    pub(in crate::store) record: Vec<u8>,
}

impl StoredPullRecord {
    /// Returns what [`Self::image`] is for the records that a query is about.
    pub(in crate::store) fn image_of(query: &PullsQuery) -> Vec<u8> {
        key::images_of_reference(query.group, &query.upstream, &query.repository, &query.reference)
    }

    /// Returns the record under a key made by [`key::pull_record`]; `None` if it is none.
    fn of(key: &[u8], record: Vec<u8>) -> Option<Self> {
        let (day, rest) = key.split_first_chunk::<4>()?;
        let (image, credential) = rest.split_last_chunk::<16>()?;
        let day = Day(u32::from_be_bytes(*day));
        Some(Self { image: image.to_vec(), day, credential: *credential, record })
    }

    fn key(&self) -> Vec<u8> {
        [key::day_of_pulls(self.day).as_slice(), &self.image, &self.credential].concat()
    }
}

/// Result of adding records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct AddedPullRecords {
    /// The records that have changed, with the pulls of before.
    pub(in crate::store) sums: Vec<StoredPullRecord>,
    /// Number of pulls that have no record any more, or get none, because there are too many.
    pub(in crate::store) dropped: u64,
}

impl Index {
    /// Adds records. Where all of them would take more than `max_bytes`, the oldest days are removed, and if those do
    /// not suffice, new records are left out.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Full`] if there is no space for records, and if the file system does not report its
    /// free space.
    pub(in crate::store) fn add_pull_records(
        &self,
        records: &[(PullKey, PullRecord)],
        max_bytes: u64,
    ) -> Result<AddedPullRecords, StoreError> {
        if records.is_empty() {
            return Ok(AddedPullRecords::default());
        }
        if !self.may_record()? {
            return Err(StoreError::Full);
        }
        let mut held = self.pull_record_bytes();
        let added = self.in_database(|| {
            let mut bytes = held.map_or_else(|| self.size_of_pull_records(), Ok)?;
            let mut added = AddedPullRecords::default();
            for (key, record) in records {
                self.add_pull_record(key, record, (&mut bytes, max_bytes), &mut added)?;
            }
            *held = Some(bytes);
            Ok(added)
        });
        Ok(added.unwrap_or_default())
    }

    /// Returns a part of the records of one image, the latest day first; nothing if the database cannot be read. Reads
    /// no records of other images.
    pub fn pull_records(&self, query: &PullsQuery) -> ImagePulls {
        let read = || {
            let first = self.pull_records.iter().keys().next().transpose()?;
            let since = first.and_then(|key| key::day_of_pull_record(&key)).map(|day| day.max(query.first));
            let mut pulls = ImagePulls { since, ..ImagePulls::default() };
            let days = since.into_iter().flat_map(|since| (since.0..=query.last.0).rev());
            for day in days.map(Day) {
                for entry in self.pull_records.scan_prefix(key::pull_records_of_image(day, query)) {
                    let (key, value) = entry?;
                    pulls.total += 1;
                    if pulls.total > query.skip
                        && pulls.records.len() < query.limit
                        && let Some(record) = read(Some(value)).ok().flatten()
                    {
                        pulls.records.push((day, key::credential_of_pull_record(&key), record));
                    }
                }
            }
            Ok(pulls)
        };
        self.in_database(read).unwrap_or_default()
    }

    /// Returns records in their order after one, or from the first; at most `limit`. Nothing if the database cannot be
    /// read.
    pub(in crate::store) fn stored_pull_records(
        &self,
        after: Option<&StoredPullRecord>,
        limit: usize,
    ) -> Vec<StoredPullRecord> {
        let from = after.map_or(Bound::Unbounded, |record| Bound::Excluded(record.key()));
        let read = || {
            let mut records = Vec::new();
            for entry in self.pull_records.range((from.clone(), Bound::Unbounded)).take(limit) {
                let (key, value) = entry?;
                records.extend(StoredPullRecord::of(&key, value.to_vec()));
            }
            Ok(records)
        };
        self.in_database(read).unwrap_or_default()
    }

    /// Removes the records of earlier days. Reads nothing else.
    pub fn forget_pull_records_before(&self, day: Day) {
        let mut held = self.pull_record_bytes();
        self.in_database(|| {
            let removed = self.remove_pull_records(self.pull_records.range(..key::day_of_pulls(day)))?;
            *held = held.map(|bytes| bytes.saturating_sub(removed.0));
            Ok(())
        });
    }

    /// Adds one record.
    fn add_pull_record(
        &self,
        key: &PullKey,
        record: &PullRecord,
        (bytes, max_bytes): (&mut u64, u64),
        added: &mut AddedPullRecords,
    ) -> Result<(), StoreError> {
        let stored_key = key::pull_record(key);
        let before = self.pull_records.get(&stored_key)?;
        let mut sum = record.clone();
        if let Some(mut earlier) = read::<PullRecord>(before.clone()).ok().flatten() {
            earlier.add(record);
            sum = earlier;
        }
        let value = serde_json::to_vec(&sum)?;
        let length = (stored_key.len() + value.len()) as u64;
        if before.is_none() {
            while *bytes + length > max_bytes {
                let Some((freed, pulls)) = self.remove_first_day_before(key.day)? else {
                    added.dropped += record.count;
                    return Ok(());
                };
                *bytes = bytes.saturating_sub(freed);
                added.dropped += pulls;
            }
        }
        let replaced = before.map_or(0, |before| (stored_key.len() + before.len()) as u64);
        *bytes = (*bytes + length).saturating_sub(replaced);
        added.sums.extend(StoredPullRecord::of(&stored_key, value.clone()));
        self.pull_records.insert(stored_key, value)?;
        Ok(())
    }

    /// Removes the records of the first day that has some, if it is before this one. Returns their bytes and the number
    /// of their pulls.
    fn remove_first_day_before(&self, day: Day) -> Result<Option<(u64, u64)>, StoreError> {
        let first = self.pull_records.iter().keys().next().transpose()?;
        let first = first.and_then(|key| key::day_of_pull_record(&key)).filter(|first| *first < day);
        let Some(first) = first else { return Ok(None) };
        Ok(Some(self.remove_pull_records(self.pull_records.scan_prefix(key::day_of_pulls(first)))?))
    }

    fn remove_pull_records(&self, records: sled::Iter) -> Result<(u64, u64), StoreError> {
        let (mut bytes, mut pulls) = (0, 0);
        for entry in records {
            let (key, value) = entry?;
            bytes += (key.len() + value.len()) as u64;
            pulls += read::<PullRecord>(Some(value)).ok().flatten().map_or(0, |record| record.count);
            self.pull_records.remove(key)?;
        }
        Ok((bytes, pulls))
    }

    fn size_of_pull_records(&self) -> Result<u64, StoreError> {
        let length = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = entry?;
            Ok((key.len() + value.len()) as u64)
        };
        self.pull_records.iter().map(length).sum()
    }

    /// Returns the size of all records, if it was counted since the start. Held while records are written.
    fn pull_record_bytes(&self) -> MutexGuard<'_, Option<u64>> {
        self.pull_record_bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::id::{CredentialId, GroupId};
    use crate::domain::policy::Identity;

    fn key(day: u32, tag: &str, credential: u8) -> PullKey {
        PullKey {
            day: Day(day),
            group: GroupId(1),
            upstream: "docker.io".parse().unwrap(),
            repository: "library/alpine".parse().unwrap(),
            reference: tag.parse().unwrap(),
            credential: (credential > 0).then(|| CredentialId::from_random([credential; 16])),
        }
    }

    fn record() -> PullRecord {
        PullRecord::of(&Identity::Nobody, [10, 0, 0, 1].into(), Timestamp::UNIX_EPOCH)
    }

    /// Returns the days, credentials and counts of a tag.
    fn found(index: &Index, tag: &str, (skip, limit): (usize, usize)) -> (Vec<(u32, bool, u64)>, usize) {
        let PullKey { group, upstream, repository, reference, .. } = key(0, tag, 0);
        let query = PullsQuery { group, upstream, repository, reference, first: Day(1), last: Day(9), skip, limit };
        let pulls = index.pull_records(&query);
        let short = |(day, credential, record): &(Day, Option<CredentialId>, PullRecord)| {
            (day.0, credential.is_some(), record.count)
        };
        (pulls.records.iter().map(short).collect(), pulls.total)
    }

    #[test]
    fn records_of_an_image_are_summed_by_day_and_credential_and_survive_a_restart() {
        let (data, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let open = || Index::open(data.path(), cache.path()).unwrap();
        let index = open();
        let pulls = [key(2, "3", 0), key(2, "3", 1), key(3, "3", 1), key(2, "3.1", 1), key(3, "3", 1)];
        let records: Vec<_> = pulls.into_iter().map(|key| (key, record())).collect();
        assert_eq!(index.add_pull_records(&records, u64::MAX).unwrap().dropped, 0);
        index.close().unwrap();
        drop(index);
        let index = open();
        assert_eq!(found(&index, "3", (0, 9)), (vec![(3, true, 2), (2, false, 1), (2, true, 1)], 3));
        assert_eq!(found(&index, "3", (1, 1)), (vec![(2, false, 1)], 3));
        index.forget_pull_records_before(Day(3));
        assert_eq!(found(&index, "3", (0, 9)), (vec![(3, true, 2)], 1));
        assert_eq!(found(&index, "3.1", (0, 9)), (vec![], 0));
    }

    #[test]
    fn the_oldest_day_goes_first_where_there_are_too_many_and_the_present_day_is_only_added_to() {
        let (data, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let index = Index::open(data.path(), cache.path()).unwrap();
        let one = (key::pull_record(&key(1, "3", 1)).len() + serde_json::to_vec(&record()).unwrap().len()) as u64;
        let add = |day, credential| {
            index.add_pull_records(&[(key(day, "3", credential), record())], 3 * one + one / 2).unwrap().dropped
        };
        assert_eq!([add(1, 1), add(1, 2), add(2, 1), add(2, 1)], [0; 4]);
        assert_eq!((add(3, 1), found(&index, "3", (0, 9)).0), (2, vec![(3, true, 1), (2, true, 2)]));
        assert_eq!((add(3, 2), add(3, 3)), (0, 2));
        assert_eq!((add(3, 4), add(3, 1)), (1, 0));
        assert_eq!(found(&index, "3", (0, 9)).0, [(3, true, 2), (3, true, 1), (3, true, 1)]);
    }
}
