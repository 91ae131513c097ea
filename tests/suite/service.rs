//! The real binary on a free port in a temporary folder, with helpers for tests. It ends with the test.

mod client;
mod connection;
mod ending;
mod identities;
mod scenario;
mod secure;
mod waiting;

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fake_registry::{FakeRegistry, Listener};

pub use client::{Answer, Client};
pub use connection::Connection;
pub use engines::python;
pub use identities::{Group, Token, User};
pub use scenario::{Scenario, Started};
pub use secure::secure;
pub use waiting::{DEADLINE, eventually};

/// Secret of the administrator's API token in every test.
pub const ADMIN_TOKEN: &str = "an-admin-token-for-tests";

/// A running service.
pub struct Service {
    child: Child,
    config: PathBuf,
    variables: Vec<(String, String)>,
    folder: tempfile::TempDir,
    /// File with the standard error of the process, so that it can be read at once.
    log: PathBuf,
    pub address: SocketAddr,
    pub metrics: SocketAddr,
}

/// Settings of a test beyond the defaults.
pub struct Config {
    text: String,
    variables: Vec<(String, String)>,
}

impl Config {
    /// Configures this hub as docker.io.
    pub fn docker_hub(hub: &FakeRegistry) -> Self {
        Self::hub_named("docker.io", hub)
    }

    /// Configures this hub as an upstream of this name, with its realm and storage.
    pub fn hub_named(name: &str, hub: &FakeRegistry) -> Self {
        let (realm, storage) = (hub.host(Listener::Realm), hub.host(Listener::Storage));
        Self::upstream_at(name, &hub.url())
            .and(&format!("auth_hosts = [\"{realm}\"]\nredirect_hosts = [\"{storage}\"]"))
    }

    /// Configures one upstream in addition to the default ones.
    pub fn upstream_at(name: &str, url: &str) -> Self {
        Self { text: format!("[upstreams.\"{name}\"]\nurl = \"{url}\"\n"), variables: Vec::new() }
    }

    /// Configures another hub as an upstream of this name.
    pub fn with_hub(self, name: &str, hub: &FakeRegistry) -> Self {
        let other = Self::hub_named(name, hub).text;
        self.and(&other)
    }

    /// Appends lines of TOML: `"[cache] tag_freshness = 0"`, or more keys of the last upstream.
    pub fn and(mut self, lines: &str) -> Self {
        self.text = format!("{}\n{lines}\n", self.text);
        self
    }

    /// Sets an environment variable.
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

/// Twice the time for which the service buffers a log line.
const LOG_DELAY: Duration = Duration::from_millis(100);

impl Service {
    /// Returns the URL of the service, without `/` at the end.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_secure() { "https" } else { "http" }, self.address)
    }

    /// Returns the data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns the log so far. Waits first, because the service buffers its lines.
    pub fn log(&self) -> String {
        std::thread::sleep(LOG_DELAY);
        read(&self.log)
    }

    /// Returns the log lines as JSON objects.
    pub fn log_lines(&self) -> Vec<serde_json::Value> {
        let log = self.log();
        // The last line may be incomplete.
        let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))).collect()
    }

    /// Returns the id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the maximum of resident memory so far, in bytes, without the pages of files: those of the program are
    /// many in a build without optimisation, and the kernel can drop them.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:") - self.memory("RssFile:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Kills the process (SIGKILL), and restarts it with the same data, at another port.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.restart();
    }

    /// Restarts the service after its process was killed.
    pub fn restart_after_kill(&mut self) {
        self.child.wait().unwrap();
        self.restart();
    }

    /// Stops the service with SIGTERM and waits. Returns its exit status.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    /// Restarts the service after it has ended.
    pub fn restart(&mut self) {
        (self.child, self.log, self.address, self.metrics) = spawn(&self.config, &self.variables);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            keep(&self.log, self.pid());
        }
    }
}

/// Copies the log of the service of a failed test to a folder that stays, and prints its path. The log itself is so
/// long that the reason of the failure would be hard to find in the output.
fn keep(log: &Path, process: u32) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failed");
    let test = std::thread::current().name().unwrap_or("test").replace("::", ".");
    let kept = folder.join(format!("{test}-{process}.log"));
    match fs::create_dir_all(&folder).and_then(|()| fs::copy(log, &kept)) {
        Ok(_) => eprintln!("the log of the service: {}", kept.display()),
        Err(error) => eprintln!("the log of the service cannot be kept: {error}"),
    }
}

type Spawned = (Child, PathBuf, SocketAddr, SocketAddr);

/// Returns the tested binary: that of this build, or that of a package.
fn binary() -> OsString {
    let built = || env!("CARGO_BIN_EXE_dependency-proxy").into();
    std::env::var_os("DEPENDENCY_PROXY_TEST_BINARY").unwrap_or_else(built)
}

fn spawn(config: &Path, variables: &[(String, String)]) -> Spawned {
    try_spawn(config, variables).unwrap_or_else(|(_, log)| panic!("it did not start: {log}"))
}

/// Starts the service. Fails with its exit status and output where it ends.
fn try_spawn(config: &Path, variables: &[(String, String)]) -> Result<Spawned, (std::process::ExitStatus, String)> {
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
        if Instant::now() >= deadline {
            child.kill().unwrap();
            panic!("it did not start: {}", read(&log));
        }
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
