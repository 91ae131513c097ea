//! A real S3 server, SeaweedFS, with one bucket.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::guard::{self, GRPC_OFFSET, Guard, NotReady};
use crate::python;

/// Name of the bucket.
pub const BUCKET: &str = "fleet";
/// Region for which requests are signed.
pub const REGION: &str = "us-east-1";
/// Name of the key that may do everything.
pub const KEY_ID: &str = "a-key-id-for-tests";
/// Its secret.
pub const SECRET_KEY: &str = "a-secret-key-for-tests";

/// Parts of the server that have a port each.
const PARTS: [&str; 5] = ["master", "volume", "filer", "s3", "admin"];

/// A running S3 server with an empty bucket.
pub struct Bucket {
    guard: Guard,
    /// Ports of [`PARTS`] in their order.
    ports: [u16; 5],
    prefixes: AtomicU32,
}

impl Bucket {
    /// Returns the server of this process, which nobody stops.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Bucket> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server of this caller alone.
    pub fn start() -> Self {
        guard::on_free_ports(Self::try_start)
    }

    fn try_start() -> Result<Self, NotReady> {
        let folder = guard::folder();
        let first = guard::free_ports(5);
        let ports = [first, first + 1, first + 2, first + 3, first + 4];
        // It places these there whatever its settings are.
        let socket = |(part, port): (&str, u16)| format!("/tmp/seaweedfs-{part}-grpc-{}.sock", port + GRPC_OFFSET);
        let leftovers: Vec<String> = PARTS.into_iter().zip(ports).map(socket).collect();
        let mut guard = Guard::new(folder, &command(ports), "KILL", &leftovers);
        guard.start(|_| is_ready(ports))?;
        Ok(Self { guard, ports, prefixes: AtomicU32::new(0) })
    }

    /// Kills the server (SIGKILL).
    pub fn kill(&mut self) {
        self.guard.end("KILL");
    }

    /// Starts the server again, with the same objects at the same address, and waits until it stores objects.
    pub fn start_again(&mut self) {
        let ports = self.ports;
        self.guard.start(|_| is_ready(ports)).unwrap();
    }

    /// Returns a prefix of objects that no other caller uses, without `/` at the end.
    pub fn prefix(&self) -> String {
        format!("test-{}", self.prefixes.fetch_add(1, Ordering::Relaxed))
    }

    /// Stores an object, as somebody who may write to the bucket: through the part behind S3, which checks no
    /// signature.
    pub fn put(&self, path: &str, text: &str) {
        let [_, _, filer, _, _] = self.ports;
        let body =
            format!("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n{text}\r\n--b--\r\n");
        let length = body.len();
        let post = format!(
            "POST /buckets/{BUCKET}/{path} HTTP/1.0\r\nContent-Type: multipart/form-data; boundary=b\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        assert_eq!(status(filer, &post), Some(201));
    }

    /// Returns the address at which it accepts connections.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[3]).into()
    }
}

/// Returns the command of the server, for the current folder.
fn command(ports: [u16; 5]) -> Command {
    // The environment of the tests' Python packages, one of which this is.
    let mut command = Command::new(Path::new(&python()).with_file_name("weed"));
    command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    // Without a limit it grows to more than a GB.
    command.env("GOMEMLIMIT", "256MiB");
    // It reads settings of the user's, and writes more logs.
    command.env("HOME", ".").env("TMPDIR", ".");
    command.args(["mini", "-dir=.", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-bucket", BUCKET]);
    command.args(PARTS.into_iter().zip(ports).map(|(part, port)| format!("-{part}.port={port}")));
    command.args(["-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock"]);
    command.args(["-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    // Or a start takes 5 seconds longer where the volume is ready before the master has resumed.
    command.arg("-master.resumeState=false");
    // Or it reports statistics to its makers.
    command.arg("-master.telemetry=false");
    command
}

/// Returns whether S3 responds and an object can be stored in the bucket, which is later.
fn is_ready(ports: [u16; 5]) -> bool {
    const OBJECT: &str = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nf\r\n--b--\r\n";
    let [_, _, filer, s3, _] = ports;
    let length = OBJECT.len();
    let path = format!("/buckets/{BUCKET}/is-ready");
    let head = format!("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}");
    let post = format!("POST {path} HTTP/1.0\r\n{head}\r\n\r\n{OBJECT}");
    status(s3, "GET / HTTP/1.0\r\n\r\n") == Some(403)
        // The parts behind S3 check no signature.
        && status(filer, &post) == Some(201)
        && status(filer, &format!("DELETE {path} HTTP/1.0\r\n\r\n")) == Some(204)
}

/// Returns the status of the response, unless there is none.
fn status(port: u16, request: &str) -> Option<u16> {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    connection.set_read_timeout(Some(TIMEOUT)).ok()?;
    connection.write_all(request.as_bytes()).ok()?;
    let mut response = String::new();
    connection.take(64).read_to_string(&mut response).ok()?;
    response.split(' ').nth(1)?.parse().ok()
}
