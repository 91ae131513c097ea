//! The settings that an operator has chosen, for a backup: the keys of the file and of the environment whose values
//! differ from the defaults. Secrets are kept apart from the other values. Those of `[bootstrap]` are left out, because
//! they are used only while the store is empty.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde_json::Value as Json;

use super::fault::{Fault, Remedy};
use super::node::{Node, Value, list_items};
use super::repair;
use super::secrets::{SECRETS, secret_of, set, stand_in};
use super::{SettingsError, SettingsErrors, layered, read_file, upstreams};
use crate::domain::chosen_setting::{ChosenSetting, ChosenValue};

/// The chosen settings, and the files in which they place what a backup contains.
#[derive(Debug)]
pub struct Chosen {
    /// The settings, in the order of the file.
    pub settings: Vec<ChosenSetting>,
    /// The data folder.
    pub data_dir: PathBuf,
    /// The file of the signing keys; `None`: the one in the data folder.
    pub key_file: Option<PathBuf>,
    /// The file of the keys of groups' accounts; `None`: the one in the data folder.
    pub account_key_file: Option<PathBuf>,
}

impl Chosen {
    /// Collects the settings of this file, if given, and of these environment variables. Reads the files of secrets
    /// only if `with_secrets`. A secret that is not given here, as where only the service has its variable, is left
    /// out.
    ///
    /// # Errors
    ///
    /// All faults of the settings for which the service would not start, and unreadable files of secrets.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        with_secrets: bool,
    ) -> Result<Self, SettingsErrors> {
        let text = file.map(read_file).transpose()?;
        let text = text.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        let (mut defaults, mut tree, mut errors) = layered(text, environment)?;
        let mut collector = Collector { defaults: &defaults, with_secrets, found: Vec::new(), faults: Vec::new() };
        collector.add_table(&mut Vec::new(), &tree, Some(&defaults));
        let Collector { found, faults, .. } = collector;
        errors.extend(faults.into_iter().map(SettingsError::from));
        stand_in_for_secrets(&mut tree, &found);
        stand_in_for_secrets(&mut defaults, &[]);
        upstreams::apply_upstream_defaults(&mut tree);
        upstreams::apply_upstream_defaults(&mut defaults);
        let repaired = repair::repair(tree, &defaults, Vec::new());
        errors.extend(repaired.faults);
        match repaired.settings {
            Some(settings) if errors.is_empty() => {
                let (storage, auth) = (settings.storage, settings.auth);
                let (key_file, account_key_file) = (auth.key_file, auth.account_key_file);
                Ok(Self { settings: found, data_dir: storage.data_dir, key_file, account_key_file })
            }
            Some(_) | None => Err(errors.into()),
        }
    }
}

struct Collector<'a> {
    defaults: &'a Node,
    with_secrets: bool,
    found: Vec<ChosenSetting>,
    faults: Vec<Fault>,
}

