//! The section `[fleet]`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};
use url::Url;

use crate::domain::fleet::validity::Bound;
use crate::domain::redirects::{RedirectMode, Redirects};
use crate::formats::{self, quantity};
use crate::settings::ValidationError;
use crate::settings::server::networks;
use crate::store::fleet::{BucketOptions, DatabaseOptions, DatabaseUrl};

/// The engines that several replicas share.
#[derive(Clone, Debug, Deserialize)]
pub struct Fleet {
    /// The database; `None`: this process is the only one.
    #[serde(deserialize_with = "database_url")]
    database_url: Option<DatabaseUrl>,
    /// Maximum number of connections to it.
    database_connections: NonZeroUsize,
    /// Authorities that are trusted beside those of the operating system.
    #[serde(deserialize_with = "formats::path")]
    database_ca_file: Option<PathBuf>,
    /// The bucket.
    #[serde(deserialize_with = "bucket_url")]
    bucket_url: Option<Url>,
    /// Address of the object store.
    #[serde(deserialize_with = "formats::optional_url")]
    bucket_endpoint: Option<Url>,
    /// Region of the bucket.
    #[serde(deserialize_with = "formats::text")]
    bucket_region: Option<String>,
    /// Access key.
    #[serde(deserialize_with = "formats::text")]
    bucket_access_key: Option<String>,
    /// Secret key.
    #[serde(deserialize_with = "formats::secret")]
    bucket_secret_key: Option<SecretString>,
    /// Maximum size of the content in the bucket; 0: no limit.
    #[serde(deserialize_with = "quantity::limit_bytes")]
    bucket_max_bytes: Option<u64>,
    /// The blobs for which clients are sent to the bucket.
    redirect: RedirectMode,
    /// Address of the bucket's store for clients.
    #[serde(deserialize_with = "formats::optional_url")]
    redirect_endpoint: Option<Url>,
    /// Networks of the clients that are sent there.
    #[serde(deserialize_with = "networks")]
    redirect_from: Vec<IpNet>,
    /// Address of the port for other replicas.
    #[serde(deserialize_with = "formats::address")]
    listen: SocketAddr,
    /// Address by which other replicas reach it.
    #[serde(deserialize_with = "host_and_port")]
    address: Option<String>,
    /// The file of the secret that all replicas share.
    #[serde(deserialize_with = "formats::path")]
    secret_file: Option<PathBuf>,
    /// Maximum age of what a replica knows of the identities.
    #[serde(deserialize_with = "quantity::duration")]
    bound: Duration,
    /// Maximum time without the database.
    #[serde(deserialize_with = "quantity::duration")]
    without_database: Duration,
}

/// The section of a replica that shares its engines with others.
#[derive(Clone, Debug)]
pub struct SharedEngines {
    /// The database.
    pub database: DatabaseOptions,
    /// The object store.
    pub bucket: BucketOptions,
    /// Address of the store for clients that are sent there; `None`: none are.
    pub redirect_endpoint: Option<Url>,
    /// The file of the secret.
    pub secret_file: PathBuf,
    /// Address of the port for other replicas.
    pub listen: SocketAddr,
    /// Address by which other replicas reach it; `None`: the one from which this replica reaches the database.
    pub address: Option<String>,
    /// Maximum age of what a replica knows of the identities.
    pub bound: Bound,
    /// Maximum time for which the change log stands in for the database.
    pub without_database: Duration,
}

/// Minimum number of connections: one for looks, and two during an upgrade of the schema.
const MIN_CONNECTIONS: usize = 3;
/// Range of the bound. A shorter one costs many looks, a longer one makes changes slow where a replica is lost.
const BOUNDS: std::ops::RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(10);

impl Fleet {
    /// Returns the shared engines; `None` where this process is the only one.
    pub fn shared(&self) -> Option<SharedEngines> {
        let keys = self.bucket_access_key.clone().zip(self.bucket_secret_key.clone());
        Some(SharedEngines {
            database: DatabaseOptions {
                url: self.database_url.clone()?,
                connections: self.database_connections,
                ca_file: self.database_ca_file.clone(),
            },
            bucket: BucketOptions {
                url: self.bucket_url.clone()?,
                endpoint: self.bucket_endpoint.clone(),
                region: self.bucket_region.clone(),
                keys,
            },
            redirect_endpoint: self.redirect_endpoint.clone().filter(|_| self.redirect != RedirectMode::Never),
            secret_file: self.secret_file.clone()?,
            listen: self.listen,
            address: self.address.clone(),
            bound: Bound(self.bound),
            without_database: self.without_database,
        })
    }

