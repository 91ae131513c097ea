//! The script that copies groups, members and deploy tokens from a GitLab, whose part another instance of the service
//! plays.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::*;
use crate::service::{ADMIN_TOKEN, Config, Group, python};

const PULL: [&str; 2] = ["read_registry", "write_registry"];
const OLD_SECRET: &str = "gldt-a-secret-of-gitlab-7";

/// Two instances, and the folder of the secrets of tokens.
struct Scene {
    gitlab: Service,
    service: Service,
    secrets: PathBuf,
}

impl Scene {
    fn start() -> Self {
        let [gitlab, service] = [1, 2].map(|_| Config::docker_hub(&FakeRegistry::start()).start());
        let secrets = service.data().with_file_name("secrets");
        Self { gitlab, service, secrets }
    }

    /// Runs the script as the document does, with these options.
    fn run(&self, options: &[&str]) -> Output {
        Command::new(python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/config/moving/from_gitlab.py"))
            .args(["--from", &self.gitlab.url(), "--to", &self.service.url(), "--secrets"])
            .arg(&self.secrets)
            .args(options)
            .env("GITLAB_TOKEN", ADMIN_TOKEN)
            .env("DEPENDENCY_PROXY_TOKEN", ADMIN_TOKEN)
            .output()
            .unwrap()
    }

    /// Runs the script, which has to succeed, and returns what it prints.
    fn copy(&self, options: &[&str]) -> String {
        let output = self.run(options);
        assert!(output.status.success(), "{output:?}");
        said(output)
    }

    /// Keeps a secret that a machine has stored, for a token with this user name.
    fn keep(&self, group: &str, username: &str, secret: &str) {
        let folder = self.secrets.join(group);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(username), format!("{secret}\n")).unwrap();
    }

    fn secret(&self, group: &str, username: &str) -> String {
        fs::read_to_string(self.secrets.join(group).join(username)).unwrap().trim_end().to_owned()
    }
}

/// Fills the old service: two groups with members, one of whom is blocked and one a bot, and with tokens.
async fn fill(gitlab: &Service) -> [Group; 2] {
    let text = json!({"name": "The Team", "path": "team", "visibility": "internal", "description": "all of us"});
    assert_eq!(gitlab.api("POST", "/groups", text).await.status, 201);
    let id = gitlab.api("GET", "/groups/team", Value::Null).await.json()["id"].as_u64().unwrap();
    let team = Group { id, path: "team".to_owned() };
    let ci = gitlab.group("team/ci").await;
    for (name, group, level) in [("alice", &team, 50), ("bob", &ci, 30), ("carol", &ci, 10)] {
        let user = gitlab.user(name, "a-password-at-gitlab").await;
        gitlab.add_member(group, &user, level).await;
    }
    let member = json!({"expires_at": "2999-01-01"});
    let carol = gitlab.api("GET", "/users?username=carol", Value::Null).await.json()[0]["id"].clone();
    let path = format!("/groups/{}/members/{carol}", ci.id);
    assert_eq!(gitlab.api("PUT", &path, member).await.status, 200);
    let dave = gitlab.user("dave", "a-password-at-gitlab").await;
    gitlab.add_member(&team, &dave, 30).await;
    assert_eq!(gitlab.api("POST", &format!("/users/{}/block", dave.id), Value::Null).await.status, 201);
    gitlab.group_token(&team, "robot", &PULL).await;
    tokens(gitlab, &team).await;
    [team, ci]
}

/// Creates deploy tokens: two that can pull, of which one ends, one for other purposes, and one that was revoked.
async fn tokens(gitlab: &Service, team: &Group) {
    let end = "2999-01-02T03:04:05.000Z";
    for fields in [
        json!({"name": "fleet", "username": "gitlab+deploy-token-7", "scopes": PULL}),
        json!({"name": "cluster", "username": "cluster", "scopes": ["read_registry"], "expires_at": end}),
        json!({"name": "pushes", "username": "pushes", "scopes": ["write_registry"]}),
    ] {
        gitlab.deploy_token_with(team, fields).await;
    }
    let gone = gitlab.deploy_token(team, "gone").await;
    let path = format!("/groups/{}/deploy_tokens/{}", team.id, gone.id);
    assert_eq!(gitlab.api("DELETE", &path, Value::Null).await.status, 204);
}

