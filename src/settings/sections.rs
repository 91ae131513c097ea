//! The sections `[storage]`, `[bootstrap]`, `[auth]`, `[proxy]`, `[cache]` and `[log]`.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Impossible, quantity, written};
use crate::domain::min_free::MinFree;
use crate::domain::policy::PublicGroups;
use crate::domain::token::is_like_gitlabs;
use crate::domain::user::Username;
use crate::telemetry::{LogFilter, LogFormat};

/// Where the service keeps things.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// Identities and the index.
    pub data_dir: PathBuf,
    /// Manifests and blobs.
    pub cache_dir: PathBuf,
    /// What must stay free on the file system of `cache_dir`.
    #[serde(deserialize_with = "quantity::min_free")]
    pub min_free: MinFree,
    /// The maximum of bytes of stored blobs that are verified in a second; 0: none but those under suspicion.
    #[serde(deserialize_with = "quantity::bytes")]
    pub verify_bytes_per_second: u64,
    /// From the begin of one verification of all stored blobs to that of the next; more than zero.
    #[serde(deserialize_with = "quantity::long_duration")]
    pub verify_interval: Duration,
    /// Changes of identities that may wait to be stored.
    pub max_waiting_changes: NonZeroUsize,
}

/// What an empty store starts with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// The first administrator.
    pub admin_username: Username,
    /// Its password; `None`: a random one.
    #[serde(deserialize_with = "written::secret")]
    pub admin_password: Option<SecretString>,
    /// An API token of it, at least 20 characters.
    #[serde(deserialize_with = "written::secret")]
    pub admin_token: Option<SecretString>,
}

/// Logins.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The name of this service in its challenges.
    #[serde(deserialize_with = "written::some_text")]
    pub service: String,
    /// How long a JWT is accepted; at least as long as advertised.
    #[serde(deserialize_with = "quantity::duration")]
    pub token_lifetime: Duration,
    /// How long clients are told that it is; at least a second.
    #[serde(deserialize_with = "quantity::duration")]
    pub token_advertised: Duration,
    /// The file of the keys that sign JWTs; `None`: `jwt-keys` in the data folder, see [`Auth::key_file_in`].
    #[serde(deserialize_with = "written::path")]
    pub key_file: Option<PathBuf>,
    /// Who may pull from public groups.
    pub public_groups: PublicGroups,
    /// Passwords that are verified at the same time.
    pub password_threads: NonZeroUsize,
    /// Passwords that may wait to be.
    pub password_queue: usize,
    /// Passwords from one address that may be verified or wait to be, of those there are.
    pub password_queue_per_address: NonZeroUsize,
    /// How long a password that was right is remembered; zero: not at all.
    #[serde(deserialize_with = "quantity::duration")]
    pub password_remembered: Duration,
    /// Wrong passwords for one user name from one address in a `login_window`.
    pub max_failed_logins: NonZeroU32,
    /// Wrong passwords from one address in a `login_window`.
    pub max_failed_logins_per_address: NonZeroU32,
    /// The time over which wrong passwords are counted; more than zero.
    #[serde(deserialize_with = "quantity::duration")]
    pub login_window: Duration,
}

/// The main switch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Off: nothing can be pulled, whatever administrators say at run time.
    pub enabled: bool,
}

