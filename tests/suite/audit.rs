//! The audit trail: who changed what, from where, and what was refused; who sees which events; what survives.

mod cache;
mod crashes;
mod file;
mod last_use;
mod lists;
mod pulls;
mod refusals;
mod settings;
mod verbs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{ADMIN_TOKEN, Answer, Config, Service};

const OWNER_PASSWORD: &str = "the-password-of-an-owner";

/// Returns all events that match this query, the first one first.
async fn events(service: &Service, query: &str) -> Vec<Value> {
    let path = format!("/audit_events?pagination=keyset&sort=asc&per_page=100&{query}");
    let answer = service.api("GET", &path, Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let events: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
    assert!(answer.header("link").is_empty(), "there are more than one page");
    events
}

/// Returns the only event that matches this query.
async fn only(service: &Service, query: &str) -> Value {
    let mut found = events(service, query).await;
    assert_eq!(found.len(), 1, "{query}: {found:?}");
    found.remove(0)
}

/// Calls the API with another token than that of the administrator.
async fn call(service: &Service, secret: &str, method: Method, path: &str, body: Value) -> Answer {
    let client = service.stranger();
    let request = client.request(method, &format!("/api/v4{path}")).header("private-token", secret);
    let request = request.header("user-agent", "a script");
    client.send(if body.is_null() { request } else { request.json(&body) }).await
}

fn changed<'a>(event: &'a Value, field: &str) -> Option<&'a Value> {
    event["details"]["changes"].as_array()?.iter().find(|change| change["change"] == field)
}

fn service() -> Service {
    Config::upstream_at("docker.io", "http://127.0.0.1:9").start()
}

#[actix_rt::test]
async fn a_change_has_an_event_with_who_from_where_and_what_before_and_after() {
    let service = service();
    let team = service.group("team").await;
    let alice = service.user("alice", OWNER_PASSWORD).await;
    service.add_member(&team, &alice, 50).await;
    let token = service.personal_token(&alice, "script", &["api"]).await;
    let bob = service.user("bob", "the-password-of-bob").await;
    let members = format!("/groups/{}/members", team.id);
    let answer =
        call(&service, &token.secret, Method::POST, &members, json!({"user_id": bob.id, "access_level": 30})).await;
    assert_eq!(answer.status, 201);
    let path = format!("{members}/{}", bob.id);
    assert_eq!(call(&service, &token.secret, Method::PUT, &path, json!({"access_level": 40})).await.status, 200);

    let event = only(&service, "event_name=member_updated").await;
    assert_eq!(
        (&event["author_id"], &event["entity_type"], &event["entity_id"]),
        (&json!(alice.id), &json!("Group"), &json!(team.id))
    );
    let details = &event["details"];
    assert_eq!((&details["author_name"], &details["entity_path"]), (&json!("alice"), &json!("team")));
    assert_eq!((&details["token_id"], &details["token_name"]), (&json!(token.id), &json!("script")));
    assert_eq!((&details["ip_address"], &details["user_agent"]), (&json!("127.0.0.1"), &json!("a script")));
    assert_eq!((&details["target_type"], &details["target_details"]), (&json!("User"), &json!("bob")));
    assert_eq!((&details["change"], &details["from"], &details["to"]), (&json!("level"), &json!(30), &json!(40)));
    assert_eq!(details["custom_message"], "member changed");
    let one = service.api("GET", &format!("/audit_events/{}", event["id"]), Value::Null).await;
    assert_eq!(one.json(), event);

    let created = only(&service, &format!("event_name=user_created&entity_type=User&entity_id={}", bob.id)).await;
    assert_eq!(changed(&created, "username").unwrap()["to"], "bob");
    assert!(changed(&created, "password").is_none());
}

#[actix_rt::test]
async fn tokens_users_groups_settings_and_the_first_start_have_events_and_no_event_has_a_secret() {
    let service = service();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let tokens = format!("/groups/{}/deploy_tokens/{}", team.id, token.id);
    let rotated = service.api("POST", &format!("{tokens}/rotate"), json!({"overlap": "1h"})).await.json();
    service.api("PUT", &tokens, json!({"expires_at": "2098-01-01"})).await;
    service.api("DELETE", &tokens, Value::Null).await;
    let robot = service.group_token(&team, "robot", &["api"]).await;
    service.api("DELETE", &format!("/groups/{}/access_tokens/{}", team.id, robot.id), Value::Null).await;
    // Goes with its group.
    service.group_token(&team, "second", &["api"]).await;
    let alice = service.user("alice", OWNER_PASSWORD).await;
    let user = format!("/users/{}", alice.id);
    service.api("PUT", &user, json!({"password": "another-long-password"})).await;
    service.api("POST", &format!("{user}/block"), Value::Null).await;
    service.api("POST", &format!("{user}/unblock"), Value::Null).await;
    service.api("DELETE", &user, json!({"hard_delete": true})).await;
    service.api("PUT", &format!("/groups/{}", team.id), json!({"dependency_proxy_max_bytes": 5_000_000})).await;
    service.api("PUT", "/application/settings", json!({"dependency_proxy_enabled": false})).await;
    service.api("DELETE", &format!("/groups/{}", team.id), Value::Null).await;

    let all = events(&service, "").await;
    let names: Vec<&str> = all.iter().map(|event| event["event_name"].as_str().unwrap()).collect();
    let expected = [
        "group_created",
        "deploy_token_created",
        "user_created",
        "personal_access_token_created", // the first start
        "group_created",
        "deploy_token_created",
        "member_created",
        "deploy_token_rotated",
        "deploy_token_updated",
        "deploy_token_revoked",
        "member_created",
        "group_access_token_created",
        "group_access_token_revoked",
        "member_destroyed",
        "user_created",
        "user_password_updated",
        "user_blocked",
        "user_unblocked",
        "user_destroyed",
        "group_updated",
        "application_settings_updated",
        "member_created",
        "group_access_token_created",
        "group_access_token_revoked",
        "member_destroyed",
        "member_destroyed",
        "group_destroyed",
    ];
    let mut sorted = (names.clone(), expected.to_vec());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    assert_eq!(sorted.0, sorted.1, "{names:?}");
    let quota = only(&service, "event_name=group_updated").await;
    assert_eq!(changed(&quota, "cache").unwrap()["to"]["max_bytes"], 5_000_000);
    let text = serde_json::to_string(&all).unwrap()
        + &std::fs::read_to_string(service.data().join("identity.journal")).unwrap();
    let secrets = [&token.secret, &robot.secret, rotated["token"].as_str().unwrap(), OWNER_PASSWORD, ADMIN_TOKEN];
    assert!(secrets.iter().all(|secret| !text.contains(*secret)));
    let events = serde_json::to_string(&all).unwrap();
    assert!(!events.contains("sha256:") && !events.contains("argon2"), "{events}");
}
