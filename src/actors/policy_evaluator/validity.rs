//! The time for which the directory in memory may be used, on one of several replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep};

use crate::domain::fleet::validity::MachineTime;

/// The time for which the directory may be used: without end where no other process changes it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Validity(Option<Arc<AtomicU64>>);

/// The error where the directory may be too old: neither engine of the fleet has responded in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the database and the object store that this service shares with other replicas do not respond; try again shortly"
)]
pub struct TooOld;

/// Maximum time for which a request waits for a look at the store.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
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
        self.0.as_ref().is_none_or(|until| machine_nanos() < until.load(Ordering::Acquire))
    }

    /// Waits until the directory may be used, for a second at most.
    ///
    /// # Errors
    ///
    /// Fails if it may still not be used then.
    pub async fn hold(&self) -> Result<(), TooOld> {
        let began = Instant::now();
        while !self.holds() {
            if began.elapsed() >= LOOK_TIMEOUT {
                return Err(TooOld);
            }
            sleep(WAIT_INTERVAL).await;
        }
        Ok(())
    }

    /// Lets the directory be used up to this time. It must have been published before.
    pub fn extend(&self, until: MachineTime) {
        if let Some(known) = &self.0 {
            known.fetch_max(u64::try_from(until.0.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
        }
    }

    /// Returns the time up to which the directory may be used; `None`: always.
    pub fn until(&self) -> Option<MachineTime> {
        self.0.as_ref().map(|until| MachineTime(Duration::from_nanos(until.load(Ordering::Acquire))))
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
        assert_eq!(validity.hold().await, Err(TooOld));
        let looks = validity.clone();
        actix_rt::spawn(async move {
            sleep(Duration::from_millis(50)).await;
            looks.extend(machine_time() + Duration::from_secs(60));
        });
        validity.hold().await.unwrap();
    }
}
