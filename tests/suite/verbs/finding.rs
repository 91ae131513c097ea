//! Look-up of a token by number, name or user name, in any group, and of the groups of a user.

use fake_registry::FakeRegistry;
use serde_json::{Value, json};

use super::{says, verb};
use crate::service::{ADMIN_TOKEN, Config, Service, Token};

/// Tokens of every kind: `fleet` and one `ci` in `team/app`, another `ci` in `other`, and alice's `laptop`.
struct Scene {
    service: Service,
    fleet: Token,
    ci: Token,
    laptop: Token,
}

impl Scene {
    async fn new() -> Self {
        let service = Config::docker_hub(&FakeRegistry::start()).start();
        service.group("team").await;
        let (app, other) = (service.group("team/app").await, service.group("other").await);
        let alice = service.user("alice", "alices-own-password").await;
        service.add_member(&app, &alice, 50).await;
        let pull = ["read_registry", "write_registry"];
        let fields = json!({"name": "fleet", "username": "fleet-pull", "scopes": pull});
        let fleet = service.deploy_token_with(&app, fields).await;
        let ci = service.group_token(&app, "ci", &pull).await;
        service.deploy_token(&other, "ci").await;
        let laptop = service.personal_token(&alice, "laptop", &["api"]).await;
        Self { service, fleet, ci, laptop }
    }

    fn json(&self, token: &str, line: &str) -> Value {
        serde_json::from_str(&says(&verb(&self.service, token, &format!("{line} --json"), ""))).unwrap()
    }
}

fn names(listed: &Value) -> Vec<(&str, &str)> {
    let tokens = listed.as_array().unwrap().iter();
    tokens.map(|token| (token["name"].as_str().unwrap(), token["group"].as_str().unwrap_or("-"))).collect()
}

#[actix_rt::test]
async fn a_token_is_found_by_number_name_and_user_name_and_says_all_of_itself() {
    let scene = Scene::new().await;
    assert_eq!(scene.service.token(&scene.fleet.username, &scene.fleet.secret, "").await.status, 200);
    for reference in [scene.fleet.id.to_string().as_str(), "fleet", "fleet-pull", "FLEET-pull"] {
        let token = scene.json(ADMIN_TOKEN, &format!("token show {reference}"));
        assert_eq!(token["id"], json!(scene.fleet.id), "{reference}");
        let facts = ["kind", "group", "username", "created_by", "expires_at"].map(|field| token[field].clone());
        assert_eq!(json!(facts), json!(["deploy", "team/app", "fleet-pull", "root", null]), "{reference}");
        assert!(token["last_used_at"].is_string(), "it was used: {token}");
        assert!(token.get("token").is_none() && !token.to_string().contains(&scene.fleet.secret));
    }
    let laptop = scene.json(ADMIN_TOKEN, "token show alice");
    let facts = ["kind", "group", "name", "last_used_at"].map(|field| laptop[field].clone());
    assert_eq!(json!(facts), json!(["personal", null, "laptop", null]));
    let shown = says(&verb(&scene.service, ADMIN_TOKEN, "token show fleet", ""));
    for part in ["team/app", "deploy", "root", "last_used_at", "expires_at"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[actix_rt::test]
async fn an_ambiguous_name_lists_the_candidates_and_an_ended_token_is_none() {
    let scene = Scene::new().await;
    let output = verb(&scene.service, ADMIN_TOKEN, "token show ci", "");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("several tokens") && told.contains("team/app") && told.contains("other"), "{told}");
    let one = scene.json(ADMIN_TOKEN, "token show ci --group team/app");
    assert_eq!((&one["id"], &one["kind"]), (&json!(scene.ci.id), &json!("group")));
    let rotated = scene.json(ADMIN_TOKEN, &format!("token rotate {} --overlap 0", scene.ci.id));
    let one = scene.json(ADMIN_TOKEN, "token show ci --group team/app");
    assert_eq!(one["id"], rotated["id"], "the one before has ended");
    assert_eq!(scene.json(ADMIN_TOKEN, &format!("token show {}", scene.ci.id))["active"], json!(false));
    let none = verb(&scene.service, ADMIN_TOKEN, "token show nothing-like-this", "");
    assert_eq!(none.status.code(), Some(1));
}

#[actix_rt::test]
async fn a_list_without_a_group_has_all_that_the_caller_may_see() {
    let scene = Scene::new().await;
    let all = scene.json(ADMIN_TOKEN, "token list");
    for token in [("fleet", "team/app"), ("ci", "team/app"), ("ci", "other"), ("laptop", "-")] {
        assert!(names(&all).contains(&token), "{token:?}: {all}");
    }
    let owners = scene.json(&scene.laptop.secret, "token list");
    assert_eq!(names(&owners), [("fleet", "team/app"), ("ci", "team/app"), ("laptop", "-")]);
    assert!(says(&verb(&scene.service, ADMIN_TOKEN, "token list", "")).lines().next().unwrap().contains("GROUP"));
    let bob = scene.service.user("bob", "bobs-own-password").await;
    let bobs = scene.service.personal_token(&bob, "bobs", &["api"]).await;
    assert_eq!(names(&scene.json(&bobs.secret, "token list")), [("bobs", "-")]);
    for reference in ["fleet", &scene.fleet.id.to_string(), "laptop"] {
        let output = verb(&scene.service, &bobs.secret, &format!("token show {reference}"), "");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && told.contains("there is no token"), "{reference}: {told}");
    }
    says(&verb(&scene.service, ADMIN_TOKEN, &format!("token revoke {}", scene.fleet.id), ""));
    let active = scene.json(ADMIN_TOKEN, "token list --active");
    assert!(!names(&active).contains(&("fleet", "team/app")), "found without its group");
}

