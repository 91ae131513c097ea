//! Lines on standard output and standard error that block the caller for at most a second. A plain write to a full
//! pipe that nobody reads would block for ever.

use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use super::log_output::{self, Unlocked};

/// Maximum time that the caller waits for a line to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes a line to standard output, on a thread of its own. Returns when it is written or cannot be written, or
/// after a second. In the last case it is still written if the output is read before the process ends.
pub fn to_standard_output(line: &str) {
    write(Unlocked::standard_output(), line);
}

/// Works as [`to_standard_output`], for standard error.
pub fn to_standard_error(line: &str) {
    write(Unlocked::standard_error(), line);
}

fn write(to: io::Result<Unlocked>, line: &str) {
    let Ok(mut to) = to else { return };
    let line = format!("{line}\n");
    let (done, wait) = mpsc::channel();
    let writer = thread::Builder::new().name("line output".to_owned()).spawn(move || {
        // Fails if the output is closed, and then there is nobody to report it to.
        let _ = log_output::write(&mut to, line.as_bytes());
        // Fails if the caller has stopped waiting.
        let _ = done.send(());
    });
    if writer.is_ok() {
        let _ = wait.recv_timeout(WRITE_TIMEOUT);
    }
}
