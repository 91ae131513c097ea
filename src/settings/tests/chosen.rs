//! Settings in a backup: chosen values are restored unchanged, and secrets are included only on request.

use super::*;
use crate::domain::chosen_setting::ChosenValue;
use crate::settings::layers::parse;
use crate::settings::node::Node;
use crate::settings::secrets::SECRETS;

const TEXT: &str = r#"
[server]
listen = "0.0.0.0:443"
trusted_proxies = ["10.0.0.4", "10.1.0.0/16"]
workers = 3
metrics_listen = "127.0.0.1:5051"
[storage]
data_dir = "/var/lib/a \"quoted\" \\ folder"
[bootstrap]
admin_username = "admin"
admin_password = "canary-of-bootstrap"
[cache]
tag_freshness = 0
[upstreams."gcr.io"]
enabled = false
[upstreams."registry.example.com:5000"]
url = "https://registry.example.com:5000"
username = "robot"
password = "canary-\"of\u007fshort"
groups = ["team"]
[upstreams."registry.example.com:5000".accounts."z first"]
username = "z"
password = "canary-of-z"
images = ["z/*"]
[upstreams."registry.example.com:5000".accounts.a]
username = "a"
password_file = "SECRET_FILE"
groups = ["a", "a/b"]
"#;

const VARIABLES: [(&str, &str); 6] = [
    ("DEPENDENCY_PROXY__SERVER__WORKERS", "4"),
    ("DEPENDENCY_PROXY__PROXY__ENABLED", "false"),
    ("DEPENDENCY_PROXY__UPSTREAMS__QUAY_IO__URL", "https://mirror.example.com"),
    ("DEPENDENCY_PROXY__UPSTREAMS__DOCKER_IO__AUTH_HOSTS", "one.example.com, two.example.com"),
    ("DEPENDENCY_PROXY__CACHE__MAX_BLOB_BYTES", "5GiB"),
    ("DEPENDENCY_PROXY__CACHE__NEGATIVE_TTL", "10s"),
];

fn chosen(text: &str, environment: &[(&str, &str)], with_secrets: bool) -> Result<Chosen, String> {
    let file = secret_file(text);
    let variable = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
    let chosen = Chosen::load(Some(file.path()), environment.iter().map(variable), with_secrets);
    chosen.map_err(|error| error.to_string())
}

/// Returns everything of the settings that has an effect.
fn effect(settings: &Settings) -> String {
    let Settings { server, storage, auth, limits, proxy, cache, audit, log, upstreams, bootstrap, .. } = settings;
    let sections = format!("{server:?}{storage:?}{auth:?}{limits:?}{proxy:?}{cache:?}{audit:?}{log:?}{upstreams:?}");
    let accounts = upstreams.iter().flat_map(|upstream| &upstream.accounts);
    let secrets: Vec<&str> = accounts.map(|account| account.password.expose_secret()).collect();
    format!("{sections} {secrets:?} {}", bootstrap.admin_username)
}

#[test]
fn settings_of_file_and_environment_come_back_as_they_were_with_their_secrets() {
    let secret = secret_file("canary-of-a\n");
    let text = TEXT.replace("SECRET_FILE", secret.path().to_str().unwrap());
    let before = load(&text, &VARIABLES).unwrap();
    let chosen = chosen(&text, &VARIABLES, true).unwrap();
    assert_eq!(chosen.data_dir, Path::new("/var/lib/a \"quoted\" \\ folder"));
    let restored = restored(&chosen.settings, "of a test\nin two lines");
    let after = load(restored.text.expose_secret(), &[]).unwrap();
    assert_eq!(effect(&after), effect(&before), "{}", restored.text.expose_secret());
    assert!(restored.has_secrets && restored.to_enter.is_empty());
    assert!(!restored.text.expose_secret().contains("canary-of-bootstrap"), "it is used once, in an empty store");
    let names: Vec<String> = chosen.settings.iter().map(|setting| setting.key.join("/")).collect();
    for default in ["server/metrics_listen", "cache/negative_ttl", "upstreams/docker.io/url"] {
        assert!(!names.iter().any(|name| name == default), "{default} is as by default: {names:?}");
    }
}

