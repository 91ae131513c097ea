//! The time for which a directory in memory may be used.

use std::ops::Add;
use std::time::Duration;

/// A time of this machine, counted from its start. It also counts while the machine is suspended, so that a machine
/// that wakes up does not take its directory for a fresh one. Not comparable with times of other machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MachineTime(pub Duration);

/// Maximum age of what a replica knows of the identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound(pub Duration);

impl Bound {
    /// Returns the time up to which a replica may decide by what a lookup in the store has shown that began at `begun`.
    pub fn valid_until(self, begun: MachineTime) -> MachineTime {
        begun + self.0
    }

    /// Returns the time after which no replica decides without a change that was logged at `logged`.
    pub fn over_everywhere(self, logged: MachineTime) -> MachineTime {
        // Clocks of two machines do not run equally fast, above all while one of them is corrected.
        logged + self.0 + self.0 / 5
    }

    /// Returns the larger one.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// Returns the maximum time of a look: one that begins an interval after another ends before what the other has
    /// shown is over. A shorter time would give up responses that are late, but still count.
    pub fn longest_look(self) -> Duration {
        self.0 - self.interval()
    }

    /// Returns the interval between the beginnings of two looks at the store.
    pub fn interval(self) -> Duration {
        self.0 / 4
    }
}

impl Add<Duration> for MachineTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}