/// Returns these fields of each item of a list, sorted; none where there is no such group.
async fn listed(service: &Service, path: &str, fields: &[&str]) -> Vec<Vec<Value>> {
    let answer = service.api("GET", &format!("{path}?per_page=100"), Value::Null).await;
    let items = answer.json();
    let of = |item: &Value| -> Vec<Value> { fields.iter().map(|field| item[field].clone()).collect() };
    let mut all: Vec<Vec<Value>> = items.as_array().into_iter().flatten().map(of).collect();
    all.sort_by_key(|item| format!("{item:?}"));
    all
}

/// Returns groups, members and deploy tokens as both services must have them.
async fn copied(service: &Service) -> [Vec<Vec<Value>>; 4] {
    let member = ["username", "name", "access_level", "expires_at"];
    let people = async |path| {
        let mut members = listed(service, path, &member).await;
        members.retain(|member| member[0] != "dave" && !member[0].as_str().unwrap().starts_with("group_"));
        members
    };
    let mut tokens = listed(service, "/groups/team/deploy_tokens", &["name", "username", "expires_at"]).await;
    tokens.retain(|token| token[0] != "pushes");
    [
        listed(service, "/groups", &["name", "full_path", "visibility", "description"]).await,
        people("/groups/team/members").await,
        people("/groups/team%2Fci/members").await,
        tokens,
    ]
}

/// Returns the status of a login with a secret, to pull for `team`.
async fn login(service: &Service, username: &str, secret: &str) -> u16 {
    service.token(username, secret, SCOPE).await.status
}

#[actix_rt::test]
async fn groups_members_and_deploy_tokens_are_copied_and_a_second_run_changes_nothing() {
    let scene = Scene::start();
    fill(&scene.gitlab).await;
    scene.keep("team", "gitlab+deploy-token-7", OLD_SECRET);
    let before = copied(&scene.service).await;
    let plan = scene.copy(&["--dry-run", "team"]);
    assert!(plan.contains("would create group team/ci\n") && plan.contains("would create member bob of team/ci\n"));
    assert_eq!(copied(&scene.service).await, before);
    assert_eq!(fs::read_dir(scene.secrets.join("team")).unwrap().count(), 1);

    let done = scene.copy(&["team"]);
    assert_eq!(done, plan.replace("would create", "creates"), "what is planned is what is done");
    assert!(!done.contains(OLD_SECRET), "{done}");
    let [groups, members, ..] = copied(&scene.service).await;
    assert_eq!((groups.len(), members.len()), (3, 2), "the first group is there, too: {groups:?} {members:?}");
    assert_eq!(copied(&scene.service).await, copied(&scene.gitlab).await);
    let names = listed(&scene.service, "/users", &["username"]).await;
    assert_eq!(names.len(), 4, "of people who are not blocked, and no bots: {names:?}");
    assert_eq!(scene.copy(&["team"]), "");
    assert_eq!(copied(&scene.service).await, copied(&scene.gitlab).await);
}