#[test]
fn without_secrets_each_is_listed_by_its_key_and_none_is_there() {
    let variables = [("DEPENDENCY_PROXY__UPSTREAMS__QUAY_IO__USERNAME", "known-to-the-service-only")];
    let chosen = chosen(TEXT, &variables, false).unwrap();
    assert!(!format!("{chosen:?}").contains("canary"), "{chosen:?}");
    assert!(
        chosen
            .settings
            .iter()
            .all(|setting| { !matches!(&setting.value, ChosenValue::Secret { secret: Some(_), .. }) })
    );
    let restored = restored(&chosen.settings, "");
    let mut to_enter = restored.to_enter;
    to_enter.sort();
    let ours = "upstreams.\"registry.example.com:5000\"";
    let expected = [
        "upstreams.\"quay.io\".password".to_owned(),
        format!("{ours}.accounts.\"z first\".password"),
        format!("{ours}.accounts.a.password, in the file SECRET_FILE"),
        format!("{ours}.password"),
    ];
    assert_eq!(to_enter, expected);
    assert!(!restored.has_secrets);
    let refusal = load(restored.text.expose_secret(), &[]).unwrap_err();
    assert!(refusal.contains("is given without password"), "the start names what is missing: {refusal}");
}

#[test]
fn secrets_that_cannot_be_read_are_refused_only_where_they_are_wanted() {
    let text = "[upstreams.'quay.io']\nusername = 'u'\npassword_file = '/nonexistent/secret'\n";
    assert!(chosen(text, &[], false).is_ok());
    let refusal = chosen(text, &[], true).unwrap_err();
    assert!(refusal.contains("quay.io\".password_file: /nonexistent/secret cannot be read"), "{refusal}");
}

#[test]
fn settings_with_which_the_service_would_not_start_are_refused() {
    for (text, key) in [
        ("[upstreams.'quay.io']\npasword = 'canary'\nusername = 'u'\n", "pasword"),
        ("[server]\nworkers = 'many'\n", "server.workers"),
        ("[upstream_defaults]\nproxy = 'http://me:canary@proxy.example.com'\n", "upstream_defaults.proxy"),
    ] {
        let refusal = chosen(text, &[], false).unwrap_err();
        assert!(refusal.contains(key) && !refusal.contains("canary"), "{refusal}");
    }
}

#[test]
fn the_files_that_a_backup_never_contains_are_listed() {
    let text = "[server]\ntls_certificate = 'a.pem'\ntls_key = 'b.pem'\n[upstreams.'quay.io']\nca_file = 'c.pem'\n\
                [fleet]\ndatabase_ca_file = 'd.pem'\n";
    let mut files = restored(&chosen(text, &[], true).unwrap().settings, "").files;
    files.sort();
    assert_eq!(
        files,
        [
            "fleet.database_ca_file: d.pem",
            "server.tls_certificate: a.pem",
            "server.tls_key: b.pem",
            "upstreams.\"quay.io\".ca_file: c.pem"
        ]
    );
}

#[test]
fn a_key_that_may_stand_in_a_file_of_its_own_is_known_as_a_secret() {
    fn walk(node: &Node, found: &mut Vec<String>) {
        for (key, below) in node.entries() {
            walk(below, found);
            let is_secret = node.child(&format!("{key}_file")).is_some();
            found.extend(is_secret.then(|| key.clone()));
        }
    }
    let mut found = Vec::new();
    walk(&parse("config/default.toml", DEFAULTS).unwrap(), &mut found);
    assert!(found.len() >= SECRETS.len(), "{found:?}");
    assert!(found.iter().all(|key| SECRETS.contains(&key.as_str())), "{found:?}");
}
