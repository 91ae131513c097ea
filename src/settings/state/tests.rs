//! State files, with the sentences of their faults.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap or a panic is a failed test")]

use std::path::Path;

use serde_json::json;

use super::*;

fn state(text: &str) -> Result<StateFile, String> {
    StateFile::of("company.toml", text, Path::new("/etc/company")).map_err(|errors| errors.to_string())
}

#[test]
fn the_example_is_read() {
    let state = state(EXAMPLE).unwrap();
    let paths: Vec<&str> = state.groups.keys().map(GroupPath::as_str).collect();
    assert_eq!((paths, state.users.len()), (vec!["team", "team/ci"], 2));
    let team = &state.groups[&"team".parse::<GroupPath>().unwrap()];
    assert_eq!(
        team.settings.fields(),
        *json!({
            "name": "The Team",
            "description": "Builds and tests",
            "visibility": "private",
            "dependency_proxy_enabled": null,
            "dependency_proxy_max_bytes": 50_000_000_000_u64,
            "dependency_proxy_unpulled_days": null,
            "dependency_proxy_tag_freshness_seconds": 600,
        })
        .as_object()
        .unwrap()
    );
    assert_eq!(team.members["bob"].access_level, Level::Developer);
    assert_eq!(team.deploy_tokens["runner"].token.expires_at, Some(End(None)));
    assert_eq!(state.file(Path::new("secrets/x")), Path::new("/etc/company/secrets/x"));
}

#[test]
fn everything_that_is_wrong_is_found_at_once_with_its_line() {
    let text = "[users.alice]
admn = true
email = 3
[users.-x]
[users.Alice]
[groups.team]
visibility = 'secret'
max_size = '50'
unpulled_days = 'never'
members = { alice = 'boss', bob = { access_level = 'boss' }, carol = {} }
[groups.team.deploy_tokens.ci]
scopes = ['api', 'everything']
expires_at = 2027-01-01
secret_file = ''
[groups.Team]
[groups.v2]
description = 'x'
[users.dora]
email = 'notmail'
";
    let found = state(text).unwrap_err();
    let expected = [
        "line 2: users.alice.admn: unknown key; known keys are name, email, admin, blocked, password_file, tokens",
        "line 3: users.alice.email: is a number, not a string",
        "line 19: users.dora.email: is invalid: it must be like ann@example.com",
        "line 4: users.-x: can contain only letters, digits, '_', '-' and '.', and cannot start with '-'",
        "line 1: users.alice: is the name of another user; the case of letters does not count",
        "line 7: groups.team.visibility: 'secret' is not one of private, internal, public",
        "line 8: groups.team.max_size: '50' is not a size such as 50GB, nor 'none'",
        "line 9: groups.team.unpulled_days: 'never' is not a number of days, nor 'inherit'",
        "line 10: groups.team.members.alice: 'boss' is not one of guest, planner, reporter, developer, maintainer, owner",
        "line 10: groups.team.members.bob.access_level: 'boss' is not one of guest, planner, reporter, developer, maintainer, owner",
        "line 10: groups.team.members.carol: the key access_level is missing",
        "line 12: groups.team.deploy_tokens.ci.scopes: 'everything' is not one of api, read_api, read_registry, write_registry, read_virtual_registry, write_virtual_registry",
        "line 12: groups.team.deploy_tokens.ci.scopes: of a deploy token can only be those of a registry",
        "line 13: groups.team.deploy_tokens.ci.expires_at: is a date, not a string",
        "line 14: groups.team.deploy_tokens.ci.secret_file: is empty",
        "line 6: groups.team: is the path of another group; the case of letters does not count",
        "line 16: groups.v2: 'v2' is a reserved name",
    ];
    let mut lines: Vec<&str> = found.lines().collect();
    for sentence in expected {
        let place = lines.iter().position(|line| *line == format!("company.toml, {sentence}"));
        lines.remove(place.unwrap_or_else(|| panic!("{sentence}\nis not in\n{found}")));
    }
    assert_eq!(lines, [] as [&str; 0]);
}

