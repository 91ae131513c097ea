//! Owners of groups: who may set an account, what is refused, and the results of tests of accounts.

use fake_registry::{Kind, Listener};
use reqwest::Method;

use super::*;
use crate::console::Visitor;

const PAGE: &str = "/groups/a/-/dependency_proxy/settings";

async fn as_user(scene: &Scene, username: &str, level: Option<u8>) -> String {
    let user = scene.service.user(username, &format!("{username}-has-a-password")).await;
    if let Some(level) = level {
        let group = scene.service.api("GET", "/groups/a", Value::Null).await.json();
        let group = crate::service::Group { id: group["id"].as_u64().unwrap(), path: "a".to_owned() };
        scene.service.add_member(&group, &user, level).await;
    }
    scene.service.personal_token(&user, "api", &["api"]).await.secret
}

async fn call(scene: &Scene, token: &str, method: &str, path: &str) -> u16 {
    let client = scene.service.stranger();
    let request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), &format!("/api/v4{path}"));
    let body = json!({"identity": "robot-a", "secret": PASSWORD});
    client.send(request.header("private-token", token).json(&body)).await.status
}

#[actix_rt::test]
async fn owners_set_test_and_remove_an_account_and_others_do_not() {
    let scene = Scene::start(LONG_TTL).await;
    let (owner, maintainer) = (as_user(&scene, "olga", Some(50)).await, as_user(&scene, "max", Some(40)).await);
    let stranger = as_user(&scene, "sid", None).await;
    let (one, list, test) =
        (address("a"), "/groups/a/dependency_proxy/upstream_accounts".to_owned(), format!("{}/test", address("a")));
    for (method, path, right) in [("PUT", &one, 200), ("GET", &list, 200), ("POST", &test, 200), ("DELETE", &one, 204)]
    {
        assert_eq!(call(&scene, &maintainer, method, path).await, 403, "{method} {path}");
        assert_eq!(call(&scene, &stranger, method, path).await, 404, "{method} {path}");
        assert_eq!(call(&scene, &owner, method, path).await, right, "{method} {path}");
    }
    for (method, path) in [("DELETE", &one), ("POST", &test)] {
        assert_eq!(call(&scene, &owner, method, path).await, 404, "there is none any more");
    }
}

#[actix_rt::test]
async fn what_cannot_be_an_account_is_refused_with_the_field() {
    let scene = Scene::start(LONG_TTL).await;
    let long = "x".repeat(8193);
    for (body, sentence) in [
        (json!({"secret": "x"}), "identity is missing"),
        (json!({"identity": "", "secret": "x"}), "can't be blank"),
        (json!({"identity": "robot", "secret": ""}), "can't be blank"),
        (json!({"identity": "a:b", "secret": "x"}), "can't contain ':'"),
        (json!({"identity": "a\nb", "secret": "x"}), "can't contain line breaks"),
        (json!({"identity": "robot", "secret": long}), "is too long (maximum is 8192 characters)"),
    ] {
        let answer = scene.service.api("PUT", &address("a"), body).await;
        assert!(answer.status == 400 && answer.text().contains(sentence), "{sentence}: {}", answer.text());
    }
    let elsewhere = "/groups/a/dependency_proxy/upstream_accounts/169.254.169.254";
    for (method, path) in [("PUT", elsewhere.to_owned()), ("POST", format!("{elsewhere}/test"))] {
        let body = json!({"identity": "robot", "secret": "x"});
        assert_eq!(scene.service.api(method, &path, body).await.status, 404, "no other host is contacted");
    }
}

#[actix_rt::test]
async fn a_test_says_what_upstream_says() {
    let scene = Scene::start(LONG_TTL).await;
    scene.set("a", "robot-a", PASSWORD).await;
    let test = async || {
        let answer = scene.service.api("POST", &format!("{}/test", address("a")), Value::Null).await;
        assert!(answer.status == 200 && !answer.text().contains(PASSWORD), "{}", answer.text());
        let found = answer.json();
        (found["result"].as_str().unwrap().to_owned(), found["message"].as_str().unwrap().to_owned())
    };
    let (result, message) = test().await;
    assert_eq!((result.as_str(), message.as_str()), ("accepted", "docker.io accepts the account robot-a"));
    scene.hub.on(Kind::Token).refusal(401, "UNAUTHORIZED", "incorrect username or password");
    let (result, message) = test().await;
    let refused = "docker.io refuses the account robot-a (HTTP status 401: \"incorrect username or password\")";
    assert_eq!((result.as_str(), message.as_str()), ("refused", refused));
    scene.hub.behave();
    scene.set("a", "robot-a", "another-password").await;
    assert_eq!(test().await.0, "refused");
    scene.hub.down(Listener::Registry);
    scene.set("a", "robot-a", PASSWORD).await;
    assert_eq!(test().await.0, "unreachable");
    scene.hub.up(Listener::Registry);
    let events = scene.service.api("GET", "/groups/a/audit_events?per_page=100", Value::Null).await.text();
    assert!(events.contains("group_upstream_account_tested") && events.contains("refused"), "{events}");
    assert!(!events.contains(PASSWORD) && !events.contains("another-password"), "{events}");
}

#[actix_rt::test]
async fn the_page_sets_tests_and_removes_an_account_and_never_shows_its_password() {
    let scene = Scene::start(LONG_TTL).await;
    as_user(&scene, "olga", Some(50)).await;
    let olga = Visitor::signed_in(&scene.service, "olga", "olga-has-a-password").await;
    olga.get(PAGE).await.shows(&["This group pulls with the accounts of the service.", "Password or access token"]);
    let form = |section: &'static str, identity: &'static str, secret: &'static str| {
        [("section", section), ("upstream", "docker.io"), ("identity", identity), ("secret", secret)]
    };
    let refused = olga.post(PAGE, &form("account", "a:b", PASSWORD)).await;
    refused.is(400, "The user name can't contain");
    assert!(refused.text.contains(r#"value="a:b""#) && !refused.text.contains(PASSWORD), "{}", refused.text);
    let saved = olga.post(PAGE, &form("account", "robot-a", PASSWORD)).await;
    saved.shows(&[
        "The account at docker.io is saved.",
        "Actions for the account at docker.io",
        "robot-a",
        "no limit announced",
    ]);
    assert!(!saved.text.contains(PASSWORD));
    assert_eq!(scene.a.manifest("a", "private/a", "1").await.status, 200);
    olga.get(PAGE).await.shows(&[r#"data-label="Last test"><span class="soft">none<"#]);
    olga.post(PAGE, &form("account-test", "", "")).await.shows(&["docker.io accepts the account robot-a."]);
    olga.get(PAGE).await.shows(&["<b>Accepted</b><span><time"]);
    olga.post(PAGE, &form("account-removal", "", "")).await.shows(&["The account at docker.io is removed."]);
    olga.post(PAGE, &form("account-test", "", "")).await.is(400, "The group has no account of its own there");
    assert_eq!(scene.a.manifest("a", "private/a", "1").await.status, 403);
    olga.post(PAGE, &[("section", "freshness"), ("freshness", "soon")]).await.is(400, "is not a number of seconds");
    let saved = olga.post(PAGE, &[("section", "freshness"), ("freshness", "600")]).await;
    saved.shows(&["Saved.", r#"value="600""#]);
    let group = scene.service.api("GET", "/groups/a", Value::Null).await.json();
    assert_eq!(group["dependency_proxy_tag_freshness_seconds"], 600);
}
