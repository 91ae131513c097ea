//! Wire format: error bodies, ways to authenticate, encoded paths, pages and forms, in the shapes of GitLab's API.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::company::{Body, Company, Response, records, secret_of};
use crate::auth::{password, secret};
use crate::domain::directory::{Credential, Record, Write};
use crate::domain::id::{GroupId, TokenId, UserId};
use crate::domain::limits::Limits;
use crate::domain::policy::PublicGroups;
use crate::domain::token::Token;
use crate::domain::user::User;

fn company() -> Company {
    Company::open(&records())
}

fn assert_response(response: &Response, status: u16, body: Value) {
    assert_eq!((response.status.as_u16(), &response.body), (status, &body));
}

#[actix_web::test]
async fn errors_have_the_shapes_that_clients_parse() {
    let company = company();
    let (error, message) = (|text: &str| json!({"error": text}), |text: &str| json!({"message": text}));
    let long = "x".repeat(256);
    let cases = [
        ("GET", "/groups/9", Body::Nothing, 404, message("404 Group Not Found")),
        ("GET", "/users/9", Body::Nothing, 404, message("404 User Not Found")),
        ("GET", "/users/nine", Body::Nothing, 400, error("id is invalid")),
        ("GET", "/groups/1/members/5", Body::Nothing, 404, message("404 Not found")),
        ("GET", "/groups/team/ci", Body::Nothing, 404, error("404 Not Found")),
        ("GET", "/nonsense", Body::Nothing, 404, error("404 Not Found")),
        ("PATCH", "/groups/1", Body::Nothing, 405, error("405 Not Allowed")),
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
    ];
    for (method, path, body, status, expected) in cases {
        let response = company.call("admin", method, path, body).await;
        assert_eq!((response.status.as_u16(), &response.body), (status, &expected), "{method} {path} {body:?}");
    }
    let reason = "can't contain line breaks or other control characters";
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
    let response = company.call("admin", "PUT", "/groups/1", Body::Form(&format!("path={long}"))).await;
    assert_eq!(response.status.as_u16(), 400);
    let huge = "x".repeat(1 << 20);
    let response = company.call("admin", "PUT", "/groups/1", Body::Form(&huge)).await;
    assert_response(&response, 413, error("413 Request Entity Too Large"));
}

#[actix_web::test]
async fn only_active_access_tokens_open_the_api() {
    let company = company();
    let unauthorized = json!({"message": "401 Unauthorized"});
    let (admin, deploy) = (secret_of("admin"), secret_of("deploy"));
    let bearer = format!("bearer {admin}");
    let basic = format!("Basic {admin}");
    let good = [("PRIVATE-TOKEN", admin.as_str()), ("Authorization", bearer.as_str())];
    for header in good {
        assert_eq!(company.send(Some(header), "GET", "/user", Body::Nothing).await.status.as_u16(), 200, "{header:?}");
    }
    let bad = [("PRIVATE-TOKEN", "wrong"), ("PRIVATE-TOKEN", &deploy), ("Authorization", &basic)];
    for header in bad {
        assert_response(&company.send(Some(header), "GET", "/user", Body::Nothing).await, 401, unauthorized.clone());
    }
    let query = format!("/user?private_token={}", admin.replace(' ', "%20"));
    assert_response(&company.call("nobody", "GET", &query, Body::Nothing).await, 401, unauthorized);
}

#[actix_web::test]
async fn a_token_that_once_was_good_is_told_what_ended_it() {
    let mut records = records();
    let guest = Token::clone(records.token(TokenId(5)).unwrap());
    let stranger = Token::clone(records.token(TokenId(6)).unwrap());
    let maintainer = User { blocked: true, ..User::clone(records.user(UserId(3)).unwrap()) };
    let past = Some("2026-02-01T00:00:00Z".parse().unwrap());
    records.apply(&[
        Write::Put(Record::Token(Token { revoked_at: past, ..guest })),
        Write::Put(Record::Token(Token { expires_at: past, ..stranger })),
        Write::Put(Record::User(maintainer)),
    ]);
    let company = Company::open(&records);
    let ended = |text: &str| json!({"error": "invalid_token", "error_description": text});
    let guest = company.call("guest", "GET", "/user", Body::Nothing).await;
    assert_response(&guest, 401, ended("Token was revoked. You have to re-authorize from the user."));
    let stranger = company.call("stranger", "GET", "/user", Body::Nothing).await;
    let text = "Token is expired. You can either do re-authorization or token refresh.";
    assert_response(&stranger, 401, ended(text));
    let maintainer = company.call("maintainer", "GET", "/user", Body::Nothing).await;
    assert_response(&maintainer, 403, json!({"message": "403 Forbidden - Your account has been blocked."}));
    let reader = company.call("reader", "DELETE", "/groups/1", Body::Nothing).await;
    let text = "The request requires higher privileges than provided by the access token.";
    assert_response(&reader, 403, json!({"error": "insufficient_scope", "error_description": text, "scope": "api"}));
}