impl Collector<'_> {
    fn add_table(&mut self, path: &mut Vec<String>, table: &Node, default: Option<&Node>) {
        for (key, node) in table.entries().iter().filter(|(key, _)| !is_of_secret(key)) {
            let default = default.and_then(|default| default.child(key));
            path.push(key.clone());
            match &node.value {
                Value::Table(_) => self.add_table(path, node, default),
                Value::List(_)
                | Value::Text(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Date
                | Value::Variable(_) => self.add_value(path, node, default),
            }
            path.pop();
        }
        if path.first().is_some_and(|section| section != "bootstrap") {
            SECRETS.iter().for_each(|secret| self.add_secret(path, table, secret));
        }
    }

    fn add_value(&mut self, path: &[String], node: &Node, default: Option<&Node>) {
        let value = json(node, self.typed_like(path));
        if default.map(|default| json(default, None)).as_ref() != Some(&value) {
            self.found.push(ChosenSetting { key: path.to_vec(), value: ChosenValue::Plain(value) });
        }
    }

    fn add_secret(&mut self, path: &[String], table: &Node, secret: &str) {
        let twin = format!("{secret}_file");
        let (given, named) = (text_of(table, secret), text_of(table, &twin));
        let with = |key: &str| path.iter().cloned().chain([key.to_owned()]).collect();
        let value = match (given, named, table.child(&twin)) {
            (_, Some(_), Some(node)) if self.with_secrets => match secret_of(table, secret, node) {
                Ok(Some(Value::Text(text))) => Some(text),
                Ok(_) => None,
                Err(problem) => {
                    let place = node.place.clone();
                    self.faults.push(Fault { path: with(&twin), place, problem, remedy: Remedy::Default });
                    return;
                }
            },
            (Some(text), None, _) if self.with_secrets => Some(text.to_owned()),
            (Some(_), _, _) | (_, Some(_), _) => None,
            // The service may have it from a variable of its own.
            (None, None, _) if secret == "password" && text_of(table, "username").is_some() => None,
            (None, None, _) => return,
        };
        let (secret_value, file) = (value.map(SecretString::from), named.map(str::to_owned));
        let value = ChosenValue::Secret { secret: secret_value, file };
        self.found.push(ChosenSetting { key: with(secret), value });
    }

    /// Returns a value with the type of the setting at this path.
    fn typed_like(&self, path: &[String]) -> Option<&Node> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let below = |section: &[&str], rest: &[&str]| self.defaults.at(section.iter().chain(rest).copied());
        let of_upstream =
            |rest: &[&str]| below(&["upstreams", "docker.io"], rest).or_else(|| below(&["upstream_defaults"], rest));
        below(&[], &path).or_else(|| match path[..] {
            ["upstreams", _, "accounts", _, key] => of_upstream(&[key]),
            ["upstreams", _, ref rest @ ..] => of_upstream(rest),
            _ => None,
        })
    }
}

/// Returns true for the key of a secret, and for its twin that names a file.
fn is_of_secret(key: &str) -> bool {
    SECRETS.contains(&key.strip_suffix("_file").unwrap_or(key))
}

/// Returns the text of this key of a table, if it is not empty.
fn text_of<'a>(table: &'a Node, key: &str) -> Option<&'a str> {
    match &table.child(key)?.value {
        Value::Text(text) | Value::Variable(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
        Value::Table(_) | Value::List(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Date => {
            None
        }
    }
}

/// Returns a value as JSON. The text of a variable gets the type of `like`, which other values have already.
fn json(node: &Node, like: Option<&Node>) -> Json {
    match &node.value {
        Value::Table(entries) => entries.iter().map(|(key, node)| (key.clone(), json(node, None))).collect(),
        Value::List(items) => items.iter().map(|item| json(item, None)).collect(),
        Value::Text(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(value) => (*value).into(),
        Value::Date => Json::Null,
        Value::Variable(text) => of_variable(text, like),
    }
}

fn of_variable(text: &str, like: Option<&Node>) -> Json {
    let parsed = match like.map(|node| &node.value) {
        Some(Value::List(_)) => return list_items(text).map(Json::from).collect(),
        Some(Value::Integer(_)) => text.parse::<i64>().ok().map(Json::from),
        Some(Value::Boolean(_)) => text.parse::<bool>().ok().map(Json::from),
        Some(Value::Table(_) | Value::Text(_) | Value::Float(_) | Value::Date | Value::Variable(_)) | None => None,
    };
    parsed.unwrap_or_else(|| text.into())
}

/// Replaces the secrets that were found by texts that pass all checks, so that the other settings can be checked, and
/// empties all other secrets.
fn stand_in_for_secrets(tree: &mut Node, found: &[ChosenSetting]) {
    empty_secrets(tree);
    for setting in found.iter().filter(|setting| matches!(setting.value, ChosenValue::Secret { .. })) {
        let Some((secret, above)) = setting.key.split_last() else { continue };
        let table = above.iter().try_fold(&mut *tree, |node, key| node.child_mut(key));
        if let Some(table) = table {
            let node = Node { place: table.place.clone(), value: Value::Text(stand_in(secret).to_owned()) };
            set(table, secret, node);
        }
    }
}

fn empty_secrets(table: &mut Node) {
    let Some(entries) = table.entries_mut() else { return };
    entries.retain(|(key, _)| !is_of_secret(key) || !key.ends_with("_file"));
    for (key, node) in entries {
        if is_of_secret(key) {
            node.value = Value::Text(String::new());
        } else {
            empty_secrets(node);
        }
    }
}
