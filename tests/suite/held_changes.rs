//! Changes by callers who lose the right before the last byte of the request has arrived: none of them is made,
//! whatever the route, and the response is the same as if the request had been sent later.

mod held;
mod world;

use std::io::Read;
use std::time::{Duration, Instant};

use fake_registry::FakeRegistry;
use serde_json::Value;

use self::held::Held;
use self::world::{Others, World};
use crate::service::{Config, Service};

/// Way in which a caller loses the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// The token is revoked.
    Revoked,
    /// The user is blocked.
    Blocked,
    /// The user is no longer a member of the group.
    Removed,
    /// The user has fewer rights: a maintainer of the group, or no administrator.
    Demoted,
    /// The user's password was changed.
    Password,
    /// The user was deleted.
    Deleted,
}
use Loss::{Blocked, Deleted, Demoted, Password, Removed, Revoked};

/// Kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// An owner of the group, with a personal access token.
    Owner,
    /// An administrator, other than that of the tests.
    Admin,
    /// A group access token with the access level of an owner.
    Bot,
    /// An owner of the group, with a password.
    OwnPassword,
}

const OF_OWNERS: &[(Loss, u16)] = &[(Revoked, 401), (Blocked, 403), (Removed, 404), (Demoted, 403), (Deleted, 401)];
const OF_ADMINS: &[(Loss, u16)] = &[(Revoked, 401), (Blocked, 403), (Demoted, 403), (Deleted, 401)];
const OF_USERS: &[(Loss, u16)] = &[(Revoked, 401), (Blocked, 403), (Deleted, 401)];

/// Caller, method, path, JSON body, and the losses with their statuses.
type Row = (By, &'static str, &'static str, &'static str, &'static [(Loss, u16)]);

