//! Gets log lines to standard error, many with one system call: a line of a pull would otherwise cost as much as a third of the
//! pull. Only a thread of its own writes, so that nobody else waits for whoever reads the log. A line waits for 50 ms at most, a warning
//! and an error not at all; where the reader is slower than that, lines wait up to a maximum in bytes, and beyond it they are dropped and
//! counted. Never cuts a line in two.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::log_output::Output;

thread_local! {
    static IS_LOG_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Lines that wait to be written. All clones are one.
#[derive(Clone)]
pub(super) struct Lines(Arc<Inner>);

struct Inner {
    max_bytes: usize,
    waiting: Mutex<Waiting>,
    /// There is something to write, or it is to be written now.
    added: Condvar,
    /// Something was written, or lost.
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Whether they are to be written now.
    urgent: bool,
    /// Bytes that were added since the start, and those of them that do not wait any more.
    added: u64,
    done: u64,
    /// Lines that were not written since the start, and those of them that the log tells of.
    dropped: u64,
    told: u64,
}

/// What one line is written with.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    urgent: bool,
}

/// So long a line waits for others.
const GATHER_TIMEOUT: Duration = Duration::from_millis(50);
/// Lines of more than so many bytes wait for no others.
const BATCH_BYTES: usize = 64 << 10;

impl Lines {
    /// Lines to this output, written by a thread of their own; at most so many bytes wait beside those that are being written.
    pub(super) fn to(out: impl Write + Send + 'static, max_bytes: usize) -> io::Result<Self> {
        let waiting = Mutex::new(Waiting::default());
        let lines = Self(Arc::new(Inner { max_bytes, waiting, added: Condvar::new(), written: Condvar::new() }));
        let writing = lines.clone();
        let write = move || writing.write_to(Output::new(out));
        thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok(lines)
    }

    /// Waits until what was added before is written, but no longer than this.
    pub(super) fn finish(&self, timeout: Duration) {
        let mut waiting = self.waiting();
        let until = waiting.added;
        waiting.urgent = true;
        self.0.added.notify_one();
        let _finished_or_not = self.0.written.wait_timeout_while(waiting, timeout, |waiting| waiting.done < until);
    }

    /// Adds a whole line, or drops it where too much waits.
    pub(super) fn add(&self, line: &[u8], urgent: bool) {
        let mut waiting = self.waiting();
        let is_full = waiting.lines.len().saturating_add(line.len()) > self.0.max_bytes;
        // What the log says of its own missing lines must not be missing: it says that while lines wait.
        if is_full && !IS_LOG_THREAD.get() {
            waiting.dropped += 1;
            return;
        }
        let first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        waiting.added += line.len() as u64;
        let more_urgent = (urgent || waiting.lines.len() >= BATCH_BYTES) && !waiting.urgent;
        waiting.urgent |= more_urgent;
        if first || more_urgent {
            self.0.added.notify_one();
        }
    }

    /// How many bytes wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting().lines.len()
    }

    /// How many lines were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.waiting().dropped
    }

    fn write_to(&self, mut out: Output<impl Write>) {
        IS_LOG_THREAD.set(true);
        let mut batch = Vec::new();
        loop {
            self.gather(&mut batch);
            let lost = out.write(&batch);
            let untold = {
                let mut waiting = self.waiting();
                waiting.done += batch.len() as u64;
                waiting.dropped += lost;
                let untold = if lost == 0 { waiting.dropped - waiting.told } else { 0 };
                waiting.told += untold;
                untold
            };
            self.0.written.notify_all();
            if untold > 0 {
                tracing::warn!(
                    lines = untold,
                    "the log was not read or could not be written: lines are missing before this one"
                );
            }
            batch.clear();
            // One of the usual size is used again.
            if batch.capacity() > 4 * BATCH_BYTES {
                batch = Vec::new();
            }
        }
    }

    /// Waits for lines, and for others behind them, and takes them all.
    fn gather(&self, batch: &mut Vec<u8>) {
        let waiting = self.0.added.wait_while(self.waiting(), |waiting| waiting.lines.is_empty());
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let waiting = self.0.added.wait_timeout_while(waiting, GATHER_TIMEOUT, |waiting| !waiting.urgent);
        let (mut waiting, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.urgent = false;
        std::mem::swap(batch, &mut waiting.lines);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Whole lines at any time, whatever panicked.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, urgent: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line { lines: self, urgent: *metadata.level() <= Level::WARN }
    }
}

impl Write for Line<'_> {
    /// Takes one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.add(line, self.urgent);
        Ok(line.len())
    }

    /// Does nothing: nobody but the log's own thread waits for its reader.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const MAX_BYTES: usize = 1 << 20;

    /// Remembers each write as a text of its own.
    #[derive(Clone, Default)]
    struct Writes(Arc<Mutex<Vec<String>>>);

    impl Writes {
        fn seen(&self) -> Vec<String> {
            self.0.lock().unwrap().clone()
        }
    }

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes nothing until it is told to; then everything.
    struct Unread(Receiver<()>, Writes);

    impl Write for Unread {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once the sender is gone it is read.
            let _read = self.0.recv();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn later(lines: &Lines, text: &str) {
        Line { lines, urgent: false }.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn lines_wait_for_each_other_and_then_leave_by_themselves() {
        let writes = Writes::default();
        let lines = Lines::to(writes.clone(), MAX_BYTES).unwrap();
        later(&lines, "one\n");
        later(&lines, "two\n");
        let deadline = Instant::now() + LONG;
        while writes.seen().concat() != "one\ntwo\n" {
            assert!(Instant::now() < deadline, "{:?}", writes.seen());
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_warning_takes_with_it_what_waits_and_the_end_waits_for_both() {
        let writes = Writes::default();
        let lines = Lines::to(writes.clone(), MAX_BYTES).unwrap();
        later(&lines, "one\n");
        Line { lines: &lines, urgent: true }.write_all(b"warning\n").unwrap();
        lines.finish(LONG);
        assert_eq!(writes.seen().concat(), "one\nwarning\n");
    }

    #[test]
    fn nobody_waits_for_a_log_that_is_not_read_and_what_is_dropped_is_counted() {
        let (read, unread) = channel();
        let writes = Writes::default();
        let lines = Lines::to(Unread(unread, writes.clone()), 10_000).unwrap();
        let line = format!("{}\n", "x".repeat(999));
        for _ in 0..1000 {
            later(&lines, &line);
            Line { lines: &lines, urgent: true }.write_all(line.as_bytes()).unwrap();
        }
        assert!(lines.waiting_bytes() <= 10_000);
        lines.finish(Duration::from_millis(50));
        assert_eq!(writes.seen().len(), 0);
        drop(read);
        lines.finish(LONG);
        let seen = writes.seen();
        assert!(seen.iter().all(|write| write.ends_with('\n')));
        assert!((10..=20).contains(&(seen.concat().len() / line.len())), "the oldest are kept");
        assert_eq!(seen.concat().len() / line.len() + usize::try_from(lines.dropped()).unwrap(), 2000);
    }
}
