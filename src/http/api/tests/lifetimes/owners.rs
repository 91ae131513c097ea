//! Members who are owners through a group access token: the memberships that they grant and the tokens that they make
//! end with that token.

use super::*;
use crate::domain::id::{GroupId, UserId};

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
