//! Users, groups and tokens that several replicas share: a change made at one holds at all others once it is
//! acknowledged.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use super::{BOUND, Fleet, Mode};
use crate::service::{ADMIN_TOKEN, Client, Service, Token, eventually};

/// Returns the statuses of a request with this token at each replica.
async fn statuses(fleet: &Fleet, token: &Token) -> Vec<u16> {
    let ask = |client: Client| async move { client.get("/v2/").await.status };
    join_all(clients(fleet, token).into_iter().map(ask)).await
}

/// Returns a client with this token for each replica.
pub(super) fn clients(fleet: &Fleet, token: &Token) -> Vec<Client> {
    let client = |service: &Service| service.stranger().with_basic(&token.username, &token.secret);
    fleet.replicas.iter().map(|replica| client(&replica.service)).collect()
}

/// Revokes a token at this replica. Returns the time until the acknowledgement.
pub(super) async fn revoke(service: &Service, group: u64, token: &Token) -> Duration {
    let began = Instant::now();
    let revoked = service.api("DELETE", &format!("/groups/{group}/deploy_tokens/{}", token.id), Value::Null).await;
    assert_eq!(revoked.status, 204, "{}", revoked.text());
    began.elapsed()
}

#[actix_rt::test]
async fn what_one_replica_has_made_all_others_have_at_once() {
    let fleet = Fleet::of(3);
    let group = fleet.service(0).group("team").await;
    let user = fleet.service(1).user("alice", "alice-has-a-password").await;
    fleet.service(2).add_member(&group, &user, 20).await;
    let token = fleet.service(1).deploy_token(&group, "ci").await;
    assert_eq!(statuses(&fleet, &token).await, [200; 3]);
    for replica in 0..3 {
        let login = fleet.service(replica).token("alice", "alice-has-a-password", "").await;
        assert_eq!(login.status, 200, "{}", login.text());
    }
}

#[actix_rt::test]
async fn a_login_token_of_one_replica_is_valid_at_all_others() {
    let fleet = Fleet::of(2);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    let login = fleet.service(0).log_in_with(&token).await;
    let other = fleet.service(1).stranger().with_authorization(login.authorization());
    assert_eq!(other.get("/v2/").await.status, 200);
    revoke(fleet.service(0), group.id, &token).await;
    assert_eq!(other.get("/v2/").await.status, 401);
}

#[actix_rt::test]
async fn replicas_that_start_together_make_the_first_administrator_once() {
    let fleet = Fleet::of(3);
    let users = fleet.service(0).api("GET", "/users", Value::Null).await.json();
    assert_eq!(users.as_array().unwrap().len(), 1);
    let first = |replica: &super::Replica| replica.service.data().join("first-login").exists();
    assert_eq!(fleet.replicas.iter().filter(|replica| first(replica)).count(), 1);
    assert_eq!(fleet.database.query("SELECT version FROM fence"), "1");
}

#[actix_rt::test]
async fn a_revoked_token_is_refused_everywhere_from_the_acknowledgement_on() {
    let fleet = Fleet::of(3);
    let group = fleet.service(0).group("team").await;
    let mut times = Vec::new();
    for round in 0..40 {
        let token = fleet.service(round % 3).deploy_token(&group, &format!("ci-{round}")).await;
        let clients = clients(&fleet, &token);
        assert_eq!(statuses(&fleet, &token).await, [200; 3]);
        times.push(revoke(fleet.service((round + 1) % 3), group.id, &token).await);
        let ask = |client: &Client| {
            let client = client.clone();
            async move { client.get("/v2/").await.status }
        };
        let answers = join_all(clients.iter().cycle().take(60).map(ask)).await;
        assert!(answers.iter().all(|status| *status == 403), "round {round}: {answers:?}");
    }
    times.sort_unstable();
    assert!(times[times.len() / 2] < BOUND, "replicas that respond need not be waited for: {times:?}");
}

#[actix_rt::test]
async fn changes_of_all_replicas_at_once_lose_nothing_and_give_no_number_twice() {
    let fleet = Fleet::of(3);
    let make = |number: usize| {
        let service = fleet.service(number % 3);
        async move { service.group(&format!("group-{number}")).await.id }
    };
    let ids: HashSet<u64> = join_all((0..60).map(make)).await.into_iter().collect();
    assert_eq!(ids.len(), 60);
    for replica in &fleet.replicas {
        let groups = replica.service.api("GET", "/groups?per_page=100", Value::Null).await.json();
        let known: HashSet<u64> =
            groups.as_array().unwrap().iter().map(|group| group["id"].as_u64().unwrap()).collect();
        assert!(ids.is_subset(&known), "{} of {}", known.len(), ids.len());
    }
}

