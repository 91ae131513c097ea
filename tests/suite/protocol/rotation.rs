//! A rotated token has two valid secrets for the requested overlap, and not longer, whatever happens in between.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{House, PAIR, denied, served, today};
use crate::service::{Answer, Client, Token, eventually};

/// Creates one token of each kind, and returns their paths.
async fn a_token_of_each_kind(house: &House) -> [(String, Token); 3] {
    let personal = house.service.personal_token(&house.alice, "mine", &PAIR).await;
    let group = house.service.group_token(&house.team, "bot", &PAIR).await;
    let deploy = house.service.deploy_token(&house.team, "fleet").await;
    [
        (format!("/personal_access_tokens/{}", personal.id), personal),
        (format!("/groups/{}/access_tokens/{}", house.team.id, group.id), group),
        (format!("/groups/{}/deploy_tokens/{}", house.team.id, deploy.id), deploy),
    ]
}

/// Rotates a token, and returns the new secret and the response.
async fn rotated(house: &House, path: &str, body: Value) -> (String, Value) {
    let answer = house.service.api("POST", &format!("{path}/rotate"), body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    let shown = answer.json();
    (shown["token"].as_str().unwrap().to_owned(), shown)
}

async fn status(client: &Client) -> u16 {
    client.manifest("team", "alpine", "latest").await.status
}

fn old_secret_ends(shown: &Value) -> Timestamp {
    shown["old_secret_expires_at"].as_str().unwrap_or_else(|| panic!("{shown}")).parse().unwrap()
}

async fn shown(house: &House, path: &str) -> Answer {
    house.service.api("GET", path, Value::Null).await
}

#[actix_rt::test]
async fn both_secrets_pull_during_the_overlap_also_after_a_crash_and_end_with_the_token() {
    let mut house = House::new().await;
    for (path, token) in a_token_of_each_kind(&house).await {
        let before = house.service.log_in_with(&token).await;
        let (new, answer) = rotated(&house, &path, json!({"overlap": "90m"})).await;
        let ahead = old_secret_ends(&answer).duration_since(Timestamp::now());
        assert!((SignedDuration::from_mins(89)..=SignedDuration::from_mins(90)).contains(&ahead), "{path}: {ahead}");
        assert_eq!(answer["id"], token.id, "{path}");
        assert_eq!(status(&before).await, 200, "{path}: a login by the old secret goes on");

        house.service.kill_and_restart();
        let mut clients = Vec::new();
        for secret in [&token.secret, &new] {
            assert_eq!(house.pull(&token.username, secret, "team").await, served(), "{path}");
            clients.push(house.service.log_in(&token.username, secret).await);
            clients.push(house.service.stranger().with_basic(&token.username, secret));
        }
        assert_eq!(shown(&house, &path).await.json()["old_secret_expires_at"], answer["old_secret_expires_at"]);
        house.change("DELETE", &path, Value::Null).await;
        for client in &clients {
            let refused = status(client).await;
            assert!(refused == 401 || refused == 403, "{path}: {refused}");
        }
        for secret in [&token.secret, &new] {
            let expected = denied(&format!("Token '{}' was revoked on {}", name_of(&answer), today()));
            assert_eq!(house.pull(&token.username, secret, "team").await, expected, "{path}");
        }
    }
}

fn name_of(token: &Value) -> &str {
    token["name"].as_str().unwrap()
}

#[actix_rt::test]
async fn an_overlap_ends_in_its_time_and_the_old_secret_is_refused_with_what_to_do() {
    let house = House::new().await;
    for (path, token) in a_token_of_each_kind(&house).await {
        let before = house.service.log_in_with(&token).await;
        let (new, answer) = rotated(&house, &path, json!({"overlap": 2})).await;
        eventually("the old secret ends", async || status(&before).await != 200).await;
        let end = old_secret_ends(&answer);
        assert!(Timestamp::now() >= end, "{path}: not before its time");
        let sentence = format!(
            "Token '{}' was rotated, and its old secret ended on {}. Use the new secret",
            name_of(&answer),
            end.strftime("%Y-%m-%d")
        );
        assert_eq!(house.pull(&token.username, &token.secret, "team").await, denied(&sentence), "{path}");
        assert_eq!(house.pull(&token.username, &new, "team").await, served(), "{path}");
        assert_eq!(shown(&house, &path).await.json()["old_secret_expires_at"], Value::Null, "{path}");
    }
}

#[actix_rt::test]
async fn a_deploy_token_keeps_its_user_name_and_end_and_has_a_day_of_overlap_unless_asked_otherwise() {
    let house = House::new().await;
    let fields = json!({"name": "old", "username": "old-fleet", "scopes": PAIR, "expires_at": "2098-07-06T05:04:03Z"});
    let token = house.service.deploy_token_with(&house.team, fields).await;
    let path = format!("/groups/{}/deploy_tokens/{}", house.team.id, token.id);
    let (new, answer) = rotated(&house, &path, Value::Null).await;
    assert_eq!((&answer["username"], &answer["id"]), (&json!("old-fleet"), &json!(token.id)));
    assert!(answer["expires_at"].as_str().unwrap().starts_with("2098-07-06T05:04:03"), "{answer}");
    let ahead = old_secret_ends(&answer).duration_since(Timestamp::now());
    assert!((SignedDuration::from_mins(1439)..=SignedDuration::from_hours(24)).contains(&ahead), "{ahead}");
    assert_eq!(house.pull("old-fleet", &token.secret, "team").await, served());

    let (newest, answer) = rotated(&house, &path, json!({"overlap": 0, "expires_at": "2097-01-01"})).await;
    assert_eq!(answer["old_secret_expires_at"], Value::Null);
    assert!(answer["expires_at"].as_str().unwrap().starts_with("2097-01-01"), "{answer}");
    let replaced = format!("Token 'old' was rotated, and its old secret ended on {}. Use the new secret", today());
    for (secret, why) in [(&new, "without an overlap"), (&token.secret, "no more than one old secret is valid")] {
        assert_eq!(house.pull("old-fleet", secret, "team").await, denied(&replaced), "{why}");
    }
    assert_eq!(house.pull("old-fleet", &newest, "team").await, served());
}

#[actix_rt::test]
async fn of_two_rotations_within_an_overlap_the_older_secret_ends_at_once() {
    let house = House::new().await;
    for (path, token) in a_token_of_each_kind(&house).await {
        let first = house.service.log_in_with(&token).await;
        let (second, _) = rotated(&house, &path, json!({"overlap": "30d"})).await;
        let (third, _) = rotated(&house, &path, json!({"overlap": "1h"})).await;
        assert_eq!(status(&first).await, 401, "{path}");
        let ended = house.pull(&token.username, &token.secret, "team").await;
        assert!(ended.2.contains("was rotated, and its old secret ended on"), "{path}: {ended:?}");
        for secret in [&second, &third] {
            assert_eq!(house.pull(&token.username, secret, "team").await, served(), "{path}");
        }
    }
}

#[actix_rt::test]
async fn every_secret_that_was_rotated_away_says_so_until_the_token_itself_ends() {
    let house = House::new().await;
    for (mut path, token) in a_token_of_each_kind(&house).await {
        let mut old = vec![token.secret.clone()];
        // An access token without an overlap gets another number.
        for overlap in ["0", "1h", "0", "0"] {
            let (new, answer) = rotated(&house, &path, json!({"overlap": overlap})).await;
            path = format!("{}/{}", path.rsplit_once('/').unwrap().0, answer["id"]);
            old.push(new);
        }
        let newest = old.pop().unwrap();
        for secret in &old {
            let refused = house.pull(&token.username, secret, "team").await;
            assert!(refused.2.contains("was rotated, and its old secret ended on"), "{path}: {refused:?}");
        }
        assert_eq!(house.pull(&token.username, &newest, "team").await, served(), "{path}");
        house.change("DELETE", &path, Value::Null).await;
        for secret in old.iter().chain([&newest]) {
            let refused = house.pull(&token.username, secret, "team").await;
            assert!(refused.2.contains("was revoked on"), "{path}: {refused:?}");
        }
    }
}

#[actix_rt::test]
async fn an_overlap_that_is_too_long_or_none_is_refused_and_changes_nothing() {
    let house = House::new().await;
    for (path, token) in a_token_of_each_kind(&house).await {
        for (overlap, reason) in [
            (json!("31d"), "must be at most 30 days"),
            (json!("soon"), "is not a length of time such as 24h, 7d or 3600, in seconds"),
            (json!(-1), "is not a length of time such as 24h, 7d or 3600, in seconds"),
        ] {
            let answer = house.service.api("POST", &format!("{path}/rotate"), json!({"overlap": overlap})).await;
            let expected = json!({"message": {"overlap": [reason]}});
            assert_eq!((answer.status, answer.json()), (400, expected), "{path} {overlap}");
        }
        assert_eq!(house.pull(&token.username, &token.secret, "team").await, served(), "{path}");
    }
}

#[actix_rt::test]
async fn a_token_of_a_group_that_has_expired_is_rotated_as_its_sentence_says() {
    let house = House::new().await;
    let end = Timestamp::now() + SignedDuration::from_secs(2);
    let fields = json!({"name": "brief", "scopes": PAIR, "expires_at": end.to_string()});
    let brief = house.service.deploy_token_with(&house.team, fields).await;
    let path = format!("/groups/{}/deploy_tokens/{}", house.team.id, brief.id);
    while Timestamp::now() < end {
        actix_rt::time::sleep(Duration::from_millis(50)).await;
    }
    let expired = house.pull(&brief.username, &brief.secret, "team").await;
    assert!(expired.2.ends_with("An owner of 'team' can rotate it"), "{expired:?}");
    let extended = house.service.api("PUT", &path, json!({"expires_at": "2099-01-01"})).await;
    let sentence = "403 Forbidden - The token has expired, so it cannot be extended: rotate it, or make another";
    assert_eq!((extended.status, extended.json()), (403, json!({"message": sentence})));
    let kept = house.service.api("POST", &format!("{path}/rotate"), Value::Null).await;
    let reason =
        format!("is missing: the token expired on {}, so its rotation must name a new end", end.strftime("%Y-%m-%d"));
    let expected = json!({"message": {"expires_at": [reason]}});
    assert_eq!((kept.status, kept.json()), (400, expected));
    let (new, answer) = rotated(&house, &path, json!({"expires_at": "2099-01-01", "overlap": "24h"})).await;
    assert_eq!(answer["old_secret_expires_at"], Value::Null, "what has expired is not valid again");
    let ended = house.pull(&brief.username, &brief.secret, "team").await;
    assert!(ended.2.starts_with("Token 'brief' was rotated"), "{ended:?}");
    assert_eq!(house.pull(&brief.username, &new, "team").await, served());
}

#[actix_rt::test]
async fn an_extended_token_has_another_end_and_the_same_secret() {
    let house = House::new().await;
    for (path, token) in a_token_of_each_kind(&house).await {
        let client = house.service.log_in_with(&token).await;
        let answer = house.service.api("PUT", &path, json!({"expires_at": "2100-02-03"})).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.json()["expires_at"].as_str().unwrap().starts_with("2100-02-03"), "{path}");
        assert_eq!(answer.json().get("token"), None, "{path}");
        assert_eq!(status(&client).await, 200, "{path}");
        let changes = || house.service.log().matches("token extended").count();
        let before = changes();
        let again = house.service.api("PUT", &path, json!({"expires_at": "2100-02-03"})).await;
        assert_eq!((again.status, without_last_use(&again)), (200, without_last_use(&answer)), "{path}");
        assert_eq!(changes(), before, "{path}: nothing has changed");
        for (body, error) in [
            (json!({}), json!({"error": "expires_at is missing"})),
            (json!({"expires_at": "2001-01-01"}), json!({"message": {"expires_at": ["must be in the future"]}})),
        ] {
            let refused = house.service.api("PUT", &path, body).await;
            assert_eq!((refused.status, refused.json()), (400, error), "{path}");
        }
    }
}

