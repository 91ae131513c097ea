//! Pulls of images and who made them: every replica shows those at all of them.

use super::*;

const PULLS: &str = "/groups/team/dependency_proxy/pulls/app:1";

/// Returns the number of pulls in the list of images, and those of the records of who pulled.
async fn pulls(service: &Service) -> (u64, Vec<u64>) {
    let images = service.api("GET", IMAGES, Value::Null).await.json();
    let records = service.api("GET", PULLS, Value::Null).await.json();
    let of_record = |record: &Value| record["pulls"].as_u64().unwrap();
    // After an outage a replica refuses everybody until it knows what has changed.
    let of_records = records.as_array().into_iter().flatten().map(of_record).collect();
    (images[0]["pulls"].as_u64().unwrap_or(0), of_records)
}

#[actix_rt::test]
async fn every_replica_shows_how_often_an_image_was_pulled_at_all_of_them_and_by_whom() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.pull(1).await;
    let other = scene.other_client().await;
    assert_eq!(other.manifest("team", "app", "1").await.status, 200);
    for replica in 0..2 {
        let are_all = async || {
            let (count, mut of_credentials) = pulls(scene.fleet.service(replica)).await;
            of_credentials.sort_unstable();
            count == 3 && of_credentials == [1, 2]
        };
        eventually("the pulls at both are shown", are_all).await;
    }
    // What was counted is there also for a replica that begins with an empty index.
    scene.fleet.replicas[1].service.stop();
    std::fs::remove_file(scene.fleet.service(1).data().join("cache/fleet-content")).unwrap();
    scene.fleet.replicas[1].service.restart();
    let are_all = async || pulls(scene.fleet.service(1)).await.0 == 3;
    eventually("the pulls are shown after a new start", are_all).await;
}

#[actix_rt::test]
async fn pulls_during_an_outage_of_the_database_are_counted_after_it() {
    let scene = Scene::of(2).await;
    scene.pull(0).await;
    let one = async || pulls(scene.fleet.service(1)).await.0 == 1;
    eventually("the first pull is shown", one).await;
    let client = scene.client(0).await;
    let other = scene.other_client().await;
    scene.fleet.replicas[0].to_database.set(Mode::Refuse);
    sleep(Duration::from_secs(1)).await;
    for client in [client, other] {
        assert_eq!(client.manifest("team", "app", "1").await.status, 200);
    }
    // Longer than it takes until pulls are written.
    sleep(Duration::from_secs(8)).await;
    scene.fleet.replicas[0].to_database.set(Mode::Pass);
    for replica in 0..2 {
        let are_all = async || {
            let (count, of_credentials) = pulls(scene.fleet.service(replica)).await;
            count >= 2 && of_credentials.len() == 2
        };
        eventually("the pulls during the outage are shown", are_all).await;
    }
}

#[actix_rt::test]
async fn a_pull_by_digest_keeps_the_tag_that_stands_for_it() {
    let scene = Scene::of(1).await;
    scene.pull(0).await;
    let database = &scene.fleet.database;
    let is_counted = async || database.query("SELECT sum(pulls) FROM image") == "1";
    eventually("the first pull is counted", is_counted).await;
    database.query("UPDATE image SET pulled_at = now() - interval '30 days'");
    let client = scene.client(0).await;
    assert_eq!(client.manifest("team", "app", scene.image.digest()).await.status, 200);
    let tag = "SELECT bool_and(pulled_at > now() - interval '1 hour' AND pulls = 1) FROM image WHERE reference = '1'";
    eventually("the time of the tag is that of the pull", async || database.query(tag) == "t").await;
}
