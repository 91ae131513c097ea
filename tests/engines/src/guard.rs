//! A server in a temporary folder that ends with this process, however that ends.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Starts and ends the server by orders on its standard input. At the end of that, it ends the server and removes the
/// folder.
///
/// The other end of its standard input is in this process alone, so it closes with it, also if that is killed. `setpriv
/// --pdeathsig` cannot replace it: that signal is sent when the parent's *thread* ends, which may be the one of a test.
///
/// It repeats a signal: a server ignores it before it has set its handlers, and a stopped one before SIGCONT. It gets
/// SIGHUP itself where this process ends while the server is stopped (orphaned process group).
const SCRIPT: &str = r#"
folder=$1 last_signal=$2 leftovers=$3
shift 3
server=
trap '' HUP
end() {
    [ -n "$server" ] || return 0
    signal=$1 tries=0
    while read -r _ _ state _ <"/proc/$server/stat" && [ "$state" != Z ]; do
        kill -s "$signal" "$server"
        kill -s CONT "$server"
        sleep 0.02
        tries=$((tries + 1))
        [ "$tries" -lt 1000 ] || signal=KILL
    done
    wait "$server"
    server=
}
while read -r order; do
    case $order in
    start)
        : >"$folder/log"
        "$@" >>"$folder/log" 2>&1 </dev/null &
        server=$!
        ;;
    *) end "$order" ;;
    esac
    echo "$server"
done
end "$last_signal"
rm -rf "$folder" $leftovers
"#;

/// Maximum time until a server is ready. Long, because a busy machine is slow.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Time between two looks whether it is.
const READY_INTERVAL: Duration = Duration::from_millis(10);

/// A server and its folder. Both end with this.
pub(super) struct Guard {
    shell: Child,
    /// `None` once the shell is to end.
    orders: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    folder: PathBuf,
    server: u32,
}

/// Reason why a server is not ready, with its log.
#[derive(Debug)]
pub(super) struct NotReady(pub(super) String);

impl Guard {
    /// Prepares a server, without starting it. At the end it gets this signal, and its folder is removed together with
    /// the `leftovers`: paths elsewhere, without spaces.
    pub(super) fn new(folder: tempfile::TempDir, server: &Command, last_signal: &str, leftovers: &[String]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(folder.path()).args([last_signal, &leftovers.join(" ")]);
        command.arg(server.get_program()).args(server.get_args());
        command.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
        // Its own process group: Ctrl-C in a terminal is for this process.
        command.current_dir(folder.path()).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = command.spawn().unwrap();
        let (orders, replies) = (shell.stdin.take(), BufReader::new(shell.stdout.take().unwrap()));
        Self { shell, orders, replies, folder: folder.keep(), server: 0 }
    }

    /// Starts the server and waits until `is_ready`.
    pub(super) fn start(&mut self, mut is_ready: impl FnMut(&Self) -> bool) -> Result<(), NotReady> {
        self.server = self.order("start").parse().unwrap();
        let deadline = Instant::now() + READY_TIMEOUT;
        while !is_ready(self) {
            if !self.is_running() {
                return Err(NotReady(format!("it ended:\n{}", self.log())));
            }
            if Instant::now() >= deadline {
                return Err(NotReady(format!("it is not ready in time:\n{}", self.log())));
            }
            std::thread::sleep(READY_INTERVAL);
        }
        Ok(())
    }

    /// Ends the server with this signal and waits until it has ended. Its folder stays.
    pub(super) fn end(&mut self, signal: &str) {
        self.order(signal);
    }

    /// Returns the log of the server since its last start.
    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap_or_default()).into_owned()
    }

    fn order(&mut self, order: &str) -> String {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
        let mut reply = String::new();
        self.replies.read_line(&mut reply).unwrap();
        reply.trim_end().to_owned()
    }

    /// Returns whether the server has not ended. The shell waits for it only by an order, so until then it is a zombie.
    fn is_running(&self) -> bool {
        let stat =
            fs::read_to_string(Path::new("/proc").join(self.server.to_string()).join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.shell.wait();
    }
}

/// Returns a new folder for a server.
pub(super) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("engine").tempdir().unwrap()
}

/// Added to a port of the S3 server for its gRPC.
pub(super) const GRPC_OFFSET: u16 = 10_000;

/// Returns the first of `count` ports in a row that are free, as they are with [`GRPC_OFFSET`].
///
/// All are below the range in which the kernel chooses ports (`ip_local_port_range`), so that nobody gets one of them
/// while a server is down.
pub(super) fn free_ports(count: u16) -> u16 {
    // A server takes its port a while after it was chosen: none is chosen twice.
    static CHOSEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    const FIRST: u16 = 10_000;
    const CHOICE: u16 = 12_000;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let first = FIRST + random() % CHOICE;
        let ports = first..first + count;
        if ports.clone().all(|port| is_free(port) && is_free(port + GRPC_OFFSET)) {
            let mut chosen = CHOSEN.lock().unwrap();
            if !ports.clone().any(|port| chosen.contains(&port)) {
                chosen.extend(ports);
                return first;
            }
        }
    }
}

fn random() -> u16 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() as u16
}

/// Starts a server, on other ports where another process was quicker.
pub(super) fn on_free_ports<T>(mut start: impl FnMut() -> Result<T, NotReady>) -> T {
    const ATTEMPTS: usize = 5;
    let mut reasons = Vec::new();
    for _ in 0..ATTEMPTS {
        match start() {
            Ok(server) => return server,
            Err(NotReady(reason)) => reasons.push(reason),
        }
        if !reasons.last().is_some_and(|reason| PORT_TAKEN.iter().any(|message| reason.contains(message))) {
            break;
        }
    }
    panic!("no server: {}", reasons.join("\n"));
}

/// Messages of the servers where another process has their port.
const PORT_TAKEN: [&str; 2] = ["Address already in use", "Port allocation failed"];
