//! Subcommands that remove more than the named object: they list the losses and ask for confirmation;
//! scripts pass `--yes`.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use fake_registry::{FakeRegistry, Image, Layer};
use serde_json::{Value, json};

use super::{says, verb};
use crate::service::{ADMIN_TOKEN, Config, Group, Service, User};

/// The group `team` with `team/ci` below it, a member, tokens, and one cached image.
struct Scene {
    service: Service,
    team: Group,
    alice: User,
    _hub: FakeRegistry,
}

impl Scene {
    async fn new() -> Self {
        let hub = FakeRegistry::start();
        let image = Image::single(&[Layer::random(50_000, 1)]);
        hub.push_image("library/alpine", "latest", &image);
        let service = Config::docker_hub(&hub).start();
        let team = service.group("team").await;
        let ci = service.group("team/ci").await;
        let alice = service.user("alice", "alices-own-password").await;
        service.add_member(&team, &alice, 50).await;
        let fleet = service.deploy_token(&ci, "fleet").await;
        let client = service.log_in_with(&fleet).await;
        assert_eq!(client.manifest("team/ci", "alpine", "latest").await.status, 200);
        let digest = image.layers()[0].digest();
        client.stored_blob("team/ci", "alpine", digest).await;
        Self { service, team, alice, _hub: hub }
    }

    async fn exists(&self, path: &str) -> bool {
        self.service.api("GET", path, Value::Null).await.status == 200
    }

    /// Runs the subcommand as an administrator, with standard input that is no terminal.
    fn run(&self, line: &str) -> Output {
        verb(&self.service, ADMIN_TOKEN, line, "")
    }

    /// Runs the subcommand at a terminal, where this is typed.
    fn type_at_terminal(&self, line: &str, typed: &str) -> Output {
        let command = format!("{} {line} --url {}", env!("CARGO_BIN_EXE_dependency-proxy"), self.service.url());
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("DEPENDENCY_PROXY_TOKEN", ADMIN_TOKEN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

/// Returns the standard error of a subcommand that was not confirmed.
fn unconfirmed(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{told}");
    assert!(told.contains("nothing was changed: standard input is no terminal") && told.contains("--yes"), "{told}");
    told
}

#[actix_rt::test]
async fn without_a_terminal_and_without_yes_nothing_is_deleted_and_what_would_go_is_listed() {
    let scene = Scene::new().await;
    let told = unconfirmed(&scene.run("group delete team"));
    for part in ["1 group: team/ci", "alice in team", "1 token: 'fleet' in team/ci", "cached: 1 image tag, 5"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = unconfirmed(&scene.run("group purge team/ci"));
    assert!(told.contains("cached: 1 image tag, 5") && !told.contains("fleet"), "{told}");
    assert!(unconfirmed(&scene.run("group purge team")).contains("cached: 0 image tags, 0 bytes"), "its own alone");
    scene.service.personal_token(&scene.alice, "laptop", &["api"]).await;
    let told = unconfirmed(&scene.run("user delete alice"));
    assert!(told.contains("alice in team") && told.contains("'laptop' of alice"), "{told}");
    for path in ["/groups/team", "/groups/team%2Fci", &format!("/users/{}", scene.alice.id)] {
        assert!(scene.exists(path).await, "{path}");
    }
}

#[actix_rt::test]
async fn with_yes_it_is_done() {
    let scene = Scene::new().await;
    assert!(says(&scene.run("group purge team/ci --yes")).contains("is being emptied"));
    assert!(says(&scene.run("user delete alice --yes")).contains("alice is deleted"));
    let output = scene.run("group delete team --yes --json");
    assert_eq!(serde_json::from_str::<Value>(&says(&output)).unwrap(), json!({"message": "team is deleted"}));
    for path in ["/groups/team", "/groups/team%2Fci", &format!("/users/{}", scene.alice.id)] {
        assert!(!scene.exists(path).await, "{path}");
    }
}

#[actix_rt::test]
async fn at_a_terminal_only_yes_deletes() {
    let scene = Scene::new().await;
    for typed in ["n\n", "\n", "yesterday\n"] {
        let output = scene.type_at_terminal("group delete team", typed);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("Go on? [y/N]") && told.contains("it was not confirmed"), "{told}");
        assert!(scene.exists("/groups/team").await, "{typed}");
    }
    let output = scene.type_at_terminal("group delete team", "y\n");
    assert!(output.status.success(), "{output:?}");
    assert!(!scene.exists("/groups/team").await);
}

#[actix_rt::test]
async fn a_token_is_revoked_at_once_unless_others_end_with_it() {
    let scene = Scene::new().await;
    let alone = scene.service.personal_token(&scene.alice, "alone", &["api"]).await;
    let maker = scene.service.personal_token(&scene.alice, "maker", &["api"]).await;
    let line = "token create --group team --name made --days 30";
    says(&verb(&scene.service, &maker.secret, line, ""));
    says(&scene.run(&format!("token revoke {}", alone.id)));
    let told = unconfirmed(&scene.run(&format!("token revoke {}", maker.id)));
    assert!(told.contains("1 token: 'made' in team"), "{told}");
    let listed = scene.service.api("GET", &format!("/groups/{}/deploy_tokens", scene.team.id), Value::Null).await;
    assert!(listed.text().contains("made"), "nothing was revoked");
    says(&scene.run(&format!("token revoke {} --yes", maker.id)));
    let listed = scene.service.api("GET", &format!("/groups/{}/deploy_tokens", scene.team.id), Value::Null).await;
    assert_eq!(listed.text(), "[]");
}

#[actix_rt::test]
async fn who_may_not_delete_is_told_so_and_not_asked() {
    let scene = Scene::new().await;
    let bob = scene.service.user("bob", "bobs-own-password").await;
    scene.service.add_member(&scene.team, &bob, 30).await;
    let token = scene.service.personal_token(&bob, "mine", &["api"]).await;
    for (line, status) in [("group delete team", "403"), ("group purge team", "403"), ("group delete none", "404")] {
        let output = verb(&scene.service, &token.secret, line, "");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && told.contains(status) && !told.contains("--yes"), "{line}: {told}");
    }
}
