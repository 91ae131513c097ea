//! Turns to make a change that are lost, and replicas that are lost: a change waits for every replica that may decide
//! without it, and for no other.

use std::time::Instant;

use engines::{Bucket, Postgres};
use futures::future::join;
use serde_json::json;

use super::identities::{clients, revoke, signal};
use super::{BOUND, Fleet, Mode};
use crate::service::{Answer, Service, eventually};

/// Sessions of replicas that wait for the turn.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
    AND application_name = 'dependency-proxy' AND wait_event_type = 'Lock'";
/// Sessions of replicas that have the turn and do nothing.
const IDLE: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
    AND application_name = 'dependency-proxy' AND state = 'idle in transaction'";
/// Ends those.
const END_IDLE: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
    WHERE datname = current_database() AND application_name = 'dependency-proxy' AND state = 'idle in transaction'";

async fn until(what: &str, fleet: &Fleet, query: &str, result: &str) {
    eventually(what, async || fleet.database.query(query) == result).await;
}

async fn create(service: &Service, name: &str) -> Answer {
    service.api("POST", "/groups", json!({"name": name, "path": name})).await
}

#[actix_rt::test]
async fn a_change_whose_turn_was_lost_waits_for_a_replica_that_registered_meanwhile() {
    let fleet = Fleet::of(2);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    let (writer, other) = (&fleet.replicas[0], &fleet.replicas[1]);
    let client = clients(&fleet, &token).remove(1);
    let id = other.service.data().join("replica-id");
    let id = std::fs::read_to_string(id).unwrap().trim().to_owned();
    // It goes by the log while it is not registered.
    other.to_database.set(Mode::Hold);
    fleet.database.query(&format!("DELETE FROM replica WHERE id = '{id}'"));
    let turn = fleet.database.take_turn();
    let faults = async {
        until("the writer waits", &fleet, WAITING, "1").await;
        // It has the list of replicas soon, and does not learn of it before its turn is lost.
        writer.to_database.set(Mode::Hold);
        drop(turn);
        until("the writer has the turn", &fleet, IDLE, "1").await;
        fleet.database.query(END_IDLE);
        other.to_database.set(Mode::Pass);
        until("the other is registered again", &fleet, "SELECT count(*) FROM replica", "2").await;
        other.lose_everything();
        writer.to_database.set(Mode::Pass);
        Instant::now()
    };
    let (_, lost_at) = join(revoke(&writer.service, group.id, &token), faults).await;
    assert!(lost_at.elapsed() >= BOUND, "it was acknowledged {:?} after the other was lost", lost_at.elapsed());
    assert_eq!(client.get("/v2/").await.status, 503);
}

#[actix_rt::test]
async fn a_replica_that_is_about_to_be_removed_registers_anew_before_it_decides() {
    let fleet = Fleet::of(2);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    let (id, client) = (fleet.database.query("SELECT min(id) FROM replica"), clients(&fleet, &token));
    let of_marked = (0..2).find(|replica| {
        let file = fleet.service(*replica).data().join("replica-id");
        std::fs::read_to_string(file).unwrap().trim() == id
    });
    let (marked, client) = (&fleet.replicas[of_marked.unwrap()], &client[of_marked.unwrap()]);
    // The first step of another replica that takes it for lost.
    fleet.database.query(&format!("UPDATE replica SET suspect = true WHERE id = '{id}'"));
    let suspect = format!("SELECT suspect FROM replica WHERE id = '{id}'");
    until("it registers anew", &fleet, &suspect, "f").await;
    // It cannot register now, and only the database tells it that it is not lost.
    let turn = fleet.database.take_turn();
    marked.to_bucket.set(Mode::Stall);
    fleet.database.query(&format!("UPDATE replica SET suspect = true WHERE id = '{id}'"));
    tokio::time::sleep(BOUND * 2).await;
    assert_eq!(client.get("/v2/").await.status, 503, "a writer would not wait for it after the second step");
    // The second step.
    fleet.database.query(&format!("DELETE FROM replica WHERE id = '{id}' AND suspect"));
    drop(turn);
    until("it registers anew", &fleet, &suspect, "f").await;
    eventually("it decides again", async || client.get("/v2/").await.status == 200).await;
}

#[actix_rt::test]
async fn a_change_waits_for_the_longest_bound_of_all_replicas() {
    let long = BOUND * 3;
    let fleet = Fleet::with_bounds(Postgres::shared(), Bucket::shared(), &[BOUND / 4, long]);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    let client = clients(&fleet, &token).remove(1);
    assert_eq!(client.get("/v2/").await.status, 200);
    fleet.replicas[1].lose_everything();
    let took = revoke(fleet.service(0), group.id, &token).await;
    assert!(took >= long, "{took:?}");
    assert_eq!(client.get("/v2/").await.status, 503);
}

#[actix_rt::test]
async fn a_replica_that_stands_still_in_its_turn_loses_it() {
    let fleet = Fleet::of(2);
    let turn = fleet.database.take_turn();
    let stops = async {
        until("the first waits for its turn", &fleet, WAITING, "1").await;
        signal(fleet.service(0), "STOP");
        drop(turn);
        until("it has its turn", &fleet, IDLE, "1").await;
        let began = Instant::now();
        let made = create(fleet.service(1), "of-the-other").await;
        let took = began.elapsed();
        signal(fleet.service(0), "CONT");
        (made, took)
    };
    let (stopped, (made, took)) = join(create(fleet.service(0), "of-the-stopped"), stops).await;
    assert_eq!(made.status, 201, "{}", made.text());
    // Twice the bound for the turn, and the bound for the one that does not confirm.
    assert!(took >= BOUND * 2, "{took:?}");
    assert!([201, 503].contains(&stopped.status), "{}", stopped.text());
    // It is stored once, or not at all.
    let stored = fleet.database.query("SELECT count(*) FROM record WHERE value ->> 'path' = 'of-the-stopped'");
    assert_eq!(stored, u8::from(stopped.status == 201).to_string());
}
