//! Pulls of images: counted in memory, written to the index every few seconds. Those of one credential within a minute
//! count as one, because clients send several requests for one pull.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::once_per_tick::OncePerTick;
use super::pull_records::{ImagePull, PullRecords, minute};
use crate::store::images::{ImageKey, Pulls};

/// Pulls that are not written yet. Cheap to clone; clones share their state.
#[derive(Clone)]
pub struct PullCounts(Arc<Inner>);

struct Inner {
    unwritten: Mutex<HashMap<ImageKey, Pulls>>,
    /// Repeated pulls within one minute skip the mutex.
    counted: OncePerTick<16_384>,
    hasher: RandomState,
    /// Records of who pulled.
    records: PullRecords,
}

/// Maximum number of images with pulls that are not written. Those of further ones are not counted until then.
const MAX_UNWRITTEN: usize = 100_000;

impl PullCounts {
    /// Creates the counts, without pulls. `records` gets who pulled.
    pub fn new(records: PullRecords) -> Self {
        let (unwritten, counted) = (Mutex::default(), OncePerTick::default());
        Self(Arc::new(Inner { unwritten, counted, hasher: RandomState::new(), records }))
    }

    /// Counts a pull now. All callers without a credential count together.
    pub fn note(&self, pull: &ImagePull<'_>, now: Timestamp) {
        let ImagePull { group, origin, reference, identity, .. } = *pull;
        let hash_of_pull = self.0.hasher.hash_one((group, origin, reference, identity.credential()));
        self.0.records.note(hash_of_pull, pull, now);
        self.0.counted.note(hash_of_pull, minute(now), || {
            let image = ImageKey { group, origin: origin.clone(), reference: reference.clone() };
            let mut unwritten = self.unwritten();
            if unwritten.len() < MAX_UNWRITTEN || unwritten.contains_key(&image) {
                unwritten.entry(image).or_insert(Pulls { count: 0, last: now }).add(Pulls { count: 1, last: now });
            }
        });
    }

    /// Returns the pulls since the last call, by image.
    pub fn take(&self) -> HashMap<ImageKey, Pulls> {
        mem::take(&mut *self.unwritten())
    }

    /// Puts pulls back that could not be written.
    pub fn put_back(&self, pulls: HashMap<ImageKey, Pulls>) {
        let mut unwritten = self.unwritten();
        for (image, earlier) in pulls {
            unwritten.entry(image).and_modify(|pulls| pulls.add(earlier)).or_insert(earlier);
        }
    }

    fn unwritten(&self) -> MutexGuard<'_, HashMap<ImageKey, Pulls>> {
        self.0.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::actors::pull_records::PullRecordOptions;
    use crate::domain::id::{CredentialId, GroupId, UserId};
    use crate::domain::origin::{Account, Origin};
    use crate::domain::policy::Identity;
    use crate::domain::reference::Reference;
    use crate::domain::user::User;

    #[test]
    fn pulls_of_a_credential_within_a_minute_are_one_and_those_of_others_are_not() {
        let records = PullRecords::new(PullRecordOptions { pull_days: 0, max_pull_bytes: 0 });
        let (pulls, at) = (PullCounts::new(records), |second| Timestamp::from_second(second).unwrap());
        let repository = "library/alpine".parse().unwrap();
        let origin = Origin { upstream: "docker.io".parse().unwrap(), account: Account::Anonymous, repository };
        let reference: Reference = "latest".parse().unwrap();
        let user = Arc::new(User::new(UserId(1), "alice".parse().unwrap(), "", Timestamp::UNIX_EPOCH));
        let callers = [1, 2].map(|byte| Identity::User(user.clone(), CredentialId::from_random([byte; 16])));
        let (group, address) = (GroupId(1), IpAddr::V4(Ipv4Addr::LOCALHOST));
        for (second, caller) in [(60, 0), (61, 0), (119, 1), (119, 0), (120, 0)] {
            let identity = &callers[caller];
            pulls.note(&ImagePull { group, origin: &origin, reference: &reference, identity, address }, at(second));
        }
        let image = ImageKey { group: GroupId(1), origin, reference };
        assert_eq!(pulls.take(), HashMap::from([(image, Pulls { count: 3, last: at(120) })]));
        assert_eq!(pulls.take(), HashMap::new());
    }
}
