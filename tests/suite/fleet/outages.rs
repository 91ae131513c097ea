//! Engines that fail, and replicas that are cut off from them: what is cached is served, and no replica decides by what
//! held before an acknowledged change.

use std::time::{Duration, Instant};

use engines::{Bucket, Postgres};
use serde_json::{Value, json};

use super::identities::{clients, revoke};
use super::{BOUND, Fleet, Mode};
use crate::operating::metrics::metric;
use crate::service::{Service, eventually};

#[actix_rt::test]
async fn a_replica_that_alone_loses_the_database_follows_the_changes_in_the_object_store() {
    for mode in [Mode::Refuse, Mode::Stall] {
        let fleet = Fleet::of(3);
        let group = fleet.service(0).group("team").await;
        let good = fleet.service(0).deploy_token(&group, "good").await;
        fleet.replicas[2].lose_database(mode);
        tokio::time::sleep(BOUND * 2).await;
        for round in 0..10 {
            let token = fleet.service(0).deploy_token(&group, &format!("ci-{round}")).await;
            let lost = clients(&fleet, &token).remove(2);
            assert_eq!(lost.get("/v2/").await.status, 200, "it has followed the change");
            revoke(fleet.service(1), group.id, &token).await;
            for _ in 0..20 {
                assert_eq!(lost.get("/v2/").await.status, 403);
            }
            assert_eq!(clients(&fleet, &good).remove(2).get("/v2/").await.status, 200);
        }
        let refused = fleet.service(2).api("POST", "/groups", json!({"name": "new", "path": "new"})).await;
        assert_eq!(refused.status, 503);
        assert!(refused.text().contains("the database of this service cannot be reached"), "{}", refused.text());
        fleet.replicas[2].find_everything();
        eventually("it can change identities again", async || {
            fleet.service(2).api("POST", "/groups", json!({"name": "new", "path": "new"})).await.status == 201
        })
        .await;
    }
}

#[actix_rt::test]
async fn a_replica_that_is_cut_off_from_everything_but_clients_refuses_after_the_bound() {
    let fleet = Fleet::of(3);
    let group = fleet.service(0).group("team").await;
    let (token, good) =
        (fleet.service(0).deploy_token(&group, "ci").await, fleet.service(0).deploy_token(&group, "good").await);
    let lost = &fleet.replicas[2];
    lost.lose_everything();
    revoke(fleet.service(0), group.id, &token).await;
    let client = clients(&fleet, &token).remove(2);
    for _ in 0..5 {
        let answer = client.get("/v2/").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("retry-after"), "1");
        assert!(answer.message().contains("do not respond"), "{}", answer.message());
    }
    assert_eq!(lost.service.api("GET", "/groups", Value::Null).await.status, 503);
    assert_eq!(lost.service.stranger().get("/readyz").await.status, 503);
    assert_eq!(clients(&fleet, &good).remove(0).get("/v2/").await.status, 200);
    let late = "dependency_proxy_fleet_late_confirmations_total";
    assert!(metric(fleet.service(0), late).await > 0);
    eventually("the log says which replica is silent", async || {
        let log = fleet.service(0).log();
        log.lines().any(|line| {
            line.contains("a replica did not confirm a change in time") && line.contains("it does not respond in time")
        })
    })
    .await;
    lost.find_everything();
    eventually("it is back", async || clients(&fleet, &good).remove(2).get("/v2/").await.status == 200).await;
    assert_eq!(client.get("/v2/").await.status, 403);
}

