//! Extensions of tokens: their limits, the callers who may make them, and refusals for tokens that have ended.

use jiff::ToSpan;

use super::*;
use crate::domain::directory::{Record, Write};
use crate::domain::token::Token;

#[actix_web::test]
async fn a_token_is_extended_no_further_than_the_one_that_made_it_and_the_one_that_extends_it() {
    let company = Company::open(&records());
    let (parent, _) = owners_token(&company, 9).await;
    let (path, text) = MAKING[2];
    let (_, child) = made(&make(&company, &parent, "POST", path, body(text, Some(day(2)))).await);
    let child = format!("{path}/{child}");
    let extend = async |secret: &str, path: &str, end: i64| {
        let response = call(&company, secret, "PUT", path, json!({"expires_at": day(end)})).await;
        (response.status.as_u16(), response.body["message"]["expires_at"][0].as_str().map(str::to_owned))
    };
    assert_eq!(extend(&parent, &child, 8).await, (200, None));
    let beyond = |does: &str| format!("must not be after {}, when the token that {does} it expires", day(9));
    assert_eq!(extend(&parent, &child, 10).await, (400, Some(beyond("extends"))));
    assert_eq!(extend(&secret_of("admin"), &child, 10).await, (400, Some(beyond("made"))), "also by others");
    assert_eq!(extend(&parent, "/personal_access_tokens/3", 10).await, (400, Some(beyond("extends"))));
}

#[actix_web::test]
async fn a_token_that_gained_time_ends_with_the_one_that_extended_it() {
    let company = Company::open(&records());
    let (owner, id) = owners_token(&company, 9).await;
    let (path, text) = MAKING[2];
    let mut numbers = Vec::new();
    for end in [day(2), day(8)] {
        numbers.push(made(&make(&company, &secret_of("admin"), "POST", path, body(text, Some(end))).await).1);
    }
    for number in &numbers {
        make(&company, &owner, "PUT", &format!("{path}/{number}"), json!({"expires_at": day(7)})).await;
    }
    make(&company, &secret_of("admin"), "DELETE", &format!("/personal_access_tokens/{id}"), json!({})).await;
    let there = numbers.iter().map(|number| company.directory().token(TokenId(*number)).is_some()).collect::<Vec<_>>();
    assert_eq!(there, [false, true], "the other one lost time");
}

#[actix_web::test]
async fn an_extension_counts_the_longest_life_from_when_the_secret_was_made() {
    let limits = Limits { deploy_token_days: 10, ..Limits::NONE };
    let company = Company::open_with(&records(), PublicGroups::Members, limits);
    let path = "/groups/1/deploy_tokens/9";
    // The deploy token of the company was created on 2026-01-01, and does not expire.
    let refused = call(&company, &secret_of("admin"), "PUT", path, json!({"expires_at": day(1)})).await;
    let reason = "must be within 10 days of 2026-01-01, when its secret was made: rotate it instead";
    let expected = json!({"message": {"expires_at": [reason]}});
    assert_eq!((refused.status.as_u16(), &refused.body), (400, &expected));
    let rotated = make(&company, &secret_of("admin"), "POST", &format!("{path}/rotate"), json!({})).await;
    assert!(rotated["expires_at"].as_str().unwrap().starts_with(&day(10)), "{rotated}");
    make(&company, &secret_of("admin"), "PUT", path, json!({"expires_at": day(9)})).await;
}

#[actix_web::test]
async fn what_is_over_is_neither_rotated_nor_extended_and_the_refusal_says_what_is_possible() {
    let mut records = records();
    let ended = Timestamp::now() - 1.hour();
    let change = |id: u64, revoked_at, expires_at| {
        let token = records.token(TokenId(id)).unwrap();
        Record::Token(Token { revoked_at, expires_at, ..Token::clone(token) })
    };
    let writes =
        [change(3, None, Some(ended)), change(4, Some(ended), None), change(7, None, Some(ended))].map(Write::Put);
    records.apply(&writes);
    let company = Company::open(&records);
    let expired = "The token has expired";
    for (method, path, reason) in [
        (
            "POST",
            "/personal_access_tokens/3/rotate",
            "and an expired personal access token cannot be rotated: make another",
        ),
        ("PUT", "/personal_access_tokens/3", "so it cannot be extended: make another"),
        ("PUT", "/groups/1/access_tokens/7", "so it cannot be extended: rotate it, or make another"),
    ] {
        let refused = call(&company, &secret_of("admin"), method, path, json!({"expires_at": day(2)})).await;
        let expected = json!({"message": format!("403 Forbidden - {expired}, {reason}")});
        assert_eq!((refused.status.as_u16(), refused.body), (403, expected), "{method} {path}");
    }
    for (method, path, what) in
        [("POST", "/personal_access_tokens/4/rotate", "rotated"), ("PUT", "/personal_access_tokens/4", "extended")]
    {
        let refused = call(&company, &secret_of("admin"), method, path, json!({"expires_at": day(2)})).await;
        let sentence = format!("403 Forbidden - The token is revoked, so it cannot be {what}: make another");
        assert_eq!((refused.status.as_u16(), refused.body), (403, json!({"message": sentence})), "{method} {path}");
    }
    make(&company, &secret_of("admin"), "POST", "/groups/1/access_tokens/7/rotate", json!({})).await;
}

#[actix_web::test]
async fn a_token_has_no_end_any_more_only_where_null_asks_for_it_and_the_limits_allow_it() {
    let company = Company::open(&records());
    let (brief, id) = owners_token(&company, 9).await;
    let (path, text) = MAKING[2];
    let (_, child) = made(&make(&company, &brief, "POST", path, body(text, None)).await);
    let deploy = made(&make(&company, &secret_of("admin"), "POST", path, body(text, Some(day(3)))).await).1;
    let (child, deploy, personal) =
        (format!("{path}/{child}"), format!("{path}/{deploy}"), format!("/personal_access_tokens/{id}"));
    for path in [&deploy, &personal] {
        for missing in [json!({}), json!({"expires_at": ""})] {
            let refused = call(&company, &secret_of("admin"), "PUT", path, missing).await;
            assert_eq!((refused.status.as_u16(), refused.body), (400, json!({"error": "expires_at is missing"})));
        }
        let beyond = format!("must not be after {}, when the token that extends it expires", day(9));
        let refused = call(&company, &brief, "PUT", path, json!({"expires_at": null})).await;
        assert_eq!(refused.body, json!({"message": {"expires_at": [beyond]}}), "{path}");
    }
    let refused = call(&company, &secret_of("admin"), "PUT", &child, json!({"expires_at": null})).await;
    let beyond = format!("must not be after {}, when the token that made it expires", day(9));
    assert_eq!(refused.body, json!({"message": {"expires_at": [beyond]}}));
    for path in [&deploy, &personal, &child] {
        let endless = make(&company, &secret_of("admin"), "PUT", path, json!({"expires_at": null})).await;
        assert_eq!((&endless["expires_at"], endless.get("brought_forward")), (&Value::Null, None), "{path}");
    }
    let limits = Limits { deploy_token_days: 10, ..Limits::NONE };
    let company = Company::open_with(&records(), PublicGroups::Members, limits);
    let refused =
        call(&company, &secret_of("admin"), "PUT", "/groups/1/deploy_tokens/9", json!({"expires_at": null})).await;
    let reason = "must be within 10 days of 2026-01-01, when its secret was made: rotate it instead";
    assert_eq!(refused.body, json!({"message": {"expires_at": [reason]}}));
}