#[test]
fn a_secret_has_a_file_of_its_own_and_none_is_in_the_file() {
    let twice = "[groups.team.deploy_tokens]\na = { secret_file = 'x' }\nb = { secret_file = 'x' }\n";
    let refused = state(twice).unwrap_err();
    assert!(
        refused.ends_with("secret_file: is named for another secret, too; each needs a file of its own"),
        "{refused}"
    );
    let secret = "[users.alice]\npassword = 'canary-5e'\n";
    let refused = state(secret).unwrap_err();
    assert!(refused.contains("users.alice.password: unknown key") && !refused.contains("canary"), "{refused}");
}

#[test]
fn sizes_are_written_with_the_largest_unit_that_keeps_them() {
    let size = SETTINGS.iter().find(|setting| setting.key == "max_size").unwrap().written;
    for (bytes, text) in [(50_000_000_000_u64, "50GB"), (1 << 30, "1GiB"), (1_234_567, "1234567B")] {
        assert_eq!(size(&json!(bytes)), json!(text));
        let written = format!("[groups.team]\nmax_size = '{text}'");
        let read = &state(&written).unwrap().groups[&"team".parse::<GroupPath>().unwrap()].settings.fields();
        assert_eq!(read["dependency_proxy_max_bytes"], json!(bytes));
    }
    assert_eq!(size(&serde_json::Value::Null), json!("none"));
}

#[test]
fn every_setting_of_a_group_is_in_the_list_and_in_the_example() {
    let state = state(EXAMPLE).unwrap();
    let fields = state.groups[&"team".parse::<GroupPath>().unwrap()].settings.fields();
    let mut listed: Vec<&str> = SETTINGS.iter().map(|setting| setting.field).collect();
    listed.sort_unstable();
    assert_eq!(listed, fields.keys().map(String::as_str).collect::<Vec<_>>());
    let tree = layers::parse("company.toml", EXAMPLE).unwrap();
    for setting in SETTINGS {
        let value = &tree.at(["groups", "team", setting.key]).unwrap().value;
        let text = if let node::Value::Text(text) = value { text } else { panic!("{}", setting.key) };
        assert_eq!((setting.written)(&fields[setting.field]), json!(text));
    }
}

#[test]
fn values_out_of_range_are_found_in_the_file() {
    let text = "[groups.a]\ntag_freshness = '8761h'\nunpulled_days = 36501\n[groups.b]\ntag_freshness = '99999999999s'
unpulled_days = 99999999999\n[groups.c]\ntag_freshness = '8760h'\nunpulled_days = 36500\n[groups.d]\nunpulled_days = -1\n";
    let expected = [
        "line 2: groups.a.tag_freshness: '8761h' is longer than 8760h",
        "line 3: groups.a.unpulled_days: 36501 is more than 36500",
        "line 5: groups.b.tag_freshness: '99999999999s' is longer than 8760h",
        "line 6: groups.b.unpulled_days: 99999999999 is more than 36500",
        "line 11: groups.d.unpulled_days: -1 is not a number of days",
    ];
    let mut found: Vec<String> = state(text).unwrap_err().lines().map(str::to_owned).collect();
    let mut expected = expected.map(|sentence| format!("company.toml, {sentence}"));
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_long_file_is_read_soon_and_only_the_first_faults_are_reported() {
    const KEYS: usize = 40_000;
    let lines = |line: &dyn Fn(usize) -> String| (0..KEYS).map(line).collect::<String>();
    let started = std::time::Instant::now();
    for text in [
        lines(&|number| format!("k{number} = 1\n")),
        lines(&|number| format!("[users.-{number}]\n")),
        format!("[groups.team.members]\n{}", lines(&|number| format!("-{number} = 'guest'\n"))),
    ] {
        assert_eq!(state(&text).unwrap_err().lines().count(), MAX_FAULTS);
    }
    assert_eq!(state(&lines(&|number| format!("[users.u{number}]\n"))).unwrap().users.len(), KEYS);
    // Much more than the time of a slow machine, and much less than that for work which grows with the square.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
