//! Faults of the settings: as the operator reads them, and while they are found.

use std::fmt;
use std::path::PathBuf;

use super::fault::{Fault, Remedy};
use super::node::{Node, Place};

/// All faults of the settings, at least one; displayed as one line each.
#[derive(Debug)]
pub struct SettingsErrors(Vec<SettingsError>);

/// A fault of the settings, with a text for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file given with `--config` cannot be read.
    #[error("the configuration {} cannot be read: {problem}", file.display())]
    Unreadable {
        /// The path of the file.
        file: PathBuf,
        /// The error of the operating system.
        problem: std::io::Error,
    },
    /// The file is not valid TOML.
    #[error("{place}: {problem}")]
    Syntax {
        /// The file and the line.
        place: Place,
        /// The error of the TOML parser.
        problem: String,
    },
    /// An environment variable does not name a setting.
    #[error("{place}: {problem}")]
    Variable {
        /// The name of the variable.
        place: Place,
        /// The reason, and where possible the correct name.
        problem: String,
    },
    /// A key is unknown, or its value has a wrong type or is invalid.
    #[error("{place}: {key}: {problem}")]
    Refused {
        /// The file and line, or the variable, that set the key.
        place: Place,
        /// The key with its section, as in `upstreams."docker.io".url`.
        key: String,
        /// The reason.
        problem: String,
    },
}

/// A value of the right type that is invalid.
#[derive(Debug)]
pub(super) struct ValidationError {
    path: Vec<String>,
    problem: String,
    remedy: Remedy,
}

impl ValidationError {
    pub(super) fn new<'a>(path: impl IntoIterator<Item = &'a str>, problem: impl Into<String>) -> Self {
        let path = path.into_iter().map(str::to_owned).collect();
        Self { path, problem: problem.into(), remedy: Remedy::Default }
    }

    /// Creates the error for a value that needs another key beside it.
    pub(super) fn lacks<'a>(
        path: impl IntoIterator<Item = &'a str>,
        key: &'static str,
        problem: impl Into<String>,
    ) -> Self {
        Self { remedy: Remedy::StandIn(key), ..Self::new(path, problem) }
    }

    pub(super) fn locate(self, tree: &Node) -> Fault {
        let keys = || self.path.iter().map(String::as_str);
        let known = (0..=self.path.len()).rev().find_map(|depth| tree.at(keys().take(depth)));
        let place = known.unwrap_or(tree).place.clone();
        Fault { path: self.path, place, problem: self.problem, remedy: self.remedy }
    }
}

impl SettingsErrors {
    /// Returns `Ok` for an empty list.
    ///
    /// # Errors
    ///
    /// The given errors, if there are any.
    pub fn unless_none(errors: Vec<SettingsError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// Iterates over the errors.
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
