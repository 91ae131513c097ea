//! A restore lists the credentials that were revoked since the backup and become valid again, and keeps
//! them revoked on request.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::service::{Config, Service, Token, User};

/// A stopped service: since the backup a deploy token was deleted, a personal token revoked, alice blocked, bob
/// deleted, and carol's password changed; dave and his token are unchanged.
struct Scene {
    service: Service,
    backup: PathBuf,
    deleted: Token,
    revoked: Token,
    kept: Token,
}

impl Scene {
    async fn new() -> Self {
        let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
        let team = service.group("team").await;
        let deleted = service.deploy_token(&team, "fleet").await;
        let [alice, bob, carol, dave] = Self::people(&service).await;
        let pull = ["read_registry", "write_registry"];
        let revoked = service.personal_token(&dave, "old-laptop", &pull).await;
        let kept = service.personal_token(&dave, "laptop", &pull).await;
        let backup = service.data().with_extension("backup");
        fs::copy(service.data().join("identity.journal"), &backup).unwrap();
        for (method, path, body) in [
            ("DELETE", format!("/groups/{}/deploy_tokens/{}", team.id, deleted.id), Value::Null),
            ("DELETE", format!("/personal_access_tokens/{}", revoked.id), Value::Null),
            ("POST", format!("/users/{}/block", alice.id), json!({})),
            ("DELETE", format!("/users/{}", bob.id), Value::Null),
            ("PUT", format!("/users/{}", carol.id), json!({"password": "the-new-password-of-carol"})),
        ] {
            let answer = service.api(method, &path, body).await;
            assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
        }
        service.stop();
        Self { service, backup, deleted, revoked, kept }
    }

    async fn people(service: &Service) -> [User; 4] {
        let user = async |name: &str| service.user(name, &format!("the-password-of-{name}")).await;
        [user("alice").await, user("bob").await, user("carol").await, user("dave").await]
    }

    fn restore(&self, options: &[&str]) -> Output {
        restore(&self.service.data(), &self.backup, options)
    }

    async fn logs_in(&self, username: &str, secret: &str) -> bool {
        self.service.token(username, secret, "").await.status == 200
    }

    /// Returns which of the revoked credentials are valid.
    async fn regained(&self) -> [bool; 5] {
        [
            self.logs_in(&self.deleted.username, &self.deleted.secret).await,
            self.logs_in("dave", &self.revoked.secret).await,
            self.logs_in("alice", "the-password-of-alice").await,
            self.logs_in("bob", "the-password-of-bob").await,
            self.logs_in("carol", "the-password-of-carol").await,
        ]
    }
}

