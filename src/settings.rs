//! Settings: the defaults of `config/default.toml`, the operator's file over them, the environment over both, read into
//! types that cannot be wrong. What is unknown, of a wrong type or impossible is refused with its key and the file and line
//! or the variable it was written in. Secrets are never printed, neither by `Debug` nor in a refusal.
//!
//! Written by hand on TOML's spans: figment and config know the file of a key, not its line.

mod limits;
mod quantity;
mod reading;
mod secrets;
mod sections;
mod server;
mod tree;
mod upstreams;
mod written;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use limits::Limits;
pub use quantity::parse_duration;
pub use sections::{Auth, Bootstrap, Cache, Log, Proxy, Storage};
pub use server::{Server, Tls};
pub use tree::Place;
pub use upstreams::{ConfiguredAccount, ConfiguredUpstream, ConfiguredUpstreams, HttpProxy};

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
}

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
    ) -> Result<Self, SettingsError> {
        let text = match file {
            Some(file) => Some((
                file.display().to_string(),
                std::fs::read_to_string(file)
                    .map_err(|problem| SettingsError::Unreadable { file: file.to_owned(), problem })?,
            )),
            None => None,
        };
        Self::from_text(text.as_ref().map(|(name, text)| (name.as_str(), text.as_str())), environment)
    }

    fn from_text(
        file: Option<(&str, &str)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        let mut tree = tree::parse("config/default.toml", DEFAULTS)?;
        if let Some((name, text)) = file {
            tree.overlay(tree::parse(name, text)?);
        }
        for (name, value) in environment {
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(tree::VARIABLE_PREFIX) {
                tree.set_variable(name, value)?;
            } else {
                tree.refuse_misspelt(name)?;
            }
        }
        secrets::bring_in_files(&mut tree)?;
        upstreams::bring_in_defaults(&mut tree);
        reading::read::<Sections>(&tree)?.check().map_err(|problem| problem.locate(&tree))
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

    fn locate(self, tree: &Node) -> SettingsError {
        let keys = || self.path.iter().map(String::as_str);
        let known = (0..=self.path.len()).rev().find_map(|depth| tree.at(keys().take(depth)));
        SettingsError::Refused {
            place: known.unwrap_or(tree).place.clone(),
            key: tree::dotted(keys()),
            problem: self.problem,
        }
    }
}
