//! Lists of events: who sees which, filters, pages, and wrong values.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{OWNER_PASSWORD, call, events, service};

#[actix_rt::test]
async fn administrators_see_all_events_owners_those_of_their_group_and_others_none() {
    let service = service();
    let (team, other) = (service.group("team").await, service.group("other").await);
    let (alice, bob) = (service.user("alice", OWNER_PASSWORD).await, service.user("bob", "a-password-of-bob").await);
    service.add_member(&team, &alice, 50).await;
    service.add_member(&team, &bob, 40).await;
    let owner = service.personal_token(&alice, "api", &["read_api"]).await.secret;
    let maintainer = service.personal_token(&bob, "api", &["api"]).await.secret;
    let list = async |secret: &str, path: &str| {
        let answer = call(&service, secret, Method::GET, path, Value::Null).await;
        (answer.status, answer.json())
    };
    let (status, found) = list(&owner, &format!("/groups/{}/audit_events", team.id)).await;
    let names: BTreeSet<&str> =
        found.as_array().unwrap().iter().map(|event| event["event_name"].as_str().unwrap()).collect();
    assert_eq!((status, names), (200, BTreeSet::from(["group_created", "member_created"])));
    assert!(found.as_array().unwrap().iter().all(|event| event["entity_id"] == team.id));
    let one = found[0]["id"].as_u64().unwrap();
    assert_eq!(list(&owner, &format!("/groups/team/audit_events/{one}")).await.1, found[0]);
    let of_other = events(&service, &format!("entity_type=Group&entity_id={}", other.id)).await;
    assert_eq!(list(&owner, &format!("/groups/team/audit_events/{}", of_other[0]["id"])).await.0, 404);
    assert_eq!(list(&owner, "/groups/other/audit_events").await.0, 404);
    assert_eq!(list(&owner, "/audit_events").await.0, 403);
    assert_eq!(list(&owner, &format!("/audit_events/{one}")).await.0, 403);
    assert_eq!(list(&maintainer, "/groups/team/audit_events").await.0, 403);
    assert_eq!(service.stranger().get("/api/v4/audit_events").await.status, 401);
}

#[actix_rt::test]
async fn events_are_filtered_and_paged_in_both_ways() {
    let service = service();
    for number in 0..7 {
        service.group(&format!("team-{number}")).await;
    }
    let alice = service.user("alice", OWNER_PASSWORD).await;
    let token = service.personal_token(&alice, "api", &["api"]).await;
    let own = format!("/users/{}/personal_access_tokens", alice.id);
    let new = json!({"name": "another", "scopes": ["read_api"]});
    assert_eq!(call(&service, &token.secret, Method::POST, &own, new).await.status, 201);

    let all = events(&service, "").await;
    let mut paged: Vec<Value> = Vec::new();
    let mut next = "/audit_events?pagination=keyset&per_page=3".to_owned();
    loop {
        let answer = service.api("GET", &next, Value::Null).await;
        paged.extend(serde_json::from_slice::<Vec<Value>>(&answer.body).unwrap());
        let Some((_, rest)) = answer.header("link").split_once("/api/v4") else { break };
        next = rest.split('>').next().unwrap().to_owned();
    }
    paged.reverse();
    assert_eq!(paged, all);
    let second = service.api("GET", "/audit_events?per_page=4&page=2&sort=asc", Value::Null).await;
    assert_eq!(second.json(), json!(all[4..8]));
    assert_eq!(second.header("x-total"), all.len().to_string());

    let count = async |query: &str| events(&service, query).await.len();
    assert_eq!(count("author=ALICE").await, 1);
    assert_eq!(count(&format!("author_id={}", alice.id)).await, 1);
    assert_eq!(count("event_name=group_created&author=root").await, 7);
    assert_eq!(count("entity_type=Group").await, count("").await - count("entity_type=User").await);
    let middle = all[all.len() / 2]["created_at"].as_str().unwrap();
    let after = events(&service, &format!("created_after={middle}")).await;
    assert!(after.len() >= all.len() / 2 && after.len() < all.len());
    assert_eq!(count("created_after=2098-01-01").await, 0);
    assert_eq!(count("created_before=2020-01-01T00:00:00Z").await, 0);
}

#[actix_rt::test]
async fn wrong_values_are_named() {
    let service = service();
    for (query, message) in [
        ("entity_type=Project", "entity_type does not have a valid value"),
        ("entity_id=3", "entity_type is missing"),
        ("entity_type=Group&entity_id=x", "entity_id is invalid"),
        ("entity_type=Gitlab::Audit::InstanceScope&entity_id=2", "entity_id does not have a valid value"),
        ("created_after=yesterday", "created_after is invalid"),
        ("created_before=1", "created_before is invalid"),
        ("author_id=x", "author_id is invalid"),
        ("author_id=1&author=root", "author_id and author are mutually exclusive"),
        ("event_name=Group%20created", "event_name does not have a valid value"),
        ("event_name=nosuch", "event_name does not have a valid value"),
        ("pagination=pages", "pagination does not have a valid value"),
        ("pagination=keyset&cursor=x", "cursor is invalid"),
        ("cursor=1", "cursor needs pagination=keyset"),
        ("order_by=created_at", "order_by does not have a valid value"),
        ("sort=up", "sort does not have a valid value"),
        ("per_page=0", "per_page does not have a valid value"),
        ("page=x", "page is invalid"),
    ] {
        let answer = service.api("GET", &format!("/audit_events?{query}"), Value::Null).await;
        assert_eq!((answer.status, answer.json()), (400, json!({"error": message})), "{query}");
    }
    // The number of the service itself, which the first events have.
    let found = service.api("GET", "/audit_events?author_id=0", Value::Null).await.json();
    assert!(!found.as_array().unwrap().is_empty() && found[0]["author_id"] == 0, "{found}");
    assert_eq!(service.api("GET", "/audit_events/x", Value::Null).await.json(), json!({"error": "id is invalid"}));
    assert_eq!(service.api("GET", "/audit_events/7", Value::Null).await.status, 404);
    let long = format!("/audit_events?author={}", "x".repeat(300));
    assert_eq!(service.api("GET", &long, Value::Null).await.status, 400);
}