#[actix_rt::test]
async fn a_revoked_token_of_a_group_stays_listed_as_revoked_for_those_who_could_see_it() {
    let scene = Scene::new().await;
    let service = &scene.service;
    let bob = service.user("bob", "bobs-own-password").await;
    let bobs = service.personal_token(&bob, "bobs", &["api"]).await;
    for (token, kind, place) in [(&scene.fleet, "deploy", "deploy_tokens"), (&scene.ci, "group", "access_tokens")] {
        says(&verb(service, ADMIN_TOKEN, &format!("token revoke {}", token.id), ""));
        for (caller, list) in [
            (ADMIN_TOKEN, "token list".to_owned()),
            (&scene.laptop.secret, "token list".to_owned()),
            (ADMIN_TOKEN, format!("token list --group team/app --kind {kind}")),
        ] {
            let listed = scene.json(caller, &list);
            let of_it = listed.as_array().unwrap().iter().find(|listed| listed["id"] == token.id);
            assert_eq!(of_it.unwrap_or_else(|| panic!("{list}: {listed}"))["revoked"], json!(true), "{list}");
            let active = scene.json(caller, &format!("{list} --active"));
            assert!(!active.as_array().unwrap().iter().any(|listed| listed["id"] == token.id), "{list}: {active}");
        }
        let shown = scene.json(ADMIN_TOKEN, &format!("token show {}", token.id));
        let facts = ["kind", "group", "active", "revoked", "scopes"].map(|field| shown[field].clone());
        let expected = json!([kind, "team/app", false, true, ["read_registry", "write_registry"]]);
        assert_eq!(json!(facts), expected);
        assert!(shown["revoked_at"].is_string() && shown["created_by"] == "root", "{shown}");
        assert!(!shown.to_string().contains(&token.secret));
        let unseen = verb(service, &bobs.secret, &format!("token show {}", token.id), "");
        assert_eq!(unseen.status.code(), Some(1), "{unseen:?}");
        for line in ["rotate", "rotate --days 3", "extend --days 3"] {
            for owner in ["", "--group team/app"] {
                let refused = verb(service, ADMIN_TOKEN, &format!("token {line} {owner} {}", token.id), "");
                let told = String::from_utf8_lossy(&refused.stderr).into_owned();
                assert!(told.contains("The token is revoked, so it cannot be rotated or extended"), "{line}: {told}");
            }
        }
        // Clients of GitLab's API take a token that they deleted for one that is not there.
        let path = format!("/groups/team%2Fapp/{place}");
        assert_eq!(service.api("GET", &format!("{path}/{}", token.id), Value::Null).await.status, 404);
        let listed = service.api("GET", &path, Value::Null).await.json();
        assert!(!listed.as_array().unwrap().iter().any(|listed| listed["id"] == token.id), "{listed}");
    }
}

#[actix_rt::test]
async fn a_token_of_a_group_is_found_with_its_kind_where_only_the_group_is_given() {
    let scene = Scene::new().await;
    for token in [&scene.fleet, &scene.ci] {
        let rotated = scene.json(ADMIN_TOKEN, &format!("token rotate --group team/app {} --overlap 1h", token.id));
        assert_eq!(rotated["id"], json!(token.id));
        says(&verb(&scene.service, ADMIN_TOKEN, &format!("token revoke --group team/app {}", token.id), ""));
    }
    let elsewhere = verb(&scene.service, ADMIN_TOKEN, &format!("token revoke --group other {}", scene.laptop.id), "");
    assert_eq!(elsewhere.status.code(), Some(1), "{elsewhere:?}");
}

#[actix_rt::test]
async fn the_groups_of_a_user_are_listed_for_administrators_and_for_the_user() {
    let scene = Scene::new().await;
    let listed = scene.json(ADMIN_TOKEN, "member list --user alice");
    assert_eq!((&listed[0]["source_full_path"], &listed[0]["access_level"]), (&json!("team/app"), &json!(50)));
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(scene.json(&scene.laptop.secret, "member list --user alice"), listed);
    let bob = scene.service.user("bob", "bobs-own-password").await;
    let bobs = scene.service.personal_token(&bob, "bobs", &["api"]).await;
    assert_eq!(verb(&scene.service, &bobs.secret, "member list --user alice", "").status.code(), Some(1));
    assert_eq!(verb(&scene.service, ADMIN_TOKEN, "member list", "").status.code(), Some(2));
    let projects = format!("/users/{}/memberships?type=Project", alice(&scene).await);
    assert_eq!(scene.service.api("GET", &projects, Value::Null).await.text(), "[]");
}

async fn alice(scene: &Scene) -> Value {
    scene.service.api("GET", "/users?username=alice", Value::Null).await.json()[0]["id"].clone()
}
