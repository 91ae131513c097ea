//! Refusals, failed logins and sessions of the console: they are summed up, and written when the service stops.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{OWNER_PASSWORD, events, only, service};
use crate::console::Visitor;

#[actix_rt::test]
async fn refusals_that_are_alike_are_one_event_with_their_number_and_no_secret() {
    let mut service = service();
    let team = service.group("team").await;
    service.group("other").await;
    let alice = service.user("alice", OWNER_PASSWORD).await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    for _ in 0..5 {
        service.token("alice", "a-wrong-password", "").await;
        assert_eq!(client.manifest("other", "app", "1").await.status, 403);
    }
    service.token("glpat-in-the-wrong-field", "a-wrong-password", "").await;
    let revoke = format!("/groups/{}/deploy_tokens/{}", team.id, token.id);
    assert_eq!(service.api("DELETE", &revoke, Value::Null).await.status, 204);
    service.token(&token.username, &token.secret, "&scope=repository:team/dependency_proxy/containers/app:pull").await;
    assert_eq!(events(&service, "event_name=login_failed").await.len(), 0, "they are still summed up");
    assert!(service.stop().success());
    service.restart();

    let failed = events(&service, &format!("event_name=login_failed&entity_type=User&entity_id={}", alice.id)).await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    let details = &failed[0]["details"];
    assert_eq!((&details["count"], &details["target_details"]), (&json!(5), &json!("alice")));
    assert_eq!((&failed[0]["author_id"], &details["ip_address"]), (&json!(-1), &json!("127.0.0.1")));
    assert!(details["failure"].as_str().unwrap().starts_with("wrong_secret: "), "{details}");
    let refused = only(&service, "event_name=request_refused").await;
    assert_eq!((&refused["details"]["count"], &refused["details"]["entity_path"]), (&json!(5), &json!("other")));
    assert_eq!((&refused["author_id"], &refused["details"]["token_id"]), (&json!(-2), &json!(token.id)));
    assert_eq!(refused["details"]["target_details"], "docker.io/library/app");
    let revoked = events(&service, &format!("event_name=login_failed&entity_type=Group&entity_id={}", team.id)).await;
    assert_eq!((revoked.len(), &revoked[0]["details"]["token_name"]), (1, &json!("ci")));
    let text = serde_json::to_string(&events(&service, "").await).unwrap();
    for secret in ["a-wrong-password", "glpat-in", token.secret.as_str()] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[actix_rt::test]
async fn signing_in_to_the_console_and_out_of_it_has_events() {
    let mut service = service();
    let alice = service.user("alice", OWNER_PASSWORD).await;
    let visitor = Visitor::signed_in(&service, "alice", OWNER_PASSWORD).await;
    assert_eq!(visitor.post("/-/sign-out", &[]).await.status, 303);
    Visitor::stranger(&service).sign_in("alice", "a-wrong-password", "/").await;
    assert!(service.stop().success());
    service.restart();
    for name in ["console_signed_in", "console_signed_out"] {
        let event = only(&service, &format!("event_name={name}")).await;
        assert_eq!((&event["author_id"], &event["entity_id"]), (&json!(alice.id), &json!(alice.id)));
    }
    assert_eq!(only(&service, "event_name=login_failed").await["details"]["target_details"], "alice");
}

#[actix_rt::test]
async fn a_name_without_a_valid_secret_is_no_author_and_a_session_is_one() {
    let mut service = service();
    let team = service.group("team").await;
    let alice = service.user("alice", OWNER_PASSWORD).await;
    service.add_member(&team, &alice, 30).await;
    let visitor = Visitor::signed_in(&service, "alice", OWNER_PASSWORD).await;
    let as_root = |request: RequestBuilder| request.basic_auth("root", Some("a-wrong-password"));
    let page = visitor.request("GET", "/groups/team/-/dependency_proxy/tokens");
    assert_eq!(visitor.send(as_root(page)).await.status, 403);
    let stranger = service.stranger();
    for path in ["/api/v4/groups/team/members", "/v2/team/dependency_proxy/containers/app/manifests/1"] {
        assert_eq!(stranger.send(as_root(stranger.request(Method::GET, path))).await.status, 401, "{path}");
    }
    assert!(service.stop().success());
    service.restart();
    let refused = events(&service, "event_name=request_refused").await;
    let authors: Vec<&Value> = refused.iter().map(|event| &event["author_id"]).collect();
    assert!(authors.contains(&&json!(alice.id)), "{refused:?}");
    assert!(authors.iter().all(|author| [&json!(alice.id), &json!(-1)].contains(author)), "{refused:?}");
    let of_page = refused.iter().find(|event| event["author_id"] == json!(alice.id)).unwrap();
    assert_eq!(of_page["details"]["entity_path"], "team", "the owners of the group see it");
}

#[actix_rt::test]
async fn a_guess_of_the_present_password_on_a_page_has_an_event_of_the_user_who_is_signed_in() {
    let mut service = service();
    let alice = service.user("alice", OWNER_PASSWORD).await;
    let visitor = Visitor::signed_in(&service, "alice", OWNER_PASSWORD).await;
    let guess = [("current_password", "a-wrong-password"), ("password", "another-password")];
    assert_eq!(visitor.post("/-/account", &guess).await.status, 400);
    assert!(service.stop().success());
    service.restart();
    let failed = only(&service, "event_name=login_failed").await;
    assert_eq!((&failed["author_id"], &failed["details"]["target_details"]), (&json!(alice.id), &json!("alice")));
    assert!(failed["details"]["failure"].as_str().unwrap().starts_with("wrong_secret: "), "{failed}");
}

#[actix_rt::test]
async fn a_refused_group_access_token_has_events_of_its_bot_also_after_its_group_is_deleted() {
    let mut service = service();
    let team = service.group("team").await;
    service.group("other").await;
    let token = service.group_token(&team, "bot", &["read_registry", "write_registry"]).await;
    let client = service.log_in("bot", &token.secret).await;
    assert_eq!(client.manifest("other", "app", "1").await.status, 403);
    assert_eq!(service.api("DELETE", &format!("/groups/{}", team.id), Value::Null).await.status, 202);
    assert_eq!(client.manifest("team", "app", "1").await.status, 401);
    assert!(service.stop().success());
    service.restart();
    let refused = events(&service, "event_name=request_refused").await;
    let authors: Vec<_> = refused
        .iter()
        .map(|event| (&event["details"]["author_class"], &event["details"]["token_id"], event["author_id"].as_i64()))
        .collect();
    let (class, number, bot) = authors[0];
    assert_eq!((class, number, authors.len()), (&json!("User"), &json!(token.id), 2), "{refused:?}");
    assert!(bot > Some(0) && authors[1] == (class, number, bot), "{refused:?}");
}