/// Every route that changes something: caller, method, path, JSON body (for which routes without parameters do not
/// wait), and the status after each loss. `GROUP`, `USER`, `TOKEN` and similar words stand for numbers.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    (By::Owner, "POST",   "/groups/GROUP/deploy_tokens", r#"{"name":"t","scopes":["read_registry","write_registry"]}"#, OF_OWNERS),
    (By::Owner, "POST",   "/groups/GROUP/deploy_tokens/DEPLOY/rotate", r#"{"a":1}"#, OF_OWNERS),
    (By::Owner, "PUT",    "/groups/GROUP/deploy_tokens/DEPLOY", r#"{"expires_at":"2098-01-01"}"#, OF_OWNERS),
    (By::Owner, "DELETE", "/groups/GROUP/deploy_tokens/DEPLOY", "", OF_OWNERS),
    (By::Owner, "POST",   "/groups/GROUP/access_tokens", r#"{"name":"t","scopes":["api"]}"#, OF_OWNERS),
    (By::Owner, "POST",   "/groups/GROUP/access_tokens/ROBOT/rotate", r#"{"a":1}"#, OF_OWNERS),
    (By::Owner, "POST",   "/groups/GROUP/access_tokens/ROBOT/rotate", r#"{"overlap":"1h"}"#, OF_OWNERS),
    (By::Owner, "PUT",    "/groups/GROUP/access_tokens/ROBOT", r#"{"expires_at":"2098-01-01"}"#, OF_OWNERS),
    (By::Owner, "DELETE", "/groups/GROUP/access_tokens/ROBOT", "", OF_OWNERS),
    (By::Owner, "POST",   "/groups/GROUP/members", r#"{"user_id":STRANGER,"access_level":50}"#, OF_OWNERS),
    (By::Owner, "PUT",    "/groups/GROUP/members/GUEST", r#"{"access_level":50}"#, OF_OWNERS),
    (By::Owner, "DELETE", "/groups/GROUP/members/GUEST", "", OF_OWNERS),
    (By::Owner, "PUT",    "/groups/GROUP", r#"{"name":"another"}"#, OF_OWNERS),
    (By::Owner, "DELETE", "/groups/GROUP", "", OF_OWNERS),
    (By::Owner, "POST",   "/groups", r#"{"name":"below","path":"below","parent_id":GROUP}"#, OF_OWNERS),
    (By::Owner, "DELETE", "/groups/GROUP/dependency_proxy/cache", "", OF_OWNERS),
    (By::Owner, "POST",   "/users/USER/personal_access_tokens", r#"{"name":"t","scopes":["api"]}"#, OF_USERS),
    (By::Owner, "POST",   "/personal_access_tokens/TOKEN/rotate", r#"{"a":1}"#, OF_USERS),
    (By::Owner, "POST",   "/personal_access_tokens/OTHER/rotate", r#"{"a":1}"#, OF_USERS),
    (By::Owner, "POST",   "/personal_access_tokens/self/rotate", r#"{"a":1}"#, OF_USERS),
    (By::Owner, "PUT",    "/personal_access_tokens/OTHER", r#"{"expires_at":"2098-01-01"}"#, OF_USERS),
    (By::Owner, "DELETE", "/personal_access_tokens/OTHER", "", OF_USERS),
    (By::Owner, "DELETE", "/personal_access_tokens/self", "", OF_USERS),
    (By::Bot,   "POST",   "/groups/GROUP/access_tokens/self/rotate", r#"{"a":1}"#, &[(Revoked, 401), (Blocked, 403)]),
    (By::Bot,   "POST",   "/groups/GROUP/members", r#"{"user_id":STRANGER,"access_level":50}"#, &[(Revoked, 401), (Blocked, 403)]),
    (By::Admin, "POST",   "/groups", r#"{"name":"top","path":"top"}"#, OF_ADMINS),
    (By::Admin, "POST",   "/groups/GROUP/deploy_tokens", r#"{"name":"t","scopes":["read_registry"],"token":"brought from elsewhere"}"#,
                          &[(Revoked, 401), (Blocked, 403), (Demoted, 404), (Deleted, 401)]),
    (By::Admin, "POST",   "/users", r#"{"name":"new","username":"new","password":"long enough"}"#, OF_ADMINS),
    (By::Admin, "PUT",    "/users/STRANGER", r#"{"password":"long enough","admin":true}"#, OF_ADMINS),
    (By::Admin, "DELETE", "/users/STRANGER", r#"{"hard_delete":true}"#, OF_ADMINS),
    (By::Admin, "POST",   "/users/STRANGER/block", "", OF_ADMINS),
    (By::Admin, "POST",   "/users/STRANGER/unblock", "", OF_ADMINS),
    (By::Admin, "POST",   "/users/STRANGER/personal_access_tokens", r#"{"name":"t","scopes":["api"]}"#, OF_ADMINS),
    (By::Admin, "POST",   "/personal_access_tokens/OTHER/rotate", r#"{"a":1}"#, &[(Revoked, 401), (Blocked, 403), (Demoted, 401), (Deleted, 401)]),
    (By::Admin, "PUT",    "/application/settings", r#"{"dependency_proxy_enabled":false}"#, OF_ADMINS),
    (By::Owner, "PUT",    "/user", r#"{"current_password":"the-callers-password","password":"another-long-one"}"#,
                          &[(Revoked, 401), (Blocked, 403), (Password, 400), (Deleted, 401)]),
    (By::OwnPassword, "PUT", "/user", r#"{"current_password":"the-callers-password","password":"another-long-one"}"#,
                          &[(Blocked, 401), (Password, 401), (Deleted, 401)]),
    (By::OwnPassword, "POST", "/user/personal_access_tokens", r#"{"name":"t","scopes":["api"]}"#, &[(Blocked, 401), (Password, 401), (Deleted, 401)]),
];

/// Number of cases that one service has, because each compares everything in it.
const CASES_PER_SERVICE: usize = 10;

#[actix_rt::test]
async fn no_route_carries_out_a_change_whose_caller_lost_the_right_before_its_last_byte_came() {
    let hub = FakeRegistry::start();
    let of_row = |row: &'static Row| row.4.iter().map(move |loss| (row, *loss));
    let cases: Vec<(&Row, (Loss, u16))> = TABLE.iter().flat_map(of_row).collect();
    for cases in cases.chunks(CASES_PER_SERVICE) {
        let service = Config::docker_hub(&hub).start();
        // Nothing happens to them, so that all cases can have the same.
        let others = Others::new(&service, 0).await;
        for (number, ((by, method, path, body, _), (loss, status))) in cases.iter().enumerate() {
            let case = format!("{by:?} {method} {path}, {loss:?}");
            let world = World::new(&service, number, *by, &others).await;
            let (path, body) = (world.filled_in(path), world.filled_in(body));
            let held = Held::begin(&service, &world.authorization, method, &path, &body);
            world.lose(&service, *loss).await;
            let before = everything(&service).await;
            let (answered, text) = held.finish();
            assert_eq!(answered, *status, "{case}: {text}");
            assert!(!text.contains("\"token\""), "{case}: {text}");
            assert_eq!(everything(&service).await, before, "{case}");
        }
    }
}

#[actix_rt::test]
async fn the_same_requests_are_carried_out_where_the_right_stays() {
    let hub = FakeRegistry::start();
    let service = Config::docker_hub(&hub).start();
    for (number, (by, method, path, body, _)) in TABLE.iter().enumerate() {
        let world = World::new(&service, number, *by, &Others::new(&service, number).await).await;
        let (path, body) = (world.filled_in(path), world.filled_in(body));
        let (status, text) = Held::begin(&service, &world.authorization, method, &path, &body).finish();
        assert!((200..300).contains(&status), "{by:?} {method} {path}: {status} {text}");
    }
}

#[actix_rt::test]
async fn a_body_whose_last_byte_never_comes_ends_the_request_within_seconds() {
    let hub = FakeRegistry::start();
    let service = Config::docker_hub(&hub).start();
    let world = World::new(&service, 0, By::Owner, &Others::new(&service, 0).await).await;
    let mut held =
        Held::begin(&service, &world.authorization, "POST", &world.filled_in("/groups/GROUP/members"), "{} ");
    let begun = Instant::now();
    let mut response = Vec::new();
    held.connection.read_to_end(&mut response).unwrap();
    let response = String::from_utf8_lossy(&response);
    assert!(response.contains("408") && begun.elapsed() < Duration::from_secs(40), "{response}");
}

/// Returns all identities without their last use.
async fn everything(service: &Service) -> Vec<Value> {
    let mut all = vec![service.api("GET", "/application/settings", Value::Null).await.json()];
    let lists = ["/users", "/groups", "/personal_access_tokens", "/deploy_tokens"];
    for list in lists {
        all.extend(listed(service, list).await);
    }
    let groups = listed(service, "/groups").await;
    let newest = groups.iter().max_by_key(|group| group["id"].as_u64());
    if let Some(group) = newest.map(|group| &group["id"]) {
        all.extend(listed(service, &format!("/groups/{group}/members")).await);
        all.extend(listed(service, &format!("/groups/{group}/access_tokens")).await);
    }
    all
}

async fn listed(service: &Service, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    for page in 1.. {
        let answer = service.api("GET", &format!("{path}?per_page=100&page={page}"), Value::Null).await;
        let found: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
        items.extend(found);
        if answer.header("x-next-page").is_empty() {
            break;
        }
    }
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        for field in ["last_used_at", "last_used_ips", "last_used_from"] {
            item.remove(field);
        }
    }
    items
}
