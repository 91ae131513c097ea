//! The schemas, against the keys of the commented files.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap or a panic is a failed test")]

use serde_json::Value as Json;

use super::{settings_schema, state_schema};
use crate::settings::DEFAULTS;
use crate::settings::layers;
use crate::settings::node::Node;
use crate::settings::state::EXAMPLE;

/// Returns the schema of the value at this path, without references.
fn at<'a>(schema: &'a Json, path: &[&str]) -> Option<&'a Json> {
    path.iter().try_fold(schema, |above, key| {
        let table = resolved(schema, above);
        let entry = table["properties"].get(*key).or_else(|| {
            let others = &table["additionalProperties"];
            Some(others["allOf"].get(0).unwrap_or(others)).filter(|others| others.is_object())
        });
        entry.map(|entry| resolved(schema, entry))
    })
}

/// Returns the table of a schema that a reference stands for, or that is one of several kinds of values.
fn resolved<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let kinds = schema["anyOf"].as_array();
    kinds.and_then(|kinds| kinds.iter().find(|kind| kind["type"] == "object")).unwrap_or(schema)
}

/// Calls `visit` with the path of every key of the tree.
fn walk<'a>(tree: &'a Node, path: &mut Vec<&'a str>, visit: &mut impl FnMut(&[&str])) {
    for (key, below) in tree.entries() {
        path.push(key);
        visit(path);
        walk(below, path, visit);
        path.pop();
    }
}

#[test]
fn every_key_of_the_commented_files_is_in_the_schema_with_its_comment() {
    for (schema, text) in [(settings_schema().unwrap(), DEFAULTS), (state_schema().unwrap(), EXAMPLE)] {
        let tree = layers::parse("file", text).unwrap();
        let mut number = 0;
        walk(&tree, &mut Vec::new(), &mut |path| {
            let found = at(&schema, path).unwrap_or_else(|| panic!("{path:?} is not in the schema"));
            number += 1;
            // Names that are chosen have no comment, nor have sections that speak for themselves.
            if path.len() == 2 && !["upstreams", "users", "groups"].contains(&path[0]) {
                assert!(found["description"].is_string(), "{path:?} has no description: {found}");
            }
        });
        assert!(number > 30, "{number}");
    }
}

#[test]
fn every_key_of_the_schema_is_in_the_commented_file() {
    fn missing(schema: &Json, tree: &Node, path: &str) -> Vec<String> {
        let properties = schema["properties"].as_object().into_iter().flatten();
        let missing_below = |(key, below): (&String, &Json)| {
            let path = format!("{path}.{key}");
            match tree.child(key) {
                Some(node) => missing(below, node, &path),
                None => vec![path],
            }
        };
        properties.flat_map(missing_below).collect()
    }
    let schema = settings_schema().unwrap();
    let defaults = layers::parse("file", DEFAULTS).unwrap();
    assert_eq!(missing(&schema, &defaults, ""), [] as [String; 0]);
    // The keys of connections are those of [upstream_defaults].
    let hub = defaults.at(["upstreams", "docker.io"]).unwrap();
    let common = defaults.at(["upstream_defaults"]).unwrap();
    let of_connection = |key: &String| common.child(key.trim_start_matches('.')).is_some();
    let left: Vec<String> =
        missing(&schema["$defs"]["upstreams"], hub, "").into_iter().filter(|key| !of_connection(key)).collect();
    assert_eq!(left, [] as [String; 0]);
    let (state, example) = (state_schema().unwrap(), layers::parse("file", EXAMPLE).unwrap());
    for (table, path) in [
        ("users", &["users", "alice"][..]),
        ("tokens", &["users", "alice", "tokens", "provisioning"]),
        ("groups", &["groups", "team"]),
        ("members", &["groups", "team", "members", "bob"]),
        ("deploy_tokens", &["groups", "team", "deploy_tokens", "runner"]),
        ("access_tokens", &["groups", "team", "access_tokens", "provisioner"]),
    ] {
        let entry = resolved(&state, &state["$defs"][table]);
        assert!(entry["properties"].as_object().is_some_and(|keys| keys.len() > 1), "{table}: {entry}");
        // Two keys of deploy tokens are mutually exclusive.
        let other = example.at(["groups", "team", "deploy_tokens", "legacy"]).unwrap();
        let is_in_other =
            |key: &String| table == "deploy_tokens" && other.child(key.split_once('.').unwrap().1).is_some();
        let mut left = missing(entry, example.at(path.iter().copied()).unwrap(), table);
        left.retain(|key| !is_in_other(key));
        assert_eq!(left, [] as [String; 0]);
    }
}
