//! The sections `[storage]`, `[bootstrap]`, `[auth]`, `[console]`, `[proxy]`, `[cache]` and `[audit]`. A component that
//! has keys of its own in a section has a struct for them, which is a field here with a name that begins with `*`; see
//! [`deserializer`](super::deserializer). The other keys are those that the composition uses, or several components.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::ValidationError;
use crate::actors::audit::AuditOptions;
use crate::actors::blob_cache::{BlobCacheOptions, VerifyOptions};
use crate::actors::cache_limits::CacheLimits;
use crate::actors::manifest_cache::ManifestCacheOptions;
use crate::actors::pull_records::PullRecordOptions;
use crate::actors::token_issuer::PasswordOptions;
use crate::domain::freshness::{TagClass, TagClasses, TagPattern};
use crate::domain::key_files::{account_keys_in, signing_keys_in};
use crate::domain::last_use::AddressDays;
use crate::domain::min_free::MinFree;
use crate::domain::policy::PublicGroups;
use crate::domain::quota::Quota;
use crate::domain::token::is_like_gitlabs;
use crate::domain::upstream::NetworkMode;
use crate::domain::user::Username;
use crate::formats::{self, quantity};
use crate::telemetry::TraceOptions;

/// Folders, free space and the verification of stored blobs.
#[derive(Clone, Debug, Deserialize)]
pub struct Storage {
    /// Folder of identities and the index.
    pub data_dir: PathBuf,
    /// Folder of manifests and blobs.
    pub cache_dir: PathBuf,
    /// Minimum free space on the file systems of both folders.
    #[serde(deserialize_with = "quantity::min_free")]
    pub min_free: MinFree,
    /// Maximum size of all stored content.
    #[serde(deserialize_with = "quantity::quota")]
    pub max_bytes: Quota,
    /// Number of days after its last pull after which an image is removed from its group; 0: never.
    pub unpulled_days: u32,
    /// The verification of stored blobs.
    #[serde(rename = "*verification")]
    pub verification: VerifyOptions,
    /// Maximum number of changes of identities that wait to be stored.
    pub max_waiting_changes: NonZeroUsize,
}

/// The web console.
#[derive(Clone, Debug, Deserialize)]
pub struct Console {
    /// False: there are no pages.
    pub enabled: bool,
    /// Time without a request after which a session ends; at least a second.
    #[serde(deserialize_with = "quantity::duration")]
    pub session_idle: Duration,
    /// Time after which each session ends; at least `session_idle`.
    #[serde(deserialize_with = "quantity::duration")]
    pub session_longest: Duration,
}

/// The first administrator, created in an empty store.
#[derive(Clone, Debug, Deserialize)]
pub struct Bootstrap {
    /// User name of the first administrator.
    pub admin_username: Username,
    /// Password of the first administrator; `None`: a random one.
    #[serde(deserialize_with = "formats::secret")]
    pub admin_password: Option<SecretString>,
    /// API token of the first administrator, at least 20 characters; `None`: no token.
    #[serde(deserialize_with = "formats::secret")]
    pub admin_token: Option<SecretString>,
}

/// Login tokens, password checks and their limits.
#[derive(Clone, Debug, Deserialize)]
pub struct Auth {
    /// The name of this service in its challenges.
    #[serde(deserialize_with = "formats::some_text")]
    pub service: String,
    /// Time for which a JWT is accepted; at least `token_advertised`.
    #[serde(deserialize_with = "quantity::duration")]
    pub token_lifetime: Duration,
    /// Validity of a JWT as advertised to clients (`expires_in`); at least one second.
    #[serde(deserialize_with = "quantity::duration")]
    pub token_advertised: Duration,
    /// The file of the keys that sign JWTs; `None`: `jwt-keys` in the data folder, see [`Auth::key_file_in`].
    #[serde(deserialize_with = "formats::path")]
    pub key_file: Option<PathBuf>,
    /// The file of the keys that encrypt the passwords of groups' accounts at upstreams; `None`: `account-keys` in the
    /// data folder, see [`Auth::account_key_file_in`].
    #[serde(deserialize_with = "formats::path")]
    pub account_key_file: Option<PathBuf>,
    /// Callers who may pull from public groups.
    pub public_groups: PublicGroups,
    /// The checks of passwords.
    #[serde(rename = "*passwords")]
    pub passwords: PasswordOptions,
}

