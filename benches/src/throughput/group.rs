//! The processes of one server, as a process group: measured together, and ended together, even if the bench panics
//! or is interrupted. No other process is affected.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::throughput::usage::{self, Usage};

/// The running groups, for [`end_all`].
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// The process group of a server.
pub struct Group {
    leader: Child,
    id: Pid,
}

impl Group {
    /// Starts the command with an empty standard input, and both outputs in this file.
    pub fn spawn(mut command: Command, log: &Path) -> io::Result<Self> {
        let log = fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let leader = command.spawn()?;
        let id = Pid::from_child(&leader);
        running.push(id);
        Ok(Self { leader, id })
    }

    /// Returns true where the first process is running.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.leader.try_wait(), Ok(None))
    }

    /// Returns the id of the first process, which is that of the group.
    pub fn id(&self) -> Pid {
        self.id
    }

    /// Sends a signal to all its processes. Fails where they have ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process_group(self.id, signal)?)
    }

    /// Returns the usage of all its processes so far.
    pub fn usage(&self) -> Usage {
        usage::of_group(self.id.as_raw_nonzero().get())
    }

    /// Resets the maximum of resident memory.
    pub fn reset_peak(&self) {
        usage::reset_peak(self.id.as_raw_nonzero().get());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // This fails where the processes have ended already.
        let _ = kill_process_group(self.id, Signal::KILL);
        let _ = self.leader.wait();
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|id| *id != self.id);
    }
}

/// Ends every server and prevents new ones from starting; used just before the bench ends early.
pub fn end_all() {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    for id in running.drain(..) {
        let _ = kill_process_group(id, Signal::KILL);
    }
    std::mem::forget(running);
}
