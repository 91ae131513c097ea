//! Daemons that run as long as a value lives.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A separate Docker engine and containerd, for the clients that need one. Root only; ready within a second.
pub(crate) struct Engines {
    held: Held,
}

impl Engines {
    /// Starts both and waits until they respond.
    pub(crate) fn start() -> Self {
        let command = [script("with-dockerd.sh"), script("with-containerd.sh")];
        let held = Held::start(command, &["DOCKER_HOST", "CONTAINERD_ADDRESS"]);
        Self { held }
    }

    /// Returns the environment variables for the clients' scripts.
    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.held.variables
    }
}

/// A chain of `with-*.sh` scripts; dropping it ends their daemons and waits until they have ended.
pub(super) struct Held {
    child: Child,
    variables: BTreeMap<String, String>,
}

impl Held {
    /// Starts `command`, which ends in a `with-*.sh` script and its arguments, and reads the variables that it exports.
    pub(super) fn start(command: impl IntoIterator<Item = String>, variables: &[&str]) -> Self {
        let mut command = command.into_iter();
        let mut child = Command::new(command.next().unwrap())
            .args(command)
            .arg(script("hold.sh"))
            .args(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let variables: BTreeMap<_, _> = lines
            .take(variables.len())
            .map(|line| line.unwrap().split_once('=').map(|(name, value)| (name.into(), value.into())).unwrap())
            .collect();
        assert!(!variables.is_empty(), "the daemons did not start: see standard error");
        Self { child, variables }
    }

    /// Returns one of the exported variables.
    pub(super) fn variable(&self, name: &str) -> &str {
        &self.variables[name]
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // `hold.sh` ends when its standard input does, and the scripts around it end the daemons they started.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Returns the path of a script in `tests/clients`.
pub(super) fn script(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "clients", name].iter().collect();
    path.into_os_string().into_string().unwrap()
}
