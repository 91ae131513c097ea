//! Settings: the defaults of `config/default.toml`, the operator's file over them, the environment over both, read into
//! types that cannot be wrong. What is unknown, of a wrong type or impossible is refused with its key and the file and line
//! or the variable it was written in. Secrets are never printed, neither by `Debug` nor in a refusal.
//!
//! Written by hand on TOML's spans: figment and config know the file of a key, not its line.

mod keys;
mod limits;
mod quantity;
mod reading;
mod repair;
mod secrets;
mod sections;
mod server;
mod tree;
mod upstreams;
mod written;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use keys::Keys;
pub use limits::Limits;
pub use quantity::parse_duration;
pub use sections::{Auth, Bootstrap, Cache, Log, Proxy, Storage};
pub use server::{Server, Tls};
pub use tree::Place;
pub use upstreams::{ConfiguredAccount, ConfiguredUpstream, ConfiguredUpstreams, HttpProxy};

use repair::Fault;
use tree::Node;

/// All settings, checked.
#[derive(Debug)]
pub struct Settings {
    /// Where and how it listens.
    pub server: Server,
    /// Where it keeps things.
    pub storage: Storage,
    /// What an empty store starts with.
    pub bootstrap: Bootstrap,
    /// Logins.
    pub auth: Auth,
    /// What callers of the REST API can make at most.
    pub limits: Limits,
    /// The main switch.
    pub proxy: Proxy,
    /// What is kept, for how long, and how much at once.
    pub cache: Cache,
    /// What is logged, and how.
    pub log: Log,
    /// The registries that may be asked, those that are switched off left out.
    pub upstreams: ConfiguredUpstreams,
    keys: Keys,
}

/// Everything that is wrong with the settings, a line each; at least one.
#[derive(Debug)]
pub struct SettingsErrors(Vec<SettingsError>);

/// Why the settings cannot be used. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file given with `--config`.
    #[error("the configuration {} cannot be read: {problem}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        problem: std::io::Error,
    },
    /// It is not TOML.
    #[error("{place}: {problem}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        problem: String,
    },
    /// An environment variable that means no setting.
    #[error("{place}: {problem}")]
    Variable {
        /// Its name.
        place: Place,
        /// Why.
        problem: String,
    },
    /// A key that is unknown, or whose value has a wrong type or is impossible.
    #[error("{place}: {key}: {problem}")]
    Refused {
        /// Where the key was written.
        place: Place,
        /// The key with its section, as in `upstreams."docker.io".url`.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The defaults as a TOML text, for operators to start from.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

impl Settings {
    /// The settings of this file, if there is one, under this environment, of which only variables that start with
    /// `DEPENDENCY_PROXY__` count.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsErrors> {
        Self::load_checked(file, environment, |_| Vec::new())
    }

    /// The same, refused also for what `check` finds wrong with the use of their values. All errors are found at once: where
    /// a value is wrong by itself, the others are checked beside its default.
    pub fn load_checked(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        check: impl FnOnce(&Self) -> Vec<SettingsError>,
    ) -> Result<Self, SettingsErrors> {
        let read = |file: &Path| match std::fs::read_to_string(file) {
            Ok(text) => Ok((file.display().to_string(), text)),
            Err(problem) => Err(SettingsError::Unreadable { file: file.to_owned(), problem }),
        };
        let text = file.map(read).transpose()?;
        Self::from_text(text.as_ref().map(|(name, text)| (name.as_str(), text.as_str())), environment, check)
    }

    fn from_text(
        file: Option<(&str, &str)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        check: impl FnOnce(&Self) -> Vec<SettingsError>,
    ) -> Result<Self, SettingsErrors> {
        let mut defaults = tree::parse("config/default.toml", DEFAULTS)?;
        let mut tree = defaults.clone();
        if let Some((name, text)) = file {
            tree.overlay(tree::parse(name, text)?);
        }
        let mut errors = set_variables(&mut tree, environment);
        let unreadable = secrets::bring_in_files(&mut tree);
        // Nothing in the defaults names a file.
        secrets::bring_in_files(&mut defaults);
        let known = unreadable.iter().filter_map(|fault| secrets::secret_beside(&fault.path)).collect();
        errors.extend(unreadable.into_iter().map(SettingsError::from));
        let keys = Keys::of(&tree);
        upstreams::bring_in_defaults(&mut tree);
        upstreams::bring_in_defaults(&mut defaults);
        let mut repaired = repair::repair(tree, &defaults, known);
        errors.append(&mut repaired.faults);
        let settings = repaired.settings.take().map(|settings| Self { keys, ..settings });
        let found = settings.as_ref().map(check).unwrap_or_default();
        errors.extend(found.into_iter().filter(|error| !repaired.replaced(error)));
        match settings {
            Some(settings) if errors.is_empty() => Ok(settings),
            Some(_) | None => Err(SettingsErrors(errors)),
        }
    }

    /// Its keys, to compare them with those of other settings.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// An error about the value of this key, where only its use shows the problem.
    pub fn refuse(&self, path: &[&str], problem: String) -> SettingsError {
        let place =
            self.keys.place(path).cloned().unwrap_or(Place::File { file: "config/default.toml".into(), line: 1 });
        SettingsError::Refused { place, key: tree::dotted(path.iter().copied()), problem }
    }
}

