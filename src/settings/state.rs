//! The state file: users, groups, members and tokens as TOML, which `apply` puts into effect and `export` writes.
//! `config/company.toml` is an example with every key. It is read as the settings are, and all of its faults are found
//! at once. It is not compared with a running service here.

mod check;
mod entries;
mod group_settings;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::entries::{AccessTokenEntry, DeployTokenEntry, GroupEntry, MemberEntry, TokenEntry, UserEntry};
pub use self::group_settings::{GroupSetting, GroupSettings, SETTINGS};
pub use self::values::{End, Level};

pub(super) use self::entries::RawState;
use super::deserializer;
use super::fault::Remedy;
use super::node::{Node, Place};
use super::repair::{MAX_FAULTS, put};
use super::{SettingsError, SettingsErrors, read_file};
use super::{layers, node};
use crate::domain::group::GroupPath;

/// An example with every key, each with a comment.
pub const EXAMPLE: &str = include_str!("../../config/company.toml");

/// A state file whose values are valid by themselves.
#[derive(Debug)]
pub struct StateFile {
    /// The users, by user name.
    pub users: BTreeMap<String, UserEntry>,
    /// The groups, by path: a group comes before those below it.
    pub groups: BTreeMap<GroupPath, GroupEntry>,
    folder: PathBuf,
    tree: Node,
}

impl StateFile {
    /// Reads this file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or with all faults in it.
    pub fn load(file: &Path) -> Result<Self, SettingsErrors> {
        let (name, text) = read_file(file)?;
        Self::of(&name, &text, file.parent().unwrap_or(Path::new("")))
    }

    /// Reads this text, whose name in messages is `name`. Files are named relative to `folder`.
    ///
    /// # Errors
    ///
    /// Fails with all faults in the text.
    pub fn of(name: &str, text: &str, folder: &Path) -> Result<Self, SettingsErrors> {
        let tree = layers::parse(name, text)?;
        let (raw, mut faults) = read(tree.clone());
        let groups = check::check(&raw, &tree, &mut faults);
        SettingsErrors::unless_none(faults)?;
        Ok(Self { users: raw.users, groups: check::by_path(raw.groups, &groups), folder: folder.to_owned(), tree })
    }

    /// Returns an error about the value at this path, which is found only where the value is used.
    pub fn refuse(&self, path: &[&str], problem: impl Into<String>) -> SettingsError {
        refused(&self.tree, path, problem)
    }

    /// Returns the path of a file that this file names.
    pub fn file(&self, named: &Path) -> PathBuf {
        self.folder.join(named)
    }
}

/// Reads the tree without its wrong values, and returns the faults.
fn read(mut tree: Node) -> (RawState, Vec<SettingsError>) {
    let (mut errors, mut removed): (Vec<SettingsError>, Vec<Vec<String>>) = (Vec::new(), Vec::new());
    loop {
        let fault = match deserializer::read::<RawState>(&tree) {
            Ok(raw) => return (raw, errors),
            Err(fault) => fault,
        };
        let (path, remedy) = (fault.path.clone(), fault.remedy);
        // A table may be faulty only because a wrong value was removed from it, and that value was reported.
        if !removed.iter().any(|below| below.starts_with(&path)) {
            errors.push(fault.into());
        }
        if path.is_empty() || errors.len() >= MAX_FAULTS {
            return (RawState::default(), errors);
        }
        let without_item = match remedy {
            Remedy::WithoutItem(index) => {
                let list = path.iter().try_fold(&mut tree, |node, key| node.child_mut(key));
                list.is_some_and(|list| list.remove_item(index))
            }
            Remedy::Default | Remedy::StandIn(_) => false,
        };
        if !without_item {
            put(&mut tree, &path, None);
            removed.push(path);
        }
    }
}

/// Returns an error about the value at this path, or about the nearest table around it that is given.
fn refused(tree: &Node, path: &[&str], problem: impl Into<String>) -> SettingsError {
    let known = (0..=path.len()).rev().find_map(|depth| tree.at(path[..depth].iter().copied()));
    let place: Place = known.unwrap_or(tree).place.clone();
    SettingsError::Refused { place, key: node::dotted(path.iter().copied()), problem: problem.into() }
}

#[cfg(test)]
mod tests;
