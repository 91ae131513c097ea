//! JSON schemas of the settings and of the state file. They are made by the reader itself: it reads one value after
//! another for each key, and its errors show which types, texts and keys it accepts. Descriptions and defaults are
//! those of the commented files, so that there is no second list of keys.

mod comments;

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use self::comments::Comments;
use super::deserializer::probe;
use super::deserializer::refused::{Kind, Refused};
use super::node::{Node, Value};
use super::repair::put;
use super::secrets::SECRETS;
use super::state::{EXAMPLE, RawState};
use super::{DEFAULTS, Sections, SettingsErrors, layers, secrets, upstreams};

/// A name for a table whose keys are chosen: it is valid wherever a name is needed.
const NAME: &str = "probe.example";

/// An account, which the defaults do not have.
const ACCOUNT: &str = "[upstreams.\"docker.io\".accounts.NAME]\n";

/// Returns the schema of the settings file of the service.
///
/// # Errors
///
/// None: the defaults are valid.
pub fn settings_schema() -> Result<Json, SettingsErrors> {
    let written = layers::parse("config/default.toml", DEFAULTS)?;
    let mut defaults = written.clone();
    secrets::load_secret_files(&mut defaults);
    let mut sample = defaults.clone();
    sample.overlay(layers::parse("account", ACCOUNT)?);
    let maker = Maker {
        accepts: |tree| {
            let mut tree = tree.clone();
            upstreams::apply_upstream_defaults(&mut tree);
            probe::<Sections>(&tree)
        },
        written,
        defaults: Some(defaults),
        comments: Comments::of(DEFAULTS),
        tables: BTreeMap::new(),
    };
    Ok(maker.schema("Settings of dependency-proxy", &sample))
}

/// Returns the schema of the state file.
///
/// # Errors
///
/// None: the example is valid.
pub fn state_schema() -> Result<Json, SettingsErrors> {
    let written = layers::parse("config/company.toml", EXAMPLE)?;
    let maker = Maker {
        accepts: probe::<RawState>,
        written: written.clone(),
        defaults: None,
        comments: Comments::of(EXAMPLE),
        tables: BTreeMap::new(),
    };
    Ok(maker.schema("Users, groups, members and tokens of dependency-proxy", &written))
}

struct Maker {
    /// Reads a tree.
    accepts: fn(&Node) -> Result<(), Refused>,
    /// The commented file.
    written: Node,
    /// The defaults that a file overrides; `None`: there are none.
    defaults: Option<Node>,
    comments: Comments,
    /// The schemas of the entries of tables whose keys are chosen, by the names of these tables.
    tables: BTreeMap<String, Json>,
}

impl Maker {
    fn schema(mut self, title: &str, sample: &Node) -> Json {
        let mut schema = self.table(sample, &[]);
        schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        schema.insert("title".to_owned(), json!(title));
        schema.insert("$defs".to_owned(), json!(self.tables));
        Json::Object(schema)
    }

    /// Returns the schema of the value at this path of the tree.
    fn value(&mut self, tree: &Node, path: &[String]) -> Json {
        let mut kinds = Vec::new();
        if self.takes(tree, path, Value::Boolean(true)) {
            kinds.push(json!({ "type": "boolean" }));
        }
        if self.takes(tree, path, Value::Integer(1)) {
            kinds.push(self.integer(tree, path));
        }
        if self.takes(tree, path, Value::Text(NAME.to_owned())) {
            kinds.push(self.text(tree, path));
        }
        if self.takes(tree, path, Value::List(Vec::new())) {
            let items = self.items(tree, path);
            kinds.push(json!({ "type": "array", "items": items }));
        }
        if self.takes(tree, path, Value::Table(Vec::new())) {
            kinds.push(Json::Object(self.table(tree, path)));
        }
        let mut schema = one_of(kinds);
        self.describe(&mut schema, path);
        Json::Object(schema)
    }

    /// Returns true unless the reader reports that this is not the type of the key.
    fn takes(&self, tree: &Node, path: &[String], value: Value) -> bool {
        !matches!(self.fault(tree, path, value), Some(fault) if fault.kind == Kind::Type && fault.path == path)
    }

    /// Returns what the reader finds wrong with this value at this path.
    fn fault(&self, tree: &Node, path: &[String], value: Value) -> Option<Refused> {
        (self.accepts)(&with(tree, path, value)).err()
    }

    fn integer(&self, tree: &Node, path: &[String]) -> Json {
        match [-1, 0, 1].into_iter().find(|number| self.fault(tree, path, Value::Integer(*number)).is_none()) {
            Some(least @ (0 | 1)) => json!({ "type": "integer", "minimum": least }),
            Some(_) | None => json!({ "type": "integer" }),
        }
    }

    fn text(&self, tree: &Node, path: &[String]) -> Json {
        text_of(self.fault(tree, path, Value::Text(NAME.to_owned())).map(|fault| fault.kind))
    }

    fn items(&self, tree: &Node, path: &[String]) -> Json {
        let item = Node { place: tree.place.clone(), value: Value::Text(NAME.to_owned()) };
        text_of(self.fault(tree, path, Value::List(vec![item])).map(|fault| fault.kind))
    }

