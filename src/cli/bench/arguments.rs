//! The arguments of `bench`. Reads secrets and certificates, and sends no request.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clap::Args;
use url::Url;

use super::progress::Live;
use super::pull::PullScope;
use super::rounds::{Load, Schedule, Server};
use super::session::Session;
use super::wire::ConnectionOptions;
use crate::cli::connection::{Service, base_url, read_secret};
use crate::cli::credentials::{Credentials, Login};
use crate::cli::failure::Failure;
use crate::cli::image::Image;
use crate::domain::platform::Platform;
use crate::formats::quantity::parse_duration;

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    #[command(flatten)]
    service: Service,
    /// Group to pull for, if the server is this service; without it the image's repository is requested as it is
    #[arg(long)]
    group: Option<String>,
    /// Image to pull; may be given several times, and every client then pulls them in turn
    #[arg(long, required = true)]
    image: Vec<Image>,
    #[command(flatten)]
    credentials: Credentials,
    #[command(flatten)]
    other: Other,
    #[command(flatten)]
    work: Work,
    /// Print the results as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Options for a second server to compare with.
#[derive(Debug, Args)]
struct Other {
    /// URL of a second server, which is measured in alternation with the first in short rounds
    #[arg(long, value_name = "URL", value_parser = base_url)]
    compare: Option<Url>,
    /// Group to pull for at the second server, if it is this service too
    #[arg(long, value_name = "GROUP", requires = "compare")]
    compare_group: Option<String>,
    /// User name for the second server, which never receives the credentials for the first
    #[arg(long, value_name = "USERNAME", requires_all = ["compare", "compare_secret_file"])]
    compare_username: Option<String>,
    /// Read the secret for the second server from this file
    #[arg(long, value_name = "FILE", requires = "compare_username")]
    compare_secret_file: Option<PathBuf>,
    /// Approximate length of a round of one server
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time, requires = "compare")]
    round: Duration,
}

/// Options for the amount and the kind of load.
#[derive(Debug, Args)]
struct Work {
    /// Number of concurrent clients. Each downloads up to three blobs at a time and uses up to 1.2 MiB of memory
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    clients: u16,
    /// Time for which each server is measured: seconds, or a time such as 30s
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    duration: Duration,
    /// Maximum number of pulls from each server; ends the measurement earlier
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pulls: Option<u64>,
    /// Open a new connection for each request, as docker 20.10, podman and skopeo do
    #[arg(long)]
    new_connections: bool,
    /// Pull manifests and no blobs
    #[arg(long)]
    manifests_only: bool,
    /// Platform to pull of a multi-platform image; by default that of this machine
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Maximum time to wait for a response or its next byte
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Duration,
}

/// Minimum of the options with a time.
const MIN_TIME: Duration = Duration::from_millis(100);
/// Maximum of the options with a time.
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Maximum number of connections per client and server: one for each concurrent blob.
const CONNECTIONS_PER_CLIENT: u64 = 3;

impl BenchArgs {
    /// Returns the load that these arguments describe. Fails where a secret or a certificate cannot be read.
    pub(super) fn load(&self) -> Result<Load, Failure> {
        let work = &self.work;
        let platform = work.platform.clone().unwrap_or_else(|| Platform::of_linux_on(std::env::consts::ARCH));
        Ok(Load {
            servers: self.servers()?,
            references: self.image.iter().map(|image| image.reference().to_string()).collect(),
            scope: PullScope { platform, manifests_only: work.manifests_only },
            connection: ConnectionOptions {
                new_connections: work.new_connections,
                timeout: work.timeout,
                authorities: self.service.authorities()?,
            },
            clients: work.clients.into(),
            schedule: Schedule::new(work.duration, self.round()),
            live: Live::default(),
        })
    }

    /// Returns the maximum number of connections at the same time.
    pub(super) fn connections(&self) -> u64 {
        let servers = 1 + u64::from(self.other.compare.is_some());
        servers * CONNECTIONS_PER_CLIENT * u64::from(self.work.clients)
    }

    fn round(&self) -> Duration {
        // A single server is measured in one round.
        if self.other.compare.is_some() { self.other.round } else { self.work.duration }
    }

    fn servers(&self) -> Result<Vec<Server>, Failure> {
        let first = self.server(&self.service.url, self.group.as_deref(), self.credentials.login()?);
        let Some(url) = &self.other.compare else { return Ok(vec![first]) };
        let second = self.server(url, self.other.compare_group.as_deref(), self.other.login()?);
        Ok(vec![first, second])
    }

    fn server(&self, url: &Url, group: Option<&str>, login: Option<Login>) -> Server {
        let session = |image: &Image| Session::new(url.clone(), image.repository(group), login.clone());
        Server {
            url: url.clone(),
            sessions: self.image.iter().map(session).collect(),
            pulls_left: AtomicU64::new(self.work.pulls.unwrap_or(u64::MAX)),
        }
    }
}

impl Other {
    fn login(&self) -> Result<Option<Login>, Failure> {
        let (Some(username), Some(file)) = (&self.compare_username, &self.compare_secret_file) else {
            return Ok(None);
        };
        Ok(Some((username.clone(), read_secret(file)?)))
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).filter(|time| (MIN_TIME..=MAX_TIME).contains(time));
    time.ok_or_else(|| "is not a time such as 30s, between 100ms and 24h".to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn load(line: &str) -> Load {
        Line::try_parse_from(line.split_whitespace()).unwrap().bench.load().unwrap()
    }

    #[test]
    fn one_server_has_one_round_and_two_have_several() {
        let alone = load("bench --image a --duration 30");
        assert_eq!(alone.schedule, Schedule { rounds: 1, length: Duration::from_secs(30) });
        let both = load("bench --image a --duration 30s --compare http://127.0.0.1:1");
        assert_eq!(both.schedule, Schedule { rounds: 15, length: Duration::from_secs(2) });
        assert_eq!(both.servers.len(), 2);
    }

    #[test]
    fn each_server_has_its_own_group() {
        let both = load(
            "bench --group team --image a/b:1 --image c@sha256:0000000000000000000000000000000000000000000000000000000000000000 --compare http://127.0.0.1:1",
        );
        let repositories = |server: usize| {
            both.servers[server].sessions.iter().map(|session| session.repository().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(repositories(0), ["team/dependency_proxy/containers/a/b", "team/dependency_proxy/containers/c"]);
        assert_eq!(repositories(1), ["a/b", "c"]);
        assert_eq!(both.references[0], "1");
        assert!(both.references[1].starts_with("sha256:0"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "bench",
            "bench --image a --clients 0",
            "bench --image a --clients 10001",
            "bench --image a --duration 0",
            "bench --image a --duration 25h",
            "bench --image a --pulls 0",
            "bench --image a --platform linux",
            "bench --image a --compare-group team",
            "bench --image a --compare http://127.0.0.1:1 --compare-username alice",
            "bench --image a --compare ftp://127.0.0.1",
        ] {
            assert!(Line::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
    }
}
