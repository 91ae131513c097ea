//! The schemas, against the files that the reader accepts and refuses.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap or a panic is a failed test")]

use serde_json::Value as Json;

use super::{settings_schema, state_schema};
use crate::settings::DEFAULTS;
use crate::settings::layers::{self, Node};
use crate::settings::state::EXAMPLE;

fn json(text: &str) -> Json {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

fn accepts(schema: &Json, text: &str) -> bool {
    jsonschema::validator_for(schema).unwrap().is_valid(&json(text))
}

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
fn the_defaults_and_the_examples_fit_their_schemas() {
    let (settings, state) = (settings_schema().unwrap(), state_schema().unwrap());
    for schema in [&settings, &state] {
        jsonschema::meta::validate(schema).unwrap();
    }
    assert!(accepts(&settings, DEFAULTS));
    assert!(accepts(&settings, include_str!("../../../config/example.toml")));
    assert!(accepts(&settings, include_str!("../../../config/package/debian/config.toml")));
    assert!(accepts(&state, EXAMPLE));
    assert!(accepts(&settings, "") && accepts(&state, ""));
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
        assert_eq!(missing(entry, example.at(path.iter().copied()).unwrap(), table), [] as [String; 0]);
    }
}

#[test]
fn what_the_reader_refuses_for_its_type_or_key_the_schema_refuses() {
    let schema = settings_schema().unwrap();
    for refused in [
        "[server]\nlistn = 'x'",
        "[sever]",
        "server = 3",
        "[server]\nworkers = 'four'",
        "[server]\nworkers = -1",
        "[server]\nworkers = 1.5",
        "[server]\nmax_connections = 0",
        "[server]\ntrusted_proxies = '10.0.0.0/8'",
        "[server]\ntrusted_proxies = [10]",
        "[proxy]\nenabled = 'yes'",
        "[proxy]\nnetwork_mode = 'off'",
        "[upstreams.'a.b']\nenabled = true",
        "[upstreams.'quay.io']\nidel_timeout = '1s'",
        "[upstreams.'quay.io']\naccounts.a = { user = 'u' }",
        "[upstream_defaults]\npassword = 'x'",
    ] {
        assert!(!accepts(&schema, refused), "{refused}");
    }
    for accepted in [
        "[upstreams.'quay.io']\nenabled = false\nidle_timeout = '1s'",
        "[upstreams.'a.b']\nurl = 'https://a.b'\npassword_file = 'x'\naccounts.a = { username = 'u', password_file = 'p' }",
        "[server]\nclient_timeout = 5",
        "[cache]\ntag_freshness = '1h'",
        "[bootstrap]\nadmin_password_file = 'x'",
    ] {
        assert!(accepts(&schema, accepted), "{accepted}");
    }
}

#[test]
fn the_schema_of_the_state_file_knows_its_values() {
    let schema = state_schema().unwrap();
    for refused in [
        "[groups.team]\nvisibility = 'secret'",
        "[groups.team]\nproxy = true",
        "[groups.team]\nunpulled_days = -1",
        "[groups.team]\nmembers = { alice = 'boss' }",
        "[groups.team]\nmembers = { alice = 50 }",
        "[groups.team]\nmembers = { alice = { expires_at = 'never' } }",
        "[groups.team]\nmembers = { alice = { level = 'guest' } }",
        "[groups.team.deploy_tokens.ci]\nscopes = ['all']",
        "[groups.team.deploy_tokens.ci]\ntoken = 'a secret'",
        "[users.alice]\npassword = 'a secret'",
        "[members]",
    ] {
        assert!(!accepts(&schema, refused), "{refused}");
    }
    for accepted in [
        "[groups.team]\nmembers = { alice = 'owner', bob = { access_level = 'guest' } }",
        "[groups.team]\nunpulled_days = 90\nmax_size = 'none'",
        "[users.robot]",
    ] {
        assert!(accepts(&schema, accepted), "{accepted}");
    }
}
