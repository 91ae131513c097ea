//! Description of the machine and of the measured versions.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::throughput::network::Network;
use crate::throughput::{contender, load};

/// The machine, the servers' versions and the source.
#[derive(Debug)]
pub struct Machine {
    cores: usize,
    cpu: String,
    kernel: String,
    memory_bytes: u64,
    versions: Vec<(&'static str, Option<String>)>,
    commit: String,
    network: Network,
}

impl Machine {
    /// Collects the description.
    pub fn look(network: Network) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (cpuinfo, meminfo) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
        let kib = field(&meminfo, "MemTotal").split(' ').next().and_then(|kib| kib.parse::<u64>().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: field(&cpuinfo, "model name").to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_bytes: kib.unwrap_or_default() * 1024,
            versions: contender::ALL.iter().map(|kind| (kind.name(), kind.version())).collect(),
            commit: commit(),
            network,
        }
    }

    /// Formats the description for the beginning of the report.
    pub fn preamble(&self) -> String {
        let versions = self.versions.iter().map(|(name, version)| match version {
            Some(version) => format!("{name} {version}"),
            None => format!("{name} is not installed and left out"),
        });
        format!(
            "{} x {}, {} GiB, Linux {}; {}; commit {}.\n{}\n\
             The load generator ({} threads) shares the processors with the measured server: rates are lower bounds, \
             and ratios understate differences.\n\
             Ours checks the bearer token, the credential and the group at every request; the others check nothing.",
            self.cores,
            self.cpu,
            self.memory_bytes >> 30,
            self.kernel,
            versions.collect::<Vec<_>>().join(", "),
            self.commit,
            self.network.describe(),
            load::THREADS
        )
    }

    /// Returns the description as JSON.
    pub fn to_json(&self) -> Value {
        let versions = self.versions.iter().map(|(name, version)| ((*name).to_owned(), json!(version)));
        json!({
            "cores": self.cores,
            "cpu": self.cpu,
            "kernel": self.kernel,
            "memory_bytes": self.memory_bytes,
            "versions": versions.collect::<serde_json::Map<_, _>>(),
            "commit": self.commit,
            "congestion_control": self.network.congestion_control,
            "congestion_control_of_the_machine": self.network.outside,
        })
    }
}

/// Returns the value of the first line with this name.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']))
}

fn commit() -> String {
    let git =
        Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let text = git.ok().filter(|output| output.status.success()).map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}