    /// Returns which clients are sent to the bucket, and for which blobs.
    pub(crate) fn redirects(&self) -> Redirects {
        Redirects { mode: self.redirect, from: self.redirect_from.clone() }
    }

    /// Returns the maximum number of bytes of content in the bucket; `None`: no limit.
    pub fn bucket_max_bytes(&self) -> Option<u64> {
        self.bucket_max_bytes
    }

    /// Checks the section beside the addresses that the service has for clients.
    pub(in crate::settings) fn check(
        &self,
        external_url: Option<&Url>,
        own: &[SocketAddr],
    ) -> Result<(), ValidationError> {
        self.check_redirect(external_url)?;
        let refused = |key, problem: &str| Err(ValidationError::new(["fleet", key], problem));
        let given = [
            ("database_url", self.database_url.is_some()),
            ("bucket_url", self.bucket_url.is_some()),
            ("secret_file", self.secret_file.is_some()),
        ];
        if given.iter().any(|(_, given)| *given)
            && let Some((missing, _)) = given.iter().find(|(_, given)| !given)
        {
            return refused(
                missing,
                "is empty; database_url, bucket_url and secret_file are given together, or none is",
            );
        }
        if self.bucket_access_key.is_some() != self.bucket_secret_key.is_some() {
            return refused("bucket_secret_key", "is given without bucket_access_key, or the other way round");
        }
        if self.listen.port() != 0 && own.iter().any(|own| is_taken(*own, self.listen)) {
            return refused(
                "listen",
                "is a port of server.listen or server.metrics_listen: replicas need one of their own",
            );
        }
        if self.database_connections.get() < MIN_CONNECTIONS {
            return refused("database_connections", "is less than 3");
        }
        if !BOUNDS.contains(&self.bound) {
            return refused("bound", "is not between 200ms and 10s");
        }
        if self.without_database < self.bound {
            return refused("without_database", "is shorter than bound");
        }
        Ok(())
    }
}

impl Fleet {
    fn check_redirect(&self, external_url: Option<&Url>) -> Result<(), ValidationError> {
        if self.redirect == RedirectMode::Never {
            return Ok(());
        }
        let refused = |key, problem: &str| Err(ValidationError::new(["fleet", key], problem));
        let (Some(endpoint), Some(own)) = (&self.redirect_endpoint, external_url) else {
            return match self.redirect_endpoint {
                None => refused("redirect_endpoint", "is empty, but fleet.redirect sends clients there"),
                Some(_) => refused("redirect", "needs server.external_url, which is not set"),
            };
        };
        // A name with a dot at its end is the same host.
        let host = |url: &Url| url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
        let (store, own) = (host(endpoint), host(own));
        if store == own || store.ends_with(&format!(".{own}")) {
            return refused(
                "redirect_endpoint",
                "is the host of server.external_url or below it: clients would send their login token to the store, too",
            );
        }
        if self.redirect_from.is_empty() {
            return refused(
                "redirect_from",
                "is empty; it lists the networks of clients that reach the store, such as \"10.0.0.0/8\"",
            );
        }
        Ok(())
    }
}

/// Returns true if nothing else can listen at `other` beside `one`.
fn is_taken(one: SocketAddr, other: SocketAddr) -> bool {
    let is_every = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (is_every || one.ip() == other.ip())
}

/// Reads a host with a port, such as `replica-1:5052`; an empty text is `None`.
fn host_and_port<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let is_one = |text: &str| {
        let has_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
        let is_authority =
            !text.contains(['/', '@', '?', '#', '\\']) && text.bytes().all(|byte| byte.is_ascii_graphic());
        has_port && is_authority && Url::parse(&format!("http://{text}/")).is_ok()
    };
    let checked = |text: String| match is_one(&text) {
        true => Ok(text),
        false => Err(de::Error::custom(format_args!("'{text}' is not a host with a port such as replica-1:5052"))),
    };
    formats::text(from)?.map(checked).transpose()
}

fn database_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DatabaseUrl>, D::Error> {
    formats::text(from)?.map(|text| text.parse().map_err(de::Error::custom)).transpose()
}

fn bucket_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    let wrong = || de::Error::custom("is not the address of a bucket, such as s3://bucket or s3://bucket/prefix");
    let parse = |text: String| {
        let url = Url::parse(&text).ok().filter(|url| url.scheme() == "s3" && url.has_host());
        url.filter(|url| url.query().is_none() && url.username().is_empty()).ok_or_else(wrong)
    };
    formats::text(from)?.map(parse).transpose()
}