/// The main switches of the proxy.
#[derive(Clone, Debug, Deserialize)]
pub struct Proxy {
    /// False: nothing can be pulled, and administrators cannot enable the proxy by the API.
    pub enabled: bool,
    /// Mode of the network: upstreams are contacted, or not.
    pub network_mode: NetworkMode,
}

/// Times to live, sizes and concurrency of the cache.
#[derive(Clone, Debug, Deserialize)]
pub struct Cache {
    /// Times for which tags are served without a confirmation by upstream.
    #[serde(rename = "*tags")]
    pub tags: TagTimes,
    /// The cache of manifests.
    #[serde(rename = "*manifests")]
    pub manifests: ManifestCacheOptions,
    /// The cache of blobs.
    #[serde(rename = "*blobs")]
    pub blobs: BlobCacheOptions,
    /// Limits that each of the two has.
    #[serde(rename = "*each")]
    pub each: CacheLimits,
    /// Memory for large manifests and lists on their way to clients, in bytes; at least 16 MiB, the longest manifest.
    #[serde(deserialize_with = "quantity::transfer_memory")]
    pub transfer_memory: u64,
    /// Maximum number of blob files that are kept open.
    pub open_blobs: NonZeroUsize,
}

/// Times for which tags are served without a confirmation by upstream.
#[derive(Clone, Debug, Deserialize)]
pub struct TagTimes {
    /// Time to live of a tag that fits no class, where its upstream does not set one; zero: revalidated at every
    /// request.
    #[serde(deserialize_with = "quantity::duration")]
    pub tag_freshness: Duration,
    /// Time after the time to live for which a tag is served while it is revalidated in the background.
    #[serde(deserialize_with = "quantity::duration")]
    pub stale_while_revalidate: Duration,
    /// Tags that move often.
    pub moving_tags: Vec<TagPattern>,
    /// Time to live of moving tags.
    #[serde(deserialize_with = "quantity::duration")]
    pub moving_freshness: Duration,
    /// Tags that are never moved.
    pub immutable_tags: Vec<TagPattern>,
    /// Time to live of immutable tags.
    #[serde(deserialize_with = "quantity::duration")]
    pub immutable_freshness: Duration,
}

/// Events, uses and pulls: what is kept of who did what.
#[derive(Clone, Debug, Deserialize)]
pub struct Audit {
    /// The events.
    #[serde(rename = "*events")]
    pub events: AuditOptions,
    /// The records of who pulled images.
    #[serde(rename = "*pulls")]
    pub pulls: PullRecordOptions,
    /// Number of days for which the addresses are kept from which a token was used; 0: none is.
    pub address_days: AddressDays,
    /// The file to which events are appended; `None`: none.
    #[serde(deserialize_with = "formats::path")]
    pub file: Option<PathBuf>,
}

const MIN_PASSWORD_CHARS: usize = 8;
const MIN_TOKEN_CHARS: usize = 20;

