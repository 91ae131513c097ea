//! A minute of a limit on log lines: a few lines are written, and those left out are counted.

use std::mem;
use std::time::{Duration, Instant};

/// The lines of one kind in the last window.
pub struct LineWindow {
    began: Instant,
    written: u32,
    left_out: u64,
}

/// Length of a window.
pub const WINDOW_LENGTH: Duration = Duration::from_secs(60);
/// Usual maximum number of lines in a window.
pub const MAX_LINES_PER_WINDOW: u32 = 10;

impl LineWindow {
    /// Begins a window without lines.
    pub fn new(now: Instant) -> Self {
        Self { began: now, written: 0, left_out: 0 }
    }

    /// Counts a line. Returns the number of lines that were left out before it if it may be written, and `None` if
    /// `max_lines` were written already. If the window has ended, the next one begins with this line.
    pub fn admit(&mut self, max_lines: u32, now: Instant) -> Option<u64> {
        if self.has_ended(now) {
            (self.began, self.written) = (now, 0);
        }
        if self.written == max_lines {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(mem::take(&mut self.left_out))
    }

    /// Returns true if the window has ended.
    pub fn has_ended(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= WINDOW_LENGTH
    }

    /// Returns the number of lines that were left out and not logged yet.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}