    /// Returns the schema of a table: of one with known keys, or of one whose keys are chosen.
    fn table(&mut self, tree: &Node, path: &[String]) -> Map<String, Json> {
        let is_table =
            tree.at(path.iter().map(String::as_str)).is_some_and(|node| matches!(node.value, Value::Table(_)));
        let tree = if is_table { tree.clone() } else { with(tree, path, Value::Table(Vec::new())) };
        let unknown = below(path, NAME);
        let keys = match self.fault(&tree, &unknown, Value::Table(Vec::new())) {
            Some(Refused { kind: Kind::UnknownKey(keys), path, .. }) if path == unknown => keys,
            Some(_) | None => return self.chosen_keys(&tree, path),
        };
        let mut properties = Map::new();
        for key in keys {
            properties.insert(key.to_owned(), self.value(&tree, &below(path, key)));
            if self.defaults.is_some() && SECRETS.contains(&key) {
                let twin = format!("{key}_file");
                let mut schema = Map::from_iter([("type".to_owned(), json!("string"))]);
                self.describe(&mut schema, &below(path, &twin));
                properties.insert(twin, Json::Object(schema));
            }
        }
        object(json!({ "type": "object", "properties": properties, "additionalProperties": false }))
    }

    /// Returns the schema of a table whose keys are chosen. Those that a file overrides need no key that the others
    /// need.
    fn chosen_keys(&mut self, tree: &Node, path: &[String]) -> Map<String, Json> {
        let entries = tree.at(path.iter().map(String::as_str)).map(Node::entries).unwrap_or_default();
        let sample = entries.first().map_or(NAME, |(name, _)| name).to_owned();
        let name = path.last().cloned().unwrap_or_default();
        let entry = self.value(tree, &below(path, &sample));
        let required = self.required(tree, &below(path, NAME));
        let reference = json!({ "$ref": format!("#/$defs/{name}") });
        self.tables.insert(name, entry);
        let overridden = self.defaults.as_ref().and_then(|node| node.at(path.iter().map(String::as_str)));
        let overridden = overridden.map(Node::entries).unwrap_or_default();
        let properties: Map<String, Json> =
            overridden.iter().map(|(name, _)| (name.clone(), reference.clone())).collect();
        let others = match required.is_empty() {
            true => reference,
            // A value that is no table has no keys.
            false => json!({ "allOf": [reference, { "required": required }] }),
        };
        let mut schema = object(json!({ "type": "object", "additionalProperties": others }));
        if !properties.is_empty() {
            schema.insert("properties".to_owned(), Json::Object(properties));
        }
        schema
    }

    /// Returns the keys that the table at this path must have.
    fn required(&self, tree: &Node, path: &[String]) -> Vec<&'static str> {
        let (mut required, mut tree) = (Vec::new(), with(tree, path, Value::Table(Vec::new())));
        while let Err(Refused { kind: Kind::MissingKey(key), path: found, .. }) = (self.accepts)(&tree) {
            if found != path || required.contains(&key) {
                break;
            }
            required.push(key);
            tree = with(&tree, &below(path, key), Value::Text("https://probe.example".to_owned()));
        }
        required
    }

    /// Adds the comment of a key, and its default.
    fn describe(&self, schema: &mut Map<String, Json>, path: &[String]) {
        let keys = || path.iter().map(String::as_str);
        if let Some(comment) = self.written.at(keys()).and_then(|node| self.comments.of_place(&node.place)) {
            schema.insert("description".to_owned(), json!(comment));
        }
        let is_chosen = path.first().is_some_and(|section| section == "upstreams");
        let default = self.defaults.as_ref().filter(|_| !is_chosen).and_then(|node| node.at(keys()));
        if let Some(default) = default.and_then(as_json) {
            schema.insert("default".to_owned(), default);
        }
    }
}

/// Returns the schema of a text, from the reader's fault for a text that is no valid value.
fn text_of(kind: Option<Kind>) -> Json {
    match kind {
        Some(Kind::Variant(names)) => json!({ "enum": names }),
        Some(_) | None => json!({ "type": "string" }),
    }
}

/// Returns the schema of a value that is of one of these kinds.
fn one_of(mut kinds: Vec<Json>) -> Map<String, Json> {
    match kinds.pop() {
        Some(Json::Object(only)) if kinds.is_empty() => only,
        last => object(json!({ "anyOf": kinds.into_iter().chain(last).collect::<Vec<_>>() })),
    }
}

fn object(value: Json) -> Map<String, Json> {
    if let Json::Object(fields) = value { fields } else { Map::new() }
}

fn below(path: &[String], key: &str) -> Vec<String> {
    path.iter().cloned().chain([key.to_owned()]).collect()
}

/// Returns the tree with this value at this path.
fn with(tree: &Node, path: &[String], value: Value) -> Node {
    let mut tree = tree.clone();
    let node = Node { place: tree.place.clone(), value };
    put(&mut tree, path, Some(&node));
    tree
}

/// Returns a value as JSON; `None` for a table.
fn as_json(node: &Node) -> Option<Json> {
    Some(match &node.value {
        Value::Text(text) | Value::Variable(text) => json!(text),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Boolean(value) => json!(value),
        Value::List(items) => items.iter().filter_map(as_json).collect(),
        Value::Table(_) | Value::Date => return None,
    })
}

#[cfg(test)]
mod tests;
