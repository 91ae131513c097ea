//! A PostgreSQL cluster of Debian's package.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::guard::{self, Guard, NotReady};

/// Superuser of the cluster, who needs no password.
const USER: &str = "postgres";

/// User who needs one.
const GUARDED: &str = "guarded";

/// A running cluster with `fsync`, as in production: only its creation leaves it out.
pub struct Postgres {
    guard: Guard,
    address: SocketAddr,
    databases: AtomicU32,
}

/// A database that no other caller uses. It goes with its cluster.
pub struct Database {
    name: String,
    address: SocketAddr,
}

/// The turn to make changes of identities, which no replica gets while this exists.
pub struct Turn(Child);

impl Postgres {
    /// Returns the cluster of this process, which nobody stops.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a cluster of this caller alone.
    pub fn start() -> Self {
        guard::on_free_ports(Self::try_start)
    }

    fn try_start() -> Result<Self, NotReady> {
        let folder = guard::folder();
        let data = folder.path().join("data");
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg(USER).arg(folder.path()));
        }
        let mut initdb = as_postgres("initdb");
        initdb.args(["-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8", "-U", USER, "-D"]).arg(&data);
        run(initdb.current_dir(folder.path()));
        write_settings(&data);
        let port = guard::free_ports(1);
        let mut server = as_postgres("postgres");
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1"]);
        server.arg("-k").arg(folder.path()).args(["-c", "ssl=on"]);
        // Many tests at once, with up to three replicas of four connections each.
        server.args(["-c", "max_connections=500"]);
        // Recovery syncs each of a thousand files otherwise, which takes seconds.
        server.args(["-c", "recovery_init_sync_method=syncfs"]);
        // SIGQUIT is what `pg_ctl stop -m immediate` sends: no checkpoint, so that the next start recovers.
        let mut guard = Guard::new(folder, &server, "QUIT", &[]);
        guard.start(is_ready)?;
        Ok(Self { guard, address: (Ipv4Addr::LOCALHOST, port).into(), databases: AtomicU32::new(0) })
    }

    /// Stops the cluster at once, as `pg_ctl stop -m immediate` does: connections end, and the next start recovers.
    pub fn stop_immediately(&mut self) {
        self.guard.end("QUIT");
    }

    /// Kills the postmaster (SIGKILL). Processes that execute a statement end after it.
    pub fn kill(&mut self) {
        self.guard.end("KILL");
    }

    /// Starts the cluster again, with the same data at the same address, and waits until it accepts connections.
    pub fn start_again(&mut self) {
        loop {
            match self.guard.start(is_ready) {
                Ok(()) => return,
                // A process of the killed cluster has not ended yet.
                Err(NotReady(reason)) if reason.contains("still in use") => self.guard.end("QUIT"),
                Err(NotReady(reason)) => panic!("the cluster does not start again: {reason}"),
            }
        }
    }

    /// Creates a database.
    pub fn database(&self) -> Database {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut createdb = Command::new(binary("createdb"));
        createdb.args(["-h", "127.0.0.1", "-p", &self.address.port().to_string(), "-U", USER, &name]);
        run(&mut createdb);
        Database { name, address: self.address }
    }

    /// Returns the address at which it accepts connections.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Database {
    /// Returns its URL, `postgres://USER@ADDRESS/NAME`.
    pub fn url(&self) -> String {
        self.url_at(self.address)
    }

    /// Returns its URL at another address: that of a front.
    pub fn url_at(&self, address: SocketAddr) -> String {
        format!("postgres://{USER}@{address}/{}", self.name)
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a user of the cluster who needs a password.
    pub fn guarded_role(&self) -> &'static str {
        self.query(&format!(
            "DO $$ BEGIN CREATE ROLE {GUARDED} LOGIN PASSWORD 'right'; EXCEPTION WHEN duplicate_object THEN END $$"
        ));
        GUARDED
    }

    /// Takes the turn to make changes of identities, as a replica does.
    pub fn take_turn(&self) -> Turn {
        self.lock("SELECT version FROM fence FOR UPDATE;")
    }

    /// Takes the turn to change the index of cached content.
    pub fn take_content_turn(&self) -> Turn {
        self.lock("SELECT number FROM content_head FOR UPDATE;")
    }

    /// Holds the lock of a row, of which the statement returns a number.
    fn lock(&self, statement: &str) -> Turn {
        let mut psql = Command::new(binary("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url()]);
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(psql.stdin.as_mut().unwrap(), "BEGIN; {statement}").unwrap();
        let mut number = String::new();
        BufReader::new(psql.stdout.as_mut().unwrap()).read_line(&mut number).unwrap();
        assert!(number.trim().parse::<u64>().is_ok(), "{number}");
        Turn(psql)
    }

    /// Executes statements with `psql` and returns the rows: a line each, with `|` between columns.
    pub fn query(&self, statements: &str) -> String {
        let mut psql = Command::new(binary("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url(), "-c", statements]);
        run(&mut psql).trim_end().to_owned()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // It ends with its input, and its transaction with it.
        self.0.stdin = None;
        let _ = self.0.wait();
    }
}

/// Writes who needs a password, and a certificate for `localhost`.
fn write_settings(data: &Path) {
    let access = format!("host all {GUARDED} all scram-sha-256\nhost all all all trust\nlocal all all trust\n");
    fs::write(data.join("pg_hba.conf"), access).unwrap();
    for (from, to) in [("localhost.pem", "server.crt"), ("localhost.key.pem", "server.key")] {
        let from: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../suite/upstream_client/tls_fixture", from].iter().collect();
        let to = data.join(to);
        fs::copy(from, &to).unwrap();
        // It refuses a key that others may read.
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg(USER).arg(&to));
        }
    }
}

fn is_ready(guard: &Guard) -> bool {
    guard.log().contains("database system is ready to accept connections")
}

/// Returns the command, as run by another user than root: that one is refused.
fn as_postgres(name: &str) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(binary(name));
    }
    let mut command = Command::new("setpriv");
    let (user, group) = (format!("--reuid={USER}"), format!("--regid={USER}"));
    command.args([&user, &group, "--init-groups"]).arg(binary(name));
    command
}

/// Returns the path of a program of the newest PostgreSQL here.
fn binary(name: &str) -> PathBuf {
    let folder = Path::new("/usr/lib/postgresql");
    let versions = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    let newest = versions.filter_map(|version| version.to_str()?.parse::<u32>().ok()).max();
    let newest = newest.expect("tests/run installs PostgreSQL");
    folder.join(newest.to_string()).join("bin").join(name)
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
