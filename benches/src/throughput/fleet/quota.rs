//! Limits of the processor time of a replica, by a control group (cgroups(7)) of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

/// The period in microseconds in which a share of it may be used.
const PERIOD_MICROS: u64 = 100_000;

/// The hierarchy of version 2, and that of version 1 for processors.
const UNIFIED: &str = "/sys/fs/cgroup";
const PROCESSORS: &str = "/sys/fs/cgroup/cpu";

/// A control group with a limit. It is removed when dropped, which needs its processes to have ended before.
pub(super) struct Quota {
    folder: PathBuf,
}

impl Quota {
    /// Makes a group that may use this share of a processor.
    pub(super) fn new(number: usize, share: f64) -> io::Result<Self> {
        let name = format!("throughput-bench-{}-{number}", std::process::id());
        let made = if Path::new(UNIFIED).join("cgroup.controllers").exists() {
            Self::unified(&name, share)
        } else {
            Self::of_processors(&name, share)
        };
        made.map_err(|error| io::Error::other(format!("no limit of processor time can be set: {error}")))
    }

    /// Moves a process with all its threads into the group.
    pub(super) fn enter(&self, process: Pid) -> io::Result<()> {
        fs::write(self.folder.join("cgroup.procs"), process.as_raw_nonzero().to_string())
    }

    fn unified(name: &str, share: f64) -> io::Result<Self> {
        let root = Path::new(UNIFIED);
        fs::write(root.join("cgroup.subtree_control"), "+cpu")?;
        let quota = Self::make(root.join(name))?;
        fs::write(quota.folder.join("cpu.max"), format!("{} {PERIOD_MICROS}", micros(share)))?;
        Ok(quota)
    }

    fn of_processors(name: &str, share: f64) -> io::Result<Self> {
        let quota = Self::make(Path::new(PROCESSORS).join(name))?;
        fs::write(quota.folder.join("cpu.cfs_period_us"), PERIOD_MICROS.to_string())?;
        fs::write(quota.folder.join("cpu.cfs_quota_us"), micros(share).to_string())?;
        Ok(quota)
    }

    fn make(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir(&folder)?;
        Ok(Self { folder })
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

fn micros(share: f64) -> u64 {
    (PERIOD_MICROS as f64 * share) as u64
}
