//! Families of tokens: everything that a token made, directly or indirectly, ends with it, however it ends.

use super::*;
use crate::domain::id::{GroupId, UserId};

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
