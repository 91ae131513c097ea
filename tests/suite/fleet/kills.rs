//! Replicas and the database are killed while identities are changed: no acknowledged change is lost, and what is
//! revoked stays revoked.

use std::time::Duration;

use engines::{Bucket, Postgres};
use futures::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};

use super::identities::signal;
use super::{Fleet, Mode};
use crate::service::{ADMIN_TOKEN, Client, Service, eventually};

/// Tries to create a group at this replica. Returns its name once it is acknowledged.
async fn create(service: &Service, name: String) -> Option<String> {
    let group = json!({"name": name, "path": name});
    let request = service.stranger().request(Method::POST, "/api/v4/groups").header("private-token", ADMIN_TOKEN);
    let answer = Client::try_send(request.timeout(Duration::from_secs(20)).json(&group)).await?;
    (answer.status == 201).then_some(name)
}

#[actix_rt::test]
async fn kills_of_replicas_and_of_the_database_lose_no_acknowledged_change() {
    let mut postgres = Postgres::start();
    let mut fleet = Fleet::over(&postgres, Bucket::shared(), 3);
    let mut acknowledged = Vec::new();
    for round in 0..12_usize {
        let creations = (0..9)
            .map(|number| create(fleet.service(number % 3), format!("group-{round}-{number}")))
            .collect::<Vec<_>>();
        let killed = (round % 4 < 3).then_some(round % 4);
        let kill = async {
            tokio::time::sleep(Duration::from_millis(3 * round as u64)).await;
            match killed {
                Some(replica) => signal(fleet.service(replica), "KILL"),
                None => postgres.kill(),
            }
        };
        let (created, ()) = join(join_all(creations), kill).await;
        acknowledged.extend(created.into_iter().flatten());
        match killed {
            Some(replica) => fleet.replicas[replica].service.restart_after_kill(),
            None => postgres.start_again(),
        }
        eventually("every replica can change identities", async || {
            let names = (0..3).map(|replica| create(fleet.service(replica), format!("after-{round}-{replica}")));
            let created = join_all(names).await;
            // One that was created by an attempt that failed cannot be created once more.
            let known = fleet
                .database
                .query(&format!("SELECT count(*) FROM record WHERE value ->> 'path' LIKE 'after-{round}-%'"));
            acknowledged.extend(created.into_iter().flatten());
            known == "3"
        })
        .await;
    }
    assert!(acknowledged.len() >= 12 * 3, "{}", acknowledged.len());
    for replica in 0..3 {
        for name in &acknowledged {
            let found = fleet.service(replica).api("GET", &format!("/groups/{name}"), Value::Null).await;
            assert_eq!(found.status, 200, "{name} is lost at replica {replica}");
        }
    }
    assert_eq!(
        fleet
            .database
            .query("SELECT count(*) = max(version) AND max(version) = (SELECT version FROM fence) FROM change"),
        "t"
    );
}

#[actix_rt::test]
async fn a_connection_that_is_lost_during_a_change_does_not_hide_whether_it_is_stored() {
    let fleet = Fleet::of(2);
    let mut acknowledged = Vec::new();
    for round in 0..20_u64 {
        let cut = async {
            tokio::time::sleep(Duration::from_micros(500 * round)).await;
            fleet.replicas[0].to_database.cut();
        };
        let (created, ()) = join(create(fleet.service(0), format!("group-{round}")), cut).await;
        acknowledged.extend(created);
        let mut attempt = 0;
        eventually("changes are possible again", async || {
            attempt += 1;
            let created = create(fleet.service(0), format!("after-{round}-{attempt}")).await;
            acknowledged.extend(created.clone());
            created.is_some()
        })
        .await;
    }
    for name in &acknowledged {
        assert_eq!(fleet.service(1).api("GET", &format!("/groups/{name}"), Value::Null).await.status, 200, "{name}");
    }
    assert!(acknowledged.len() >= 20);
}

#[actix_rt::test]
async fn a_slow_database_delays_changes_and_no_decision() {
    let fleet = Fleet::of(2);
    let group = fleet.service(0).group("team").await;
    for (mode, name) in [(Mode::Delay(Duration::from_millis(150)), "delayed"), (Mode::Slow(20_000), "slow")] {
        let token = fleet.service(0).deploy_token(&group, name).await;
        fleet.replicas.iter().for_each(|replica| replica.to_database.set(mode));
        tokio::time::sleep(super::BOUND * 2).await;
        let client = fleet.service(1).stranger().with_basic(&token.username, &token.secret);
        for _ in 0..20 {
            assert_eq!(client.get("/v2/").await.status, 200);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        super::identities::revoke(fleet.service(0), group.id, &token).await;
        assert_eq!(client.get("/v2/").await.status, 403);
        fleet.replicas.iter().for_each(super::Replica::find_everything);
    }
}

#[actix_rt::test]
async fn a_partition_that_heals_leaves_nothing_behind() {
    let fleet = Fleet::of(2);
    let cut = &fleet.replicas[1];
    cut.to_database.set(Mode::Hold);
    let group = fleet.service(0).group("team").await;
    cut.find_everything();
    let token = fleet.service(1).deploy_token(&group, "ci").await;
    assert_eq!(fleet.service(0).stranger().with_basic(&token.username, &token.secret).get("/v2/").await.status, 200);
}