fn restore(data: &Path, from: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command.args(["admin", "restore", "--data"]).arg(data).arg("--from").arg(from).args(options);
    command.stdin(Stdio::null()).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the lines of the table, split into words.
fn rows(output: &Output) -> Vec<String> {
    let lines = out(output);
    let lines = lines.lines().skip_while(|line| !line.contains("KIND")).skip(1);
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[actix_rt::test]
async fn what_becomes_valid_again_is_listed_by_name_and_without_yes_nothing_is_replaced() {
    let mut scene = Scene::new().await;
    let output = scene.restore(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(err(&output).contains("--yes") && err(&output).contains("nothing was changed"), "{output:?}");
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let expected = [
        "user alice - alice blocked".to_owned(),
        "user bob - bob deleted".to_owned(),
        "password carol - carol another password".to_owned(),
        format!("deploy token fleet team {} deleted on {today}", scene.deleted.username),
        format!("personal access token old-laptop - dave revoked on {today}"),
    ];
    assert_eq!(rows(&output), expected, "{output:?}");
    assert!(!scene.service.data().join("identity.replaced-1").exists());
    scene.service.restart();
    assert_eq!(scene.regained().await, [false; 5], "nothing was restored");
}

#[actix_rt::test]
async fn a_restore_brings_back_what_it_lists() {
    let mut scene = Scene::new().await;
    let output = scene.restore(&["--yes"]);
    assert!(output.status.success() && out(&output).contains("become valid again"), "{output:?}");
    scene.service.restart();
    assert_eq!(scene.regained().await, [true; 5]);
}

#[actix_rt::test]
async fn with_revoke_them_it_stays_revoked_and_the_rest_is_restored() {
    let mut scene = Scene::new().await;
    let output = scene.restore(&["--revoke-them", "--yes"]);
    assert!(output.status.success() && out(&output).contains("stay revoked"), "{output:?}");
    scene.service.restart();
    assert_eq!(scene.regained().await, [false; 5]);
    assert!(scene.logs_in("dave", &scene.kept.secret).await && scene.logs_in("dave", "the-password-of-dave").await);
    assert!(scene.logs_in("carol", "the-new-password-of-carol").await, "the password of now");
    let told = scene.service.token(&scene.deleted.username, &scene.deleted.secret, "").await;
    assert!(told.message().contains("was revoked on"), "{}", told.text());
    scene.service.stop();
    let again = scene.restore(&["--yes"]);
    assert!(again.status.success() && rows(&again).len() >= 5, "they are still revoked since the backup: {again:?}");
}

#[actix_rt::test]
async fn a_token_that_was_rotated_since_has_its_old_secret_again_or_none() {
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "fleet").await;
    let backup = service.data().with_extension("backup");
    fs::copy(service.data().join("identity.journal"), &backup).unwrap();
    let path = format!("/groups/{}/deploy_tokens/{}/rotate", team.id, token.id);
    assert_eq!(service.api("POST", &path, json!({"overlap": 0})).await.status, 200);
    service.stop();
    let revoked = restore(&service.data(), &backup, &["--revoke-them"]);
    assert!(out(&revoked).contains("its new secret is not in the backup. Create another."), "{revoked:?}");
    let regained = restore(&service.data(), &backup, &["--yes"]);
    assert!(out(&regained).contains("has its old secret again, and the new one is unknown."), "{regained:?}");
    assert_eq!(rows(&regained)[0], format!("deploy token fleet team {} rotated", token.username));
    service.restart();
    assert_eq!(service.token(&token.username, &token.secret, "").await.status, 200);
}

#[actix_rt::test]
async fn a_restore_of_what_is_there_brings_nothing_back() {
    let scene = Scene::new().await;
    let output = restore(&scene.service.data(), &scene.service.data().join("identity.journal"), &["--yes"]);
    assert!(output.status.success(), "{output:?}");
    assert!(out(&output).contains("Nothing that was revoked after the backup becomes valid again"), "{output:?}");
}

#[actix_rt::test]
async fn where_what_is_there_cannot_be_read_it_says_that_it_cannot_tell() {
    let scene = Scene::new().await;
    let data = scene.service.data();
    let empty = tempfile::tempdir().unwrap();
    let output = restore(empty.path(), &scene.backup, &[]);
    assert!(output.status.success() && out(&output).contains("it is unknown which"), "nothing to replace: {output:?}");
    fs::write(data.join("identity.journal"), "damaged").unwrap();
    let output = scene.restore(&[]);
    assert!(rows(&output).len() == 5 && output.status.code() == Some(1), "the database knows the same: {output:?}");
    fs::remove_dir_all(data.join("identity")).unwrap();
    let output = scene.restore(&[]);
    assert!(rows(&output).len() == 5 && out(&output).contains("Only an export"), "{output:?}");
    for export in ["identity.jsonl", "identity.jsonl.1"] {
        fs::write(data.join(export), "damaged").unwrap();
    }
    let output = scene.restore(&["--revoke-them", "--yes"]);
    assert!(output.status.code() == Some(1) && err(&output).contains("--revoke-them is impossible"), "{output:?}");
    assert!(!data.join("identity.replaced-1").exists(), "nothing was replaced");
    let output = scene.restore(&[]);
    assert!(output.status.code() == Some(1) && err(&output).contains("--yes"), "something is there: {output:?}");
    let output = scene.restore(&["--yes"]);
    assert!(output.status.success() && out(&output).contains("It is unknown which"), "{output:?}");
}

/// Returns a copy of the newest identities of a service.
fn copied(service: &Service, name: &str) -> PathBuf {
    let backup = service.data().with_extension(name);
    fs::copy(service.data().join("identity.journal"), &backup).unwrap();
    backup
}

#[actix_rt::test]
async fn a_standby_that_is_restored_again_and_again_takes_nothing_away_that_is_new_on_the_first_machine() {
    let first = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    let team = first.group("team").await;
    let early = first.deploy_token(&team, "early").await;
    let alice = first.user("alice", "the-password-of-alice").await;
    first.api("POST", &format!("/users/{}/block", alice.id), json!({})).await;
    let mut standby = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    standby.stop();
    fs::remove_dir_all(standby.data()).unwrap();
    assert!(restore(&standby.data(), &copied(&first, "1"), &[]).status.success());
    let mut late = vec![early];
    for round in 2..4 {
        standby.restart();
        standby.group(&format!("made-on-the-standby-{round}")).await;
        let own = standby.deploy_token(&team, "late").await;
        let name = format!("person-{round}");
        late.push(first.deploy_token(&team, "late").await);
        let person = first.user(&name, "a-password-of-a-person").await;
        late.push(first.personal_token(&person, "late", &["read_registry", "write_registry"]).await);
        for (method, path, body) in [
            ("POST", format!("/users/{}/unblock", alice.id), json!({})),
            ("PUT", format!("/users/{}", alice.id), json!({"password": format!("alices-password-{round}")})),
        ] {
            assert!(first.api(method, &path, body).await.status < 300);
        }
        standby.stop();
        let newer = copied(&first, &round.to_string());
        let output = restore(&standby.data(), &newer, &["--yes", "--revoke-them"]);
        assert!(output.status.success(), "{output:?}");
        assert!(out(&output).contains("Nothing that was revoked after the backup"), "{round}: {output:?}");
        standby.restart();
        for token in &late {
            assert_eq!(standby.token(&token.username, &token.secret, "").await.status, 200, "{}", token.username);
        }
        let password = format!("alices-password-{round}");
        assert_eq!(standby.token("alice", &password, "").await.status, 200);
        assert_ne!(standby.token(&own.username, &own.secret, "").await.status, 200, "it is not in the backup");
        standby.stop();
    }
    standby.restart();
    let path = format!("/groups/{}/deploy_tokens/{}", team.id, late[1].id);
    assert_eq!(standby.api("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(standby.api("DELETE", &format!("/users/{}", alice.id), Value::Null).await.status, 204);
    standby.stop();
    let output = restore(&standby.data(), &copied(&first, "last"), &[]);
    let listed = rows(&output);
    assert_eq!(listed.len(), 2, "what was revoked on the standby is listed: {output:?}");
    assert!(listed[0].starts_with("user alice") && listed[1].starts_with("deploy token late"), "{listed:?}");
}

#[actix_rt::test]
async fn identities_of_another_installation_are_restored_only_on_request_or_into_an_empty_folder() {
    let mut other = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    other.user("other", "the-password-of-other").await;
    other.stop();
    let mut ours = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    ours.stop();
    for name in ["identity.journal", "identity.jsonl", "identity"] {
        for options in [&["--yes"][..], &["--yes", "--revoke-them"], &[]] {
            let refused = restore(&ours.data(), &other.data().join(name), options);
            let said = err(&refused);
            assert!(refused.status.code() == Some(1) && said.contains("--from-another-installation"), "{refused:?}");
            assert!(said.contains(" is of another installation than the identities in "), "{refused:?}");
        }
    }
    assert!(!ours.data().join("identity.replaced-1").exists(), "nothing was replaced");
    let theirs = other.data().join("identity.journal");
    let asks = restore(&ours.data(), &theirs, &["--from-another-installation"]);
    assert!(asks.status.code() == Some(1) && err(&asks).contains("--yes"), "{asks:?}");
    let output = restore(&ours.data(), &theirs, &["--yes", "--from-another-installation"]);
    assert!(output.status.success() && out(&output).contains("belong to another service"), "{output:?}");
    ours.restart();
    assert_eq!(ours.token("other", "the-password-of-other", "").await.status, 200);
    ours.stop();
    let back = restore(&ours.data(), &ours.data().join("identity.replaced-1").join("identity.journal"), &["--yes"]);
    assert!(back.status.success(), "what was there before is of this installation: {back:?}");
    fs::remove_dir_all(ours.data()).unwrap();
    assert!(restore(&ours.data(), &theirs, &[]).status.success(), "there is nothing to replace");
}
