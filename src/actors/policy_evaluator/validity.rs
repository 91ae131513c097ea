//! The time for which the directory in memory may be used, on one of several replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep};

use crate::domain::deadlines;
use crate::domain::fleet::validity::MachineTime;

/// The time for which the directory may be used: without end where no other process changes it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Validity(Option<Arc<Bounded>>);

#[derive(Debug, Default)]
struct Bounded {
    until: AtomicU64,
    has_other_secret: AtomicBool,
}

/// The error where the directory may be too old: neither engine of the fleet has shown in time what has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooOld {
    /// Neither of them has responded.
    #[error(
        "the database and the object store that this service shares with other replicas do not respond; try again shortly"
    )]
    Silent,
    /// The database has not responded, and the change log cannot be read.
    #[error(
        "the database that this service shares with other replicas does not respond, and what these have written into the object \
         store is signed with another secret than that of this replica; ask the operator"
    )]
    OtherSecret,
}

/// Interval between checks while it waits.
const WAIT_INTERVAL: Duration = Duration::from_millis(5);

impl Validity {
    /// Returns the validity of a directory that other replicas change as well: it may be used after the first look.
    pub fn bounded() -> Self {
        Self(Some(Arc::default()))
    }

    /// Returns true if the directory may be used now. A directory that is read after this has every change that was
    /// acknowledged before it.
    pub fn holds(&self) -> bool {
        self.0.as_ref().is_none_or(|known| machine_nanos() < known.until.load(Ordering::Acquire))
    }

    /// Waits until the directory may be used, for a second at most.
    ///
    /// # Errors
    ///
    /// Fails if it may still not be used then.
    pub async fn hold(&self) -> Result<(), TooOld> {
        let began = Instant::now();
        while !self.holds() {
            if began.elapsed() >= deadlines::IDENTITIES {
                return Err(self.too_old());
            }
            sleep(WAIT_INTERVAL).await;
        }
        Ok(())
    }

    /// Returns the reason why the directory may not be used.
    pub fn too_old(&self) -> TooOld {
        let has_other = self.0.as_ref().is_some_and(|known| known.has_other_secret.load(Ordering::Relaxed));
        if has_other { TooOld::OtherSecret } else { TooOld::Silent }
    }

    /// Records whether the change log is signed with another secret than that of this replica.
    pub fn note_other_secret(&self, has_other: bool) {
        if let Some(known) = &self.0 {
            known.has_other_secret.store(has_other, Ordering::Relaxed);
        }
    }

    /// Lets the directory be used up to this time. It must have been published before.
    pub fn extend(&self, until: MachineTime) {
        if let Some(known) = &self.0 {
            known.until.fetch_max(u64::try_from(until.0.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
        }
    }

    /// Returns the time up to which the directory may be used; `None`: always.
    pub fn until(&self) -> Option<MachineTime> {
        self.0.as_ref().map(|known| MachineTime(Duration::from_nanos(known.until.load(Ordering::Acquire))))
    }
}

/// Returns the time of this machine (clock_gettime(2), `CLOCK_BOOTTIME`).
pub fn machine_time() -> MachineTime {
    MachineTime(Duration::from_nanos(machine_nanos()))
}

fn machine_nanos() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn a_directory_that_nobody_else_changes_is_always_valid() {
        assert!(Validity::default().holds());
        assert_eq!(Validity::default().until(), None);
    }

    #[actix_rt::test]
    async fn a_shared_directory_is_valid_up_to_the_latest_extension() {
        let validity = Validity::bounded();
        assert!(!validity.holds());
        let later = machine_time() + Duration::from_secs(60);
        validity.extend(later);
        validity.extend(machine_time());
        assert!(validity.holds());
        assert_eq!(validity.until(), Some(later));
    }

    #[actix_rt::test]
    async fn a_request_waits_for_a_look_and_not_for_ever() {
        let validity = Validity::bounded();
        assert_eq!(validity.hold().await, Err(TooOld::Silent));
        validity.note_other_secret(true);
        assert_eq!(validity.too_old(), TooOld::OtherSecret);
        let looks = validity.clone();
        actix_rt::spawn(async move {
            sleep(Duration::from_millis(50)).await;
            looks.extend(machine_time() + Duration::from_secs(60));
        });
        validity.hold().await.unwrap();
    }
}
