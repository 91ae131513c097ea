//! Gets log lines to standard error, many with one system call: a line of a pull would otherwise cost as much as a third of the
//! pull. Lines wait for 50 ms at most; a warning, an error and a panic take with them what waits. Never cuts a line in two.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written, and where to. All clones are one.
#[derive(Clone)]
pub(super) struct Lines(Arc<Inner>);

struct Inner {
    waiting: Mutex<Waiting>,
    some_wait: Condvar,
}

struct Waiting {
    lines: Vec<u8>,
    out: Box<dyn Write + Send>,
}

/// What one line is written with.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    at_once: bool,
}

/// So long a line waits for others.
const PATIENCE: Duration = Duration::from_millis(50);
/// Who adds more than so many bytes writes them, and waits where nobody reads.
const MOST: usize = 64 << 10;
/// So often, a millisecond apart, a pipe that is full and does not block is tried; ...
const TRIES: usize = 10;
/// ... and where so much waits for it, lines are lost.
const TOO_MUCH: usize = 16 * MOST;

impl Lines {
    /// Lines to this place, written by a thread of their own.
    pub(super) fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let waiting = Mutex::new(Waiting { lines: Vec::with_capacity(MOST), out: Box::new(out) });
        let lines = Self(Arc::new(Inner { waiting, some_wait: Condvar::new() }));
        let writing = lines.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_now_and_then())?;
        Ok(lines)
    }

    /// Writes what waits.
    pub(super) fn flush(&self) {
        self.waiting().write();
    }

    /// Writes what waits, unless somebody, perhaps this thread, is about to.
    pub(super) fn try_flush(&self) {
        match self.0.waiting.try_lock() {
            Ok(mut waiting) => waiting.write(),
            Err(TryLockError::Poisoned(waiting)) => waiting.into_inner().write(),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn write_now_and_then(&self) {
        loop {
            let waiting = self.0.some_wait.wait_while(self.waiting(), |waiting| waiting.lines.is_empty());
            drop(waiting);
            thread::sleep(PATIENCE);
            self.flush();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Whole lines at any time, whatever panicked.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Writes as much as the reader takes; the rest waits on. Where there is none any more, nobody can be told.
    fn write(&mut self) {
        let (mut written, mut tries) = (0, 0);
        while written < self.lines.len() {
            match self.out.write(&self.lines[written..]) {
                Ok(bytes) if bytes > 0 => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody set the pipe so that it does not block.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tries += 1;
                    if tries > TRIES {
                        break;
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(_) | Err(_) => written = self.lines.len(),
            }
        }
        self.lines.drain(..written);
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, at_once: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line { lines: self, at_once: *metadata.level() <= Level::WARN }
    }
}

impl Write for Line<'_> {
    /// Takes one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.lines.waiting();
        let first = waiting.lines.is_empty();
        if waiting.lines.len() < TOO_MUCH {
            waiting.lines.extend_from_slice(line);
        }
        if self.at_once || waiting.lines.len() >= MOST {
            waiting.write();
        } else if first {
            self.lines.0.some_wait.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush();
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::time::Instant;

    use super::*;

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

    fn later(lines: &Lines, text: &str) {
        Line { lines, at_once: false }.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn lines_wait_for_each_other_and_then_leave_by_themselves() {
        let writes = Writes::default();
        let lines = Lines::to(writes.clone()).unwrap();
        later(&lines, "one\n");
        later(&lines, "two\n");
        let deadline = Instant::now() + Duration::from_secs(20);
        while writes.seen().concat() != "one\ntwo\n" {
            assert!(Instant::now() < deadline, "{:?}", writes.seen());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes 7 bytes at a time, and none at every other time, as a pipe that does not block.
    struct Reluctant(Writes, bool);

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.write(&bytes[..bytes.len().min(7)]) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_pipe_that_does_not_block_gets_every_line_whole() {
        let writes = Writes::default();
        let lines = Lines::to(Reluctant(writes.clone(), false)).unwrap();
        let all: String = (0..100).map(|number| format!("line {number}\n")).collect();
        for line in all.split_inclusive('\n') {
            later(&lines, line);
        }
        while writes.seen().concat().len() < all.len() {
            lines.flush();
        }
        assert_eq!(writes.seen().concat(), all);
    }

    #[test]
    fn a_warning_takes_with_it_what_waits() {
        let writes = Writes::default();
        let lines = Lines::to(writes.clone()).unwrap();
        later(&lines, "one\n");
        Line { lines: &lines, at_once: true }.write_all(b"warning\n").unwrap();
        assert_eq!(writes.seen().concat(), "one\nwarning\n");
    }

    #[test]
    fn what_waits_is_bounded_and_no_line_is_cut() {
        let writes = Writes::default();
        let lines = Lines::to(writes.clone()).unwrap();
        let line = format!("{}\n", "x".repeat(999));
        for _ in 0..1000 {
            later(&lines, &line);
        }
        lines.flush();
        let seen = writes.seen();
        assert!(seen.iter().all(|write| write.len() <= MOST + line.len() && write.ends_with('\n')));
        assert_eq!(seen.concat().len(), 1000 * line.len());
    }
}
