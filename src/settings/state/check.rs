//! Checks of the names and texts of a state file, which find all faults at once.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::entries::{GroupEntry, RawState, TokenEntry, UserEntry};
use super::refused;
use crate::domain::email::Email;
use crate::domain::group::GroupPath;
use crate::domain::limits::{MAX_GROUP_DESCRIPTION_CHARS, MAX_NAME_CHARS};
use crate::domain::scope::{Scope, Scopes};
use crate::domain::user::Username;
use crate::domain::visible_text::{is_blank, is_invisible};
use crate::settings::SettingsError;
use crate::settings::node::Node;
use crate::settings::repair::MAX_FAULTS;

/// Adds everything that is wrong to the faults, and returns the paths of the groups by their keys.
pub(super) fn check(raw: &RawState, tree: &Node, faults: &mut Vec<SettingsError>) -> BTreeMap<String, GroupPath> {
    let mut checked = Checked { tree, faults, files: HashSet::new() };
    checked.usernames(&["users"], raw.users.keys());
    for (name, user) in &raw.users {
        checked.user(name, user);
    }
    let mut paths: BTreeMap<String, GroupPath> = BTreeMap::new();
    let mut known: HashSet<GroupPath> = HashSet::new();
    for (key, group) in &raw.groups {
        match key.parse::<GroupPath>() {
            Ok(path) if known.insert(path.clone()) => {
                paths.insert(key.clone(), path);
            }
            Ok(_) => {
                checked.refuse(&["groups", key], "is the path of another group; the case of letters does not count");
            }
            Err(error) => checked.refuse(&["groups", key], error.to_string()),
        }
        checked.group(key, group);
    }
    paths
}

/// Returns the groups by their paths.
pub(super) fn by_path(
    groups: BTreeMap<String, GroupEntry>,
    paths: &BTreeMap<String, GroupPath>,
) -> BTreeMap<GroupPath, GroupEntry> {
    groups.into_iter().filter_map(|(key, group)| Some((paths.get(&key)?.clone(), group))).collect()
}

struct Checked<'a> {
    tree: &'a Node,
    faults: &'a mut Vec<SettingsError>,
    /// The files that are named so far.
    files: HashSet<PathBuf>,
}

impl Checked<'_> {
    fn refuse(&mut self, path: &[&str], problem: impl Into<String>) {
        // Each of them is looked up in the tree.
        if self.faults.len() >= MAX_FAULTS {
            return;
        }
        self.faults.push(refused(self.tree, path, problem));
    }

    fn usernames<'a>(&mut self, above: &[&str], names: impl Iterator<Item = &'a String>) {
        let mut known: HashSet<String> = HashSet::new();
        for name in names {
            let path = [above, &[name.as_str()]].concat();
            match name.parse::<Username>() {
                Ok(_) if known.insert(name.to_ascii_lowercase()) => {}
                Ok(_) => self.refuse(&path, "is the name of another user; the case of letters does not count"),
                Err(error) => self.refuse(&path, error.to_string()),
            }
        }
    }

    fn user(&mut self, name: &str, user: &UserEntry) {
        let path = ["users", name];
        self.line(&[&path[..], &["name"]].concat(), user.name.as_deref());
        if let Some(Err(error)) = user.email.as_deref().filter(|email| !email.is_empty()).map(str::parse::<Email>) {
            self.refuse(&[&path[..], &["email"]].concat(), error.to_string());
        }
        self.file(&[&path[..], &["password_file"]].concat(), user.password_file.as_deref());
        for (token, entry) in &user.tokens {
            self.token(&[&path[..], &["tokens", token]].concat(), token, entry);
        }
    }

    fn group(&mut self, key: &str, group: &GroupEntry) {
        let path = ["groups", key];
        self.line(&[&path[..], &["name"]].concat(), group.settings.name.as_deref());
        let length = group.settings.description.as_ref().map_or(0, |text| text.chars().count());
        if length > MAX_GROUP_DESCRIPTION_CHARS {
            let problem = format!("is longer than {MAX_GROUP_DESCRIPTION_CHARS} characters");
            self.refuse(&[&path[..], &["description"]].concat(), problem);
        }
        self.usernames(&[&path[..], &["members"]].concat(), group.members.keys());
        for (name, entry) in &group.deploy_tokens {
            let path = [&path[..], &["deploy_tokens", name]].concat();
            self.line(&[&path[..], &["username"]].concat(), entry.username.as_deref());
            self.file(&[&path[..], &["given_secret_file"]].concat(), entry.given_secret_file.as_deref());
            if entry.given_secret_file.is_some() && entry.token.secret_file.is_some() {
                self.refuse(&[&path[..], &["given_secret_file"]].concat(), "and secret_file are mutually exclusive");
            }
            if entry.token.scopes.as_ref().is_some_and(is_of_the_api) {
                self.refuse(&[&path[..], &["scopes"]].concat(), "of a deploy token can only be those of a registry");
            }
            self.token(&path, name, &entry.token);
        }
        for (name, entry) in &group.access_tokens {
            self.token(&[&path[..], &["access_tokens", name]].concat(), name, &entry.token);
        }
    }

    fn token(&mut self, path: &[&str], name: &str, token: &TokenEntry) {
        self.line(path, Some(name));
        self.file(&[path, &["secret_file"]].concat(), token.secret_file.as_deref());
    }

    /// Checks a text of one line, as the service does.
    fn line(&mut self, path: &[&str], text: Option<&str>) {
        let Some(text) = text else { return };
        if is_blank(text) {
            self.refuse(path, "is empty");
        } else if text.contains(is_invisible) {
            self.refuse(path, "contains line breaks or other characters that are not shown");
        } else if text.chars().count() > MAX_NAME_CHARS {
            self.refuse(path, format!("is longer than {MAX_NAME_CHARS} characters"));
        }
    }

    /// Checks the file of a secret: each secret has a file of its own.
    fn file(&mut self, path: &[&str], file: Option<&Path>) {
        let Some(file) = file else { return };
        if file.as_os_str().is_empty() {
            self.refuse(path, "is empty");
        } else if !self.files.insert(file.to_owned()) {
            self.refuse(path, "is named for another secret, too; each needs a file of its own");
        }
    }
}

fn is_of_the_api(scopes: &Scopes) -> bool {
    scopes.contains(Scope::Api) || scopes.contains(Scope::ReadApi)
}
