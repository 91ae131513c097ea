//! `serve --check`: all errors of the settings at once, and no changes.

use std::path::Path;
use std::process::{Command, Output};

use fake_registry::FakeRegistry;

use crate::service::{Config, eventually};

pub(super) fn check(config: &Path, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command.args(["serve", "--check", "--config"]).arg(config).envs(variables.iter().copied());
    command.current_dir(config.parent().unwrap()).output().unwrap()
}

pub(super) fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Returns the names of all files and folders below a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = crate::faults::files(folder).iter().map(|path| path.display().to_string()).collect();
    names.sort();
    names
}

#[actix_rt::test]
async fn settings_without_a_fault_are_valid_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "[storage]\ndata_dir = \"new/data\"\n").unwrap();
    let output = check(&config, &[]);
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{:?}", names(folder.path()));
}

#[actix_rt::test]
async fn every_fault_of_values_and_of_files_is_told_with_its_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("broken.pem", "no certificate");
    write("jwt-keys", "{}");
    write("file", "");
    let values = "[server]\nworkers = \"four\"\n[storage]\nmin_free = \"10\"\n[log]\nfilter = \"verbose\"\n\
                  [upstreams.\"quay.io\"]\nusername = \"robot\"\npassword_file = \"missing\"\n";
    std::fs::write(&config, values).unwrap();
    let output = check(&config, &[("DEPENDENCY_PROXY__CACHE__TAG_FRESHNESS", "soon")]);
    assert_eq!(output.status.code(), Some(4));
    for expected in [
        "config.toml, line 2: server.workers: is a string",
        "config.toml, line 4: storage.min_free: '10' has no unit and would be 10 bytes; write \"10%\" or \"10GiB\"",
        "config.toml, line 6: log.filter: 'verbose' in 'verbose' is neither a level",
        "config.toml, line 9: upstreams.\"quay.io\".password_file: missing cannot be read: No such file",
        "DEPENDENCY_PROXY__CACHE__TAG_FRESHNESS: cache.tag_freshness: 'soon' is not a time such as",
    ] {
        assert!(said(&output).contains(expected), "{expected}\nis not in\n{}", said(&output));
    }
    assert_eq!(said(&output).lines().count(), 5, "{}", said(&output));
    let files = "[server]\ntls_certificate = \"broken.pem\"\ntls_key = \"nowhere.pem\"\n[storage]\ndata_dir = \"file/data\"\n\
                 [auth]\nkey_file = \"jwt-keys\"\n[upstreams.\"quay.io\"]\nca_file = \"broken.pem\"\n";
    std::fs::write(&config, files).unwrap();
    let output = check(&config, &[]);
    assert_eq!(output.status.code(), Some(4));
    for expected in [
        "line 2: server.tls_certificate: broken.pem holds no certificate in the PEM form",
        "line 3: server.tls_key: nowhere.pem cannot be read",
        "line 5: storage.data_dir: file/data cannot be used as a folder",
        "line 7: auth.key_file: jwt-keys: ",
        "line 9: upstreams.\"quay.io\".ca_file: broken.pem holds no certificate",
    ] {
        assert!(said(&output).contains(expected), "{expected}\nis not in\n{}", said(&output));
    }
}

#[actix_rt::test]
async fn faults_of_files_and_folders_are_found_beside_those_of_values() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(folder.path().join("two-lines"), "one\ntwo\n").unwrap();
    let long = "x".repeat(300);
    let text = format!(
        "[server]\nworkers = \"four\"\ntls_certificate = \"nowhere.pem\"\ntls_key = \"nowhere.pem\"\n[storage]\ndata_dir = \"{long}/data\"\n\
         cache_dir = \"/proc/cache\"\n[auth]\nkey_file = \"none/keys\"\n[upstreams.\"quay.io\"]\nusername = \"robot\"\npassword_file = \"two-lines\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let output = check(&config, &[]);
    assert_eq!(output.status.code(), Some(4));
    for expected in [
        "line 2: server.workers: is a string",
        "line 3: server.tls_certificate: nowhere.pem cannot be read",
        "line 4: server.tls_key: nowhere.pem cannot be read",
        "line 6: storage.data_dir: x",
        "line 7: storage.cache_dir: /proc/cache cannot be used",
        "line 9: auth.key_file: none cannot be used",
        "line 12: upstreams.\"quay.io\".password_file: two-lines has more than one line",
    ] {
        assert!(said(&output).contains(expected), "{expected}\nis not in\n{}", said(&output));
    }
    assert_eq!(said(&output).lines().count(), 7, "{}", said(&output));
}

#[actix_rt::test]
async fn a_fault_hides_none_of_what_it_is_beside_or_above() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let text = "[server]\ntls_certificate = \"nowhere.pem\"\ntrusted_proxies = [\"one\", \"10.0.0.0/8\", \"two\"]\n\
                [upstreams.\"Bad_Name\"]\nurl = \"ftp://x\"\nca_file = \"nowhere.pem\"\nusername = \"u\"\ngroups = [\"team\"]\n\
                [upstreams.\"x.test\"]\nurl = \"https://x.test\"\npassword = \"p\"\nimages = [\"Bad\", \"acme/app\"]\n";
    std::fs::write(&config, text).unwrap();
    let output = check(&config, &[]);
    assert_eq!(output.status.code(), Some(4));
    let expected = [
        "line 2: server.tls_certificate: is given without tls_key",
        "line 2: server.tls_certificate: nowhere.pem cannot be read",
        "line 3: server.trusted_proxies: 'one' is not a network",
        "line 3: server.trusted_proxies: 'two' is not a network",
        "line 4: upstreams.Bad_Name: the name of an upstream is a lower-case host name",
        "line 5: upstreams.Bad_Name.url: ",
        "line 6: upstreams.Bad_Name.ca_file: nowhere.pem cannot be read",
        "line 7: upstreams.Bad_Name.username: is given without password",
        "line 11: upstreams.\"x.test\".password: is given without username",
        "line 12: upstreams.\"x.test\".images: an image pattern is a repository",
    ];
    for expected in expected {
        assert!(said(&output).contains(expected), "{expected}\nis not in\n{}", said(&output));
    }
    assert_eq!(said(&output).lines().count(), expected.len(), "{}", said(&output));
}

#[actix_rt::test]
async fn the_settings_of_a_running_service_can_be_checked_beside_it() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    let folder = service.data();
    // The service writes it some seconds after its first change.
    eventually("the identities are exported", async || folder.join("identity.jsonl").exists()).await;
    let before = names(&folder);
    let output = check(service.config(), &[]);
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    assert_eq!(names(&folder), before);
    assert_eq!(service.stranger().get("/readyz").await.status, 200);
}

#[actix_rt::test]
async fn a_filter_of_the_log_that_means_nothing_keeps_the_service_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "[server]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"\"\n").unwrap();
    for filter in ["inof", "info,dependency_proxy::http=loud", "info;debug"] {
        let output = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
            .args(["serve", "--config"])
            .arg(&config)
            .env("DEPENDENCY_PROXY__LOG__FILTER", filter)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(4), "{filter}");
        assert!(said(&output).contains("DEPENDENCY_PROXY__LOG__FILTER: log.filter: "), "{}", said(&output));
    }
}
