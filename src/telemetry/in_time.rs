//! Lines on standard output and standard error that keep nobody waiting for longer than a second, whoever reads them: a pipe that is full
//! and that nobody reads would stop its writer for ever.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::log_output::{self, Unlocked};

/// How long the caller waits for a line to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes a line to standard output, on a thread of its own. Returns once it is written, cannot be written, or after a second: it is
/// written still if somebody reads it before the process ends.
pub fn to_standard_output(line: &str) {
    write(Unlocked::standard_output(), line);
}

/// As [`to_standard_output`], for standard error.
pub fn to_standard_error(line: &str) {
    write(Unlocked::standard_error(), line);
}

fn write(to: io::Result<Unlocked>, line: &str) {
    let Ok(mut to) = to else { return };
    let line = format!("{line}\n");
    let (done, wait) = mpsc::channel();
    let writer = thread::Builder::new().name("line output".to_owned()).spawn(move || {
        let _nobody_reads_it_any_more = log_output::write(&mut to, line.as_bytes());
        let _nobody_waits = done.send(());
    });
    if writer.is_ok() {
        let _written_or_too_late = wait.recv_timeout(WRITE_TIMEOUT);
    }
}
