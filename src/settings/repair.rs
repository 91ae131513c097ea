//! Finds all faults of a tree of settings, not only the first: remedies a fault, and reads and validates the tree
//! again. A remedy changes as little as possible, because faults in what it removes are not found. Settings that were
//! read after a fault serve only to find more faults.

use std::collections::HashSet;

use super::fault::{Fault, Remedy};
use super::node::{Node, Value, dotted};
use super::{Sections, Settings, SettingsError, deserializer};
use crate::domain::repository::UpstreamName;

/// Maximum number of faults that are reported.
pub(super) const MAX_FAULTS: usize = 100;

/// The names of upstreams that are no names, each with the name that stands in for it, so that the keys below it are
/// read.
#[derive(Debug, Default)]
pub(super) struct StandInNames(Vec<(String, String)>);

impl StandInNames {
    /// Returns this path as the operator wrote it.
    pub(super) fn written<'a>(&'a self, path: &[&'a str]) -> Vec<&'a str> {
        let mut path = path.to_vec();
        if let ["upstreams", name, ..] = path[..]
            && let Some((_, written)) = self.0.iter().find(|(stand_in, _)| stand_in == name)
        {
            path[1] = written;
        }
        path
    }

    /// Renames the upstream that this fault is about, if its name is the fault.
    fn rename(&mut self, fault: &Fault, tree: &mut Node) -> bool {
        let [section, name] = &fault.path[..] else { return false };
        let upstreams = tree.child_mut(section).filter(|_| section == "upstreams").and_then(Node::entries_mut);
        let is_wrong = name.parse::<UpstreamName>().is_err();
        let Some((key, _)) = upstreams.into_iter().flatten().find(|(key, _)| is_wrong && key == name) else {
            return false;
        };
        *key = format!("wrong-name-{}.invalid", self.0.len());
        self.0.push((key.clone(), name.clone()));
        true
    }
}

impl From<Fault> for SettingsError {
    fn from(Fault { path, place, problem, remedy: _ }: Fault) -> Self {
        Self::Refused { place, key: dotted(path.iter().map(String::as_str)), problem }
    }
}

/// Settings in which refused values are replaced by their defaults.
pub(super) struct Repaired {
    /// The settings; `None` if even the defaults did not help.
    pub(super) settings: Option<Settings>,
    /// All faults, [`MAX_FAULTS`] at most, except those of keys that were known before.
    pub(super) faults: Vec<SettingsError>,
    pub(super) names: StandInNames,
    keys: HashSet<Vec<String>>,
}

impl Repaired {
    /// Returns true if the key of this error, or a table around it, has its default instead of the written value.
    pub(super) fn replaced(&self, error: &SettingsError) -> bool {
        let SettingsError::Refused { key, .. } = error else { return false };
        let is_around = |path: &Vec<String>| {
            let path = dotted(path.iter().map(String::as_str));
            key.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.keys.iter().any(is_around)
    }
}

/// Returns the settings of this tree, and its faults. `known` are keys whose faults were found before and are not
/// reported again; `defaults` is a tree without faults.
pub(super) fn repair(mut tree: Node, defaults: &Node, known: Vec<Vec<String>>) -> Repaired {
    let (mut faults, mut names, mut settings) = (Vec::new(), StandInNames::default(), None);
    let mut keys: HashSet<Vec<String>> = known.into_iter().collect();
    while faults.len() < MAX_FAULTS {
        let fault = match attempt(&tree) {
            Ok(read) => {
                settings = Some(read);
                break;
            }
            Err(fault) => in_defaults_of_upstreams(fault, &tree),
        };
        if names.rename(&fault, &mut tree) || remedied(&fault, &mut tree, &mut keys) {
            faults.push(reported(fault, &names));
            continue;
        }
        let mut path = fault.path.clone();
        if keys.insert(path.clone()) {
            faults.push(reported(fault, &names));
        } else {
            // The default does not fit the values beside it, which is no fault of the operator's: the
            // whole table gets its defaults.
            while !path.is_empty() && !keys.insert(path.clone()) {
                path.pop();
            }
        }
        if path.is_empty() {
            break;
        }
        restore(&mut tree, &path, defaults);
    }
    let written = |path: &Vec<String>| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        names.written(&path).into_iter().map(str::to_owned).collect()
    };
    let keys = keys.iter().map(written).collect();
    Repaired { settings, faults, names, keys }
}

/// Returns the fault with the path that the operator wrote.
fn reported(fault: Fault, names: &StandInNames) -> SettingsError {
    let path: Vec<&str> = fault.path.iter().map(String::as_str).collect();
    let path = names.written(&path).into_iter().map(str::to_owned).collect();
    Fault { path, ..fault }.into()
}

/// Applies a remedy that keeps the value. Returns false if there is none.
fn remedied(fault: &Fault, tree: &mut Node, keys: &mut HashSet<Vec<String>>) -> bool {
    match fault.remedy {
        Remedy::Default => false,
        Remedy::WithoutItem(index) => {
            let list = fault.path.iter().try_fold(tree, |node, key| node.child_mut(key));
            list.is_some_and(|list| list.remove_item(index))
        }
        Remedy::StandIn(key) => {
            let Some((_, above)) = fault.path.split_last() else { return false };
            let path: Vec<String> = above.iter().cloned().chain([key.to_owned()]).collect();
            let text = dotted(path.iter().map(String::as_str));
            put(tree, &path, Some(&Node { place: fault.place.clone(), value: Value::Text(text) }));
            keys.insert(path)
        }
    }
}

fn attempt(tree: &Node) -> Result<Settings, Fault> {
    deserializer::read::<Sections>(tree)?.check().map_err(|problem| problem.locate(tree))
}

/// Moves a fault of an upstream to `[upstream_defaults]` if the value was set there: it is reported once,
/// not once for each upstream.
fn in_defaults_of_upstreams(fault: Fault, tree: &Node) -> Fault {
    let [section, _, key] = &fault.path[..] else { return fault };
    let written = tree.at(["upstream_defaults", key.as_str()]).is_some_and(|node| node.place == fault.place);
    if section == "upstreams" && written {
        return Fault { path: vec!["upstream_defaults".to_owned(), key.clone()], ..fault };
    }
    fault
}

/// Replaces the value at this path by its default, or removes it where there is none.
fn restore(tree: &mut Node, path: &[String], defaults: &Node) {
    let place = tree.at(path.iter().map(String::as_str)).map(|node| node.place.clone());
    match nameless(tree, path) {
        Some(node) => put(tree, path, Some(&node)),
        None => put(tree, path, default_of(path, defaults)),
    }
    let ([section, key], Some(place)) = (path, place) else { return };
    if section == "upstream_defaults" {
        let upstreams = tree.child("upstreams").map(Node::entries).unwrap_or_default();
        let copied = |node: &Node| node.child(key).is_some_and(|copy| copy.place == place);
        let names: Vec<String> =
            upstreams.iter().filter(|(_, node)| copied(node)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let path = ["upstreams".to_owned(), name, key.clone()];
            put(tree, &path, default_of(&path, defaults));
        }
    }
}

/// Returns a substitute for the refused user name of an account that has a password: without a name the password
/// would be refused, too.
fn nameless(tree: &Node, path: &[String]) -> Option<Node> {
    let (key, above) = path.split_last()?;
    let account = tree.at(above.iter().map(String::as_str)).filter(|_| key == "username")?;
    let password = account.child("password")?;
    let is_given = matches!(&password.value, Value::Text(text) | Value::Variable(text) if !text.is_empty());
    let name = dotted(path.iter().map(String::as_str));
    is_given.then(|| Node { place: password.place.clone(), value: Value::Text(name) })
}

/// Returns the default of this key. For an upstream of the operator's own: that of `docker.io`, so that one fault
/// does not hide others.
fn default_of<'a>(path: &[String], defaults: &'a Node) -> Option<&'a Node> {
    defaults.at(path.iter().map(String::as_str)).or_else(|| match path {
        [section, _, key] if section == "upstreams" => defaults.at(["upstreams", "docker.io", key.as_str()]),
        _ => None,
    })
}

/// Sets the value at this path, or removes it.
pub(super) fn put(tree: &mut Node, path: &[String], node: Option<&Node>) {
    let Some((key, above)) = path.split_last() else { return };
    let table = above.iter().try_fold(tree, |node, key| node.child_mut(key));
    let Some(entries) = table.and_then(Node::entries_mut) else { return };
    let at = entries.iter().position(|(known, _)| known == key);
    let replaced = at.map_or(entries.len()..entries.len(), |at| at..at + 1);
    entries.splice(replaced, node.map(|node| (key.clone(), node.clone())));
}
