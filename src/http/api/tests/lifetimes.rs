//! Lifetimes: what a token creates does not outlive it, unless an administrator's token created it. Tested for
//! every route that creates something that lasts.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod extensions;
mod families;
mod owners;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::company::{Body, Company, Response, records, secret_of};
use crate::domain::id::TokenId;
use crate::domain::limits::Limits;
use crate::domain::policy::PublicGroups;

/// Returns the date this many days from now.
fn day(ahead: i64) -> String {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    today.checked_add(ahead.days()).unwrap().to_string()
}

/// Calls with the secret of a token and a JSON body. Asserts success.
async fn make(company: &Company, secret: &str, method: &str, path: &str, body: Value) -> Value {
    let response = call(company, secret, method, path, body).await;
    assert!(response.status.is_success(), "{method} {path}: {} {}", response.status, response.body);
    response.body
}

async fn call(company: &Company, secret: &str, method: &str, path: &str, body: Value) -> Response {
    let body = body.to_string();
    company.send(Some(("PRIVATE-TOKEN", secret)), method, path, Body::Json(&body)).await
}

#[actix_web::test]
async fn an_end_that_is_today_in_the_past_or_too_far_away_is_refused_for_that() {
    let company = super::company::company();
    for (end, expected) in [
        (day(0), json!({"message": {"expires_at": ["must be a date after today, by UTC"]}})),
        (day(-1), json!({"message": {"expires_at": ["cannot be a date in the past"]}})),
        (
            "9999-12-31".to_owned(),
            json!({"error": "expires_at is later than 9999-12-30, the last day that can be stored"}),
        ),
    ] {
        let body = json!({"user_id": 5, "access_level": 10, "expires_at": end});
        let response = call(&company, &secret_of("admin"), "POST", "/groups/1/members", body).await;
        assert_eq!((response.status.as_u16(), &response.body), (400, &expected), "{end}");
    }
}

/// Creates a token of the owner of `team` that ends after this many days. Returns its secret and its number.
async fn owners_token(company: &Company, days: i64) -> (String, u64) {
    let body = json!({"name": "brief", "scopes": ["api"], "expires_at": day(days)});
    made(&make(company, &secret_of("admin"), "POST", "/users/2/personal_access_tokens", body).await)
}

fn made(token: &Value) -> (String, u64) {
    (token["token"].as_str().unwrap().to_owned(), token["id"].as_u64().unwrap())
}

