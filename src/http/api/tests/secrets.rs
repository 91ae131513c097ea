//! Secrets of tokens and passwords: shown once, supplied by an administrator, rotated, and stored as hashes.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use secrecy::ExposeSecret;
use serde_json::json;

use super::company::{Body, assert_response, company};
use crate::auth::{password, secret};
use crate::domain::id::UserId;

#[actix_web::test]
async fn a_secret_is_shown_once_and_rotating_ends_the_old_one() {
    let company = company();
    let made = company.call("owner", "POST", "/groups/1/access_tokens", Body::Form("name=t&scopes[]=api")).await;
    assert_eq!((made.status.as_u16(), &made.body["access_level"]), (201, &json!(40)));
    let (id, first) = (made.body["id"].clone(), made.body["token"].as_str().unwrap().to_owned());
    let shown = company.call("owner", "GET", &format!("/groups/1/access_tokens/{id}"), Body::Nothing).await;
    assert_eq!(shown.body.get("token"), None);
    let rotated = company.call("owner", "POST", &format!("/groups/1/access_tokens/{id}/rotate"), Body::Nothing).await;
    let second = rotated.body["token"].as_str().unwrap().to_owned();
    assert_eq!(rotated.body["user_id"], made.body["user_id"], "the same bot");
    assert_ne!(first, second);
    let old = company.send(Some(("PRIVATE-TOKEN", &first)), "GET", "/user", Body::Nothing).await;
    let new = company.send(Some(("PRIVATE-TOKEN", &second)), "GET", "/user", Body::Nothing).await;
    assert_eq!((old.status.as_u16(), new.status.as_u16()), (401, 200));
    let again = company.call("owner", "POST", &format!("/groups/1/access_tokens/{id}/rotate"), Body::Nothing).await;
    let sentence = "403 Forbidden - The token is revoked, so it cannot be rotated: make another";
    assert_response(&again, 403, json!({"message": sentence}));
}

#[actix_web::test]
async fn a_brought_secret_can_be_brought_again_after_its_token_was_deleted() {
    let company = company();
    let body = Body::Form("name=t&scopes[]=read_registry&scopes[]=write_registry&token=brought from elsewhere");
    let made = company.call("admin", "POST", "/groups/1/deploy_tokens", body).await;
    assert_eq!((made.status.as_u16(), &made.body["token"]), (201, &json!("brought from elsewhere")));
    let twice = company.call("admin", "POST", "/groups/3/deploy_tokens", body).await;
    assert_response(&twice, 400, json!({"message": {"token": ["has already been taken"]}}));
    let path = format!("/groups/1/deploy_tokens/{}", made.body["id"]);
    assert_eq!(company.call("admin", "DELETE", &path, Body::Nothing).await.status.as_u16(), 204);
    let again = company.call("admin", "POST", "/groups/3/deploy_tokens", body).await;
    assert_eq!((again.status.as_u16(), company.directory().tombstones().count()), (201, 0));
}

#[actix_web::test]
async fn a_user_name_with_a_dollar_sign_is_for_secrets_that_are_brought_along() {
    let company = company();
    for name in ["robot$ci", "robot$project+ci", "$"] {
        let fields = json!({"name": "t", "scopes": ["read_registry"], "username": name});
        let generated = company.call("admin", "POST", "/groups/1/deploy_tokens", Body::Json(&fields.to_string())).await;
        let reason = "can contain '$' only if the request also supplies the secret";
        assert_response(&generated, 400, json!({"message": {"username": [reason]}}));
        let mut fields = fields;
        fields["token"] = json!(format!("brought along with {name}"));
        let brought = company.call("admin", "POST", "/groups/1/deploy_tokens", Body::Json(&fields.to_string())).await;
        assert_eq!((brought.status.as_u16(), &brought.body["username"]), (201, &json!(name)));
        let path = format!("/groups/1/deploy_tokens/{}/rotate", brought.body["id"]);
        let rotated = company.call("owner", "POST", &path, Body::Nothing).await;
        assert_eq!((rotated.status.as_u16(), &rotated.body["username"]), (200, &json!(name)));
    }
    for name in ["robot:ci", "robot ci", "r\u{f6}bot"] {
        let fields =
            json!({"name": "t", "scopes": ["read_registry"], "username": name, "token": "brought from elsewhere"});
        let refused = company.call("admin", "POST", "/groups/1/deploy_tokens", Body::Json(&fields.to_string())).await;
        assert_eq!(refused.status.as_u16(), 400, "{name}");
    }
}

#[actix_web::test]
async fn a_password_that_no_login_would_try_is_refused() {
    let company = company();
    let ours = secret::generate(secret::Kind::Personal).secret;
    for password in ["glpat-0123456789", "gldt-0123456789", "glcbt-0123456789", ours.expose_secret()] {
        let expected =
            json!({"message": {"password": ["has the form of a token: a login would never try it as a password"]}});
        let body = format!("name=n&username=n&password={password}");
        assert_response(&company.call("admin", "POST", "/users", Body::Form(&body)).await, 400, expected.clone());
        let body = format!("password={password}");
        assert_response(&company.call("admin", "PUT", "/users/4", Body::Form(&body)).await, 400, expected);
    }
    let like = Body::Form("password=dpp-my own password");
    assert_eq!(company.call("admin", "PUT", "/users/4", like).await.status.as_u16(), 200);
}

#[actix_web::test]
async fn a_password_is_stored_as_a_hash_and_a_new_one_ends_what_the_old_one_began() {
    let company = company();
    let body = Body::Form("name=n&username=n&password=first password");
    let user = company.call("admin", "POST", "/users", body).await;
    assert_eq!((user.status.as_u16(), user.body.get("password")), (201, None));
    let id = UserId(user.body["id"].as_u64().unwrap());
    let stored = || company.directory().user(id).unwrap().password.clone().unwrap();
    let old = stored();
    assert!(password::verify("first password", &old.hash));
    let body = Body::Form("password=second password");
    let changed = company.call("admin", "PUT", &format!("/users/{id}"), body).await;
    assert_eq!(changed.status.as_u16(), 200);
    assert!(password::verify("second password", &stored().hash));
    assert!(company.directory().credential(old.credential).is_none());
    company.call("admin", "PUT", &format!("/users/{id}"), Body::Form("name=m")).await;
    assert!(password::verify("second password", &stored().hash), "another change leaves it alone");
}
