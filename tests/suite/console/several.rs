//! Forms and requests with several faults: all are reported at once, each with its field.

use serde_json::{Value, json};

use super::admin::administrator;
use super::*;

/// Returns the text of the error beside a field.
fn at<'a>(page: &'a str, field: &str) -> &'a str {
    let (_, error) = page.split_once(&format!(r#"id="{field}-error""#)).unwrap_or_else(|| panic!("{field}: {page}"));
    error.split("</p>").next().unwrap().rsplit('>').next().unwrap()
}

#[actix_rt::test]
async fn a_form_says_everything_that_is_wrong_beside_its_fields_and_the_cursor_is_in_the_first() {
    let house = House::new(Scenario::new()).await;
    let (chief, alice) = (administrator(&house).await, house.visitor("alice").await);
    let page = chief.post("/-/admin/users/new", &[("username", "a b"), ("email", "notmail"), ("password", "")]).await;
    page.is(400, r#"value="notmail""#);
    assert_eq!(at(&page.text, "email"), "The email address is invalid: it must be like ann@example.com.");
    assert_eq!(at(&page.text, "password"), "The password is missing.");
    assert!(at(&page.text, "username").starts_with("The user name "), "{}", page.text);
    assert_eq!(page.text.matches(" autofocus").count(), 1);
    let (before, _) = page.text.split_once(" autofocus").unwrap();
    assert!(before.rsplit("<input").next().unwrap().contains(r#"name="username""#), "{before}");

    let taken = [("username", "ALICE"), ("email", "Alice@example.com"), ("password", "long-enough")];
    let service = &house.started.service;
    let email = json!({"email": "alice@example.com"});
    assert_eq!(service.api("PUT", &format!("/users/{}", house.alice.id), email).await.status, 200);
    let page = chief.post("/-/admin/users/new", &taken).await;
    page.is(400, r#"value="ALICE""#);
    assert_eq!(at(&page.text, "username"), "Username has already been taken.");
    assert_eq!(at(&page.text, "email"), "Email has already been taken.");

    let settings = format!("{TEAM}/settings");
    let page = alice.post(&settings, &[("section", "limits"), ("quota", "many"), ("days", "-1")]).await;
    page.is(400, r#"value="many""#);
    assert_eq!(at(&page.text, "quota"), "The quota is not a number of GB such as 50 or 0.5.");
    assert_eq!(at(&page.text, "days"), "The number of days is not a number of days.");

    let member = [("username", "nobody"), ("access_level", "31"), ("expires_at", "2001-01-01")];
    let page = alice.post(&format!("{TEAM}/members"), &member).await;
    page.is(400, r#"value="nobody""#);
    for field in ["username", "access_level", "expires_at"] {
        at(&page.text, field);
    }
    let page = alice.post(&format!("{TEAM}/members"), &[("username", "bob"), ("access_level", "30")]).await;
    page.is(400, "");
    assert_eq!(at(&page.text, "username"), "Member already exists.");

    let token = [("kind", "deploy"), ("username", "a$b"), ("expires_at", "soon")];
    let page = alice.post(&format!("{TEAM}/tokens/new"), &token).await;
    page.is(400, r#"value="soon""#);
    for field in ["name", "username", "scopes", "expires_at"] {
        at(&page.text, field);
    }
}

#[actix_rt::test]
async fn the_api_names_every_field_that_has_a_fault() {
    let house = House::new(Scenario::new()).await;
    let service = &house.started.service;
    let refused = async |method: &str, path: &str, body: Value, status: u16| {
        let response = service.api(method, path, body).await;
        assert_eq!(response.status, status, "{path}");
        response.json()
    };
    let user = json!({"username": "a b", "name": "A", "email": "notmail", "password": "short"});
    let message = refused("POST", "/users", user, 400).await["message"].clone();
    let fields: Vec<&str> = message.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["email", "password", "username"]);
    assert_eq!(message["email"], json!(["is invalid: it must be like ann@example.com"]));
    let user = json!({"username": "alice", "name": " ", "email": "", "password": "long-enough"});
    let taken = json!({"username": ["Username has already been taken"], "name": ["can't be blank"]});
    assert_eq!(refused("POST", "/users", user, 400).await["message"], taken);
    let one = json!({"username": "alice", "name": "A", "password": "long-enough"});
    assert_eq!(refused("POST", "/users", one, 409).await["message"], "Username has already been taken");

    let group = json!({"dependency_proxy_unpulled_days": "x", "dependency_proxy_enabled": "maybe"});
    let text = "dependency_proxy_unpulled_days is invalid, dependency_proxy_enabled is invalid";
    assert_eq!(refused("PUT", "/groups/team", group, 400).await["error"], text);
    let group = json!({"name": "", "dependency_proxy_max_bytes": 0, "dependency_proxy_unpulled_days": 99_999});
    let message = refused("PUT", "/groups/team", group, 400).await["message"].clone();
    assert_eq!(message["name"], json!(["can't be blank"]));
    assert_eq!(message["dependency_proxy_max_bytes"], json!(["must be greater than 0"]));
    let member = json!({"user_id": 999, "access_level": "x", "expires_at": "soon"});
    assert_eq!(refused("POST", "/groups/team/members", member, 404).await["message"], "404 User Not Found");
    let member = json!({"user_id": house.bob.id, "access_level": "x", "expires_at": "soon"});
    let text = "access_level is invalid, expires_at is invalid";
    assert_eq!(refused("POST", "/groups/team/members", member, 400).await["error"], text);
}

#[actix_rt::test]
async fn an_email_address_that_is_none_is_refused_and_an_empty_one_is_none() {
    let house = House::new(Scenario::new()).await;
    let service = &house.started.service;
    let path = format!("/users/{}", house.bob.id);
    for email in ["notmail", "a@b@c", "@example.com", "a b@example.com"] {
        let response = service.api("PUT", &path, json!({"email": email})).await;
        assert_eq!(
            (response.status, &response.json()["message"]["email"][0]),
            (400, &json!("is invalid: it must be like ann@example.com"))
        );
    }
    for email in ["bob@localhost", ""] {
        assert_eq!(service.api("PUT", &path, json!({"email": email})).await.json()["email"], email);
    }
}
