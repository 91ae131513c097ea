//! The loopback that everything is measured on: one of the bench's own, where TCP is as Linux ships it. A machine may be set to
//! pace what it sends (BBR), which no server can do anything about and which hides what they differ in. Changes nothing
//! outside the bench's own processes.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// What Linux ships.
pub const CUBIC: &str = "cubic";

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
            Some(outside) => format!(
                "TCP is as Linux ships it, with {congestion_control}, in a network of the bench's own; the machine's has {outside}."
            ),
            None => format!("TCP is as the machine is set to, with {congestion_control}."),
        }
    }
}

/// Goes on in a network of the bench's own, which this process then is in, or tells that there can be none.
pub fn enter(congestion_control: &str) -> io::Result<Network> {
    let here = fs::read_to_string(CONGESTION_CONTROL)?.trim().to_owned();
    if let Ok(outside) = std::env::var(OUTSIDE) {
        return Ok(Network { congestion_control: here, outside: Some(outside) });
    }
    let probe = inside(congestion_control).arg("true").stdin(Stdio::null()).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        return Ok(Network { congestion_control: here, outside: None });
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