#[actix_web::test]
async fn a_group_is_found_by_number_and_by_encoded_path_in_any_case() {
    let company = company();
    for reference in ["2", "team%2Fci", "Team%2fCI"] {
        let group = company.call("guest", "GET", &format!("/groups/{reference}"), Body::Nothing).await;
        assert_eq!(group.body["full_path"], "team/ci", "{reference}");
        assert_eq!(group.body["full_name"], "TEAM / CI");
        assert_eq!(group.body["parent_id"], 1);
        let members = company.call("guest", "GET", &format!("/groups/{reference}/members/all"), Body::Nothing).await;
        assert_eq!(members.body.as_array().unwrap().len(), 5, "root, owner, maintainer, guest and bot: {reference}");
    }
    for reference in ["team%252Fci", "team%2F", "%2Fteam", "team%2F..%2Fother", "0", "18446744073709551616"] {
        let response = company.call("admin", "GET", &format!("/groups/{reference}"), Body::Nothing).await;
        assert_eq!(response.status.as_u16(), 404, "{reference}");
    }
}

#[actix_web::test]
async fn lists_come_in_pages_that_link_to_each_other() {
    let company = company();
    let page = company.call("admin", "GET", "/groups/team%2Fci/members/all?page=2&per_page=2", Body::Nothing).await;
    assert_eq!(page.body.as_array().unwrap().len(), 2);
    let header = |name: &str| page.headers[name].as_str();
    let names = ["x-total", "x-total-pages", "x-per-page", "x-page", "x-next-page", "x-prev-page"];
    assert_eq!(names.map(header), ["5", "3", "2", "2", "3", "1"]);
    let next = "<https://proxy.example/api/v4/groups/team%2Fci/members/all?page=3&per_page=2>; rel=\"next\"";
    assert!(header("link").contains(next), "{}", header("link"));
}

#[actix_web::test]
async fn lists_show_only_what_the_caller_may_see() {
    let company = company();
    let paths = |response: Response| -> Vec<String> {
        response.body.as_array().unwrap().iter().map(|group| group["full_path"].as_str().unwrap().to_owned()).collect()
    };
    for (caller, query, expected) in [
        ("admin", "", vec!["team/ci", "other", "team"]),
        ("guest", "", vec!["team/ci", "team"]),
        ("guest", "?top_level_only=true", vec!["team"]),
        ("guest", "?owned=true", vec![]),
        ("owner", "?min_access_level=50&search=T", vec!["team"]),
        ("stranger", "", vec![]),
    ] {
        let response = company.call(caller, "GET", &format!("/groups{query}"), Body::Nothing).await;
        assert_eq!(paths(response), expected, "{caller} {query}");
    }
    let user = company.call("guest", "GET", "/users/2", Body::Nothing).await;
    assert_eq!((&user.body["username"], user.body.get("email")), (&json!("owner"), None));
    let user = company.call("admin", "GET", "/users?search=owner@EXAMPLE", Body::Nothing).await;
    assert_eq!(user.body[0]["email"], "owner@example.com");
    let own = company.call("guest", "GET", "/personal_access_tokens", Body::Nothing).await;
    assert_eq!(own.body.as_array().unwrap().len(), 1);
    assert!(own.body[0]["last_used_at"].is_string());
}

#[actix_web::test]
async fn public_groups_are_seen_by_whom_the_setting_says() {
    for (setting, status) in [(PublicGroups::Members, 404), (PublicGroups::SignedIn, 200), (PublicGroups::Anyone, 200)]
    {
        let company = Company::open_with(&records(), setting, Limits::NONE);
        company.call("admin", "PUT", "/groups/team", Body::Form("visibility=public")).await;
        assert_eq!(company.call("stranger", "GET", "/groups/1", Body::Nothing).await.status.as_u16(), status);
        assert_eq!(company.call("stranger", "GET", "/groups/2", Body::Nothing).await.status.as_u16(), 404);
        assert_eq!(company.call("nobody", "GET", "/groups/1", Body::Nothing).await.status.as_u16(), 401);
    }
}