/// The routes that create a token, with their parameters besides the expiry. Token 3 is the owner's.
const MAKING: [(&str, &str); 6] = [
    ("/users/2/personal_access_tokens", r#"{"name":"t","scopes":["api"]}"#),
    ("/groups/1/access_tokens", r#"{"name":"t","scopes":["api"]}"#),
    ("/groups/1/deploy_tokens", r#"{"name":"t","scopes":["read_registry","write_registry"]}"#),
    ("/personal_access_tokens/3/rotate", "{}"),
    ("/groups/1/access_tokens/7/rotate", "{}"),
    ("/groups/1/deploy_tokens/9/rotate", "{}"),
];

fn body(text: &str, end: Option<String>) -> Value {
    let mut body: Value = serde_json::from_str(text).unwrap();
    if let Some(end) = end {
        body["expires_at"] = json!(end);
    }
    body
}

#[actix_web::test]
async fn what_a_token_makes_ends_no_later_than_the_token() {
    for (path, text) in MAKING {
        let company = Company::open(&records());
        let (brief, _) = owners_token(&company, 1).await;
        for beyond in [day(2), "2999-01-01".to_owned()] {
            let refused = call(&company, &brief, "POST", path, body(text, Some(beyond))).await;
            let reason = format!("must not be after {}, when the token that makes it expires", day(1));
            let expected = json!({"message": {"expires_at": [reason]}});
            assert_eq!((refused.status.as_u16(), &refused.body), (400, &expected), "{path}");
        }
        let given = make(&company, &brief, "POST", path, body(text, None)).await;
        assert!(given["expires_at"].as_str().unwrap().starts_with(&day(1)), "{path}: {given}");
    }
}

#[actix_web::test]
async fn a_token_that_rotates_itself_gains_no_time() {
    let company = Company::open(&records());
    let (brief, _) = owners_token(&company, 3).await;
    let path = "/personal_access_tokens/self/rotate";
    assert_eq!(call(&company, &brief, "POST", path, json!({"expires_at": day(4)})).await.status.as_u16(), 400);
    let rotated = make(&company, &brief, "POST", path, json!({})).await;
    assert_eq!(rotated["expires_at"], day(3));
}

#[actix_web::test]
async fn an_administrator_gives_any_end() {
    let company = Company::open(&records());
    let brief = json!({"name": "brief", "scopes": ["api"], "expires_at": day(1)});
    let brief = make(&company, &secret_of("admin"), "POST", "/users/1/personal_access_tokens", brief).await;
    let (brief, id) = made(&brief);
    let mut ids = Vec::new();
    for (path, text) in MAKING {
        let given = make(&company, &brief, "POST", path, body(text, Some("2999-01-01".to_owned()))).await;
        assert!(given["expires_at"].as_str().unwrap().starts_with("2999-01-01"), "{path}");
        ids.push(given["id"].as_u64().unwrap());
    }
    make(&company, &secret_of("admin"), "DELETE", &format!("/personal_access_tokens/{id}"), json!({})).await;
    let directory = company.directory();
    let active = |id: &u64| directory.token(TokenId(*id)).is_some_and(|token| token.is_active(Timestamp::now()));
    assert!(ids.iter().all(active), "none of them ends with the token of an administrator");
}

#[actix_web::test]
async fn a_token_does_not_rotate_the_one_that_made_it() {
    let company = Company::open(&records());
    let (parent, id) = owners_token(&company, 9).await;
    let (path, text) = MAKING[0];
    let (child, _) = made(&make(&company, &parent, "POST", path, body(text, None)).await);
    let (grandchild, _) = made(&make(&company, &child, "POST", path, body(text, None)).await);
    for secret in [child, grandchild] {
        let response =
            call(&company, &secret, "POST", &format!("/personal_access_tokens/{id}/rotate"), json!({})).await;
        let expected = json!({"message": "403 Forbidden - A token cannot rotate the one that made it"});
        assert_eq!((response.status.as_u16(), response.body), (403, expected));
    }
}

#[actix_web::test]
async fn a_brought_secret_has_no_end_unless_one_is_asked_for_or_the_settings_have_a_longest_life() {
    let brought =
        |end: Option<String>| body(r#"{"name":"t","scopes":["read_registry"],"token":"brought from elsewhere"}"#, end);
    for (days, end, expected) in [
        (0, None, Value::Null),
        (0, Some("2999-01-01".to_owned()), json!("2999-01-01T00:00:00.000Z")),
        (10, Some(day(3)), json!(format!("{}T00:00:00.000Z", day(3)))),
    ] {
        let limits = Limits { deploy_token_days: days, ..Limits::NONE };
        let company = Company::open_with(&records(), PublicGroups::Members, limits);
        let made = make(&company, &secret_of("admin"), "POST", MAKING[2].0, brought(end)).await;
        assert_eq!(made["expires_at"], expected, "{days}");
    }
    let limits = Limits { deploy_token_days: 10, ..Limits::NONE };
    let company = Company::open_with(&records(), PublicGroups::Members, limits);
    let made = make(&company, &secret_of("admin"), "POST", MAKING[2].0, brought(None)).await;
    assert!(made["expires_at"].as_str().unwrap().starts_with(&day(10)), "{made}");
}

#[actix_web::test]
async fn new_tokens_last_no_longer_than_the_settings_say_whoever_makes_them() {
    let limits = Limits { personal_token_days: 30, group_token_days: 20, deploy_token_days: 10, ..Limits::NONE };
    let company = Company::open_with(&records(), PublicGroups::Members, limits);
    let admin = secret_of("admin");
    for ((path, text), days) in MAKING.into_iter().zip([30, 20, 10, 30, 20, 10]) {
        let refused = call(&company, &admin, "POST", path, body(text, Some(day(days + 1)))).await;
        let reason = format!("must be within {days} days, the maximum lifetime of such a token here");
        let expected = json!({"message": {"expires_at": [reason]}});
        assert_eq!((refused.status.as_u16(), &refused.body), (400, &expected), "{path}");
        if !path.ends_with("rotate") {
            let usual = make(&company, &admin, "POST", path, body(text, None)).await;
            let ends = usual["expires_at"].as_str().unwrap().to_owned();
            assert!(ends.starts_with(&day(days)), "{path}: {ends}");
        }
        let last = make(&company, &admin, "POST", path, body(text, Some(day(days)))).await;
        assert!(last["expires_at"].as_str().unwrap().starts_with(&day(days)), "{path}");
    }
}
