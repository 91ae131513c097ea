//! Lists and lookups: encoded paths, pages, and what a caller may see.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::json;

use super::company::{Body, Company, Response, assert_response, company, records};
use crate::domain::limits::Limits;
use crate::domain::policy::PublicGroups;

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
async fn an_order_or_direction_that_is_not_there_is_refused_by_name() {
    let company = company();
    for list in ["/groups", "/groups/team/subgroups", "/groups/team/descendant_groups", "/users"] {
        for (query, message) in
            [("order_by=size", "order_by does not have a valid value"), ("sort=up", "sort does not have a valid value")]
        {
            let response = company.call("admin", "GET", &format!("{list}?{query}"), Body::Nothing).await;
            assert_eq!((response.status.as_u16(), &response.body["error"]), (400, &json!(message)), "{list}?{query}");
        }
        for query in ["order_by=name&sort=desc", "order_by=id&sort=asc", "order_by=&sort="] {
            let response = company.call("admin", "GET", &format!("{list}?{query}"), Body::Nothing).await;
            assert_eq!(response.status.as_u16(), 200, "{list}?{query}");
        }
    }
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
    assert_response(
        &response,
        200,
        json!({"groups": none, "users": none, "members": none, "tokens": made, "own": false}),
    );
    let response = company.call("admin", "GET", "/users/2/deletion?hard_delete=true", Body::Nothing).await;
    let tokens = json!({"total": 3, "names": ["'owner' of owner", "'registry' of owner", "'made' in team/ci"]});
    let members = json!({"total": 1, "names": ["owner in team"]});
    assert_response(
        &response,
        200,
        json!({"groups": none, "users": none, "members": members, "tokens": tokens, "own": false}),
    );
    let response = company.call("owner", "GET", "/groups/team/deletion", Body::Nothing).await;
    let names = ["root in team", "owner in team", "maintainer in team", "guest in team"];
    let lost = json!({
        "groups": {"total": 1, "names": ["team/ci"]},
        "users": none,
        "members": {"total": names.len(), "names": names},
        "tokens": {"total": 3, "names": ["'bot' in team", "'deploy' in team", "'made' in team/ci"]},
        "own": true,
        "cache": {"tags": 2, "bytes": 1000},
    });
    assert_response(&response, 200, lost);
    assert_eq!(company.call("owner", "DELETE", "/groups/team", Body::Nothing).await.status, 202);
    let response = company.call("admin", "GET", "/groups/other/deletion", Body::Nothing).await;
    assert_eq!((response.status.as_u16(), &response.body["groups"], &response.body["tokens"]), (200, &none, &none));
}
