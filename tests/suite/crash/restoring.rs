//! The backup is one file, the export (current within seconds) or the journal (current); a store restored from it
//! is equivalent to the lost one.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::Chances;
use crate::service::{Config, Service, eventually};
use crate::small_disk::SmallDisk;

#[actix_rt::test]
async fn a_store_made_of_the_export_is_as_good_as_the_one_that_is_gone() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let team = service.group("team").await;
    let user = service.user("person", "the-password-of-a-person").await;
    service.add_member(&team, &user, 30).await;
    let bot = service.group_token(&team, "ci", &["read_registry", "write_registry"]).await;
    let revoked = service.deploy_token(&team, "revoked").await;
    let path = format!("/groups/{}/deploy_tokens/{}", team.id, revoked.id);
    assert_eq!(service.api("DELETE", &path, Value::Null).await.status, 204);
    let last = service.deploy_token(&team, "fleet").await;

    let export = service.data().join("identity.jsonl");
    contains_within_seconds(&export, &last.username).await;
    let backup = service.data().with_extension("backup");
    fs::copy(&export, &backup).unwrap();
    let later = service.group("made-after-the-backup").await;
    service.kill();
    fs::remove_dir_all(service.data().join("identity")).unwrap();
    fs::remove_file(service.data().join("identity.journal")).unwrap();
    fs::remove_file(&export).unwrap();
    let output = admin_restore(&service.data(), &backup);
    assert!(output.status.success(), "{output:?}");

    service.restart();
    for (token, status) in [(&bot, 200), (&last, 200)] {
        assert_eq!(service.token(&token.username, &token.secret, "").await.status, status);
    }
    assert_ne!(service.token(&revoked.username, &revoked.secret, "").await.status, 200);
    assert_eq!(service.token("person", "the-password-of-a-person", "").await.status, 200);
    let member = service.api("GET", &format!("/groups/{}/members/{}", team.id, user.id), Value::Null).await;
    assert_eq!((member.status, member.json()["access_level"].clone()), (200, json!(30)));
    assert_eq!(service.api("GET", &format!("/groups/{}", later.id), Value::Null).await.status, 404);
    assert!(service.group("another").await.id > later.id, "a number is given away again");
    assert!(service.deploy_token(&team, "new").await.id > last.id, "a number is given away again");
}

#[actix_rt::test]
async fn a_copy_of_the_journal_restores_every_change_up_to_the_copy() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let team = service.group("team").await;
    let revoked = service.deploy_token(&team, "revoked").await;
    let path = format!("/groups/{}/deploy_tokens/{}", team.id, revoked.id);
    assert_eq!(service.api("DELETE", &path, Value::Null).await.status, 204);
    let last = service.deploy_token(&team, "last").await;
    let backup = service.data().with_extension("backup");
    fs::copy(service.data().join("identity.journal"), &backup).unwrap();
    service.kill();
    fs::remove_dir_all(service.data()).unwrap();
    let output = admin_restore(&service.data(), &backup);
    assert!(output.status.success(), "{output:?}");

    service.restart();
    assert_eq!(service.token(&last.username, &last.secret, "").await.status, 200);
    assert_ne!(service.token(&revoked.username, &revoked.secret, "").await.status, 200);
    assert!(service.deploy_token(&team, "new").await.id > last.id, "a number is given away again");
}

#[actix_rt::test]
async fn both_secrets_of_a_rotated_token_are_in_the_export_and_in_the_journal() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let team = service.group("team").await;
    let fleet = service.deploy_token(&team, "fleet").await;
    let path = format!("/groups/{}/deploy_tokens/{}", team.id, fleet.id);
    let rotated = service.api("POST", &format!("{path}/rotate"), json!({"overlap": "7d"})).await.json();
    let end = rotated["old_secret_expires_at"].clone();
    assert!(end.is_string(), "{rotated}");
    contains_within_seconds(&service.data().join("identity.jsonl"), "old_secret").await;
    service.kill();
    for name in ["identity.jsonl", "identity.journal"] {
        let backup = service.data().with_extension(name);
        fs::copy(service.data().join(name), &backup).unwrap();
        fs::remove_dir_all(service.data()).unwrap();
        let output = admin_restore(&service.data(), &backup);
        assert!(output.status.success(), "{output:?}");
        service.restart();
        for secret in [&fleet.secret, rotated["token"].as_str().unwrap()] {
            assert_eq!(service.token(&fleet.username, secret, "").await.status, 200, "{name}");
        }
        assert_eq!(service.api("GET", &path, Value::Null).await.json()["old_secret_expires_at"], end, "{name}");
        service.kill();
    }
}