/// Returns a token as the response has it, without its last use, which is noted some time after the use.
fn without_last_use(answer: &Answer) -> Value {
    let mut token = answer.json();
    for field in ["last_used_at", "last_used_ips", "last_used_from"] {
        token.as_object_mut().unwrap().remove(field);
    }
    token
}

#[actix_rt::test]
async fn the_old_secret_of_a_token_neither_rotates_nor_extends_it() {
    let house = House::new().await;
    let personal = house.service.personal_token(&house.alice, "script", &["api"]).await;
    let path = format!("/personal_access_tokens/{}", personal.id);
    let (new, _) = rotated(&house, &path, json!({"overlap": "1h", "expires_at": "2099-01-01"})).await;
    let call = async |secret: &str, method: &str, path: &str| {
        let client = house.service.stranger();
        let method = method.parse().unwrap();
        let request = client.request(method, &format!("/api/v4{path}")).header("private-token", secret);
        client.send(request.json(&json!({"expires_at": "2098-01-01", "overlap": 60}))).await
    };
    for (method, path) in
        [("POST", "/personal_access_tokens/self/rotate"), ("POST", &format!("{path}/rotate")), ("PUT", &path)]
    {
        let refused = call(&personal.secret, method, path).await;
        let expected = json!({"message": "403 Forbidden - The old secret of a token cannot rotate or extend it"});
        assert_eq!((refused.status, refused.json()), (403, expected), "{method} {path}");
    }
    assert_eq!(call(&personal.secret, "GET", "/user").await.status, 200, "it does what the token does besides");
    assert_eq!(call(&new, "POST", "/personal_access_tokens/self/rotate").await.status, 200);
    assert_eq!(call(&personal.secret, "GET", "/user").await.status, 401, "one old secret is valid, and no more");
}
