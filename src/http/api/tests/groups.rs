//! Changes of groups: switches, purges, deletions and names, and the owners and administrators that stay.

use serde_json::{Value, json};

use super::company::{Body, assert_response, company, secret_of};
use crate::auth::secret;
use crate::domain::access::AccessLevel;
use crate::domain::directory::Credential;
use crate::domain::id::{GroupId, UserId};

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
async fn a_quota_is_at_most_an_exabyte() {
    let company = company();
    for (bytes, status) in [("1000000000000000000", 200), ("1000000000000000001", 400), ("0", 400)] {
        let body = format!("dependency_proxy_max_bytes={bytes}");
        let changed = company.call("owner", "PUT", "/groups/2", Body::Form(&body)).await;
        assert_eq!(changed.status.as_u16(), status, "{bytes}: {}", changed.body);
    }
}

#[actix_web::test]
async fn purging_and_deleting_a_group_empty_its_cache() {
    let company = company();
    let response = company.call("owner", "DELETE", "/groups/team%2Fci/dependency_proxy/cache", Body::Nothing).await;
    assert_response(&response, 202, json!({"message": "202 Accepted"}));
    assert_eq!(company.cached().await, [GroupId(1), GroupId(3)]);
    let response = company.call("owner", "DELETE", "/groups/team", Body::Nothing).await;
    assert_response(&response, 202, json!({"message": "202 Accepted"}));
    assert_eq!(company.cached().await, [GroupId(3)]);
    let directory = company.directory();
    assert_eq!(directory.memberships().filter(|member| member.group != GroupId(3)).count(), 0);
    assert!(directory.user(UserId(6)).is_none(), "the bot is gone");
    for gone in ["bot", "deploy"] {
        let credential = directory.secret(&secret::digest(&secret_of(gone)));
        assert!(matches!(credential, Some(Credential::Deleted(_))), "{gone}");
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

#[actix_web::test]
async fn a_group_is_transferred_with_those_below_it_by_owners_of_both() {
    let company = company();
    let transfer = async |who, group: &str, to: &str| {
        company.call(who, "POST", &format!("/groups/{group}/transfer"), Body::Form(to)).await
    };
    company.call("admin", "POST", "/groups", Body::Form("name=target&path=target")).await;
    let target = company.call("admin", "GET", "/groups/target", Body::Nothing).await.body["id"].to_string();
    let below = format!("group_id={target}");
    assert_eq!(transfer("owner", "team", &below).await.status.as_u16(), 404, "the owner does not see the target");
    for (group, to, reason) in [
        ("team", "group_id=2", "is the group itself, or below it"),
        ("team", "group_id=1", "is the group itself, or below it"),
        ("team%2Fci", "group_id=1", "is above the group already"),
        ("team", "", "is none already: the group is at the top"),
    ] {
        let refused = transfer("admin", group, to).await;
        assert_response(&refused, 400, json!({"message": {"group_id": [reason]}}));
    }
    let moved = transfer("admin", "team", &below).await;
    assert_eq!((moved.status.as_u16(), &moved.body["full_path"]), (201, &json!("target/team")), "{}", moved.body);
    assert_eq!(moved.body["parent_id"].to_string(), target);
    assert_eq!(company.call("guest", "GET", "/groups/target%2Fteam%2Fci", Body::Nothing).await.body["id"], 2);

    // A group that had its owners from above has one after it came to the top.
    let top = transfer("admin", "2", "").await;
    assert_eq!((&top.body["full_path"], &top.body["parent_id"]), (&json!("ci"), &Value::Null));
    assert_eq!(transfer("owner", "1", "").await.status.as_u16(), 403, "only administrators assign names at the top");
    let directory = company.directory();
    let owners = directory.members(GroupId(2)).filter(|member| member.level == AccessLevel::Owner).count();
    assert_eq!(owners, 1);
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
