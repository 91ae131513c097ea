//! Lifetimes: what a token creates does not outlive it, unless an administrator's token created it. Tested for
//! every route that creates something that lasts.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::company::{Body, Company, Response, records, secret_of};
use crate::domain::directory::{Record, Write};
use crate::domain::id::{GroupId, TokenId, UserId};
use crate::domain::limits::Limits;
use crate::domain::policy::PublicGroups;
use crate::domain::token::Token;

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

/// Creates a family of tokens: a token of the owner creates a deploy token and a group access token, and the latter
/// creates a deploy token and an owner. Returns the secret and number of the first, and the numbers of all that it
/// created.
async fn a_family(company: &Company) -> (String, u64, Vec<TokenId>) {
    let (parent, id) = owners_token(company, 9).await;
    let robot = json!({"name": "robot", "scopes": ["api"], "access_level": 50, "expires_at": day(8)});
    let (robot, robot_id) = made(&make(company, &parent, "POST", "/groups/1/access_tokens", robot).await);
    let mut tokens = vec![TokenId(robot_id)];
    for secret in [&parent, &robot] {
        let (path, text) = MAKING[2];
        tokens.push(TokenId(made(&make(company, secret, "POST", path, body(text, None)).await).1));
    }
    let member = json!({"user_id": 5, "access_level": 50});
    let member = make(company, &robot, "POST", "/groups/1/members", member).await;
    assert_eq!(member["expires_at"], day(8), "with the token that gave it");
    make(company, &parent, "PUT", "/groups/1/members/3", json!({"access_level": 50})).await;
    (parent, id, tokens)
}

/// Returns the number of these tokens that exist, and whether the owner exists that the group access token created.
fn left(company: &Company, tokens: &[TokenId]) -> (usize, bool) {
    let directory = company.directory();
    let there = tokens.iter().filter(|id| directory.token(**id).is_some()).count();
    assert_eq!(directory.membership(GroupId(1), UserId(3)).unwrap().expires_at, None, "a person gave this one");
    (there, directory.membership(GroupId(1), UserId(5)).is_some())
}

#[actix_web::test]
async fn what_a_token_made_ends_when_it_is_revoked_and_when_its_user_is_deleted() {
    for (path, body) in [("/personal_access_tokens/N", json!({})), ("/users/2", json!({"hard_delete": true}))] {
        let company = Company::open(&records());
        let (_, id, tokens) = a_family(&company).await;
        assert_eq!(left(&company, &tokens), (3, true));
        make(&company, &secret_of("admin"), "DELETE", &path.replace('N', &id.to_string()), body).await;
        assert_eq!(left(&company, &tokens), (0, false), "{path}");
    }
}

/// Returns the latest end of these tokens and of the ownership that the group access token gave.
fn latest_end(company: &Company, tokens: &[TokenId]) -> Option<Timestamp> {
    let directory = company.directory();
    let of_owner = directory.membership(GroupId(1), UserId(5)).unwrap().expires_at;
    let ends = tokens.iter().map(|id| directory.token(*id).unwrap().expires_at);
    ends.chain([of_owner]).max_by_key(|end| end.unwrap_or(Timestamp::MAX)).flatten()
}

#[actix_web::test]
async fn what_a_token_made_ends_with_it_when_its_end_is_brought_forward() {
    let end = |days: i64| Some(format!("{}T00:00:00Z", day(days)).parse::<Timestamp>().unwrap());
    for (method, action, body) in [
        ("PUT", "", json!({"expires_at": day(2)})),
        ("POST", "/rotate", json!({"expires_at": day(2)})),
        ("POST", "/rotate", json!({"expires_at": day(2), "overlap": "1h"})),
    ] {
        let company = Company::open(&records());
        let (parent, id, tokens) = a_family(&company).await;
        let path = format!("/personal_access_tokens/{id}{action}");
        assert_eq!(latest_end(&company, &tokens), end(9));
        let changed = make(&company, &secret_of("admin"), method, &path, body).await;
        assert_eq!(latest_end(&company, &tokens), end(2), "{method} {action}");
        let forward = &changed["brought_forward"];
        assert_eq!(forward["tokens"]["total"], 3, "{changed}");
        assert_eq!(forward["members"]["names"], json!(["stranger in team"]), "{changed}");
        left(&company, &tokens);
        if method == "PUT" {
            let later = make(&company, &secret_of("admin"), method, &path, json!({"expires_at": day(9)})).await;
            assert_eq!((latest_end(&company, &tokens), later.get("brought_forward")), (end(2), None));
            make(&company, &parent, "GET", "/user", json!({})).await;
        }
    }
}

