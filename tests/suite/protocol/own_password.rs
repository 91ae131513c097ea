//! Users change their own password, only with the current one.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ALICES_PASSWORD, House, PAIR, WRONG, denied, served};
use crate::service::{Answer, Client};

const NEW: &str = "alices-second password";

/// Requests a change of the password with these fields.
async fn change(client: &Client, fields: Value) -> Answer {
    client.send(client.request(Method::PUT, "/api/v4/user").json(&fields)).await
}

fn bearer(house: &House, secret: &str) -> Client {
    house.service.stranger().with_authorization(&format!("Bearer {secret}"))
}

fn to(new: &str) -> Value {
    json!({"current_password": ALICES_PASSWORD, "password": new})
}

#[actix_rt::test]
async fn a_new_password_ends_what_the_old_one_began_at_the_next_request_and_stays_after_a_crash() {
    let mut house = House::new().await;
    let api = house.service.personal_token(&house.alice, "script", &["api"]).await;
    let pulling = house.service.personal_token(&house.alice, "laptop", &PAIR).await;
    let by_password = house.service.stranger().with_basic("alice", ALICES_PASSWORD);
    let session = house.service.log_in("alice", ALICES_PASSWORD).await;
    assert_eq!(session.manifest("team", "alpine", "latest").await.status, 200);
    let changed = change(&bearer(&house, &api.secret), to(NEW)).await;
    assert_eq!((changed.status, changed.json()["username"].as_str()), (200, Some("alice")), "{}", changed.text());
    assert_eq!(session.manifest("team", "alpine", "latest").await.status, 401);
    assert_eq!(change(&by_password, to("another-new-one")).await.status, 401);

    house.service.kill_and_restart();
    assert_eq!(house.pull("alice", ALICES_PASSWORD, "team").await, denied(WRONG));
    assert_eq!(house.pull("alice", NEW, "team").await, served());
    assert_eq!(house.pull("alice", &pulling.secret, "team").await, served(), "tokens stay");
    let again = house.service.stranger().with_basic("alice", NEW);
    let back = json!({"current_password": NEW, "password": ALICES_PASSWORD});
    assert_eq!(change(&again, back).await.status, 200, "nothing but the password is needed");
    assert_eq!(house.pull("alice", ALICES_PASSWORD, "team").await, served());
}

#[actix_rt::test]
async fn without_the_current_password_or_with_a_new_one_that_no_user_can_have_nothing_changes() {
    let house = House::new().await;
    let api = house.service.personal_token(&house.alice, "script", &["api"]).await;
    let long = "x".repeat(129);
    let invalid = |field: &str, reason: &str| json!({"message": {field: [reason]}});
    for (fields, expected) in [
        (json!({"password": NEW}), json!({"error": "current_password is missing"})),
        (json!({"password": NEW, "current_password": ""}), json!({"error": "current_password is missing"})),
        (json!({"current_password": ALICES_PASSWORD}), json!({"error": "password is missing"})),
        (json!({"password": NEW, "current_password": "guessed"}), invalid("current_password", "is invalid")),
        (json!({"password": NEW, "current_password": api.secret}), invalid("current_password", "is invalid")),
        (to("short"), invalid("password", "is too short (minimum is 8 characters)")),
        (to(&long), invalid("password", "is too long (maximum is 128 characters)")),
        (
            to("glpat-0123456789"),
            invalid("password", "has the form of a token: a login would never try it as a password"),
        ),
    ] {
        for client in [bearer(&house, &api.secret), house.service.stranger().with_basic("alice", ALICES_PASSWORD)] {
            let refused = change(&client, fields.clone()).await;
            assert_eq!((refused.status, refused.json()), (400, expected.clone()));
        }
    }
    assert_eq!(house.pull("alice", ALICES_PASSWORD, "team").await, served());
}

#[actix_rt::test]
async fn no_other_credential_than_the_users_own_changes_a_password() {
    let house = House::new().await;
    let reading = house.service.personal_token(&house.alice, "reader", &["read_api"]).await;
    let robot = house.service.group_token(&house.team, "bot", &["api"]).await;
    let session = house.service.log_in("alice", ALICES_PASSWORD).await;
    let service = &house.service;
    for (client, status) in [
        (service.stranger(), 401),
        (service.stranger().with_basic("alice", "guessed"), 401),
        (service.stranger().with_basic(&house.ci.username, &house.ci.secret), 401),
        (bearer(&house, &house.ci.secret), 401),
        (session, 401),
        (bearer(&house, &robot.secret), 403),
        (bearer(&house, &reading.secret), 403),
    ] {
        let refused = change(&client, to(NEW)).await;
        assert_eq!(refused.status, status, "{}: {}", client.authorization(), refused.text());
    }
    let fields = json!({"username": "tokens", "name": "tokens", "force_random_password": true});
    let without = service.api("POST", "/users", fields).await.json();
    let path = format!("/users/{}/personal_access_tokens", without["id"]);
    let token = service.api("POST", &path, json!({"name": "t", "scopes": ["api"]})).await.json();
    let refused = change(&bearer(&house, token["token"].as_str().unwrap()), to(NEW)).await;
    let expected = json!({"message": "403 Forbidden - This user has no password. An administrator can set one"});
    assert_eq!((refused.status, refused.json()), (403, expected));
    assert_eq!(house.pull("alice", ALICES_PASSWORD, "team").await, served());
}

#[actix_rt::test]
async fn guesses_of_the_current_password_are_limited_as_failed_logins_are() {
    let house = House::with("[auth]\nmax_failed_logins = 3").await;
    let api = bearer(&house, &house.service.personal_token(&house.alice, "script", &["api"]).await.secret);
    for number in 0..3 {
        let guess = json!({"current_password": format!("guess-{number}"), "password": NEW});
        assert_eq!(change(&api, guess).await.status, 400);
    }
    let lines = house.service.log_lines();
    let refused: Vec<&Value> = lines.iter().filter(|line| line["reason"] == "wrong_secret").collect();
    assert_eq!(refused.len(), 3, "{refused:?}");
    let first = refused[0];
    assert_eq!(
        (&first["path"], &first["status"], &first["principal_name"]),
        (&json!("/api/v4/user"), &json!(400), &json!("alice"))
    );
    assert!(!house.service.log().contains("guess-"), "what was guessed is not in the log");
    let limited = change(&api, to(NEW)).await;
    let wait: u64 = limited.header("retry-after").parse().unwrap();
    assert!(limited.status == 429 && (1..=101).contains(&wait), "{limited:?}");
    assert_eq!(house.service.token("alice", ALICES_PASSWORD, "").await.status, 429, "they count as failed logins");
}