/// What is kept, for how long, and how much at once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// How long a tag is believed, where its upstream does not say; zero: not at all.
    #[serde(deserialize_with = "quantity::duration")]
    pub tag_freshness: Duration,
    /// How long asking whether it moved may take.
    #[serde(deserialize_with = "quantity::timeout")]
    pub revalidate_timeout: Duration,
    /// How long a 404 of upstream is believed.
    #[serde(deserialize_with = "quantity::duration")]
    pub negative_ttl: Duration,
    /// Time that a tag is served after it was last confirmed, while upstream refuses the account; zero: not at all.
    #[serde(deserialize_with = "quantity::long_duration")]
    pub account_grace: Duration,
    /// The largest manifest that is stored, in bytes.
    #[serde(deserialize_with = "quantity::bytes")]
    pub max_manifest_bytes: u64,
    /// The largest blob that is stored, in bytes; 0: any.
    #[serde(deserialize_with = "quantity::bytes")]
    pub max_blob_bytes: u64,
    /// Memory for manifests, in bytes.
    #[serde(deserialize_with = "quantity::size")]
    pub manifest_memory: u64,
    /// Memory for large manifests and lists on their way to clients, in bytes; at least the longest manifest.
    #[serde(deserialize_with = "quantity::transfer_memory")]
    pub transfer_memory: u64,
    /// Different manifests that are asked for at the same time.
    pub max_fetches: NonZeroUsize,
    /// Different blobs that are downloaded at the same time.
    pub max_downloads: NonZeroUsize,
    /// Those of them that one group may have begun.
    pub max_downloads_per_group: NonZeroUsize,
    /// Requests that may wait for a manifest that is not in memory and, counted apart, for the first byte of a blob.
    pub max_waiters: NonZeroUsize,
    /// Blobs that are passed through unstored at the same time.
    pub max_unstored_streams: NonZeroUsize,
    /// Responses with ranges of blobs that are not stored, straight from upstream, at the same time.
    pub max_range_streams: NonZeroUsize,
    /// Rights of groups to blobs and, counted apart, to manifests that are remembered in memory.
    pub known_links: NonZeroUsize,
    /// Tags that are remembered in memory.
    pub known_tags: NonZeroUsize,
    /// Files of blobs that stay open.
    pub open_blobs: NonZeroUsize,
}

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// What is logged.
    pub filter: LogFilter,
    /// How it looks.
    pub format: LogFormat,
    /// How much of it may wait until it is read, in bytes.
    #[serde(deserialize_with = "quantity::bytes")]
    pub max_waiting_bytes: u64,
}

const MIN_PASSWORD: usize = 8;
const MIN_TOKEN: usize = 20;

impl Storage {
    pub(super) fn check(&self) -> Result<(), Impossible> {
        if self.data_dir.as_os_str().is_empty() {
            return Err(Impossible::new(["storage", "data_dir"], "is empty"));
        }
        if self.verify_interval.is_zero() {
            return Err(Impossible::new(["storage", "verify_interval"], "is zero"));
        }
        Ok(())
    }

    pub(super) fn with_defaults(mut self) -> Self {
        if self.cache_dir.as_os_str().is_empty() {
            self.cache_dir = self.data_dir.join("cache");
        }
        self
    }
}

impl Bootstrap {
    pub(super) fn check(&self) -> Result<(), Impossible> {
        let short = |secret: &Option<SecretString>, least| {
            secret.as_ref().is_some_and(|secret| secret.expose_secret().chars().count() < least)
        };
        if short(&self.admin_password, MIN_PASSWORD) {
            return Err(Impossible::new(["bootstrap", "admin_password"], "has fewer than 8 characters"));
        }
        let password = self.admin_password.as_ref().map(ExposeSecret::expose_secret);
        if password.is_some_and(is_like_gitlabs) {
            let problem = "has the form of a token of GitLab: a login would never try it as a password";
            return Err(Impossible::new(["bootstrap", "admin_password"], problem));
        }
        if short(&self.admin_token, MIN_TOKEN) {
            return Err(Impossible::new(["bootstrap", "admin_token"], "has fewer than 20 characters"));
        }
        Ok(())
    }
}

impl Auth {
    /// The file of the keys that sign JWTs.
    pub fn key_file_in(&self, storage: &Storage) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| storage.data_dir.join("jwt-keys"))
    }

    pub(super) fn check(&self) -> Result<(), Impossible> {
        let refused = |key, problem: &str| Err(Impossible::new(["auth", key], problem));
        if self.token_advertised < Duration::from_secs(1) {
            return refused("token_advertised", "is shorter than a second");
        }
        if self.token_lifetime < self.token_advertised {
            return refused(
                "token_lifetime",
                "is shorter than token_advertised: clients would use tokens that are not accepted",
            );
        }
        if self.login_window.is_zero() {
            return refused("login_window", "is zero");
        }
        Ok(())
    }
}

impl Cache {
    pub(super) fn check(&self) -> Result<(), Impossible> {
        let refused = |key, problem: &str| Err(Impossible::new(["cache", key], problem));
        if self.revalidate_timeout.is_zero() {
            return refused("revalidate_timeout", "is zero: no tag could ever be asked about");
        }
        if self.max_manifest_bytes == 0 {
            return refused("max_manifest_bytes", "is zero: no image could be cached");
        }
        Ok(())
    }
}
