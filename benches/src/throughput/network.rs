//! The loopback network of all measurements: a separate network namespace, with the default congestion control of
//! Linux. The machine may be set to pace what it sends (BBR), which hides the differences between servers. Other
//! processes are not affected.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

use crate::binary;

/// The default congestion control of Linux, and the one that every kernel has: neither paces what it sends.
const UNPACED: [&str; 2] = ["cubic", "reno"];

/// Environment variable that is set in the process inside the namespace: the congestion control of the machine outside.
const OUTSIDE: &str = "THROUGHPUT_BENCH_OUTSIDE";

const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// Shell command that brings the loopback up, sets the congestion control `$1`, and executes the remaining arguments.
const INSIDE: &str =
    "ip link set lo up && echo \"$1\" > /proc/sys/net/ipv4/tcp_congestion_control && shift && exec \"$@\"";

/// TCP settings of the measurements, for the report.
#[derive(Clone, Debug)]
pub struct Network {
    /// TCP congestion control algorithm (tcp(7), `tcp_congestion_control`).
    pub congestion_control: String,
    /// Congestion control outside, if the bench runs in a namespace.
    pub outside: Option<String>,
}

impl Network {
    /// Formats the settings as a sentence.
    pub fn describe(&self) -> String {
        let Self { congestion_control, outside } = self;
        match outside {
            Some(outside) => {
                format!("TCP uses {congestion_control}, in a separate network namespace; outside it is {outside}.")
            }
            None => format!("TCP uses {congestion_control}, the setting of this machine."),
        }
    }
}

/// Re-executes this process in a network namespace, with this binary of the service: with the congestion control that
/// was requested, or else with the first of [`UNPACED`] that the machine allows. Where that is not possible: fails if
/// one was requested, else reports it and continues.
pub fn enter(asked_for: Option<&str>, binary: Option<&Path>) -> io::Result<Network> {
    let here = fs::read_to_string(CONGESTION_CONTROL)?.trim().to_owned();
    if let Ok(outside) = std::env::var(OUTSIDE) {
        return Ok(Network { congestion_control: here, outside: Some(outside) });
    }
    for congestion_control in asked_for.map_or(UNPACED.to_vec(), |one| vec![one]) {
        let Err(problem) = probe(congestion_control) else {
            return Err(execute_inside(congestion_control, here, binary));
        };
        eprintln!("No separate network namespace with {congestion_control} is available: {problem}");
    }
    match asked_for {
        Some(_) => Err(io::Error::other("the requested congestion control is not available")),
        None => Ok(Network { congestion_control: here, outside: None }),
    }
}

/// Returns why there is no namespace with this congestion control, if there is none.
fn probe(congestion_control: &str) -> Result<(), String> {
    match inside(congestion_control).arg("true").stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

/// Replaces this process by one inside such a namespace. Returns only if that failed.
fn execute_inside(congestion_control: &str, outside: String, binary: Option<&Path>) -> io::Error {
    let arguments = std::env::args_os().skip(1);
    let mut again = inside(congestion_control);
    match std::env::current_exe() {
        Ok(bench) => again.arg(bench).args(arguments).env(OUTSIDE, outside),
        Err(error) => return error,
    };
    // Nothing can be built inside, where no other machine can be reached.
    if let Some(binary) = binary {
        again.env(binary::VARIABLE, binary);
    }
    again.exec()
}

/// Returns a command that runs its further arguments in such a namespace.
fn inside(congestion_control: &str) -> Command {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--map-current-user", "--keep-caps"]);
    }
    unshare.args(["--net", "--", "sh", "-c", INSIDE, "sh", congestion_control]);
    unshare
}