#[actix_rt::test]
async fn a_kept_secret_stays_valid_and_a_new_one_is_in_a_file_of_its_owner() {
    let scene = Scene::start();
    fill(&scene.gitlab).await;
    scene.keep("team", "gitlab+deploy-token-7", OLD_SECRET);
    scene.copy(&["team"]);
    assert_eq!(login(&scene.service, "gitlab+deploy-token-7", OLD_SECRET).await, 200);
    let new = scene.secret("team", "cluster");
    assert_eq!(login(&scene.service, "cluster", &new).await, 200);
    assert!(!scene.secrets.join("team/pushes").exists(), "it cannot pull there, and is not copied");
    let mode = fs::metadata(scene.secrets.join("team/cluster")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[actix_rt::test]
async fn what_exists_already_is_not_changed_and_what_cannot_be_copied_is_named() {
    let scene = Scene::start();
    let [_, ci] = fill(&scene.gitlab).await;
    let team = scene.service.group("team").await;
    let alice = scene.service.user("alice", "a-password-of-her-own").await;
    scene.service.add_member(&team, &alice, 10).await;
    let own = scene.service.deploy_token_with(&team, json!({"name": "x", "username": "cluster", "scopes": PULL})).await;
    scene.keep("team", "gitlab+deploy-token-7", "too short");
    let output = scene.run(&["team", "missing"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("cannot copy group missing: 404"), "{errors}");
    assert!(errors.contains("cannot copy deploy token gitlab+deploy-token-7 of team: 400"), "{errors}");
    assert_eq!(errors.lines().count(), 2, "{errors}");
    let members = listed(&scene.service, "/groups/team/members", &["username", "access_level"]).await;
    assert!(members.contains(&vec![json!("alice"), json!(10)]), "{members:?}");
    assert_eq!(login(&scene.service, "cluster", &own.secret).await, 200);
    assert_eq!(login(&scene.service, "alice", "a-password-of-her-own").await, 200);
    assert_eq!(listed(&scene.service, "/groups/team%2Fci/members", &["id"]).await.len(), 2, "of {}", ci.path);
}

#[actix_rt::test]
async fn of_deploy_tokens_with_the_same_user_name_the_oldest_is_copied_and_the_others_are_named() {
    let scene = Scene::start();
    let [team, ci] = fill(&scene.gitlab).await;
    for (group, name) in [(&team, "second"), (&team, "third"), (&ci, "of another group")] {
        let fields = json!({"name": name, "username": "cluster", "scopes": PULL});
        scene.gitlab.deploy_token_with(group, fields).await;
    }
    scene.keep("team", "cluster", OLD_SECRET);
    for options in [&["--dry-run", "team"][..], &["team"], &["team"]] {
        let output = scene.run(options);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = errors.lines().collect();
        let sentence = "cannot copy deploy token cluster of team: an older one has the same user name; create";
        assert!(lines.len() == 2 && lines.iter().all(|line| line.starts_with(sentence)), "{errors}");
        assert!(lines[0].contains("'second' by hand: dependency-proxy token create --group team --username cluster"));
        assert!(lines[1].contains("'third' by hand"), "{errors}");
    }
    let tokens = listed(&scene.service, "/groups/team/deploy_tokens", &["name", "username"]).await;
    assert_eq!(tokens, [[json!("cluster"), json!("cluster")], [json!("fleet"), json!("gitlab+deploy-token-7")]]);
    assert_eq!(login(&scene.service, "cluster", OLD_SECRET).await, 200);
    assert_eq!(
        listed(&scene.service, "/groups/team%2Fci/deploy_tokens", &["name"]).await,
        [[json!("of another group")]]
    );
}

#[actix_rt::test]
async fn the_commands_of_the_document_print_a_plan_and_carry_it_out() {
    let [commands] = blocks("Copying groups from a GitLab", "sh")[..] else { panic!("one block") };
    let scene = Scene::start();
    fill(&scene.gitlab).await;
    let python = python().into_string().unwrap();
    let commands = commands
        .replace("python3 config/", &format!("{python} {}/config/", env!("CARGO_MANIFEST_DIR")))
        .replace("https://gitlab.example.com", &scene.gitlab.url())
        .replace("https://images.example.com", &scene.service.url());
    let output = said(run_as_administrator(&scene.service, &format!("export GITLAB_TOKEN={ADMIN_TOKEN}\n{commands}")));
    let (planned, done): (Vec<&str>, Vec<&str>) = output.lines().partition(|line| line.starts_with("would create "));
    assert!(!done.is_empty() && planned.len() == done.len(), "{output}");
    assert_eq!(copied(&scene.service).await, copied(&scene.gitlab).await);
}
