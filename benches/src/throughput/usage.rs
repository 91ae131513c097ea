//! CPU time and memory of a group of processes, from `/proc`.

use std::fs;
use std::iter::Sum;
use std::ops::Sub;

/// Unit of CPU time in `/proc` on all common machines (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time and memory of all processes of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU time in seconds, in user mode and in the kernel.
    pub cpu_seconds: f64,
    /// Resident memory in bytes, summed: pages that processes share count for each of them.
    pub resident: u64,
    /// Maximum resident memory in bytes: the sum of the processes' maxima.
    pub peak: u64,
}

/// Returns the usage of this process group so far.
pub fn of_group(group: i32) -> Usage {
    members(group).into_iter().map(of_process).sum()
}

/// Resets the maximum resident memory of these processes.
pub fn reset_peak(group: i32) {
    for pid in members(group) {
        // Where this is not allowed, the reported maximum is that of the process's whole life.
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            cpu_seconds: sum.cpu_seconds + one.cpu_seconds,
            resident: sum.resident + one.resident,
            peak: sum.peak + one.peak,
        })
    }
}

impl Sub for Usage {
    type Output = Self;

    /// Returns the CPU time since `earlier`, with the present memory.
    fn sub(self, earlier: Self) -> Self {
        Self { cpu_seconds: (self.cpu_seconds - earlier.cpu_seconds).max(0.0), ..self }
    }
}

fn members(group: i32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|stat| stat.group == group)).collect()
}

fn of_process(pid: u32) -> Usage {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let cpu_ticks = stat(pid).map_or(0, |stat| stat.cpu_ticks);
    Usage {
        cpu_seconds: cpu_ticks as f64 / TICKS_PER_SECOND,
        resident: kib(&status, "VmRSS:") * 1024,
        peak: kib(&status, "VmHWM:") * 1024,
    }
}

struct Stat {
    group: i32,
    cpu_ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Parses `/proc/PID/stat`. The name of the process, in brackets, may contain anything: fields are
/// counted from behind it.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(Stat { group: fields.get(2)?.parse().ok()?, cpu_ticks: ticks(11)? + ticks(12)? })
}

fn kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use rustix::process::{Pid, Signal, kill_process_group};

    use super::*;

    /// A process that is ended with the test.
    struct Ended(Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            let _ = self.0.wait();
        }
    }

    #[test]
    fn all_processes_of_a_group_are_measured_together() {
        // Each of the two uses 40 MB and has used some CPU time when it prints.
        let one = "(x=$(head -c 40000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo x; sleep 100; :)";
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{one} & {one} & wait")]).process_group(0);
        let mut group = Ended(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
        let mut said = [0; 4];
        group.0.stdout.take().unwrap().read_exact(&mut said).unwrap();
        let used = of_group(i32::try_from(group.0.id()).unwrap());
        assert!(used.resident > 60_000_000 && used.peak >= used.resident, "{used:?}");
        assert!(used.cpu_seconds > 0.0, "{used:?}");
        assert_eq!(of_group(i32::MAX), Usage::default());
    }
}