#[actix_rt::test]
async fn a_damaged_journal_is_replaced_by_what_the_refusal_names_without_loss() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let team = service.group("team").await;
    let last = service.deploy_token(&team, "last").await;
    service.kill();
    let journal = service.data().join("identity.journal");
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&journal, bytes).unwrap();
    let output = advised(&service).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    service.restart();
    assert_eq!(service.token(&last.username, &last.secret, "").await.status, 200);
    assert!(service.data().join("identity.replaced-1/identity.journal").exists(), "what was there is kept aside");
}

#[actix_rt::test]
async fn whenever_the_advised_restore_is_killed_what_is_advised_then_loses_nothing() {
    let mut chances = Chances::announced("killed restores");
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let team = service.group("team").await;
    let revoked = service.deploy_token(&team, "revoked").await;
    contains_within_seconds(&service.data().join("identity.jsonl"), &revoked.username).await;
    let path = format!("/groups/{}/deploy_tokens/{}", team.id, revoked.id);
    assert_eq!(service.api("DELETE", &path, Value::Null).await.status, 204);
    let last = service.deploy_token(&team, "last").await;
    service.kill();
    for round in 0..20 {
        flip_in_the_middle(&service.data().join("identity.journal"));
        let mut killed = false;
        while let Err(refusal) = service.restart_unless_refused() {
            let mut command = advice(&refusal);
            if killed {
                let output = command.output().unwrap();
                assert!(output.status.success(), "{refusal}: {output:?}");
            } else {
                let mut restore = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                std::thread::sleep(chances.moment(60));
                restore.kill().unwrap();
                killed = restore.wait().unwrap().code().is_none();
            }
        }
        assert_eq!(service.token(&last.username, &last.secret, "").await.status, 200, "round {round}");
        assert_ne!(service.token(&revoked.username, &revoked.secret, "").await.status, 200, "round {round}");
        service.kill();
    }
}

#[actix_rt::test]
async fn a_restore_on_a_full_disk_changes_nothing_and_works_once_there_is_space() {
    let Some(disk) = SmallDisk::try_mount(48) else { return };
    let data = disk.path().join("data");
    let config = Config::upstream_at("docker.io", "http://127.0.0.1:9");
    let mut service = config.variable("DEPENDENCY_PROXY__STORAGE__DATA_DIR", data.to_str().unwrap()).start();
    let team = service.group("team").await;
    let last = service.deploy_token(&team, "last").await;
    service.kill();
    flip_in_the_middle(&data.join("identity.journal"));
    let refusal = service.restart_unless_refused().unwrap_err();
    fs::remove_file(data.join("reserve")).unwrap();
    let filler = disk.fill();
    let keys = fs::read(data.join("jwt-keys")).unwrap();
    let output = advice(&refusal).output().unwrap();
    let text = said(&output);
    assert_eq!(fs::read(data.join("jwt-keys")).unwrap(), keys);
    assert!(text.contains("identity.journal is full") && text.contains("free at least 5 MiB"), "{text}");
    fs::remove_file(filler).unwrap();
    let refusal = service.restart_unless_refused().unwrap_err();
    disk.fill();
    assert!(data.join("reserve").exists(), "a restore may use the reserve");
    let output = advice(&refusal).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    service.restart();
    assert_eq!(service.token(&last.username, &last.secret, "").await.status, 200);
}