#[actix_rt::test]
async fn events_and_times_of_last_use_are_those_of_all_replicas() {
    let fleet = Fleet::of(2);
    let group = fleet.service(0).group("team").await;
    fleet.service(1).deploy_token(&group, "ci").await;
    for replica in 0..2 {
        let events = fleet.service(replica).api("GET", "/audit_events", Value::Null).await.json();
        let names: Vec<&str> =
            events.as_array().unwrap().iter().filter_map(|event| event["event_name"].as_str()).collect();
        for name in ["group_created", "deploy_token_created"] {
            assert!(names.contains(&name), "{names:?}");
        }
    }
}

#[actix_rt::test]
async fn a_replica_that_is_stopped_delays_an_acknowledgement_by_the_bound_and_never_decides_by_what_held_before() {
    let fleet = Fleet::of(3);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    let stopped = &fleet.replicas[2].service;
    let client = clients(&fleet, &token).remove(2);
    assert_eq!(client.get("/v2/").await.status, 200);
    signal(stopped, "STOP");
    let took = revoke(fleet.service(0), group.id, &token).await;
    signal(stopped, "CONT");
    assert!(took >= BOUND, "{took:?}");
    assert_eq!(client.get("/v2/").await.status, 403);
}

#[actix_rt::test]
async fn a_replica_that_was_stopped_in_an_orderly_way_is_not_waited_for_and_one_that_was_killed_is_until_it_is_back() {
    let mut fleet = Fleet::of(3);
    let group = fleet.service(0).group("team").await;
    fleet.replicas[2].service.stop();
    assert_eq!(fleet.database.query("SELECT count(*) FROM replica"), "2");
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    revoke(fleet.service(0), group.id, &token).await;
    fleet.replicas[2].service.restart();
    signal(fleet.service(1), "KILL");
    let token = fleet.service(0).deploy_token(&group, "other").await;
    let took = revoke(fleet.service(0), group.id, &token).await;
    assert!(took >= BOUND, "{took:?}");
    assert_eq!(fleet.service(2).stranger().with_basic(&token.username, &token.secret).get("/v2/").await.status, 403);
    fleet.replicas[1].service.restart_after_kill();
    assert_eq!(fleet.database.query("SELECT count(*) FROM replica"), "3", "it takes its own place again");
}

#[actix_rt::test]
async fn a_replica_uses_at_most_its_connections_and_does_not_reconnect_in_a_storm() {
    let fleet = Fleet::of(1);
    let replica = &fleet.replicas[0];
    let changes = (0..30).map(|number| async move { replica.service.group(&format!("group-{number}")).await });
    join_all(changes).await;
    assert!(replica.to_database.most_open() <= 4, "{}", replica.to_database.most_open());
    let before = replica.to_database.opened();
    replica.lose_database(Mode::Refuse);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let attempts = replica.to_database.opened() - before;
    assert!((1..=30).contains(&attempts), "{attempts} attempts in 3 s");
    replica.find_everything();
    eventually("changes are possible again", async || {
        replica.service.api("POST", "/groups", json!({"name": "new", "path": "new"})).await.status == 201
    })
    .await;
}

#[actix_rt::test]
async fn another_program_cannot_ask_a_replica() {
    let fleet = Fleet::of(1);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/fleet/v1/version?at_least=1", fleet.replicas[0].to_replica.address());
    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    let signed = client.get(&url).header("x-fleet-nonce", "1").header("x-fleet-signature", "00".repeat(32));
    assert_eq!(signed.send().await.unwrap().status(), 401);
    // And the secret of the service is not in what the replicas share.
    let texts = fleet
        .database
        .query("SELECT value FROM record UNION ALL SELECT writes FROM change UNION ALL SELECT event FROM event");
    for secret in [super::SECRET, ADMIN_TOKEN] {
        assert!(!texts.contains(secret));
    }
}

/// Sends a signal to the process of a service.
pub(super) fn signal(service: &Service, name: &str) {
    let pid = service.pid().to_string();
    assert!(std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
}

#[actix_rt::test]
async fn a_refusal_that_follows_from_a_change_waits_for_its_confirmation_too() {
    let fleet = Fleet::of(2);
    fleet.replicas[1].lose_everything();
    let create = || fleet.service(0).api("POST", "/groups", json!({"name": "new", "path": "new"}));
    let second = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        (create().await.status, began.elapsed())
    };
    let (first, (status, took)) = futures::future::join(create(), second).await;
    assert_eq!((first.status, status), (201, 400));
    assert!(took >= BOUND / 2, "{took:?}");
}

#[actix_rt::test]
async fn a_process_with_a_copy_of_the_data_folder_takes_the_place_of_the_other_which_then_refuses() {
    let fleet = Fleet::of(1);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    let id = fleet.database.query("SELECT id FROM replica");
    fleet.database.query(&format!("UPDATE replica SET instance = 'another process' WHERE id = '{id}'"));
    eventually("it refuses", async || clients(&fleet, &token).remove(0).get("/v2/").await.status == 503).await;
    assert!(fleet.service(0).log().contains("a copy of its data folder"));
}
