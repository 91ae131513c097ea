//! Pulls of images: counted in memory, written to the index every few seconds. Those of one credential within a minute
//! count as one, because clients send several requests for one pull.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::once_per_second::OncePerSecond;
use crate::domain::id::{CredentialId, GroupId};
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;
use crate::store::images::{ImageKey, Pulls};

/// Pulls that are not written yet. Cheap to clone; clones share their state.
#[derive(Clone, Default)]
pub struct PullCounts(Arc<Inner>);

#[derive(Default)]
struct Inner {
    unwritten: Mutex<HashMap<ImageKey, Pulls>>,
    /// Repeated pulls within one minute skip the mutex.
    counted: OncePerSecond<16_384>,
    hasher: RandomState,
}

/// Maximum number of images with pulls that are not written. Those of further ones are not counted until then.
const MAX_UNWRITTEN: usize = 100_000;

/// Time within which the pulls of an image by one credential count as one, in seconds.
const WINDOW_SECONDS: i64 = 60;

impl PullCounts {
    /// Counts a pull now. `credential` is that of the caller; all callers without one count together.
    pub fn note(
        &self,
        group: GroupId,
        origin: &Origin,
        reference: &Reference,
        credential: Option<CredentialId>,
        now: Timestamp,
    ) {
        let number = self.0.hasher.hash_one((group, origin, reference, credential));
        let minute = now.as_second().div_euclid(WINDOW_SECONDS);
        self.0.counted.note(number, Timestamp::from_second(minute).unwrap_or(now), || {
            let image = ImageKey { group, origin: origin.clone(), reference: reference.clone() };
            let mut unwritten = self.unwritten();
            if unwritten.len() < MAX_UNWRITTEN || unwritten.contains_key(&image) {
                let pulls = unwritten.entry(image).or_insert(Pulls { count: 0, last: now });
                (pulls.count, pulls.last) = (pulls.count + 1, pulls.last.max(now));
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
            let pulls = unwritten.entry(image).or_insert(Pulls { count: 0, last: earlier.last });
            (pulls.count, pulls.last) = (pulls.count + earlier.count, pulls.last.max(earlier.last));
        }
    }

    fn unwritten(&self) -> MutexGuard<'_, HashMap<ImageKey, Pulls>> {
        self.0.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::origin::Account;

    #[test]
    fn pulls_of_a_credential_within_a_minute_are_one_and_those_of_others_are_not() {
        let (pulls, at) = (PullCounts::default(), |second| Timestamp::from_second(second).unwrap());
        let repository = "library/alpine".parse().unwrap();
        let origin = Origin { upstream: "docker.io".parse().unwrap(), account: Account::Anonymous, repository };
        let reference: Reference = "latest".parse().unwrap();
        let credentials = [1, 2].map(|byte| Some(CredentialId::from_random([byte; 16])));
        for (second, credential) in [(60, 0), (61, 0), (119, 1), (119, 0), (120, 0)] {
            pulls.note(GroupId(1), &origin, &reference, credentials[credential], at(second));
        }
        let image = ImageKey { group: GroupId(1), origin, reference };
        assert_eq!(pulls.take(), HashMap::from([(image, Pulls { count: 3, last: at(120) })]));
        assert_eq!(pulls.take(), HashMap::new());
    }
}