#[actix_web::test]
async fn what_a_group_access_token_gave_ends_with_it_when_its_end_is_brought_forward() {
    let company = Company::open(&records());
    let (_, _, tokens) = a_family(&company).await;
    let path = format!("/groups/1/access_tokens/{}", tokens[0].0);
    make(&company, &secret_of("admin"), "PUT", &path, json!({"expires_at": day(1)})).await;
    let ends = |id: TokenId| company.directory().token(id).unwrap().expires_at.unwrap().to_string();
    assert_eq!([tokens[0], tokens[1], tokens[2]].map(|id| ends(id)[..10].to_owned()), [day(1), day(9), day(1)]);
    let owner = company.directory().membership(GroupId(1), UserId(5)).unwrap().expires_at.unwrap().to_string();
    assert!(owner.starts_with(&day(1)), "{owner}");
}

#[actix_web::test]
async fn a_rotated_token_hands_on_what_it_made() {
    let company = Company::open(&records());
    let (parent, _, tokens) = a_family(&company).await;
    let rotated = make(&company, &parent, "POST", "/personal_access_tokens/self/rotate", json!({})).await;
    assert_eq!(left(&company, &tokens), (3, true));
    let (second, _) = made(&rotated);
    make(&company, &second, "DELETE", "/personal_access_tokens/self", json!({})).await;
    assert_eq!(left(&company, &tokens), (0, false));
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
async fn a_member_whom_a_group_access_token_raises_is_bound_to_it_until_a_person_decides_anew() {
    let company = Company::open(&records());
    let (owner, _) = owners_token(&company, 9).await;
    let robot = json!({"name": "robot", "scopes": ["api"], "access_level": 50, "expires_at": day(5)});
    let (robot, id) = made(&make(&company, &owner, "POST", "/groups/1/access_tokens", robot).await);
    let (guest, maintainer) = ("/groups/1/members/4", "/groups/1/members/3");
    for member in [guest, maintainer] {
        let raised = make(&company, &robot, "PUT", member, json!({"access_level": 50})).await;
        assert_eq!(raised["expires_at"], day(5));
    }
    let beyond = call(&company, &robot, "PUT", guest, json!({"expires_at": day(6)})).await;
    assert_eq!(beyond.status.as_u16(), 400);
    let bot = company.call("admin", "PUT", "/groups/1/members/6", Body::Json(r#"{"access_level":30}"#)).await;
    assert_eq!(bot.status.as_u16(), 200);
    let bot = call(&company, &robot, "PUT", "/groups/1/members/6", json!({"access_level": 50})).await;
    assert_eq!(bot.status.as_u16(), 403);
    make(&company, &owner, "PUT", maintainer, json!({"access_level": 40, "expires_at": null})).await;
    make(&company, &owner, "DELETE", &format!("/groups/1/access_tokens/{id}"), json!({})).await;
    let directory = company.directory();
    assert!(directory.membership(GroupId(1), UserId(4)).is_none());
    assert_eq!(directory.membership(GroupId(1), UserId(3)).unwrap().expires_at, None);
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

/// Creates a group access token `robot` with a token of the owner. The robot makes the stranger an owner until its
/// own end. Returns the secrets of the owner and of the robot, and the robot's number; the stranger's is
/// `secret_of("stranger")`.
async fn an_owner_by_robot(company: &Company) -> (String, String, u64) {
    let (owner, _) = owners_token(company, 9).await;
    let robot = json!({"name": "robot", "scopes": ["api"], "access_level": 50, "expires_at": day(5)});
    let (robot, id) = made(&make(company, &owner, "POST", "/groups/1/access_tokens", robot).await);
    make(company, &robot, "POST", "/groups/1/members", json!({"user_id": 5, "access_level": 50})).await;
    (owner, robot, id)
}

#[actix_web::test]
async fn an_owner_by_a_group_access_token_frees_and_prolongs_neither_that_nor_what_else_it_gave() {
    let company = Company::open(&records());
    let (owner, robot, _) = an_owner_by_robot(&company).await;
    let stranger = secret_of("stranger");
    let guest = json!({"access_level": 50, "expires_at": day(2)});
    make(&company, &robot, "PUT", "/groups/1/members/4", guest).await;
    for (member, end) in [(5, json!("")), (4, json!("")), (4, json!(day(3)))] {
        let path = format!("/groups/1/members/{member}");
        let response = call(&company, &stranger, "PUT", &path, json!({"expires_at": end})).await;
        assert_eq!(response.status.as_u16(), 403, "{path} {end}: {}", response.body);
        assert!(response.body.to_string().contains("another owner can prolong it"), "{}", response.body);
    }
    make(&company, &stranger, "PUT", "/groups/1/members/5", json!({"expires_at": day(4)})).await;
    let freed = make(&company, &owner, "PUT", "/groups/1/members/5", json!({"expires_at": ""})).await;
    assert_eq!(freed["expires_at"], Value::Null, "an owner who is one anyway can");
}

#[actix_web::test]
async fn nothing_that_an_owner_by_a_group_access_token_gives_or_makes_outlives_that_token() {
    let company = Company::open(&records());
    let (owner, _, robot) = an_owner_by_robot(&company).await;
    let (stranger, guest) = (secret_of("stranger"), secret_of("guest"));
    let raised = make(&company, &stranger, "PUT", "/groups/1/members/4", json!({"access_level": 50})).await;
    assert_eq!(raised["expires_at"], day(5), "an accomplice");
    make(&company, &stranger, "DELETE", "/groups/1/members/5", json!({})).await;
    let back = make(&company, &guest, "POST", "/groups/1/members", json!({"user_id": 5, "access_level": 50})).await;
    assert_eq!(back["expires_at"], day(5), "added again by the accomplice");
    let below = make(&company, &stranger, "POST", "/groups", json!({"name": "b", "path": "b", "parent_id": 1})).await;
    for group in [2, below["id"].as_u64().unwrap()] {
        let member = json!({"user_id": 5, "access_level": 50});
        let member = make(&company, &stranger, "POST", &format!("/groups/{group}/members"), member).await;
        assert_eq!(member["expires_at"], day(5), "in the group {group} below");
    }
    let mut tokens = Vec::new();
    for (path, text) in &MAKING[1..3] {
        let beyond = call(&company, &stranger, "POST", path, body(text, Some(day(6)))).await;
        assert_eq!(beyond.status.as_u16(), 400, "{path}");
        let token = make(&company, &stranger, "POST", path, body(text, None)).await;
        assert!(token["expires_at"].as_str().unwrap().starts_with(&day(5)), "{path}: {token}");
        tokens.push(TokenId(made(&token).1));
    }
    let taken = make(&company, &stranger, "POST", "/groups/1/access_tokens/7/rotate", json!({})).await;
    let (taken, id) = made(&taken);
    tokens.push(TokenId(id));
    let again = make(&company, &taken, "POST", "/groups/1/access_tokens/self/rotate", json!({})).await;
    tokens.push(TokenId(made(&again).1));
    let rotated =
        call(&company, &stranger, "POST", &format!("/groups/1/access_tokens/{robot}/rotate"), json!({})).await;
    assert_eq!(rotated.status.as_u16(), 403, "the token on which all of it rests");
    make(&company, &owner, "DELETE", &format!("/groups/1/access_tokens/{robot}"), json!({})).await;
    let directory = company.directory();
    assert!(tokens.iter().all(|id| directory.token(*id).is_none_or(|token| token.revoked_at.is_some())));
    for group in [1, 2, below["id"].as_u64().unwrap()] {
        assert!(directory.membership(GroupId(group), UserId(5)).is_none(), "group {group}");
    }
    assert!(directory.membership(GroupId(1), UserId(4)).is_none());
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