#[actix_rt::test]
async fn without_the_database_logins_and_pulls_go_on_and_changes_are_refused_with_a_sentence() {
    let mut postgres = Postgres::start();
    let fleet = Fleet::over(&postgres, Bucket::shared(), 2);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    postgres.stop_immediately();
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_secs(5) {
        for client in clients(&fleet, &token) {
            let asked = Instant::now();
            assert_eq!(client.get("/v2/").await.status, 200);
            times.push(asked.elapsed());
        }
    }
    times.sort_unstable();
    assert!(times[times.len() / 2] < Duration::from_secs(1), "nobody waits for the database: {times:?}");
    assert_eq!(fleet.service(0).token(&token.username, &token.secret, "").await.status, 200);
    let path = format!("/groups/{}/deploy_tokens/{}", group.id, token.id);
    let refused = fleet.service(0).api("DELETE", &path, Value::Null).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    postgres.start_again();
    eventually("a change is possible again", async || {
        fleet.service(1).api("DELETE", &path, Value::Null).await.status == 204
    })
    .await;
    for client in clients(&fleet, &token) {
        assert_eq!(client.get("/v2/").await.status, 403);
    }
}

#[actix_rt::test]
async fn without_the_object_store_changes_are_confirmed_by_the_replicas_themselves() {
    let mut bucket = Bucket::start();
    let fleet = Fleet::over(Postgres::shared(), &bucket, 2);
    let group = fleet.service(0).group("team").await;
    bucket.kill();
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    revoke(fleet.service(1), group.id, &token).await;
    for client in clients(&fleet, &token) {
        assert_eq!(client.get("/v2/").await.status, 403);
    }
    // A replica that does not confirm may follow the log, which lacks the change.
    super::identities::signal(fleet.service(1), "STOP");
    let stored = fleet.service(0).api("POST", "/groups", json!({"name": "new", "path": "new"})).await;
    assert_eq!(stored.status, 503, "{}", stored.text());
    assert!(stored.text().contains("not confirmed by all replicas"), "{}", stored.text());
    super::identities::signal(fleet.service(1), "CONT");
    bucket.start_again();
    eventually("the log is complete again", async || {
        let name = format!("probe-{}", name_of_now());
        fleet.service(0).api("POST", "/groups", json!({"name": name, "path": name})).await.status == 201
            && fleet.database.query("SELECT version = logged FROM fence") == "t"
    })
    .await;
    assert_eq!(fleet.service(1).api("GET", "/groups/new", Value::Null).await.status, 200);
}

#[actix_rt::test]
async fn both_engines_gone_is_503_after_the_bound_and_nothing_hangs() {
    let fleet = Fleet::of(1);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    fleet.replicas[0].lose_everything();
    tokio::time::sleep(BOUND * 2).await;
    let client = clients(&fleet, &token).remove(0);
    let began = Instant::now();
    assert_eq!(client.get("/v2/").await.status, 503);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(page(fleet.service(0)).await, 503);
}

#[actix_rt::test]
async fn a_database_that_was_restored_to_an_earlier_state_is_noticed_and_the_log_begins_anew() {
    let fleet = Fleet::of(2);
    let group = fleet.service(0).group("team").await;
    let before = fleet.database.query("SELECT version FROM fence");
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    let history = fleet.database.query("SELECT history FROM fence");
    // As a restore of a dump would do.
    fleet.database.query(&format!(
        "BEGIN; UPDATE fence SET version = {before}, logged = {before}; DELETE FROM change WHERE version > {before}; \
         DELETE FROM record WHERE key LIKE 'token/%' AND value ->> 'name' = 'ci'; COMMIT"
    ));
    eventually("both notice it", async || statuses(&fleet, &token).await == [403, 403]).await;
    fleet.service(0).deploy_token(&group, "other").await;
    eventually("the log begins anew", async || fleet.database.query("SELECT history FROM fence") != history).await;
    assert!(fleet.replicas.iter().any(|replica| replica.service.log().contains("restore")));
}

async fn statuses(fleet: &Fleet, token: &crate::service::Token) -> Vec<u16> {
    let mut statuses = Vec::new();
    for client in clients(fleet, token) {
        statuses.push(client.get("/v2/").await.status);
    }
    statuses
}

async fn page(service: &Service) -> u16 {
    service.stranger().get("/-/sign-in").await.status
}

