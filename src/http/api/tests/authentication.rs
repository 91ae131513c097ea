//! Ways to authenticate to the API, and the messages for a caller whose token has ended.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::json;

use super::company::{Body, Company, assert_response, company, records, secret_of};
use crate::domain::directory::{Record, Write};
use crate::domain::id::{TokenId, UserId};
use crate::domain::token::Token;
use crate::domain::user::User;

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