#[actix_rt::test]
async fn a_journal_of_another_installation_is_refused_by_name_and_the_advised_command_undoes_that() {
    let mut other = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    other.group("made-there").await;
    other.stop();
    let theirs = other.data().join("identity.journal");
    let output = admin_restore(&other.data(), &theirs);
    assert!(output.status.success(), "its numbers are above ours now: {output:?}");

    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let team = service.group("team").await;
    let last = service.deploy_token(&team, "last").await;
    contains_within_seconds(&service.data().join("identity.jsonl"), &last.username).await;
    service.stop();
    fs::copy(&theirs, service.data().join("identity.journal")).unwrap();
    let refusal = service.refusal();
    assert!(refusal.contains("identity.journal is of another installation than"), "{refusal}");
    let output = advice(&refusal).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    service.restart();
    assert_eq!(service.token(&last.username, &last.secret, "").await.status, 200);
}

#[actix_rt::test]
async fn an_incomplete_journal_without_a_database_starts_only_after_the_loss_was_accepted() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let team = service.group("team").await;
    let revoked = service.deploy_token(&team, "revoked").await;
    service.kill();
    service.restart();
    let last = service.deploy_token(&team, "last").await;
    let path = format!("/groups/{}/deploy_tokens/{}", team.id, revoked.id);
    assert_eq!(service.api("DELETE", &path, Value::Null).await.status, 204);
    service.kill();
    for copy in ["identity.jsonl", "identity.jsonl.1"] {
        drop(fs::remove_file(service.data().join(copy)));
    }
    fs::remove_dir_all(service.data().join("identity")).unwrap();
    let journal = service.data().join("identity.journal");
    let bytes = fs::read(&journal).unwrap();
    fs::write(&journal, &bytes[..bytes.len() - 1]).unwrap();
    let refusal = service.refusal();
    for part in ["incomplete line", "become valid again", "identity.journal --up-to "] {
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
    let output = advice(&refusal).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    service.restart();
    assert_eq!(service.token(&last.username, &last.secret, "").await.status, 200);
}

fn flip_in_the_middle(journal: &Path) {
    let mut bytes = fs::read(journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(journal, bytes).unwrap();
}

/// Returns the command that a refused start of this service suggests.
fn advised(service: &Service) -> Command {
    advice(&service.refusal())
}

/// Returns the command in a refusal.
fn advice(refusal: &str) -> Command {
    let words = refusal.split("dependency-proxy admin restore ").nth(1).unwrap();
    let end = words.find(['"', '\n']).unwrap_or(words.len());
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command.args(["admin", "restore", "--yes"]).args(words[..end].split_whitespace());
    command
}

#[actix_rt::test]
async fn restoring_is_refused_beside_a_running_service_and_from_a_damaged_export() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let export = service.data().join("identity.jsonl");
    contains_within_seconds(&export, "example-pull").await;
    let output = admin_restore(&service.data(), &export);
    assert!(said(&output).contains("in use by another process"), "{output:?}");

    service.stop();
    let text = fs::read_to_string(&export).unwrap();
    let damaged = service.data().with_extension("damaged");
    fs::write(&damaged, text.replace("example-pull", "example-push")).unwrap();
    let output = admin_restore(&service.data(), &damaged);
    assert!(said(&output).contains("checksum"), "{output:?}");

    service.restart();
    works(&service).await;
    service.stop();
    let output = admin_restore(&service.data(), &export);
    assert!(output.status.success(), "{output:?}");
    assert!(service.data().join("identity.replaced-1").is_dir(), "what was there is kept aside");
    service.restart();
    works(&service).await;
}

#[test]
fn a_folder_that_is_no_database_is_refused_as_a_backup_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (data, wrong) = (folder.path().join("data"), folder.path().join("wrong"));
    fs::create_dir(&wrong).unwrap();
    let output = admin_restore(&data, &wrong);
    assert!(said(&output).contains("cannot be used as a backup"), "{output:?}");
    assert_eq!(fs::read_dir(&wrong).unwrap().count(), 0, "nothing is made in it");
}

async fn works(service: &Service) {
    let secret = fs::read_to_string(service.data().join("first-login")).unwrap();
    assert_eq!(service.token("example-pull", secret.trim_end(), "").await.status, 200);
}

fn admin_restore(data: &Path, from: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command.args(["admin", "restore", "--yes", "--data"]).arg(data).arg("--from").arg(from).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn contains_within_seconds(path: &Path, text: &str) {
    eventually("the export has it", async || fs::read_to_string(path).is_ok_and(|export| export.contains(text))).await;
}
