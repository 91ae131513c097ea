//! Pulls and bytes of each group by hour, and those of all groups together. In sled alone.

use super::{Index, StoreError, key, read};
use crate::domain::id::GroupId;
use crate::domain::traffic::{Hour, Traffic};

impl Index {
    /// Adds what these groups had in an hour.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Full`] if there is no space for records, and if the file system does not report its
    /// free space.
    pub fn add_traffic(&self, hour: Hour, of_groups: &[(GroupId, Traffic)]) -> Result<(), StoreError> {
        if of_groups.is_empty() {
            return Ok(());
        }
        if !self.may_record()? {
            return Err(StoreError::Full);
        }
        let whole = Traffic::of_all(of_groups);
        self.in_database(|| {
            self.add_to_hour(None, hour, whole)?;
            of_groups.iter().try_for_each(|(group, traffic)| self.add_to_hour(Some(*group), hour, *traffic))
        });
        Ok(())
    }

    /// Returns the hours from `since` on in which a group, or any, had traffic, the earliest first; nothing if the
    /// database cannot be read.
    pub fn traffic(&self, group: Option<GroupId>, since: Hour) -> Vec<(Hour, Traffic)> {
        let read = || {
            let range = self.traffic.range(key::traffic(group, since)..=key::traffic(group, Hour(u32::MAX)));
            range.map(|entry| traffic_of(entry?)).collect()
        };
        self.in_database(read).unwrap_or_default()
    }

    /// Removes what is older than this hour. Looks at all records.
    pub fn forget_traffic_before(&self, hour: Hour) {
        self.in_database(|| {
            for key in self.traffic.iter().keys() {
                let key = key?;
                if key::hour_of_traffic(&key).is_none_or(|of_record| of_record < hour) {
                    self.traffic.remove(key)?;
                }
            }
            Ok(())
        });
    }

    fn add_to_hour(&self, group: Option<GroupId>, hour: Hour, more: Traffic) -> Result<(), StoreError> {
        let key = key::traffic(group, hour);
        let mut sum = read::<Traffic>(self.traffic.get(key)?).ok().flatten().unwrap_or_default();
        sum += more;
        self.traffic.insert(key, serde_json::to_vec(&sum)?)?;
        Ok(())
    }
}

fn traffic_of((key, value): (sled::IVec, sled::IVec)) -> Result<(Hour, Traffic), StoreError> {
    let traffic = read::<Traffic>(Some(value)).ok().flatten().unwrap_or_default();
    Ok((key::hour_of_traffic(&key).unwrap_or(Hour(0)), traffic))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_added_by_hour_and_group_and_old_hours_are_forgotten() {
        let (data, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let open = || Index::open(data.path(), cache.path()).unwrap();
        let (one, two) = (GroupId(1), GroupId(2));
        let hits = |hits| Traffic { hits, ..Traffic::default() };
        let index = open();
        index.add_traffic(Hour(8), &[(one, hits(1)), (two, hits(2))]).unwrap();
        index.add_traffic(Hour(8), &[(one, hits(4))]).unwrap();
        index.add_traffic(Hour(9), &[(one, hits(8))]).unwrap();
        assert_eq!(index.traffic(Some(one), Hour(0)), [(Hour(8), hits(5)), (Hour(9), hits(8))]);
        assert_eq!(index.traffic(Some(two), Hour(8)), [(Hour(8), hits(2))]);
        assert_eq!(index.traffic(Some(two), Hour(9)), []);
        index.close().unwrap();
        drop(index);
        let index = open();
        assert_eq!(index.traffic(None, Hour(0)), [(Hour(8), hits(7)), (Hour(9), hits(8))]);
        index.forget_traffic_before(Hour(9));
        assert_eq!(index.traffic(None, Hour(0)), [(Hour(9), hits(8))]);
        assert_eq!(index.traffic(Some(two), Hour(0)), []);
    }
}