/// Lays these variables over the tree; gives what is wrong with their names.
fn set_variables(tree: &mut Node, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<SettingsError> {
    let mut errors = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        let set = if name.starts_with(tree::VARIABLE_PREFIX) {
            tree.set_variable(name, value)
        } else {
            tree.refuse_misspelt(name)
        };
        errors.extend(set.err());
    }
    errors
}

impl SettingsErrors {
    /// These, unless there are none.
    pub fn unless_none(errors: Vec<SettingsError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &SettingsError> {
        self.0.iter()
    }
}

impl std::error::Error for SettingsErrors {}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl From<SettingsError> for SettingsErrors {
    fn from(error: SettingsError) -> Self {
        Self(vec![error])
    }
}

impl From<Vec<SettingsError>> for SettingsErrors {
    fn from(errors: Vec<SettingsError>) -> Self {
        Self(errors)
    }
}

/// The file's sections as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    server: server::WrittenServer,
    storage: Storage,
    bootstrap: Bootstrap,
    auth: Auth,
    limits: Limits,
    proxy: Proxy,
    cache: Cache,
    log: Log,
    #[expect(dead_code, reason = "checked by being read; its values are already in the upstreams")]
    upstream_defaults: upstreams::Defaults,
    upstreams: upstreams::WrittenUpstreams,
}

impl Sections {
    fn check(self) -> Result<Settings, Impossible> {
        self.storage.check()?;
        self.bootstrap.check()?;
        self.auth.check()?;
        self.cache.check()?;
        Ok(Settings {
            server: self.server.check()?,
            upstreams: self.upstreams.check(self.cache.tag_freshness)?,
            storage: self.storage.with_defaults(),
            auth: self.auth,
            limits: self.limits,
            bootstrap: self.bootstrap,
            proxy: self.proxy,
            cache: self.cache,
            log: self.log,
            keys: Keys::default(),
        })
    }
}

/// A value that is of its type and still cannot be.
#[derive(Debug)]
struct Impossible {
    path: Vec<String>,
    problem: String,
}

impl Impossible {
    fn new<'a>(path: impl IntoIterator<Item = &'a str>, problem: impl Into<String>) -> Self {
        Self { path: path.into_iter().map(str::to_owned).collect(), problem: problem.into() }
    }

    fn locate(self, tree: &Node) -> Fault {
        let keys = || self.path.iter().map(String::as_str);
        let known = (0..=self.path.len()).rev().find_map(|depth| tree.at(keys().take(depth)));
        let place = known.unwrap_or(tree).place.clone();
        Fault { path: self.path, place, problem: self.problem }
    }
}
