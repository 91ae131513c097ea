//! The replicas of a fleet, each behind fronts to the database, the object store and upstream, and before its internal
//! port.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Sub;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;

use engines::{BUCKET, Bucket, Database, Front, KEY_ID, Mode, Postgres, REGION, SECRET_KEY};
use fake_registry::Listener;
use tempfile::TempDir;

use super::REPLICAS;
use crate::throughput::contender::{Running, Settings, launch, provision};
use crate::throughput::lab::Lab;
use crate::throughput::usage::Usage;

/// Secret of the fleets of benches.
const SECRET: &str = "a-secret-of-a-fleet-for-benches-only";

/// A running fleet.
pub(super) struct Fleet {
    pub(super) replicas: Vec<Replica>,
    pub(super) database: Database,
    _secret: TempDir,
}

/// A replica, and the ways from and to it. Its process ends before them.
pub(super) struct Replica {
    pub(super) server: Running,
    to_database: Front,
    to_bucket: Front,
    to_replica: Front,
    to_upstream: Front,
}

/// Bytes that have passed to and from the engines so far, and connections that were opened.
#[derive(Clone, Copy)]
pub(super) struct Traffic {
    pub(super) bytes: u64,
    pub(super) connections: usize,
}

impl Sub for Traffic {
    type Output = Self;

    /// Returns what has passed beyond the other, if anything.
    fn sub(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            connections: self.connections.saturating_sub(other.connections),
        }
    }
}

/// The engines of one fleet.
struct Engines<'a> {
    database: &'a Database,
    postgres: &'a Postgres,
    bucket: &'a Bucket,
    prefix: String,
    secret: PathBuf,
}

impl Fleet {
    /// Starts replicas over engines that other rows use as well.
    pub(super) fn start(lab: &Lab) -> io::Result<Self> {
        let (postgres, bucket) = available(|| (Postgres::shared(), Bucket::shared()))?;
        Self::over(lab, postgres, bucket)
    }

    /// Starts replicas over these engines, and gives all of them access to the same groups.
    pub(super) fn over(lab: &Lab, postgres: &Postgres, bucket: &Bucket) -> io::Result<Self> {
        let (folder, database) = (lab.folder("fleet")?, postgres.database());
        let secret = write_secret(folder.path())?;
        let engines = Engines { database: &database, postgres, bucket, prefix: bucket.prefix(), secret };
        let started = thread::scope(|scope| {
            let starting: Vec<_> = (0..REPLICAS).map(|_| scope.spawn(|| engines.start(lab))).collect();
            let started = starting.into_iter().map(|replica| replica.join().map_err(|_| failed())?);
            started.collect::<io::Result<Vec<Replica>>>()
        });
        let mut replicas = started?;
        if let Some((first, others)) = replicas.split_first_mut() {
            provision(&mut first.server)?;
            for other in others {
                other.server.access = first.server.access.clone();
                other.server.other.clone_from(&first.server.other);
            }
        }
        Ok(Self { replicas, database, _secret: folder })
    }

    /// Returns the usage of all replicas so far.
    pub(super) fn usage(&self) -> Usage {
        self.replicas.iter().map(|replica| replica.server.usage()).sum()
    }
}

impl Replica {
    /// Returns what has passed between it and the engines so far.
    pub(super) fn traffic(&self) -> Traffic {
        let fronts = [&self.to_database, &self.to_bucket];
        Traffic {
            bytes: fronts.iter().map(|front| front.passed()).sum(),
            connections: fronts.iter().map(|front| front.opened()).sum(),
        }
    }

    /// Returns the number of bytes that have passed between it and upstream so far.
    pub(super) fn upstream_bytes(&self) -> u64 {
        self.to_upstream.passed()
    }

    /// Lets no byte pass any more but those of clients.
    pub(super) fn cut_off(&self) {
        for front in [&self.to_database, &self.to_bucket, &self.to_replica, &self.to_upstream] {
            front.set(Mode::Stall);
        }
    }
}

/// Starts engines. Fails where they are not installed.
pub(super) fn available<T>(start: impl FnOnce() -> T) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(start)).map_err(|reason| {
        let reason = reason.downcast_ref::<String>().map_or("", String::as_str);
        io::Error::other(format!("the engines cannot be started; tests/run installs them. {reason}"))
    })
}

impl Engines<'_> {
    /// Starts a replica over them.
    fn start(&self, lab: &Lab) -> io::Result<Replica> {
        let port = engines::free_port();
        let to_database = Front::start(self.postgres.address());
        let to_bucket = Front::start(self.bucket.address());
        let to_replica = Front::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let to_upstream = Front::start(lab.upstream.address(Listener::Registry));
        let settings = Settings {
            tls: false,
            upstream: format!("http://{}", to_upstream.address()),
            // That of the load balancer.
            server: "external_url = \"http://images.test\"\n".to_owned(),
            sections: self.section((to_database.address(), to_bucket.address()), (port, to_replica.address())),
        };
        Ok(Replica { server: launch(lab, &settings)?, to_database, to_bucket, to_replica, to_upstream })
    }

    fn section(&self, (database, bucket): (SocketAddr, SocketAddr), (port, address): (u16, SocketAddr)) -> String {
        let database = self.database.url_at(database);
        format!(
            "[fleet]\ndatabase_url = \"{database}?sslmode=disable\"\nbucket_url = \"s3://{BUCKET}/{}\"\n\
             bucket_endpoint = \"http://{bucket}\"\nbucket_region = \"{REGION}\"\nbucket_access_key = \"{KEY_ID}\"\n\
             bucket_secret_key = \"{SECRET_KEY}\"\nlisten = \"127.0.0.1:{port}\"\naddress = \"{address}\"\n\
             secret_file = \"{}\"\n",
            self.prefix,
            self.secret.display(),
        )
    }
}

fn failed() -> io::Error {
    io::Error::other("a replica cannot be started")
}

/// Writes the secret into a folder, for nobody else to read.
fn write_secret(folder: &Path) -> io::Result<PathBuf> {
    let file = folder.join("secret");
    fs::write(&file, SECRET)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    Ok(file)
}
