//! Nobody learns that something is revoked before all replicas refuse it: neither from the acknowledgement, nor from a
//! read, nor from a refusal.

use std::time::Duration;

use futures::future::join;
use serde_json::{Value, json};

use super::identities::{clients, revoke};
use super::{BOUND, Fleet};
use crate::service::{Client, Group, Token};

/// A way in which somebody may learn that the token is revoked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Learned {
    /// A read of the token by the API.
    Read,
    /// The audit trail.
    Trail,
    /// Another attempt to revoke it.
    Change,
    /// A refusal of a pull.
    Pull,
    /// A refusal of a login.
    Login,
}

/// Sends requests to this replica until a response shows that the token is revoked.
async fn wait_until_learned(from: Learned, fleet: &Fleet, replica: usize, group: &Group, token: &Token) {
    let service = fleet.service(replica);
    let path = format!("/groups/{}/deploy_tokens/{}", group.id, token.id);
    let client = clients(fleet, token).remove(replica);
    loop {
        let is_known = match from {
            Learned::Read => service.api("GET", &path, Value::Null).await.status == 404,
            Learned::Trail => {
                let events = service.api("GET", "/audit_events?event_name=deploy_token_revoked", Value::Null).await;
                events.status == 200 && events.json() != json!([])
            }
            Learned::Change => service.api("DELETE", &path, Value::Null).await.status == 404,
            Learned::Pull => client.get("/v2/").await.status == 403,
            Learned::Login => [401, 403].contains(&service.token(&token.username, &token.secret, "").await.status),
        };
        if is_known {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Revokes a token at one replica, while the last one has lost everything and decides by what it knows, and looks
/// whether that still accepts it once somebody has learned of it from this replica.
async fn learn(from: Learned, replica: usize) {
    let fleet = Fleet::of(3);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    let lost: Client = clients(&fleet, &token).remove(2);
    assert_eq!(lost.get("/v2/").await.status, 200);
    // What was changed before is confirmed there.
    assert_eq!(fleet.service(replica).api("GET", "/groups", Value::Null).await.status, 200);
    fleet.replicas[2].lose_everything();
    if from == Learned::Trail && replica != 0 {
        // The writer cannot tell it of the change, which it reads in the database before its own look.
        fleet.replicas[replica].to_replica.set(super::Mode::Stall);
    }
    let asking = async {
        if from == Learned::Change {
            // It is not the one that revokes the token.
            tokio::time::sleep(BOUND / 5).await;
        }
        wait_until_learned(from, &fleet, replica, &group, &token).await;
        lost.get("/v2/").await.status
    };
    let (took, status) = join(revoke(fleet.service(0), group.id, &token), asking).await;
    assert!(took >= BOUND, "the lost replica could still decide: {took:?}");
    assert_eq!(status, 503, "{from:?} at replica {replica}");
    fleet.replicas[2].find_everything();
}

#[actix_rt::test]
async fn a_read_shows_a_revocation_once_no_replica_accepts_the_token() {
    learn(Learned::Read, 0).await;
    learn(Learned::Read, 1).await;
}

#[actix_rt::test]
async fn the_audit_trail_shows_a_revocation_once_no_replica_accepts_the_token() {
    learn(Learned::Trail, 0).await;
    learn(Learned::Trail, 1).await;
}

#[actix_rt::test]
async fn a_change_that_comes_too_late_shows_a_revocation_once_no_replica_accepts_the_token() {
    learn(Learned::Change, 0).await;
    learn(Learned::Change, 1).await;
}

#[actix_rt::test]
async fn a_refused_pull_or_login_shows_a_revocation_once_no_replica_accepts_the_token() {
    learn(Learned::Pull, 0).await;
    learn(Learned::Pull, 1).await;
    learn(Learned::Login, 0).await;
    learn(Learned::Login, 1).await;
}

#[actix_rt::test]
async fn reads_of_what_is_confirmed_do_not_wait_while_a_replica_is_lost_or_the_database_is_away() {
    let fleet = Fleet::of(2);
    fleet.service(0).group("team").await;
    fleet.replicas[1].lose_everything();
    assert_eq!(fleet.service(0).api("GET", "/groups", Value::Null).await.status, 200);
    fleet.replicas[0].lose_database(super::Mode::Refuse);
    tokio::time::sleep(BOUND * 2).await;
    let mut times = Vec::new();
    for _ in 0..10 {
        let began = std::time::Instant::now();
        assert_eq!(fleet.service(0).api("GET", "/groups", Value::Null).await.status, 200);
        times.push(began.elapsed());
    }
    // Each of them would wait.
    assert!(times.iter().min().is_some_and(|time| *time < BOUND / 2), "{times:?}");
}

#[actix_rt::test]
async fn a_replica_that_follows_the_object_store_shows_changes_once_they_are_confirmed() {
    let fleet = Fleet::of(2);
    fleet.replicas[1].lose_database(super::Mode::Refuse);
    tokio::time::sleep(BOUND * 2).await;
    let group = fleet.service(0).group("team").await;
    crate::service::eventually("it shows the change", async || {
        fleet.service(1).api("GET", &format!("/groups/{}", group.id), Value::Null).await.status == 200
    })
    .await;
}
