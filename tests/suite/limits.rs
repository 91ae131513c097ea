//! The section `[limits]` is enforced by the running service.

use fake_registry::FakeRegistry;
use serde_json::{Value, json};

use crate::service::{Answer, Config, Service, Token};

async fn call(service: &Service, token: &Token, method: &str, path: &str, body: Value) -> Answer {
    let client = service.stranger();
    let request = client.request(method.parse().unwrap(), &format!("/api/v4{path}"));
    client.send(request.header("private-token", &token.secret).json(&body)).await
}

#[actix_rt::test]
async fn who_makes_too_many_changes_in_a_minute_is_told_when_to_go_on_and_nobody_else_is() {
    let hub = FakeRegistry::start();
    let service = Config::docker_hub(&hub).and("[limits]\nchanges_per_minute = 5").start();
    let team = service.group("team").await;
    let (alice, bob) =
        (service.user("alice", "alices-own-password").await, service.user("bob", "bobs-own-password").await);
    for user in [&alice, &bob] {
        service.add_member(&team, user, 50).await;
    }
    let tokens =
        [service.personal_token(&alice, "a", &["api"]).await, service.personal_token(&alice, "b", &["api"]).await];
    let bobs = service.personal_token(&bob, "b", &["api"]).await;
    let path = format!("/groups/{}", team.id);
    for (number, token) in tokens.iter().cycle().take(5).enumerate() {
        let answer = call(&service, token, "PUT", &path, json!({"description": number.to_string()})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    for (method, path) in [("PUT", path.clone()), ("DELETE", format!("{path}/dependency_proxy/cache"))] {
        let refused = call(&service, &tokens[1], method, &path, json!({"description": "one more"})).await;
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!(refused.status == 429 && (1..=13).contains(&wait), "{refused:?}");
        let text = format!("429 Too Many Requests - too many changes in a minute, try again in {wait} s");
        assert_eq!(refused.json(), json!({"message": text}));
    }
    assert_eq!(call(&service, &tokens[0], "GET", &path, Value::Null).await.json()["description"], "4");
    assert_eq!(call(&service, &bobs, "PUT", &path, json!({"description": "bob"})).await.status, 200);
    for number in 0..20 {
        assert_eq!(service.api("PUT", &path, json!({"description": number.to_string()})).await.status, 200);
    }
}

#[actix_rt::test]
async fn one_user_cannot_fill_the_memory_with_tokens() {
    let hub = FakeRegistry::start();
    let service = Config::docker_hub(&hub).and("[limits]\nmax_personal_tokens = 5\ndeploy_token_days = 30").start();
    let alice = service.user("alice", "alices-own-password").await;
    let token = service.personal_token(&alice, "api", &["api"]).await;
    let path = format!("/users/{}/personal_access_tokens", alice.id);
    let long = json!({"name": "t", "scopes": ["api"], "description": "x".repeat(60_000)});
    let refused = call(&service, &token, "POST", &path, long).await;
    let reason = "is too long (maximum is 255 characters)";
    assert_eq!((refused.status, refused.json()), (400, json!({"message": {"description": [reason]}})));
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(call(&service, &token, "POST", &path, json!({"name": "t", "scopes": ["api"]})).await.status);
    }
    assert_eq!(statuses, [201, 201, 201, 201, 400, 400, 400, 400, 400, 400]);

    let team = service.group("team").await;
    let deploy = json!({"name": "t", "scopes": ["read_registry"], "expires_at": "2999-01-01"});
    let refused = service.api("POST", &format!("/groups/{}/deploy_tokens", team.id), deploy).await;
    let reason = "must be within 30 days, the maximum lifetime of such a token here";
    assert_eq!((refused.status, refused.json()), (400, json!({"message": {"expires_at": [reason]}})));
}
