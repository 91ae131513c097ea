//! Progress on standard error: on a terminal one line that is updated, else a line every few seconds.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::cli::output::{print_note, printable};

/// Counters that all clients update during the measurement.
#[derive(Default)]
pub(super) struct Live {
    pulls: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
}

/// The progress line.
pub(super) struct Progress {
    /// The line on the terminal; `None` where standard error is no terminal.
    bar: Option<ProgressBar>,
    phase: RefCell<String>,
    started: Instant,
}

/// Interval at which the progress is shown on a terminal.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(500);
/// Interval at which a line is printed where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

impl Live {
    /// Counts a successful pull.
    pub(super) fn pulled(&self) {
        self.pulls.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failed pull.
    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts received bytes of content.
    pub(super) fn received(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Progress {
    /// Creates the line without printing it.
    pub(super) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = terminal.then(ProgressBar::new_spinner);
        Self { bar, phase: RefCell::default(), started: Instant::now() }
    }

    /// Sets the text of the current phase.
    pub(super) fn enter(&self, phase: String) {
        *self.phase.borrow_mut() = phase;
    }

    /// Prints these counters periodically, until the future is dropped.
    pub(super) async fn show(&self, live: &Live) -> Infallible {
        let period = if self.bar.is_some() { TERMINAL_INTERVAL } else { LINE_INTERVAL };
        let mut before = 0;
        loop {
            tokio::time::sleep(period).await;
            let bytes = live.bytes.load(Ordering::Relaxed);
            let rate = (bytes - before) as f64 / 1e6 / period.as_secs_f64();
            before = bytes;
            let counts = (live.pulls.load(Ordering::Relaxed), live.failed.load(Ordering::Relaxed));
            let text = line(self.started.elapsed(), &self.phase.borrow(), counts, rate);
            match &self.bar {
                Some(bar) => bar.set_message(printable(&text)),
                None => print_note(&text),
            }
        }
    }

    /// Removes the line from the terminal.
    pub(super) fn clear(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

fn line(elapsed: Duration, phase: &str, (pulls, failed): (u64, u64), rate: f64) -> String {
    format!("{:>4} s  {phase}: {pulls} images, {rate:.1} MB/s, {failed} failed", elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_done_and_how_it_goes() {
        let text = line(Duration::from_secs(12), "http://a", (34, 5), 67.89);
        assert_eq!(text, "  12 s  http://a: 34 images, 67.9 MB/s, 5 failed");
    }
}
