//! Steps of an interleaving, and who takes them.

use std::fmt;
use std::time::Duration;

/// Party that waits for a turn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who {
    /// A caller, by its number.
    Caller(usize),
    /// A request to upstream, by its number.
    Upstream(usize),
    /// Blocking work, by its number.
    Work(usize),
    /// A disturbance, by its number.
    Disturbance(usize),
}

impl Who {
    /// Returns a number that is nobody else's.
    pub(super) fn code(self) -> u64 {
        let (kind, number) = match self {
            Self::Caller(number) => (1, number),
            Self::Upstream(number) => (2, number),
            Self::Work(number) => (3, number),
            Self::Disturbance(number) => (4, number),
        };
        kind << 32 | number as u64
    }
}

/// A step of the interleaving.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Turn(Who),
    Time(Duration),
    Note(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turn(who) => write!(f, "{who:?}"),
            Self::Time(time) => write!(f, "{time:?} pass"),
            Self::Note(note) => write!(f, "    {note}"),
        }
    }
}