fn name_of_now() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
}

#[actix_rt::test]
async fn a_replica_that_never_had_a_look_at_the_database_does_not_go_by_the_log() {
    let mut fleet = Fleet::of(2);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    fleet.replicas[1].service.stop();
    // It loads, and has no look after that: each takes longer than it may.
    fleet.replicas[1].to_database.set(Mode::Delay(Duration::from_millis(300)));
    fleet.replicas[1].service.restart();
    revoke(fleet.service(0), group.id, &token).await;
    let client = clients(&fleet, &token).remove(1);
    for _ in 0..10 {
        let status = client.get("/v2/").await.status;
        assert!(status == 503 || status == 403, "{status}");
    }
}

#[actix_rt::test]
async fn a_backup_that_is_restored_while_all_replicas_are_stopped_begins_another_history() {
    let mut fleet = Fleet::of(2);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    let backup = "CREATE TABLE old_record AS SELECT * FROM record; CREATE TABLE old_change AS SELECT * FROM change; \
                  CREATE TABLE old_fence AS SELECT * FROM fence";
    fleet.database.query(backup);
    for number in 0..3 {
        fleet.service(0).group(&format!("later-{number}")).await;
    }
    fleet.replicas.iter_mut().for_each(|replica| assert!(replica.service.stop().success()));
    let restore = "BEGIN; DELETE FROM record; INSERT INTO record SELECT * FROM old_record; DELETE FROM change; \
                   INSERT INTO change SELECT * FROM old_change; DELETE FROM fence; INSERT INTO fence SELECT * FROM old_fence; COMMIT";
    fleet.database.query(restore);
    let history = fleet.database.query("SELECT history FROM fence");
    fleet.replicas.iter_mut().for_each(|replica| replica.service.restart());
    eventually("another history begins", async || fleet.database.query("SELECT history FROM fence") != history).await;
    eventually("both are ready", async || statuses(&fleet, &token).await == [200, 200]).await;
    fleet.replicas[1].lose_database(Mode::Refuse);
    tokio::time::sleep(BOUND * 2).await;
    revoke(fleet.service(0), group.id, &token).await;
    assert_eq!(statuses(&fleet, &token).await, [403, 403]);
    for number in 0..4 {
        fleet.service(0).group(&format!("new-{number}")).await;
    }
    fleet.replicas[1].find_everything();
    eventually("all is the same again", async || {
        fleet.service(1).api("GET", "/groups/new-3", Value::Null).await.status == 200
            && fleet.service(1).api("GET", "/groups/later-0", Value::Null).await.status == 404
    })
    .await;
    assert_eq!(statuses(&fleet, &token).await, [403, 403]);
}

#[actix_rt::test]
async fn what_somebody_writes_into_the_bucket_changes_nothing() {
    let fleet = Fleet::of(2);
    let group = fleet.service(0).group("team").await;
    let token = fleet.service(0).deploy_token(&group, "ci").await;
    revoke(fleet.service(0), group.id, &token).await;
    // The very change that created the token, under the next number.
    let made = fleet.database.query("SELECT max(version) - 1 FROM change");
    let next = fleet.database.query("SELECT max(version) + 1 FROM change");
    let text = fleet.database.query(&format!("SELECT writes FROM change WHERE version = {made}"));
    let forged = text.replace(&format!("\"version\":{made}"), &format!("\"version\":{next}"));
    let history = fleet.database.query("SELECT history FROM fence");
    fleet.replicas[1].lose_database(Mode::Refuse);
    tokio::time::sleep(BOUND).await;
    let path = format!("{}/changes/{history}/{:020}", fleet.prefix, next.parse::<u64>().unwrap());
    Bucket::shared().put(&path, &format!("{}\n{forged}", "00".repeat(32)));
    for _ in 0..20 {
        let status = clients(&fleet, &token).remove(1).get("/v2/").await.status;
        assert!(status == 403 || status == 503, "{status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
