//! Settings: the defaults of `config/default.toml`, overridden by the operator's file, overridden by the
//! environment, and read into types that hold valid values only. An unknown key, a wrong type or an invalid value
//! is refused with its key and the file and line, or the variable, that set it. Secrets are never printed, neither
//! by `Debug` nor in an error.
//!
//! [`state`] reads the state file of `apply` in the same way, and [`settings_schema`] finds out what the reader
//! accepts.
//!
//! The reader is written here, on the spans of the `toml` crate, because the crates figment and config know the
//! file of a key but not its line.
//!
//! | module | content |
//! |---|---|
//! | [`sections`], [`server`], [`upstreams`] | the sections, and the types that they are read into |
//! | [`layers`], [`node`], [`secrets`] | defaults, file and environment as one tree, each value with its place; secrets in files |
//! | [`deserializer`] | from the tree to the types |
//! | [`error`], [`fault`], [`repair`] | faults as the operator reads them; how all of them are found, not only the first |
//! | [`keys`] | the place of each key, and what differs between two settings |
//! | [`state`] | the state file |
//! | [`schema`] | schemas of both files, for editors |
//! | [`chosen`], [`mod@restored`], [`toml_text`] | the settings in a backup, and a file of them; values as TOML |

mod chosen;
mod deserializer;
mod error;
mod fault;
mod keys;
mod layers;
mod node;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties;
mod repair;
mod restored;
mod schema;
mod secrets;
mod sections;
mod server;
pub mod state;
pub(crate) mod toml_text;
mod upstreams;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;

pub use self::chosen::Chosen;
pub use self::node::Place;
pub use self::restored::{RestoredSettings, restored};
pub use error::{SettingsError, SettingsErrors};
pub use keys::Keys;
pub use schema::{settings_schema, state_schema};
pub use sections::{Audit, Auth, Bootstrap, Cache, Console, Fleet, Proxy, SharedEngines, Storage, TagTimes};
pub use server::{Server, Tls};
pub use upstreams::ConfiguredUpstreams;

use self::node::Node;
use crate::domain::limits::Limits;
use crate::domain::upstream::Upstreams;
use crate::telemetry::{LogOptions, TraceOptions};
use crate::upstream::ConnectionOptions;
use error::ValidationError;
use repair::StandInNames;

/// All settings, validated.
#[derive(Debug)]
pub struct Settings {
    /// Listeners, connections and TLS.
    pub server: Server,
    /// Folders, free space and the verification of stored blobs.
    pub storage: Storage,
    /// The first administrator, created in an empty store.
    pub bootstrap: Bootstrap,
    /// Login tokens, password checks and their limits.
    pub auth: Auth,
    /// Maximum numbers of objects and changes for callers of the REST API.
    pub limits: Limits,
    /// The web console.
    pub console: Console,
    /// The main switch of the proxy.
    pub proxy: Proxy,
    /// Times to live, sizes and concurrency of the cache.
    pub cache: Cache,
    /// Sizes and ages of audit events, and of what is kept of uses and pulls.
    pub audit: Audit,
    /// The engines that several replicas share.
    pub fleet: Fleet,
    /// Filter and format of the log.
    pub log: LogOptions,
    /// Collector and share of traces.
    pub telemetry: TraceOptions,
    /// The upstream registries that are enabled.
    pub upstreams: ConfiguredUpstreams,
    keys: Keys,
    names: StandInNames,
}

/// The defaults as TOML text, with a comment on every setting.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

