//! A buffered log writer. It writes many lines with one system call, because a system call for each line would cost
//! as much as a third of a pull. Only its own thread writes, so that no other thread waits for the reader of the log.
//! A line is buffered for at most 50 ms, a warning or an error not at all. If the reader is slower, lines are
//! buffered up to a maximum number of bytes, and further ones are dropped and counted. No line is ever split.

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

/// The buffer of the lines to be written. All clones share it.
#[derive(Clone)]
pub(super) struct Lines(Arc<Inner>);

struct Inner {
    max_bytes: usize,
    waiting: Mutex<Waiting>,
    /// Notified when there is something to write, or when it becomes urgent.
    added: Condvar,
    /// Notified when lines were written or lost.
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// True if the lines are to be written at once.
    urgent: bool,
    /// Bytes that were added since the start, and those of them that were written or lost.
    added: u64,
    done: u64,
    /// Lines that were dropped since the start, and those of them that a warning in the log has reported.
    dropped: u64,
    reported: u64,
}

/// The writer of one line.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    urgent: bool,
}

/// Maximum time that a line is buffered.
const GATHER_TIMEOUT: Duration = Duration::from_millis(50);
/// Buffer size in bytes at which the lines are written without waiting for more.
const BATCH_BYTES: usize = 64 << 10;

impl Lines {
    /// Starts a thread that writes lines to this output. At most `max_bytes` are buffered, apart from those that are
    /// being written.
    ///
    /// # Errors
    /// Fails if the thread cannot be started.
    pub(super) fn to(out: impl Write + Send + 'static, max_bytes: usize) -> io::Result<Self> {
        let waiting = Mutex::new(Waiting::default());
        let lines = Self(Arc::new(Inner { max_bytes, waiting, added: Condvar::new(), written: Condvar::new() }));
        let writing = lines.clone();
        let write = move || writing.write_to(Output::new(out));
        thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok(lines)
    }

    /// Waits until all lines that were added before are written, but no longer than this timeout.
    pub(super) fn finish(&self, timeout: Duration) {
        let mut waiting = self.waiting();
        let until = waiting.added;
        waiting.urgent = true;
        self.0.added.notify_one();
        // Whether it is finished or timed out makes no difference here.
        drop(self.0.written.wait_timeout_while(waiting, timeout, |waiting| waiting.done < until));
    }

    /// Adds a whole line, or drops it if the buffer is full.
    pub(super) fn add(&self, line: &[u8], urgent: bool) {
        let mut waiting = self.waiting();
        let is_full = waiting.lines.len().saturating_add(line.len()) > self.0.max_bytes;
        // The log thread's own warning about dropped lines is exempt: it is logged exactly when the buffer may be
        // full.
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

    /// Returns the number of buffered bytes.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting().lines.len()
    }

    /// Returns the number of lines dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.waiting().dropped
    }

    fn write_to(&self, mut out: Output<impl Write>) {
        IS_LOG_THREAD.set(true);
        let mut batch = Vec::new();
        loop {
            self.gather(&mut batch);
            let lost = out.write(&batch);
            let unreported = {
                let mut waiting = self.waiting();
                waiting.done += batch.len() as u64;
                waiting.dropped += lost;
                // While writing fails, a warning would be lost, too.
                let unreported = if lost == 0 { waiting.dropped - waiting.reported } else { 0 };
                waiting.reported += unreported;
                unreported
            };
            self.0.written.notify_all();
            if unreported > 0 {
                tracing::warn!(
                    lines = unreported,
                    "the log was not read or could not be written: lines are missing before this one"
                );
            }
            batch.clear();
            // A buffer of the usual size is reused; a larger one is freed.
            if batch.capacity() > 4 * BATCH_BYTES {
                batch = Vec::new();
            }
        }
    }

    /// Waits for a first line and then for more, and takes all of them.
    fn gather(&self, batch: &mut Vec<u8>) {
        let waiting = self.0.added.wait_while(self.waiting(), |waiting| waiting.lines.is_empty());
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let waiting = self.0.added.wait_timeout_while(waiting, GATHER_TIMEOUT, |waiting| !waiting.urgent);
        let (mut waiting, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.urgent = false;
        std::mem::swap(batch, &mut waiting.lines);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A panic of another thread cannot leave a partial line here, so a poisoned lock is used on.
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
    /// Adds one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.add(line, self.urgent);
        Ok(line.len())
    }

    /// Does nothing: only the log thread waits for the reader of the log.
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

    /// An output that records each write as a text of its own.
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

    /// An output that accepts nothing until the sender sends or is dropped, and then everything.
    struct Unread(Receiver<()>, Writes);

    impl Write for Unread {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Fails once the sender is dropped, which means that the output is read from now on.
            let _ = self.0.recv();
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
