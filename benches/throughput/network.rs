//! The loopback that everything is measured on: one of the bench's own, with the congestion control that Linux ships. A machine
//! may be set to pace what it sends (BBR), which hides what servers differ in. Changes nothing for other processes.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// What Linux ships.
const CUBIC: &str = "cubic";

/// Set in the process that is inside: the congestion control of the machine outside.
const OUTSIDE: &str = "THROUGHPUT_BENCH_OUTSIDE";

const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// Brings the loopback up, sets what `$1` names, and becomes what follows.
const INSIDE: &str =
    "ip link set lo up && echo \"$1\" > /proc/sys/net/ipv4/tcp_congestion_control && shift && exec \"$@\"";

/// What TCP is like here, for whoever reads the figures.
#[derive(Clone, Debug)]
pub struct Network {
    /// How TCP decides how fast to send (tcp(7), `tcp_congestion_control`).
    pub congestion_control: String,
    /// The same of the machine, where the bench has a network of its own.
    pub outside: Option<String>,
}

impl Network {
    /// A sentence.
    pub fn describe(&self) -> String {
        let Self { congestion_control, outside } = self;
        match outside {
            Some(outside) => {
                format!("TCP has {congestion_control}, in a network of the bench's own; outside it is {outside}.")
            }
            None => format!("TCP has {congestion_control}, as this machine is set to."),
        }
    }
}

/// Goes on in a network of the bench's own, which this process then is in. Where there can be none, that is an error if a
/// congestion control was asked for, and else what is told.
pub fn enter(asked_for: Option<&str>) -> io::Result<Network> {
    let congestion_control = asked_for.unwrap_or(CUBIC);
    let here = fs::read_to_string(CONGESTION_CONTROL)?.trim().to_owned();
    if let Ok(outside) = std::env::var(OUTSIDE) {
        return Ok(Network { congestion_control: here, outside: Some(outside) });
    }
    let probe = inside(congestion_control).arg("true").stdin(Stdio::null()).output();
    let problem = match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    };
    if let Some(problem) = problem {
        eprintln!("The bench has no network of its own with {congestion_control}: {problem}");
        return match asked_for {
            Some(_) => Err(io::Error::other("what was asked for cannot be had")),
            None => Ok(Network { congestion_control: here, outside: None }),
        };
    }
    let mut again = inside(congestion_control);
    Err(again.arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(OUTSIDE, here).exec())
}

/// Runs in such a network what is added as arguments.
fn inside(congestion_control: &str) -> Command {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--map-current-user", "--keep-caps"]);
    }
    unshare.args(["--net", "--", "sh", "-c", INSIDE, "sh", congestion_control]);
    unshare
}