impl Settings {
    /// Loads the settings from this file, if given, and from the environment variables that start with
    /// `DEPENDENCY_PROXY__`.
    ///
    /// # Errors
    ///
    /// All faults at once: an unreadable file, invalid TOML, variables that name no setting, and unknown
    /// or invalid keys.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsErrors> {
        Self::load_checked(file, environment, |_| Vec::new())
    }

    /// Loads the settings as [`Self::load`] does, and refuses also what `check` finds wrong with the use of their
    /// values. All errors are found at once: where a value is wrong by itself, the others are checked beside its
    /// default.
    ///
    /// # Errors
    ///
    /// Those of [`Self::load`], and those that `check` returns.
    pub fn load_checked(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        check: impl FnOnce(&Self) -> Vec<SettingsError>,
    ) -> Result<Self, SettingsErrors> {
        let text = file.map(read_file).transpose()?;
        Self::from_text(text.as_ref().map(|(name, text)| (name.as_str(), text.as_str())), environment, check)
    }

    fn from_text(
        file: Option<(&str, &str)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        check: impl FnOnce(&Self) -> Vec<SettingsError>,
    ) -> Result<Self, SettingsErrors> {
        let (mut defaults, mut tree, mut errors) = layered(file, environment)?;
        let unreadable = secrets::load_secret_files(&mut tree);
        // Removes the empty `..._file` keys only: no default names a file, so this cannot fail.
        secrets::load_secret_files(&mut defaults);
        let known = unreadable.iter().filter_map(|fault| secrets::secret_beside(&fault.path)).collect();
        errors.extend(unreadable.into_iter().map(SettingsError::from));
        let keys = Keys::of(&tree);
        upstreams::apply_upstream_defaults(&mut tree);
        upstreams::apply_upstream_defaults(&mut defaults);
        let mut repaired = repair::repair(tree, &defaults, known);
        errors.append(&mut repaired.faults);
        let names = std::mem::take(&mut repaired.names);
        let settings = repaired.settings.take().map(|settings| Self { keys, names, ..settings });
        let found = settings.as_ref().map(check).unwrap_or_default();
        errors.extend(found.into_iter().filter(|error| !repaired.replaced(error)));
        match settings {
            Some(settings) if errors.is_empty() => Ok(settings),
            Some(_) | None => Err(errors.into()),
        }
    }

    /// Returns the part of these settings that decides which account a pull uses, and for how long what it gets is
    /// fresh: without addresses, limits and secrets.
    pub fn pull_rules(&self) -> Upstreams {
        let tags = &self.cache.tags;
        let upstreams = Upstreams::new(self.upstreams.rules());
        upstreams.with_tags(tags.classes(), tags.stale_while_revalidate).in_mode(self.proxy.network_mode)
    }

    /// Returns the keys and fingerprints of their values, for a comparison with other settings.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Returns an error about the value of this key, for a fault that is found only where the value is used.
    pub fn refuse(&self, path: &[&str], problem: String) -> SettingsError {
        let path = self.names.written(path);
        let place =
            self.keys.place(&path).cloned().unwrap_or(Place::File { file: "config/default.toml".into(), line: 1 });
        SettingsError::Refused { place, key: node::dotted(path), problem }
    }
}

/// Maximum size of a file of settings, and of a state file.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Returns the name and the text of a file of settings.
fn read_file(file: &Path) -> Result<(String, String), SettingsError> {
    match std::fs::File::open(file).and_then(read_text) {
        Ok(text) => Ok((file.display().to_string(), text)),
        Err(problem) => Err(SettingsError::Unreadable { file: file.to_owned(), problem }),
    }
}

/// Returns the text of a file of settings.
///
/// # Errors
///
/// It cannot be read, is not UTF-8, or is longer than 16 MiB, as a device without an end is.
pub fn read_text(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    if from.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)? as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    Ok(text)
}

/// Returns the tree of the defaults, and that of all settings with the faults of the names of variables.
fn layered(
    file: Option<(&str, &str)>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(Node, Node, Vec<SettingsError>), SettingsErrors> {
    let defaults = layers::parse("config/default.toml", DEFAULTS)?;
    let mut tree = defaults.clone();
    if let Some((name, text)) = file {
        tree.overlay(layers::parse(name, text)?);
    }
    let errors = set_variables(&mut tree, environment);
    Ok((defaults, tree, errors))
}

/// Sets these variables in the tree, and returns the faults of their names.
fn set_variables(tree: &mut Node, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<SettingsError> {
    let mut errors = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        let set = if name.starts_with(layers::VARIABLE_PREFIX) {
            tree.set_variable(name, value)
        } else {
            tree.refuse_misspelt(name)
        };
        errors.extend(set.err());
    }
    errors
}

/// All sections with valid types, before values are checked against one another.
#[derive(Deserialize)]
struct Sections {
    server: Server,
    storage: Storage,
    bootstrap: Bootstrap,
    auth: Auth,
    limits: Limits,
    console: Console,
    proxy: Proxy,
    cache: Cache,
    audit: Audit,
    fleet: Fleet,
    log: LogOptions,
    telemetry: TraceOptions,
    #[expect(dead_code, reason = "checked by being read; its values are already in the upstreams")]
    upstream_defaults: ConnectionOptions,
    upstreams: upstreams::RawUpstreams,
}

impl Sections {
    fn check(self) -> Result<Settings, ValidationError> {
        self.storage.check()?;
        self.bootstrap.check()?;
        self.auth.check(&self.storage)?;
        self.console.check()?;
        self.cache.check()?;
        self.audit.check()?;
        let own: Vec<SocketAddr> =
            [Some(self.server.listen), self.server.metrics_listen].into_iter().flatten().collect();
        self.fleet.check(self.server.external_url.as_ref(), &own)?;
        self.server.check()?;
        sections::check_traces(&self.telemetry)?;
        Ok(Settings {
            server: self.server,
            upstreams: self.upstreams.check(self.cache.tags.tag_freshness)?,
            storage: self.storage.with_defaults(),
            auth: self.auth,
            limits: self.limits,
            console: self.console,
            bootstrap: self.bootstrap,
            proxy: self.proxy,
            cache: self.cache,
            audit: self.audit,
            fleet: self.fleet,
            log: self.log,
            telemetry: self.telemetry,
            keys: Keys::default(),
            names: StandInNames::default(),
        })
    }
}
