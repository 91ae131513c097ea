//! Shows on standard error that the measurement goes on: a line that changes on a terminal, else a line every few seconds.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::cli::output::{note, printable};

/// Counters that all clients move on, for a look at any time.
#[derive(Default)]
pub(super) struct Live {
    pulls: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
}

/// The line.
pub(super) struct Progress {
    /// None where there is no terminal.
    bar: Option<ProgressBar>,
    phase: RefCell<String>,
    started: Instant,
}

const ON_A_TERMINAL: Duration = Duration::from_millis(500);
const ELSEWHERE: Duration = Duration::from_secs(5);

impl Live {
    /// A pull succeeded.
    pub(super) fn pulled(&self) {
        self.pulls.fetch_add(1, Ordering::Relaxed);
    }

    /// A pull failed.
    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// So many bytes of content came.
    pub(super) fn received(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Progress {
    /// Shows nothing yet.
    pub(super) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = terminal.then(ProgressBar::new_spinner);
        Self { bar, phase: RefCell::default(), started: Instant::now() }
    }

    /// What is done from now on.
    pub(super) fn enter(&self, phase: String) {
        *self.phase.borrow_mut() = phase;
    }

    /// Shows these counters until it is dropped.
    pub(super) async fn show(&self, live: &Live) -> Infallible {
        let period = if self.bar.is_some() { ON_A_TERMINAL } else { ELSEWHERE };
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
                None => note(&text),
            }
        }
    }

    /// Takes the line off the terminal.
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
