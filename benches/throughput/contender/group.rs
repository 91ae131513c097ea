//! The processes of one server: started as a group of their own, measured together, and ended together, also where the bench
//! panics or is interrupted. Touches no process that it did not start.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::usage::{self, Usage};

/// The groups that run, for [`end_all`].
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A server's processes.
pub struct Group {
    leader: Child,
    id: Pid,
}

impl Group {
    /// Starts it with an empty standard input and both outputs in this file.
    pub fn spawn(mut command: Command, log: &Path) -> io::Result<Self> {
        let log = fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let leader = command.spawn()?;
        let id = Pid::from_child(&leader);
        running.push(id);
        Ok(Self { leader, id })
    }

    /// Whether the first process is still there.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.leader.try_wait(), Ok(None))
    }

    /// What all its processes have used so far.
    pub fn usage(&self) -> Usage {
        usage::of_group(self.id.as_raw_nonzero().get())
    }

    /// Forgets how much memory it had at most: from now on that is counted anew.
    pub fn reset_peak(&self) {
        usage::reset_peak(self.id.as_raw_nonzero().get());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _gone = kill_process_group(self.id, Signal::KILL);
        let _reaped = self.leader.wait();
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|id| *id != self.id);
    }
}

/// Ends every server at once, and lets no other be started: the last thing before the bench itself ends early.
pub fn end_all() {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    for id in running.drain(..) {
        let _gone = kill_process_group(id, Signal::KILL);
    }
    std::mem::forget(running);
}
