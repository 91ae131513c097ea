//! The schemas that `config schema` prints, against files that the reader accepts and refuses.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::service::python;
use crate::verbs::says;

/// Files of settings that the schema accepts, besides those in `config/`.
const SETTINGS: &[&str] = &[
    "[upstreams.'quay.io']\nenabled = false\nidle_timeout = '1s'",
    "[upstreams.'a.b']\nurl = 'https://a.b'\npassword_file = 'x'\naccounts.a = { username = 'u', password_file = 'p' }",
    "[server]\nclient_timeout = 5",
    "[cache]\ntag_freshness = '1h'",
    "[bootstrap]\nadmin_password_file = 'x'",
];

/// Files of settings that the reader refuses for a type or a key.
const REFUSED_SETTINGS: &[&str] = &[
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
];

/// State files that the schema accepts, besides the example.
const STATES: &[&str] = &[
    "[groups.team]\nmembers = { alice = 'owner', bob = { access_level = 'guest' } }",
    "[groups.team]\nunpulled_days = 90\nmax_size = 'none'",
    "[users.robot]",
];

/// State files that the reader refuses for a type, a key, or a text that is not one of several.
const REFUSED_STATES: &[&str] = &[
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
];

#[test]
fn the_schema_of_the_settings_accepts_what_the_reader_accepts() {
    let commented = include_str!("../../../../config/default.toml");
    let example = include_str!("../../../../config/example.toml");
    let packaged = include_str!("../../../../config/package/debian/config.toml");
    check("settings", &[&["", commented, example, packaged], SETTINGS].concat(), REFUSED_SETTINGS);
}

#[test]
fn the_schema_of_the_state_file_knows_its_values() {
    check("state", &[&["", super::EXAMPLE], STATES].concat(), REFUSED_STATES);
}

fn check(of: &str, accepted: &[&str], refused: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_dependency-proxy")).args(["config", "schema", "--of", of]).output();
    let schema: Value = serde_json::from_str(&says(&output.unwrap())).unwrap();
    let files = [accepted, refused].concat();
    for (position, is_valid) in validities(&schema, &files).into_iter().enumerate() {
        assert_eq!(is_valid, position < accepted.len(), "{of}: {}", files[position]);
    }
}

/// Returns for each file in TOML whether it is valid by the schema.
fn validities(schema: &Value, files: &[&str]) -> Vec<bool> {
    let documents: Vec<Value> =
        files.iter().map(|file| serde_json::to_value(file.parse::<toml::Table>().unwrap()).unwrap()).collect();
    let mut checker = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/schema.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    checker.stdin.take().unwrap().write_all(json!([schema, documents]).to_string().as_bytes()).unwrap();
    let valid: Vec<bool> = serde_json::from_str(&says(&checker.wait_with_output().unwrap())).unwrap();
    assert_eq!(valid.len(), files.len());
    valid
}
