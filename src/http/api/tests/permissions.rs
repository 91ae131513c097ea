//! Access test: every route of the API with every kind of caller, each call on a company that no other has changed.

use super::company::{Body, Company, records};

const CALLERS: [&str; 10] =
    ["admin", "reader", "owner", "maintainer", "guest", "stranger", "bot", "registry", "deploy", "nobody"];

/// Method, path and JSON body, then a status for each of the callers. Users: 1 root, 2 owner, 3 maintainer, 4
/// guest, 5 stranger, 6 the bot of `team`. Groups: 1 `team`, 2 `team/ci`, 3 `other`. Tokens: 5 guest's, 6
/// stranger's, 7 the bot's, 9 the deploy token.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str, [u16; 10])] = &[
    //                                                                      admin read  own   main  guest strng bot   reg   depl  nobody
    ("GET",    "/user",                     "",                            [200,  200,  200,  200,  200,  200,  200,  403,  401,  401]),
    ("PUT",    "/user",                     r#"{"password":"another one","current_password":"wrong"}"#,
                                                                           [403,  403,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("GET",    "/users",                    "",                            [200,  200,  200,  200,  200,  200,  200,  403,  401,  401]),
    ("POST",   "/users",                    r#"{"name":"N","username":"n","force_random_password":true}"#,
                                                                           [201,  403,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("GET",    "/users/4",                  "",                            [200,  200,  200,  200,  200,  200,  200,  403,  401,  401]),
    ("PUT",    "/users/4",                  r#"{"name":"N"}"#,             [200,  403,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("DELETE", "/users/4",                  "",                            [204,  403,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("DELETE", "/users/1",                  "",                            [403,  403,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("GET",    "/users/4/deletion",         "",                            [200,  200,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("GET",    "/users/1/deletion",         "",                            [403,  403,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("GET",    "/users/4/memberships",      "",                            [200,  200,  403,  403,  200,  403,  403,  403,  401,  401]),
    ("POST",   "/users/4/block",            "",                            [201,  403,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("POST",   "/users/1/block",            "",                            [403,  403,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("POST",   "/users/4/unblock",          "",                            [201,  403,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("POST",   "/users/4/personal_access_tokens", r#"{"name":"t","scopes":["api"]}"#,
                                                                           [201,  403,  403,  403,  201,  403,  403,  403,  401,  401]),
    ("GET",    "/personal_access_tokens",   "",                            [200,  200,  200,  200,  200,  200,  200,  403,  401,  401]),
    ("GET",    "/personal_access_tokens?user_id=4", "",                    [200,  200,  401,  401,  200,  401,  401,  403,  401,  401]),
    ("GET",    "/personal_access_tokens/5", "",                            [200,  200,  401,  401,  200,  401,  401,  403,  401,  401]),
    ("GET",    "/personal_access_tokens/99", "",                           [404,  404,  401,  401,  401,  401,  401,  403,  401,  401]),
    ("GET",    "/personal_access_tokens/9", "",                            [404,  404,  401,  401,  401,  401,  401,  403,  401,  401]),
    ("GET",    "/personal_access_tokens/self", "",                         [200,  200,  200,  200,  200,  200,  200,  200,  401,  401]),
    ("POST",   "/personal_access_tokens/5/rotate", "",                     [200,  403,  401,  401,  200,  401,  401,  403,  401,  401]),
    ("POST",   "/personal_access_tokens/self/rotate", "",                  [200,  403,  200,  200,  200,  200,  200,  403,  401,  401]),
    ("PUT",    "/personal_access_tokens/5", r#"{"expires_at":"2999-01-01"}"#,
                                                                           [200,  403,  401,  401,  200,  401,  401,  403,  401,  401]),
    ("GET",    "/personal_access_tokens/5/revocation", "",                 [200,  200,  401,  401,  200,  401,  401,  403,  401,  401]),
    ("DELETE", "/personal_access_tokens/5", "",                            [204,  403,  401,  401,  204,  401,  401,  403,  401,  401]),
    ("DELETE", "/personal_access_tokens/self", "",                         [204,  204,  204,  204,  204,  204,  204,  204,  401,  401]),
    ("GET",    "/tokens",                   "",                            [200,  200,  200,  200,  200,  200,  200,  403,  401,  401]),
    ("GET",    "/tokens/5",                 "",                            [200,  200,  404,  404,  200,  404,  404,  403,  401,  401]),
    ("GET",    "/tokens/7",                 "",                            [200,  200,  200,  404,  404,  404,  200,  403,  401,  401]),
    ("GET",    "/tokens/9",                 "",                            [200,  200,  200,  404,  404,  404,  200,  403,  401,  401]),
    ("GET",    "/tokens/99",                "",                            [404,  404,  404,  404,  404,  404,  404,  403,  401,  401]),
    ("GET",    "/groups",                   "",                            [200,  200,  200,  200,  200,  200,  200,  403,  401,  401]),
    ("POST",   "/groups",                   r#"{"name":"N","path":"n"}"#,  [201,  403,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("POST",   "/groups",                   r#"{"name":"N","path":"n","parent_id":1}"#,
                                                                           [201,  403,  201,  403,  403,  404,  201,  403,  401,  401]),
    ("GET",    "/groups/1",                 "",                            [200,  200,  200,  200,  200,  404,  200,  403,  401,  401]),
    ("GET",    "/groups/team%2Fci",         "",                            [200,  200,  200,  200,  200,  404,  200,  403,  401,  401]),
    ("GET",    "/groups/other",             "",                            [200,  200,  404,  404,  404,  404,  404,  403,  401,  401]),
    ("PUT",    "/groups/2",                 r#"{"name":"N"}"#,             [200,  403,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("PUT",    "/groups/3",                 r#"{"name":"N"}"#,             [200,  403,  404,  404,  404,  404,  404,  403,  401,  401]),
    ("DELETE", "/groups/1",                 "",                            [202,  403,  202,  403,  403,  404,  202,  403,  401,  401]),
    ("GET",    "/groups/1/deletion",        "",                            [200,  200,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("GET",    "/groups/1/subgroups",       "",                            [200,  200,  200,  200,  200,  404,  200,  403,  401,  401]),
    ("GET",    "/groups/1/descendant_groups", "",                          [200,  200,  200,  200,  200,  404,  200,  403,  401,  401]),
    ("GET",    "/groups/1/dependency_proxy/cache", "",                     [200,  200,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("DELETE", "/groups/1/dependency_proxy/cache", "",                     [202,  403,  202,  403,  403,  404,  202,  403,  401,  401]),
    ("GET",    "/groups/1/members",         "",                            [200,  200,  200,  200,  200,  404,  200,  403,  401,  401]),
    ("POST",   "/groups/1/members",         r#"{"user_id":5,"access_level":50}"#,
                                                                           [201,  403,  201,  403,  403,  404,  201,  403,  401,  401]),
    ("GET",    "/groups/2/members/all",     "",                            [200,  200,  200,  200,  200,  404,  200,  403,  401,  401]),
    ("GET",    "/groups/2/members/all/4",   "",                            [200,  200,  200,  200,  200,  404,  200,  403,  401,  401]),
    ("GET",    "/groups/1/members/4",       "",                            [200,  200,  200,  200,  200,  404,  200,  403,  401,  401]),
    ("GET",    "/groups/2/members/4",       "",                            [404,  404,  404,  404,  404,  404,  404,  403,  401,  401]),
    ("PUT",    "/groups/1/members/4",       r#"{"access_level":50}"#,      [200,  403,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("DELETE", "/groups/1/members/4",       "",                            [204,  403,  204,  403,  204,  404,  204,  403,  401,  401]),
    ("DELETE", "/groups/1/members/6",       "",                            [403,  403,  403,  403,  403,  404,  403,  403,  401,  401]),
    ("GET",    "/groups/1/access_tokens",   "",                            [200,  200,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("POST",   "/groups/1/access_tokens",   r#"{"name":"t","scopes":["api"]}"#,
                                                                           [201,  403,  201,  403,  403,  404,  403,  403,  401,  401]),
    ("GET",    "/groups/1/access_tokens/7", "",                            [200,  200,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("GET",    "/groups/2/access_tokens/7", "",                            [404,  404,  404,  403,  403,  404,  404,  403,  401,  401]),
    ("POST",   "/groups/1/access_tokens/7/rotate", "",                     [200,  403,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("POST",   "/groups/1/access_tokens/self/rotate", "",                  [401,  403,  401,  401,  401,  404,  200,  403,  401,  401]),
    ("PUT",    "/groups/1/access_tokens/7", r#"{"expires_at":"2999-01-01"}"#,
                                                                           [200,  403,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("GET",    "/groups/1/access_tokens/7/revocation", "",                 [200,  200,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("DELETE", "/groups/1/access_tokens/7", "",                            [204,  403,  204,  403,  403,  404,  204,  403,  401,  401]),
    ("GET",    "/groups/1/deploy_tokens",   "",                            [200,  200,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("POST",   "/groups/1/deploy_tokens",   r#"{"name":"t","scopes":["read_registry"]}"#,
                                                                           [201,  403,  201,  403,  403,  404,  201,  403,  401,  401]),
    ("POST",   "/groups/1/deploy_tokens",   r#"{"name":"t","scopes":["read_registry"],"token":"brought from elsewhere"}"#,
                                                                           [201,  403,  403,  403,  403,  404,  403,  403,  401,  401]),
    ("GET",    "/groups/1/deploy_tokens/9", "",                            [200,  200,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("POST",   "/groups/1/deploy_tokens/9/rotate", "",                     [200,  403,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("PUT",    "/groups/1/deploy_tokens/9", r#"{"expires_at":"2999-01-01"}"#,
                                                                           [200,  403,  200,  403,  403,  404,  200,  403,  401,  401]),
    ("DELETE", "/groups/1/deploy_tokens/9", "",                            [204,  403,  204,  403,  403,  404,  204,  403,  401,  401]),
    ("GET",    "/deploy_tokens",            "",                            [200,  200,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("GET",    "/application/settings",     "",                            [200,  200,  403,  403,  403,  403,  403,  403,  401,  401]),
    ("PUT",    "/application/settings",     r#"{"dependency_proxy_enabled":false}"#,
                                                                           [200,  403,  403,  403,  403,  403,  403,  403,  401,  401]),
];

#[actix_web::test]
async fn every_route_responds_to_every_caller_as_in_the_table() {
    let records = records();
    let (mut company, mut wrong) = (Company::open(&records), Vec::new());
    for (method, path, body, statuses) in TABLE {
        for (caller, expected) in CALLERS.into_iter().zip(statuses) {
            let body = if body.is_empty() { Body::Nothing } else { Body::Json(body) };
            let response = company.call(caller, method, path, body).await;
            if *method != "GET" && response.status.is_success() {
                company = Company::open(&records);
            }
            if response.status.as_u16() != *expected {
                let status = response.status.as_u16();
                wrong.push(format!("{caller} {method} {path}: {status}, not {expected}: {}", response.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
