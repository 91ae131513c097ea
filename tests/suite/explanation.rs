//! `explain`: by subcommand, API and page, with the rule that decides.

use std::process::Command;

use fake_registry::{Image, Layer};
use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{ADMIN_TOKEN, Scenario, Started, User, eventually};

/// Returns a scenario with `library/app:1`.
fn scenario() -> Scenario {
    Scenario::new().image("library/app", "1", &Image::single(&[Layer::random(100, 1)]))
}

/// Returns the rules that refuse, of an explanation by the API.
fn refusing(explanation: &Value) -> Vec<&str> {
    let steps = explanation["steps"].as_array().unwrap().iter();
    steps.filter(|step| step["holds"] == false).map(|step| step["rule"].as_str().unwrap()).collect()
}

#[actix_rt::test]
async fn the_rule_that_decides_is_the_one_by_which_a_pull_is_refused() {
    let Started { hub: _hub, service, client, team, .. } = &scenario().start().await;
    let bob = service.user("bob", "bob-has-a-password").await;
    service.add_member(team, &bob, 30).await;
    let explain = async |user: &str, image: &str| {
        let path = format!("/groups/team/dependency_proxy/explain?user={user}&image={image}");
        let answer = service.api("GET", &path, Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let allowed = explain("bob", "app:1").await;
    assert_eq!((&allowed["allowed"], refusing(&allowed)), (&json!(true), vec![]), "{allowed}");
    assert!(allowed.to_string().contains("bob is a Developer of team"), "{allowed}");
    let image = &allowed["image"];
    assert_eq!((&image["name"], &image["account"]), (&json!("library/app:1"), &Value::Null), "{allowed}");
    assert_eq!((&image["upstream"], &image["cached"]), (&json!("docker.io"), &Value::Null), "{allowed}");
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    assert_eq!(explain("bob", "app:1").await["image"]["cached"]["tag"], "1");
    let elsewhere = explain("bob", "registry.example.com/app:1").await;
    let refused = client.manifest("team", "registry.example.com/app", "1").await;
    assert_eq!((refused.status, refusing(&elsewhere)), (403, vec!["registry"]), "{elsewhere}");
    let sentence = elsewhere["steps"].as_array().unwrap().last().unwrap()["sentence"].as_str().unwrap();
    assert!(refused.message().contains(sentence), "{} {sentence}", refused.message());

    let as_bob = service.log_in("bob", "bob-has-a-password").await;
    let status = async || as_bob.manifest("team", "app", "1").await.status;
    assert_eq!(status().await, 200);
    service.api("PUT", "/groups/team", json!({"dependency_proxy_enabled": false})).await;
    assert_eq!((status().await, refusing(&explain("bob", "").await)), (403, vec!["switch"]));
    service.api("PUT", "/groups/team", json!({"dependency_proxy_enabled": true})).await;
    service.api("POST", &format!("/users/{}/block", bob.id), Value::Null).await;
    assert_eq!((status().await, refusing(&explain("bob", "").await)), (401, vec!["credential"]));
    service.api("POST", &format!("/users/{}/unblock", bob.id), Value::Null).await;
    service.api("DELETE", &format!("/groups/team/members/{}", bob.id), Value::Null).await;
    let stranger = explain("bob", "").await;
    assert_eq!((status().await, refusing(&stranger)), (403, vec!["membership"]), "{stranger}");
    assert!(stranger.to_string().contains("a member neither of team nor of a group above it"), "{stranger}");
}

#[actix_rt::test]
async fn tokens_are_explained_by_their_user_name() {
    let Started { hub: _hub, service, .. } = &scenario().start().await;
    let made = |name: &str, scopes: Value| json!({"name": name, "username": name, "scopes": scopes});
    let scopes = json!(["read_registry", "write_registry"]);
    for (name, scopes) in [("puller", scopes.clone()), ("reader", json!(["read_registry"])), ("old", scopes)] {
        assert_eq!(service.api("POST", "/groups/team/deploy_tokens", made(name, scopes)).await.status, 201);
    }
    service.group("other").await;
    let list = service.api("GET", "/groups/team/deploy_tokens", Value::Null).await.json();
    let old = list.as_array().unwrap().iter().find(|token| token["name"] == "old").unwrap()["id"].clone();
    assert_eq!(service.api("DELETE", &format!("/groups/team/deploy_tokens/{old}"), Value::Null).await.status, 204);
    for (user, group, status, refused) in [
        ("puller", "team", 200, vec![]),
        ("reader", "team", 200, vec!["scopes"]),
        ("puller", "other", 200, vec!["membership"]),
        ("nobody", "team", 404, vec![]),
    ] {
        let path = format!("/groups/{group}/dependency_proxy/explain?user={user}");
        let answer = service.api("GET", &path, Value::Null).await;
        assert_eq!(answer.status, status, "{user}: {}", answer.text());
        if status == 200 {
            assert_eq!(refusing(&answer.json()), refused, "{user}: {}", answer.text());
        }
    }
}

#[actix_rt::test]
async fn a_name_that_tokens_of_other_groups_have_too_is_that_of_the_group_or_of_the_person() {
    let Started { hub: _hub, service, team, .. } = &scenario().start().await;
    let bob = service.user("bob", "bob-has-a-password").await;
    service.add_member(team, &bob, 30).await;
    let other = service.group("other").await;
    let sub = service.group("team/sub").await;
    for (group, username) in [(&other, "bob"), (&other, "ci"), (team, "ci")] {
        let fields = json!({"name": "made", "username": username, "scopes": ["read_registry", "write_registry"]});
        service.deploy_token_with(group, fields).await;
    }
    let explain = async |group: &str, user: &str| {
        let path = format!("/groups/{group}/dependency_proxy/explain?user={user}");
        service.api("GET", &path, Value::Null).await.json()
    };
    let about_bob = explain("team", "bob").await;
    assert_eq!(about_bob["allowed"], true, "{about_bob}");
    assert!(about_bob.to_string().contains("also that of token 'made' of other"), "{about_bob}");
    let about_ci = explain("team", "ci").await;
    assert!(about_ci["allowed"] == true && about_ci.to_string().contains("one of team"), "{about_ci}");

    let carol = service.user("carol", "carol-has-a-password").await;
    service.add_member(&sub, &carol, 50).await;
    let token = service.personal_token(&carol, "api", &["api"]).await;
    let ask = async |user: &str| {
        let (client, path) = (service.stranger(), "/api/v4/groups/team%2Fsub/dependency_proxy/explain");
        let request = client.request(Method::GET, &format!("{path}?user={user}"));
        client.send(request.header("private-token", &token.secret)).await
    };
    assert_eq!(ask("ci").await.status, 404, "a token of a group that the owner of the subgroup does not own");
    let about_bob = ask("bob").await;
    assert_eq!(about_bob.status, 200);
    assert!(!about_bob.text().contains("other"), "{}", about_bob.text());
}

#[actix_rt::test]
async fn owners_ask_about_members_and_tokens_of_their_group_and_members_about_nobody() {
    let Started { hub: _hub, service, team, .. } = &scenario().start().await;
    let [alice, bob, dave] = [
        service.user("alice", "alice-has-a-password").await,
        service.user("bob", "bob-has-a-password").await,
        service.user("dave", "dave-has-a-password").await,
    ];
    service.add_member(team, &alice, 50).await;
    service.add_member(team, &bob, 30).await;
    let ask = async |user: &User, about: &str| {
        let token = service.personal_token(user, "api", &["api"]).await;
        let (client, path) = (service.stranger(), "/api/v4/groups/team/dependency_proxy/explain");
        let request = client.request(Method::GET, &format!("{path}?user={about}"));
        client.send(request.header("private-token", &token.secret)).await.status
    };
    assert_eq!((ask(&alice, "bob").await, ask(&alice, "dave").await), (200, 404));
    assert_eq!((ask(&bob, "bob").await, ask(&dave, "bob").await), (403, 404));
}

#[actix_rt::test]
async fn a_digest_is_cached_by_its_tag_and_not_cached_if_nobody_has_pulled_it() {
    let app = Image::single(&[Layer::random(100, 1)]);
    let Started { hub: _hub, service, client, .. } = &scenario().start().await;
    let explain = async |image: &str| {
        let path = format!("/groups/team/dependency_proxy/explain?user=root&image={image}");
        let answer = service.api("GET", &path, Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["image"].clone()
    };
    let by_digest = format!("app@{}", app.digest());
    assert_eq!(explain(&by_digest).await["cached"], Value::Null);
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    let explained = explain(&by_digest).await;
    assert_eq!(explained["name"], format!("library/app@{}", app.digest()));
    let cached = &explained["cached"];
    assert_eq!((&cached["tag"], &cached["digest"]), (&json!("1"), &json!(app.digest())), "{explained}");
    assert_eq!(explained["fresh_seconds"], Value::Null);
}

#[actix_rt::test]
async fn offline_only_what_is_cached_may_be_pulled() {
    let online = scenario().settings("[proxy]\nnetwork_mode = \"online\"");
    let Started { hub: _hub, service, client, .. } = &online.start().await;
    assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    service.replace_setting("\"online\"", "\"offline\"");
    service.signal("HUP");
    let explain = async |image: &str| {
        let path = format!("/groups/team/dependency_proxy/explain?user=root&image={image}");
        service.api("GET", &path, Value::Null).await.json()
    };
    eventually("the service is offline", async || refusing(&explain("app:2").await) == ["network"]).await;
    assert_eq!(explain("app:1").await["allowed"], true);
}

#[actix_rt::test]
async fn the_verb_prints_each_rule_and_fails_for_a_pull_that_is_refused() {
    let Started { hub: _hub, service, team, .. } = &scenario().start().await;
    let bob = service.user("bob", "bob-has-a-password").await;
    let explain = || {
        let arguments = ["explain", "--group", "team", "--user", "bob", "--image", "app:1", "--url", &service.url()];
        let verb = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
        let output = { verb }.args(arguments).env("DEPENDENCY_PROXY_TOKEN", ADMIN_TOKEN).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, said, error) = explain();
    assert_eq!(code, Some(1), "{said}{error}");
    assert!(said.contains("FAIL") && error.contains("bob may not pull from team"), "{said}{error}");
    service.add_member(team, &bob, 30).await;
    let (code, said, error) = explain();
    assert_eq!(code, Some(0), "{said}{error}");
    for part in
        ["bob is a Developer of team", "library/app:1 is pulled from docker.io without an account", "not cached"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
}
