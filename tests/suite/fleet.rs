//! Several replicas of the service over one PostgreSQL database and one bucket, each behind fronts that tests switch:
//! one to the database, one to the object store, and one before its internal port.

mod balanced;
mod content;
mod downloads;
mod failed_logins;
mod figures;
mod identities;
mod kills;
mod learned;
mod leaving;
mod moving;
mod outages;
mod random_kills;
mod schema;
mod secrets;
mod sentences;
mod sessions;
mod starts;
mod turns;
mod upstream_limits;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engines::{BUCKET, Bucket, Database, Front, KEY_ID, Mode, Postgres, REGION, SECRET_KEY};
use fake_registry::FakeRegistry;

use crate::service::{Client, Config, Service};

/// The replicas of a test.
struct Fleet {
    replicas: Vec<Replica>,
    database: Database,
    /// Prefix of its objects.
    prefix: String,
    _folder: tempfile::TempDir,
    hub: FakeRegistry,
}

/// A replica, and the ways from and to it.
struct Replica {
    service: Service,
    to_database: Front,
    to_bucket: Front,
    to_replica: Front,
}

/// The bound of tests: the time for which a replica decides without a look at the engines. Longer than the default,
/// because tests run beside many others.
const BOUND: Duration = Duration::from_secs(1);

/// Secret of the fleets of tests.
const SECRET: &str = "a-secret-of-a-fleet-for-tests-only";

impl Fleet {
    /// Starts this number of replicas together, over engines that other tests use as well.
    fn of(replicas: usize) -> Self {
        Self::with(replicas, "")
    }

    /// Starts replicas with further settings: of `[fleet]`, or of other sections.
    fn with(replicas: usize, settings: &str) -> Self {
        Self::configured(replicas, "", settings)
    }

    /// Starts replicas with further settings, and some of their upstream.
    fn configured(replicas: usize, of_upstream: &str, settings: &str) -> Self {
        Self::start((Postgres::shared(), Bucket::shared()), &vec![BOUND; replicas], (of_upstream, settings))
    }

    /// Starts replicas over these engines.
    fn over(postgres: &Postgres, bucket: &Bucket, replicas: usize) -> Self {
        Self::start((postgres, bucket), &vec![BOUND; replicas], ("", ""))
    }

    /// Starts a replica with each of these bounds.
    fn with_bounds(postgres: &Postgres, bucket: &Bucket, bounds: &[Duration]) -> Self {
        Self::start((postgres, bucket), bounds, ("", ""))
    }

    fn start(
        (postgres, bucket): (&Postgres, &Bucket),
        bounds: &[Duration],
        (of_upstream, settings): (&str, &str),
    ) -> Self {
        let (database, prefix, hub) = (postgres.database(), bucket.prefix(), FakeRegistry::start());
        let folder = tempfile::tempdir().unwrap();
        let secret = secret_in(folder.path());
        let start = |bound: &Duration| {
            let (to_database, to_bucket) = (Front::start(postgres.address()), Front::start(bucket.address()));
            let port = engines::free_port();
            let to_replica = Front::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            let engines = (database.url_at(to_database.address()), to_bucket.address(), prefix.as_str());
            let lines = section(engines, (port, to_replica.address()), &secret, *bound);
            let config = Config::docker_hub(&hub).and(of_upstream).and(&lines).and(settings);
            // That of the load balancer.
            let config = config.variable("DEPENDENCY_PROXY__SERVER__EXTERNAL_URL", "http://images.test");
            (config, to_database, to_bucket, to_replica)
        };
        let prepared: Vec<_> = bounds.iter().map(start).collect();
        let replicas = std::thread::scope(|scope| {
            let starting: Vec<_> = prepared
                .into_iter()
                .map(|(config, to_database, to_bucket, to_replica)| {
                    scope.spawn(|| Replica { service: config.start(), to_database, to_bucket, to_replica })
                })
                .collect();
            starting.into_iter().map(|replica| replica.join().unwrap()).collect()
        });
        Self { replicas, database, prefix, _folder: folder, hub }
    }

    fn service(&self, replica: usize) -> &Service {
        &self.replicas[replica].service
    }

    /// Returns a client of the group `team` for each replica.
    async fn clients(&self) -> Vec<Client> {
        let group = self.service(0).group("team").await;
        let token = self.service(0).deploy_token(&group, "ci").await;
        let mut clients = Vec::new();
        for replica in &self.replicas {
            clients.push(replica.service.log_in_with(&token).await);
        }
        clients
    }
}

/// Writes the secret of a fleet into a folder.
fn secret_in(folder: &Path) -> PathBuf {
    let secret = folder.join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    secret
}

/// Returns the section of the settings of a replica that reaches these engines, and listens on this port, which others
/// reach at an address.
fn section(
    (database, bucket, prefix): (String, SocketAddr, &str),
    (port, address): (u16, SocketAddr),
    secret: &Path,
    bound: Duration,
) -> String {
    format!(
        "[fleet]\ndatabase_url = \"{database}?sslmode=disable\"\nbucket_url = \"s3://{BUCKET}/{prefix}\"\n\
         bucket_endpoint = \"http://{bucket}\"\nbucket_region = \"{REGION}\"\nbucket_access_key = \"{KEY_ID}\"\n\
         bucket_secret_key = \"{SECRET_KEY}\"\nlisten = \"127.0.0.1:{port}\"\naddress = \"{address}\"\n\
         secret_file = \"{}\"\nbound = \"{}ms\"\n",
        secret.display(),
        bound.as_millis(),
    )
}

impl Replica {
    /// Cuts the replica off from the database.
    fn lose_database(&self, mode: Mode) {
        self.to_database.set(mode);
        self.to_database.cut();
    }

    /// Cuts the replica off from everything but clients.
    fn lose_everything(&self) {
        for front in [&self.to_database, &self.to_bucket, &self.to_replica] {
            front.set(Mode::Stall);
        }
    }

    /// Ends all cuts.
    fn find_everything(&self) {
        for front in [&self.to_database, &self.to_bucket, &self.to_replica] {
            front.set(Mode::Pass);
        }
    }
}
