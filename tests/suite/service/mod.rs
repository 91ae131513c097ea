//! The real binary on a free port in a temporary folder, and short words for what tests do with it. Ends it with the test.

mod client;
mod connection;
mod ending;
mod identities;
mod secure;

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub use client::{Answer, Client};
pub use connection::Connection;
pub use identities::{Group, Token, User};
pub use secure::secure;

use crate::fake_hub::{FakeHub, Listener};

/// The secret of the administrator's API token in every test.
pub const ADMIN_TOKEN: &str = "an-admin-token-for-tests";

/// A running service.
pub struct Service {
    child: Child,
    config: PathBuf,
    variables: Vec<(String, String)>,
    folder: tempfile::TempDir,
    /// What the process writes to standard error: a file, so that what was written can be read at once.
    log: PathBuf,
    pub address: SocketAddr,
    pub metrics: SocketAddr,
}

/// What a test wants of the service besides the defaults.
pub struct Config {
    text: String,
    variables: Vec<(String, String)>,
}

impl Config {
    /// A service whose docker.io is this hub.
    pub fn docker_hub(hub: &FakeHub) -> Self {
        Self::hub_named("docker.io", hub)
    }

    /// A service with an upstream of this name that is this hub, whose realm and storage it may use.
    pub fn hub_named(name: &str, hub: &FakeHub) -> Self {
        let (realm, cdn) = (hub.host(Listener::Realm), hub.host(Listener::Cdn));
        Self::upstream_at(name, &hub.url()).and(&format!("auth_hosts = [\"{realm}\"]\nredirect_hosts = [\"{cdn}\"]"))
    }

    /// A service that knows one upstream besides those that are shipped.
    pub fn upstream_at(name: &str, url: &str) -> Self {
        Self { text: format!("[upstreams.\"{name}\"]\nurl = \"{url}\"\n"), variables: Vec::new() }
    }

    /// With these lines of TOML behind the others: `"[cache]\ntag_freshness = 0"`, or more keys of the last upstream.
    pub fn and(mut self, lines: &str) -> Self {
        self.text = format!("{}\n{lines}\n", self.text);
        self
    }

    /// With an environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn start(self) -> Service {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        let text = format!(
            "{}\n[server]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"127.0.0.1:0\"\n\
             [storage]\ndata_dir = \"{}\"\nmin_free = 0\n\
             [bootstrap]\nadmin_password = \"a-root-password\"\nadmin_token = \"{ADMIN_TOKEN}\"\n",
            self.text,
            folder.path().join("data").display()
        );
        fs::write(&config, text).unwrap();
        let (child, log, address, metrics) = spawn(&config, &self.variables);
        Service { child, config, variables: self.variables, folder, log, address, metrics }
    }
}

/// Twice as long as a line waits in the service.
const LOGGED_WITHIN: Duration = Duration::from_millis(100);

impl Service {
    /// Where clients find it, without `/` at the end.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_secure() { "https" } else { "http" }, self.address)
    }

    /// The folder of all its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Everything it has logged so far. Gives its lines, which are written in batches, the time that they take.
    pub fn log(&self) -> String {
        std::thread::sleep(LOGGED_WITHIN);
        read(&self.log)
    }

    /// What it has logged, a JSON object for each line.
    pub fn log_lines(&self) -> Vec<serde_json::Value> {
        let log = self.log();
        // The last one may be on its way.
        let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))).collect()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most resident memory it ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Ends it as a power cut would, and starts it again on the same data, at another port.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.restart();
    }

    /// Tells it to stop, and waits until it has. Returns its exit status.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    /// Starts it again after it has ended.
    pub fn restart(&mut self) {
        (self.child, self.log, self.address, self.metrics) = spawn(&self.config, &self.variables);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the service's log ---\n{}", self.log());
        }
    }
}

type Started = (Child, PathBuf, SocketAddr, SocketAddr);

/// What is tested: the binary of this build, or that of a package.
fn binary() -> OsString {
    let built = || env!("CARGO_BIN_EXE_dependency-proxy").into();
    std::env::var_os("DEPENDENCY_PROXY_TEST_BINARY").unwrap_or_else(built)
}

fn spawn(config: &Path, variables: &[(String, String)]) -> Started {
    try_spawn(config, variables).unwrap_or_else(|(_, log)| panic!("it did not start: {log}"))
}

/// The running service, or how it ended and what it said.
fn try_spawn(config: &Path, variables: &[(String, String)]) -> Result<Started, (std::process::ExitStatus, String)> {
    let log = config.with_extension("log");
    let mut child = Command::new(binary())
        .args(["serve", "--config"])
        .arg(config)
        .envs(variables.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some((address, metrics)) = listening(&read(&log)) {
            return Ok((child, log, address, metrics));
        }
        if let Some(status) = child.try_wait().unwrap() {
            return Err((status, read(&log)));
        }
        assert!(Instant::now() < deadline, "it did not start: {}", read(&log));
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned()
}

fn listening(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let line = lines.into_iter().find(|line| line["message"] == "listening")?;
    let address = |name: &str| line[name].as_str()?.parse().ok();
    Some((address("address")?, address("metrics")?))
}
