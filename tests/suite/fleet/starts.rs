//! Starts with settings of the engines that are wrong: each ends with a sentence that says which setting to look at.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use engines::{KEY_ID, SECRET_KEY};

use super::Fleet;
use crate::service::Service;

/// A replica that was stopped, and the address of its database.
struct Stopped {
    fleet: Fleet,
    /// The address of the database in its settings, up to the name of the database.
    host: String,
}

impl Stopped {
    fn new() -> Self {
        let mut fleet = Fleet::of(1);
        fleet.replicas[0].service.stop();
        let host = fleet.replicas[0].to_database.address().to_string();
        Self { fleet, host }
    }

    fn service(&mut self) -> &mut Service {
        &mut self.fleet.replicas[0].service
    }

    /// Replaces a text in the settings, and returns the message with which the start ends. The text is as before then.
    fn refused(&mut self, from: &str, to: &str) -> String {
        self.service().replace_setting(from, to);
        let message = self.service().restart_unless_refused().expect_err("it should not have started");
        self.service().replace_setting(to, from);
        message.lines().last().unwrap_or_default().to_owned()
    }
}

fn assert_says(message: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
}

#[test]
fn a_wrong_address_of_the_database_ends_the_start() {
    let mut replica = Stopped::new();
    let host = replica.host.clone();
    let (user, role) = (format!("postgres://postgres@{host}"), replica.fleet.database.guarded_role());
    let wrong = replica.refused(&user, &format!("postgres://{role}:wrong@{host}"));
    assert_says(&wrong, &["fleet.database_url", "the user name and the password", "password authentication failed"]);
    assert!(!wrong.contains(":wrong@"), "{wrong}");
    let unknown = replica.refused(&user, &format!("postgres://nobody@{host}"));
    assert_says(&unknown, &["fleet.database_url", "the user name and the password"]);
    let name = replica.fleet.database.name().to_owned();
    let unknown = replica.refused(&format!("{host}/{name}"), &format!("{host}/another_name"));
    assert_says(&unknown, &["fleet.database_url", "the name of the database", "\"another_name\" does not exist"]);
    let closed = engines::free_port();
    let unreachable = replica.refused(&host, &format!("127.0.0.1:{closed}"));
    assert_says(&unreachable, &["fleet.database_url", "the host and the port", "Connection refused"]);
    let unknown = replica.refused(&host, "no-such-host.invalid:5432");
    assert_says(&unknown, &["fleet.database_url", "the host and the port"]);
    replica.service().restart();
}

/// Starts a store without any bucket. The real one makes those that are missing.
fn store_without_buckets() -> SocketAddr {
    const ERROR: &str =
        "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            connection.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            // The whole request, or the close would reset the connection.
            let mut rest = Vec::new();
            let _ = connection.read_to_end(&mut rest);
            let head =
                format!("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", ERROR.len());
            let _ = connection.write_all(format!("{head}{ERROR}").as_bytes());
        }
    });
    address
}

#[test]
fn a_wrong_address_of_the_bucket_ends_the_start() {
    let mut replica = Stopped::new();
    let store = replica.fleet.replicas[0].to_bucket.address().to_string();
    let missing = replica.refused(&store, &store_without_buckets().to_string());
    assert_says(&missing, &["fleet.bucket_url", "no such bucket"]);
    let key = replica.refused(&format!("\"{SECRET_KEY}\""), "\"a-wrong-secret-key\"");
    assert_says(&key, &["fleet.bucket_access_key", "fleet.bucket_secret_key"]);
    assert!(!key.contains("a-wrong-secret-key"), "{key}");
    let key = replica.refused(&format!("\"{KEY_ID}\""), "\"an-unknown-key\"");
    assert_says(&key, &["fleet.bucket_access_key"]);
    replica.service().restart();
}

#[test]
fn a_replica_with_another_bucket_or_prefix_than_the_others_does_not_start() {
    let mut replica = Stopped::new();
    let prefix = replica.fleet.prefix.clone();
    let refused = replica.refused(&format!("/{prefix}\""), &format!("/another-than-{prefix}\""));
    assert_says(&refused, &["fleet.bucket_url must be the same on all replicas"]);
    replica.service().restart();
}

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/suite/upstream_client/tls_fixture", name].iter().collect()
}

/// Makes the certificate of another authority.
fn other_authority(folder: &Path) -> PathBuf {
    let path = folder.join("other-authority.pem");
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=another authority", "-keyout", "/dev/null", "-out"]).arg(&path);
    let output = openssl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

#[test]
fn the_certificate_of_the_database_is_verified() {
    let mut replica = Stopped::new();
    let (host, folder) = (replica.host.clone(), tempfile::tempdir().unwrap());
    let port = host.rsplit(':').next().unwrap().to_owned();
    let database = replica.fleet.database.name().to_owned();
    let (plain, url) = (format!("{host}/{database}?sslmode=disable\""), |host: &str| {
        format!("{host}:{port}/{database}?sslmode=verify-full\"")
    });
    let with = |host: &str, authority: &Path| format!("{}\ndatabase_ca_file = \"{}\"", url(host), authority.display());
    let verified = ["fleet.database_url", "fleet.database_ca_file", "certificate"];
    assert_says(&replica.refused(&plain, &url("localhost")), &verified);
    let other = other_authority(folder.path());
    assert_says(&replica.refused(&plain, &with("localhost", &other)), &verified);
    let authority = fixture("authority.pem");
    assert_says(&replica.refused(&plain, &with("127.0.0.1", &authority)), &verified);
    assert_says(&replica.refused(&plain, &with("localhost", &folder.path().join("none"))), &["fleet.database_ca_file"]);
    replica.service().replace_setting(&plain, &with("localhost", &authority));
    replica.service().restart();
    let sessions = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                    WHERE datname = current_database() AND application_name = 'dependency-proxy'";
    assert_eq!(replica.fleet.database.query(sessions), "t");
}

#[test]
fn a_start_that_fails_after_the_registration_leaves_no_replica_that_others_wait_for() {
    let mut replica = Stopped::new();
    let followed = replica.service().data().join("cache/fleet-content");
    std::fs::remove_file(&followed).ok();
    std::fs::create_dir(&followed).unwrap();
    let message = replica.service().restart_unless_refused().expect_err("it should not have started");
    assert!(message.contains("registered as a replica") && message.contains("Is a directory"), "{message}");
    assert_eq!(replica.fleet.database.query("SELECT count(*) FROM replica"), "0");
    std::fs::remove_dir(&followed).unwrap();
    replica.service().restart();
}

#[test]
fn addresses_that_cannot_be_used_are_found_by_the_check() {
    let mut replica = Stopped::new();
    let address = replica.fleet.replicas[0].to_replica.address().to_string();
    let given = format!("address = \"{address}\"");
    for wrong in ["replica-1", "http://replica-1:5052", "x y:1", "replica-1:99999", ":5052"] {
        let refused = replica.refused(&given, &format!("address = \"{wrong}\""));
        assert_says(&refused, &["fleet.address", wrong, "is not a host with a port such as replica-1:5052"]);
    }
}
