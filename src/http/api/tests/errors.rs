//! Shapes of errors, as clients of GitLab parse them.

use actix_web::ResponseError;
use serde_json::{Value, json};

use super::company::{Body, assert_response, company};
use crate::actors::images::{ImagesError, StoreError};
use crate::http::api::error::ApiError;

/// A request, and the status and the body of its response.
type Case = (&'static str, &'static str, Body<'static>, u16, Value);

#[actix_web::test]
async fn errors_have_the_shapes_that_clients_parse() {
    let company = company();
    let cases = [of_paths(), of_groups(), of_members(), of_users(), of_tokens()];
    for (method, path, body, status, expected) in cases.into_iter().flatten() {
        let response = company.call("admin", method, path, body).await;
        assert_eq!((response.status.as_u16(), &response.body), (status, &expected), "{method} {path} {body:?}");
    }
}

#[actix_web::test]
async fn names_of_several_lines_are_refused() {
    let company = company();
    let reason = "can't contain line breaks or other characters that are not shown";
    for (method, path, fields) in [
        ("POST", "/groups", "path=lines&name="),
        ("PUT", "/groups/1", "name="),
        ("POST", "/users", "username=lines&password=longenough&name="),
        ("POST", "/groups/1/deploy_tokens", "scopes[]=read_registry&name="),
        ("POST", "/groups/1/access_tokens", "scopes[]=api&name="),
    ] {
        for name in ["two%0Alines", "a%1B[2J", "a%C2%9B"] {
            let response = company.call("admin", method, path, Body::Form(&format!("{fields}{name}"))).await;
            let expected = json!({"message": {"name": [reason]}});
            assert_eq!((response.status.as_u16(), &response.body), (400, &expected), "{method} {path} {name}");
        }
    }
}

#[actix_web::test]
async fn what_is_too_long_is_refused() {
    let company = company();
    let long = "x".repeat(256);
    let response = company.call("admin", "PUT", "/groups/1", Body::Form(&format!("path={long}"))).await;
    assert_eq!(response.status.as_u16(), 400);
    let huge = "x".repeat(1 << 20);
    let response = company.call("admin", "PUT", "/groups/1", Body::Form(&huge)).await;
    assert_response(&response, 413, error("413 Request Entity Too Large"));
}

#[test]
fn a_full_disk_of_the_cache_is_said_as_what_it_is() {
    let full = ApiError::from(ImagesError::Store(StoreError::Full));
    assert_eq!(full.status_code().as_u16(), 507);
    assert!(full.to_string().contains("the disk of the cache (storage.cache_dir)"), "{full}");
}

fn error(text: &str) -> Value {
    json!({ "error": text })
}

fn message(text: &str) -> Value {
    json!({ "message": text })
}

fn of_paths() -> Vec<Case> {
    vec![
        ("GET", "/groups/9", Body::Nothing, 404, message("404 Group Not Found")),
        ("GET", "/users/9", Body::Nothing, 404, message("404 User Not Found")),
        ("GET", "/users/nine", Body::Nothing, 400, error("id is invalid")),
        ("GET", "/groups/1/members/5", Body::Nothing, 404, message("404 Not found")),
        ("GET", "/groups/team/ci", Body::Nothing, 404, error("404 Not Found")),
        ("GET", "/nonsense", Body::Nothing, 404, error("404 Not Found")),
        ("PATCH", "/groups/1", Body::Nothing, 405, error("405 Not Allowed")),
    ]
}

fn of_groups() -> Vec<Case> {
    vec![
        ("POST", "/groups", Body::Nothing, 400, error("name is missing, path is missing")),
        ("POST", "/groups", Body::Json("[]"), 400, error("the body is not a JSON object")),
        (
            "POST",
            "/groups",
            Body::Form("name=n&path=team"),
            400,
            json!({"message": {"path": ["has already been taken"]}}),
        ),
        (
            "POST",
            "/groups",
            Body::Form("name=n&path=TEAM"),
            400,
            json!({"message": {"path": ["has already been taken"]}}),
        ),
        (
            "POST",
            "/groups",
            Body::Form("name=n&path=API"),
            400,
            json!({"message": {"path": ["'api' is a reserved name"]}}),
        ),
        (
            "POST",
            "/groups",
            Body::Form("name=n&path=Docker.io"),
            400,
            json!({"message": {"path": ["'Docker.io' is the name of an upstream"]}}),
        ),
        (
            "POST",
            "/groups",
            Body::Form("name=n&path=mirror"),
            400,
            json!({"message": {"path": ["'mirror' is the name of an upstream"]}}),
        ),
        (
            "POST",
            "/groups",
            Body::Form("name=n&path=p&visibility=x"),
            400,
            error("visibility does not have a valid value"),
        ),
    ]
}

fn of_members() -> Vec<Case> {
    vec![
        ("POST", "/groups/1/members", Body::Form("user_id=5"), 400, error("access_level is missing")),
        (
            "POST",
            "/groups/1/members",
            Body::Form("user_id=5&access_level=45"),
            400,
            error("access_level does not have a valid value"),
        ),
        (
            "POST",
            "/groups/1/members",
            Body::Form("access_level=10"),
            400,
            error("user_id, username are missing, at least one parameter must be provided"),
        ),
        ("POST", "/groups/1/members", Body::Form("user_id=9&access_level=10"), 404, message("404 User Not Found")),
        ("POST", "/groups/1/members", Body::Form("user_id=4&access_level=10"), 409, message("Member already exists")),
        (
            "POST",
            "/groups/1/members",
            Body::Form("user_id=5&access_level=10&expires_at=2020-01-01"),
            400,
            json!({"message": {"expires_at": ["cannot be a date in the past"]}}),
        ),
        (
            "POST",
            "/groups/2/members",
            Body::Form("username=Maintainer&access_level=10"),
            400,
            json!({"message": {"access_level": ["should be greater than or equal to the one inherited from a group above"]}}),
        ),
    ]
}

fn of_users() -> Vec<Case> {
    vec![
        (
            "POST",
            "/users",
            Body::Form("name=n&username=owner&password=longenough"),
            409,
            message("Username has already been taken"),
        ),
        (
            "POST",
            "/users",
            Body::Form("name=n&username=oauth2&password=longenough"),
            400,
            json!({"message": {"username": ["is a reserved name"]}}),
        ),
        (
            "POST",
            "/users",
            Body::Form("name=n&username=n&password=short"),
            400,
            json!({"message": {"password": ["is too short (minimum is 8 characters)"]}}),
        ),
    ]
}

fn of_tokens() -> Vec<Case> {
    vec![
        (
            "POST",
            "/groups/1/access_tokens",
            Body::Form("name=t&scopes[]=sudo"),
            400,
            error("scopes does not have a valid value"),
        ),
        (
            "POST",
            "/groups/1/access_tokens",
            Body::Json(r#"{"name":"t","scopes":[]}"#),
            400,
            json!({"message": {"scopes": ["can't be blank"]}}),
        ),
        (
            "POST",
            "/groups/1/deploy_tokens",
            Body::Json(r#"{"name":"t","scopes":["api"]}"#),
            400,
            json!({"message": {"scopes": ["can only be those of a registry"]}}),
        ),
    ]
}