#[actix_web::test]
async fn the_proxy_is_switched_for_all_and_for_each_group() {
    let company = company();
    let group = company.call("owner", "PUT", "/groups/2", Body::Form("dependency_proxy_enabled=false")).await;
    assert_eq!(group.body["dependency_proxy_enabled"], false);
    let kept = company.call("owner", "PUT", "/groups/2", Body::Form("name=CI")).await;
    assert_eq!(kept.body["dependency_proxy_enabled"], false);
    let group = company.call("owner", "PUT", "/groups/2", Body::Json(r#"{"dependency_proxy_enabled":null}"#)).await;
    assert_eq!(group.body["dependency_proxy_enabled"], Value::Null);
    for (body, enabled, kept) in [("true", true, Some(true)), ("false", false, Some(false)), ("null", true, None)] {
        let body = format!(r#"{{"dependency_proxy_enabled":{body}}}"#);
        let settings = company.call("admin", "PUT", "/application/settings", Body::Json(&body)).await;
        assert_eq!(settings.body["dependency_proxy_enabled"], enabled);
        assert_eq!(company.directory().service().proxy_enabled, kept);
    }
}

#[actix_web::test]
async fn tokens_of_every_kind_are_listed_as_far_as_they_may_be_seen_and_found_by_what_they_are_called() {
    let company = company();
    let call = async |name: &str, path: &str| company.call(name, "GET", path, Body::Nothing).await;
    let ids = |response: &Response| -> Vec<u64> {
        response.body.as_array().unwrap().iter().map(|token| token["id"].as_u64().unwrap()).collect()
    };
    for (caller, path, expected) in [
        ("admin", "/tokens", vec![1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("owner", "/tokens", vec![3, 7, 8, 9]),
        ("guest", "/tokens", vec![5]),
        ("bot", "/tokens", vec![7, 9]),
        ("owner", "/tokens?find=deploy", vec![9]),
        ("owner", "/tokens?find=gitlab%2Bdeploy-token-9", vec![9]),
        ("owner", "/tokens?find=OWNER", vec![3, 8]),
        ("owner", "/tokens?find=7", vec![7]),
        ("guest", "/tokens?find=deploy", vec![]),
        ("owner", "/tokens?find=deploy&state=inactive", vec![]),
    ] {
        assert_eq!(ids(&call(caller, path).await), expected, "{caller} {path}");
    }
    let token = call("owner", "/tokens/7").await.body;
    let facts = ["kind", "group", "group_id", "user_id", "access_level", "created_by"].map(|field| &token[field]);
    assert_eq!(json!(facts), json!(["group", "team", 1, 6, 50, "root"]));
    assert!(token.get("token").is_none() && token.get("secret").is_none());
    let new = Body::Json(r#"{"name":"made","scopes":["read_registry","write_registry"]}"#);
    let made = company.call("bot", "POST", "/groups/1/deploy_tokens", new).await.body["id"].clone();
    assert_eq!(call("admin", &format!("/tokens/{made}")).await.body["created_by"], "group token 'bot'");
}

#[actix_web::test]
async fn what_a_change_takes_with_it_is_listed_before() {
    let company = company();
    let new = Body::Json(r#"{"name":"made","scopes":["read_registry","write_registry"]}"#);
    assert_eq!(company.call("owner", "POST", "/groups/2/deploy_tokens", new).await.status, 201);
    let none = json!({"total": 0, "names": []});
    let made = json!({"total": 1, "names": ["'made' in team/ci"]});
    let response = company.call("owner", "GET", "/personal_access_tokens/3/revocation", Body::Nothing).await;
    assert_response(&response, 200, json!({"groups": none, "users": none, "members": none, "tokens": made}));
    let response = company.call("admin", "GET", "/users/2/deletion?hard_delete=true", Body::Nothing).await;
    let tokens = json!({"total": 3, "names": ["'owner' of owner", "'registry' of owner", "'made' in team/ci"]});
    let members = json!({"total": 1, "names": ["owner in team"]});
    assert_response(&response, 200, json!({"groups": none, "users": none, "members": members, "tokens": tokens}));
    let response = company.call("owner", "GET", "/groups/team/deletion", Body::Nothing).await;
    let names = ["root in team", "owner in team", "maintainer in team", "guest in team"];
    let lost = json!({
        "groups": {"total": 1, "names": ["team/ci"]},
        "users": none,
        "members": {"total": names.len(), "names": names},
        "tokens": {"total": 3, "names": ["'bot' in team", "'deploy' in team", "'made' in team/ci"]},
        "cache": {"tags": 2, "bytes": 1000},
    });
    assert_response(&response, 200, lost);
    assert_eq!(company.call("owner", "DELETE", "/groups/team", Body::Nothing).await.status, 202);
    let response = company.call("admin", "GET", "/groups/other/deletion", Body::Nothing).await;
    assert_eq!((response.status.as_u16(), &response.body["groups"], &response.body["tokens"]), (200, &none, &none));
}

#[actix_web::test]
async fn purging_and_deleting_a_group_empty_its_cache() {
    let company = company();
    let response = company.call("owner", "DELETE", "/groups/team%2Fci/dependency_proxy/cache", Body::Nothing).await;
    assert_response(&response, 202, json!({"message": "202 Accepted"}));
    assert_eq!(*company.purged.0.lock().unwrap(), [GroupId(2)]);
    let response = company.call("owner", "DELETE", "/groups/team", Body::Nothing).await;
    assert_response(&response, 202, json!({"message": "202 Accepted"}));
    assert_eq!(*company.purged.0.lock().unwrap(), [GroupId(2), GroupId(1), GroupId(2)]);
    let directory = company.directory();
    assert_eq!(directory.memberships().filter(|member| member.group != GroupId(3)).count(), 0);
    assert!(directory.user(UserId(6)).is_none(), "the bot is gone");
    for gone in ["bot", "deploy"] {
        let credential = directory.secret(&secret::digest(&secret_of(gone)));
        assert!(matches!(credential, Some(Credential::Deleted(_))), "{gone}");
    }
}

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
async fn the_last_administrator_and_the_last_owner_stay() {
    let company = company();
    company.call("admin", "DELETE", "/groups/1/members/1", Body::Nothing).await;
    for (method, path, body) in [
        ("PUT", "/users/1", Body::Form("admin=false")),
        ("PUT", "/groups/1/members/2", Body::Form("access_level=40")),
        ("PUT", "/groups/1/members/2", Body::Form("expires_at=2999-01-01")),
        ("DELETE", "/groups/1/members/2", Body::Nothing),
    ] {
        assert_eq!(company.call("admin", method, path, body).await.status.as_u16(), 403, "{method} {path}");
    }
    let sole = company.call("admin", "DELETE", "/users/2", Body::Nothing).await;
    assert_response(&sole, 409, json!({"message": "User cannot be removed while is the sole-owner of a group"}));
    let forced = company.call("admin", "DELETE", "/users/2?hard_delete=true", Body::Nothing).await;
    assert_eq!(forced.status.as_u16(), 204);
}

#[actix_web::test]
async fn a_renamed_group_takes_those_below_along() {
    let company = company();
    let renamed = company.call("admin", "PUT", "/groups/1", Body::Form("path=Crew")).await;
    assert_eq!(renamed.body["full_path"], "crew");
    assert_eq!(company.call("guest", "GET", "/groups/crew%2Fci", Body::Nothing).await.body["id"], 2);
    assert_eq!(company.call("guest", "GET", "/groups/team%2Fci", Body::Nothing).await.status.as_u16(), 404);
    let wider = company.call("owner", "PUT", "/groups/2", Body::Form("visibility=public")).await;
    let text = "public is not allowed since the parent group has a private visibility.";
    assert_response(&wider, 400, json!({"message": {"visibility_level": [text]}}));
}

/// A caller learns whether a path is taken only if it may see the group that has it.
#[actix_web::test]
async fn a_group_is_renamed_only_by_those_who_could_create_one_there() {
    let company = company();
    for path in ["other", "free", "a/b", "v2"] {
        let body = format!("path={path}");
        let response = company.call("owner", "PUT", "/groups/1", Body::Form(&body)).await;
        assert_response(&response, 403, json!({"message": "403 Forbidden"}));
    }
    let kept = company.call("owner", "PUT", "/groups/1", Body::Form("path=Team&name=The team")).await;
    assert_eq!((kept.status.as_u16(), &kept.body["name"]), (200, &json!("The team")));
    let below = company.call("owner", "PUT", "/groups/2", Body::Form("path=build")).await;
    assert_eq!(below.body["full_path"], "team/build");

    company.call("admin", "POST", "/groups/2/members", Body::Form("user_id=5&access_level=50")).await;
    company.call("owner", "POST", "/groups", Body::Form("name=hidden&path=hidden&parent_id=1")).await;
    for path in ["hidden", "free"] {
        let body = format!("path={path}");
        let response = company.call("stranger", "PUT", "/groups/2", Body::Form(&body)).await;
        assert_response(&response, 403, json!({"message": "403 Forbidden"}));
    }
    let taken = company.call("owner", "PUT", "/groups/2", Body::Form("path=hidden")).await;
    assert_response(&taken, 400, json!({"message": {"path": ["has already been taken"]}}));
}

/// The settings of upstreams name groups by their paths. A free path must not be taken in order to use the account.
#[actix_web::test]
async fn only_an_administrator_gives_a_group_the_path_that_credentials_are_for() {
    let company = company();
    let taken = company.call("owner", "PUT", "/groups/1", Body::Form("path=Vault")).await;
    assert_response(&taken, 403, json!({"message": "403 Forbidden"}));
    let given = company.call("admin", "PUT", "/groups/1", Body::Form("path=Vault")).await;
    assert_eq!(given.body["full_path"], "vault");
    let kept = company.call("owner", "PUT", "/groups/1", Body::Form("path=vault&name=Vault")).await;
    assert_eq!(kept.status.as_u16(), 200);
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
