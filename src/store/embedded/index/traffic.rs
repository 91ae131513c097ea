//! Pulls and bytes of each group by hour, and those of all groups together. In sled alone.

use super::{Index, StoreError, key, read};
use crate::domain::id::GroupId;
use crate::domain::traffic::{Hour, Traffic};

/// Name of the tree in which the first version recorded traffic, by group and hour.
const FIRST_VERSION: &[u8] = b"traffic";

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
    /// database cannot be read. Looks up each hour by itself.
    pub fn traffic(&self, group: Option<GroupId>, since: Hour) -> Vec<(Hour, Traffic)> {
        let hour_at = |end: Option<sled::Result<sled::IVec>>| {
            let key = end.transpose()?;
            Ok::<_, StoreError>(key.and_then(|key| key::hour_of_traffic(&key)))
        };
        let read = || {
            let keys = || self.traffic.iter().keys();
            let (first, last) = (hour_at(keys().next())?, hour_at(keys().next_back())?);
            let Some((first, last)) = first.zip(last) else { return Ok(Vec::new()) };
            let hours = (first.max(since).0..=last.0).map(Hour);
            hours
                .filter_map(|hour| self.traffic_in(group, hour).map(|found| Some((hour, found?))).transpose())
                .collect()
        };
        self.in_database(read).unwrap_or_default()
    }

    /// Removes what is older than this hour. Reads nothing else.
    pub fn forget_traffic_before(&self, hour: Hour) {
        self.in_database(|| {
            for key in self.traffic.range(..key::traffic(hour, None)).keys() {
                self.traffic.remove(key?)?;
            }
            Ok(())
        });
    }

    /// Moves what the first version recorded, in a tree of its own with other keys. A crash during it is followed by a
    /// repetition.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full or fails.
    pub(super) fn adopt_traffic_of_first_version(&self) -> Result<(), StoreError> {
        if !self.database.tree_names().iter().any(|name| name == FIRST_VERSION) {
            return Ok(());
        }
        for entry in &self.database.open_tree(FIRST_VERSION)? {
            let (key, value) = entry?;
            if let Some(key) = key::traffic_of_first_version(&key) {
                self.traffic.insert(key, value)?;
            }
        }
        self.database.write_out()?;
        self.database.drop_tree(FIRST_VERSION)?;
        Ok(())
    }

    fn traffic_in(&self, group: Option<GroupId>, hour: Hour) -> Result<Option<Traffic>, StoreError> {
        Ok(read::<Traffic>(self.traffic.get(key::traffic(hour, group))?).ok().flatten())
    }

    fn add_to_hour(&self, group: Option<GroupId>, hour: Hour, more: Traffic) -> Result<(), StoreError> {
        let mut sum = self.traffic_in(group, hour)?.unwrap_or_default();
        sum += more;
        self.traffic.insert(key::traffic(hour, group), serde_json::to_vec(&sum)?)?;
        Ok(())
    }
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

    #[test]
    fn traffic_of_the_first_version_is_there_after_the_next_opening() {
        let (data, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let open = || Index::open(data.path(), cache.path()).unwrap();
        let hits = |hits| Traffic { hits, ..Traffic::default() };
        let index = open();
        let tree = index.database.open_tree(FIRST_VERSION).unwrap();
        for (group, hour, of) in [(0_u64, 8_u32, hits(3)), (7, 8, hits(1)), (7, 9, hits(2))] {
            let key = [group.to_be_bytes().as_slice(), &hour.to_be_bytes()].concat();
            tree.insert(key, serde_json::to_vec(&of).unwrap()).unwrap();
        }
        index.close().unwrap();
        drop((tree, index));
        for _ in 0..2 {
            let index = open();
            assert_eq!(index.traffic(Some(GroupId(7)), Hour(0)), [(Hour(8), hits(1)), (Hour(9), hits(2))]);
            assert_eq!(index.traffic(None, Hour(0)), [(Hour(8), hits(3))]);
            assert!(!index.database.tree_names().iter().any(|name| name == FIRST_VERSION));
            index.close().unwrap();
        }
    }
}