impl Storage {
    pub(super) fn check(&self) -> Result<(), ValidationError> {
        if self.data_dir.as_os_str().is_empty() {
            return Err(ValidationError::new(["storage", "data_dir"], "is empty"));
        }
        if self.verification.interval.is_zero() {
            return Err(ValidationError::new(["storage", "verify_interval"], "is zero"));
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

impl Console {
    pub(super) fn check(&self) -> Result<(), ValidationError> {
        if self.session_idle < Duration::from_secs(1) {
            return Err(ValidationError::new(["console", "session_idle"], "is shorter than a second"));
        }
        if self.session_longest < self.session_idle {
            return Err(ValidationError::new(["console", "session_longest"], "is shorter than session_idle"));
        }
        Ok(())
    }
}

impl Bootstrap {
    pub(super) fn check(&self) -> Result<(), ValidationError> {
        let short = |secret: &Option<SecretString>, least| {
            secret.as_ref().is_some_and(|secret| secret.expose_secret().chars().count() < least)
        };
        if short(&self.admin_password, MIN_PASSWORD_CHARS) {
            return Err(ValidationError::new(["bootstrap", "admin_password"], "has fewer than 8 characters"));
        }
        let password = self.admin_password.as_ref().map(ExposeSecret::expose_secret);
        if password.is_some_and(is_like_gitlabs) {
            let problem = "looks like a GitLab token, which a login never tries as a password";
            return Err(ValidationError::new(["bootstrap", "admin_password"], problem));
        }
        if short(&self.admin_token, MIN_TOKEN_CHARS) {
            return Err(ValidationError::new(["bootstrap", "admin_token"], "has fewer than 20 characters"));
        }
        Ok(())
    }
}

impl Auth {
    /// Returns the file of the keys that sign JWTs.
    pub fn key_file_in(&self, storage: &Storage) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| signing_keys_in(&storage.data_dir))
    }

    /// Returns the file of the keys that encrypt the passwords of groups' accounts at upstreams.
    pub fn account_key_file_in(&self, storage: &Storage) -> PathBuf {
        self.account_key_file.clone().unwrap_or_else(|| account_keys_in(&storage.data_dir))
    }

    pub(super) fn check(&self, storage: &Storage) -> Result<(), ValidationError> {
        let refused = |key, problem: &str| Err(ValidationError::new(["auth", key], problem));
        if self.account_key_file_in(storage) == self.key_file_in(storage) {
            // A rotation after a leak removes all but one of the keys that sign.
            return refused("account_key_file", "is the file of auth.key_file, too; each needs a file of its own");
        }
        if self.token_advertised < Duration::from_secs(1) {
            return refused("token_advertised", "is shorter than a second");
        }
        if self.token_lifetime < self.token_advertised {
            return refused(
                "token_lifetime",
                "is shorter than token_advertised: clients would use tokens that are not accepted",
            );
        }
        if self.passwords.login_window.is_zero() {
            return refused("login_window", "is zero");
        }
        Ok(())
    }
}

/// Minimum of the sizes of audit events, in bytes: some hundred events.
const MIN_AUDIT_BYTES: u64 = 256 << 10;
/// Maximum of the size of the events of changes, in bytes: they are in every export and backup of the identities.
const MAX_AUDIT_BYTES: u64 = 1 << 30;

/// Maximum number of days for which is kept who pulled an image.
const MAX_PULL_DAYS: u32 = 366;

impl Audit {
    pub(super) fn check(&self) -> Result<(), ValidationError> {
        let sizes = [
            ("max_bytes", self.events.max_bytes),
            ("max_refusal_bytes", self.events.max_refusal_bytes),
            ("max_pull_bytes", self.pulls.max_pull_bytes),
        ];
        if let Some((key, _)) =
            sizes.into_iter().find(|(_, bytes)| !(MIN_AUDIT_BYTES..=MAX_AUDIT_BYTES).contains(bytes))
        {
            return Err(ValidationError::new(["audit", key], "is not between 256KiB and 1GiB"));
        }
        if self.pulls.pull_days > MAX_PULL_DAYS {
            return Err(ValidationError::new(["audit", "pull_days"], "is more than 366"));
        }
        Ok(())
    }
}

/// Checks the section `[telemetry]`.
pub(super) fn check_traces(options: &TraceOptions) -> Result<(), ValidationError> {
    if options.trace_percent > 100 {
        return Err(ValidationError::new(["telemetry", "trace_percent"], "is more than 100"));
    }
    Ok(())
}

impl TagTimes {
    /// Returns the classes of tags.
    pub(super) fn classes(&self) -> TagClasses {
        let class = |tags: &[TagPattern], time_to_live: &Duration| TagClass {
            tags: tags.to_vec(),
            time_to_live: *time_to_live,
        };
        TagClasses {
            moving: class(&self.moving_tags, &self.moving_freshness),
            immutable: class(&self.immutable_tags, &self.immutable_freshness),
        }
    }
}

impl Cache {
    pub(super) fn check(&self) -> Result<(), ValidationError> {
        let refused = |key, problem: &str| Err(ValidationError::new(["cache", key], problem));
        if self.manifests.times.revalidate_timeout.is_zero() {
            return refused("revalidate_timeout", "is zero: no tag could ever be revalidated");
        }
        if self.manifests.max_manifest_bytes == 0 {
            return refused("max_manifest_bytes", "is zero: no image could be cached");
        }
        Ok(())
    }
}
