//! An output for whole lines that copes with a file or pipe that is full, closed or non-blocking. A line of which
//! only a part could be written is completed before anything else by the next write that succeeds.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

/// Standard output or standard error without the lock of the standard library: a write to a pipe that nobody reads
/// would hold that lock for ever.
pub(super) struct Unlocked(OwnedFd);

impl Unlocked {
    pub(super) fn standard_error() -> io::Result<Self> {
        Ok(Self(io::stderr().as_fd().try_clone_to_owned()?))
    }

    pub(super) fn standard_output() -> io::Result<Self> {
        Ok(Self(io::stdout().as_fd().try_clone_to_owned()?))
    }
}

impl Write for Unlocked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The output for log lines.
pub(super) struct Output<W> {
    out: W,
    /// The rest of a line of which the beginning was written.
    rest: Vec<u8>,
}

/// Interval between attempts to write to a full non-blocking pipe.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

impl<W: Write> Output<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, rest: Vec::new() }
    }

    /// Writes these lines, without a time limit. Returns the number of lines that are lost because writing fails.
    pub(super) fn write(&mut self, lines: &[u8]) -> u64 {
        let written = write(&mut self.out, &self.rest);
        self.rest.drain(..written);
        if !self.rest.is_empty() {
            return count(lines);
        }
        let written = write(&mut self.out, lines);
        let (before, after) = lines.split_at(written);
        let begun = before.last().is_some_and(|last| *last != b'\n');
        let rest = after.iter().position(|byte| *byte == b'\n').filter(|_| begun).map_or(0, |end| end + 1);
        self.rest.extend_from_slice(&after[..rest]);
        count(&after[rest..])
    }
}

/// Writes all bytes, or as many as can be written before an error. Returns the number of bytes written.
pub(super) fn write(out: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(more) if more > 0 => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The pipe is shared with other processes, and one of them made it non-blocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY_INTERVAL),
            Ok(_) | Err(_) => break,
        }
    }
    written
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output that accepts `at_a_time` bytes per write, and fails after `allowed` bytes in total until more are
    /// allowed.
    struct Limited {
        taken: Vec<u8>,
        at_a_time: usize,
        allowed: usize,
        failure: io::ErrorKind,
        fails_once: bool,
    }

    impl Write for Limited {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.at_a_time).min(self.allowed - self.taken.len());
            if taken == 0 {
                if self.fails_once {
                    self.allowed = usize::MAX;
                }
                return Err(self.failure.into());
            }
            self.taken.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output(allowed: usize, failure: io::ErrorKind, fails_once: bool) -> Output<Limited> {
        Output::new(Limited { taken: Vec::new(), at_a_time: 7, allowed, failure, fails_once })
    }

    #[test]
    fn a_pipe_that_does_not_block_gets_every_line_whole() {
        for allowed in 0..30 {
            let mut output = output(allowed, io::ErrorKind::WouldBlock, true);
            assert_eq!(output.write(b"first line\nsecond\nthird\n"), 0);
            assert_eq!(output.out.taken, b"first line\nsecond\nthird\n");
        }
    }

    #[test]
    fn a_full_disk_loses_lines_which_are_counted_and_cuts_none() {
        for allowed in 0..18 {
            let mut output = output(allowed, io::ErrorKind::StorageFull, false);
            let lost = output.write(b"first line\nsecond\n");
            assert_eq!(output.write(b"third\n"), 1, "still full");
            output.out.allowed = usize::MAX;
            assert_eq!(output.write(b"last\n"), 0);
            let expected: &[u8] = match lost {
                2 => b"last\n",
                1 => b"first line\nlast\n",
                _ => b"first line\nsecond\nlast\n",
            };
            assert_eq!(output.out.taken, expected, "{allowed}: {lost}");
        }
    }
}
