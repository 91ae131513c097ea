//! Removals of cached content at all replicas.

use super::*;

/// Number of purges, each with pulls at the same time, and of these pulls.
const ROUNDS: usize = 8;
const PULLS: usize = 12;

#[actix_rt::test]
async fn an_image_goes_with_what_its_tag_stood_for_before() {
    let scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    scene.tag_moves().await;
    let removed = scene.fleet.service(1).api("DELETE", &format!("{IMAGES}/app:1"), Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM link"), "0");
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM earlier"), "0");
    scene.upstream_is_down();
    for replica in 0..2 {
        let client = scene.client(replica).await;
        let digest = scene.image.digest();
        let is_gone = async || client.manifest("team", "app", digest).await.status == 503;
        eventually("what the tag stood for is gone", is_gone).await;
    }
}

#[actix_rt::test]
async fn a_replica_lists_and_removes_what_others_have_cached() {
    let scene = Scene::of(3).await;
    scene.pull(0).await;
    for replica in 0..3 {
        let service = scene.fleet.service(replica);
        eventually("it lists the image", async || tags(service).await == ["1"]).await;
    }
    // All that another replica needs is in the bucket: it would serve it without upstream.
    scene.uploaded(3).await;
    scene.pull(2).await;
    let removed = scene.fleet.service(1).api("DELETE", &format!("{IMAGES}/app:1"), Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    for replica in 0..3 {
        let service = scene.fleet.service(replica);
        eventually("the image is gone", async || tags(service).await.is_empty()).await;
    }
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM link"), "0");
    scene.upstream_is_down();
    for replica in 0..3 {
        let client = scene.client(replica).await;
        assert_eq!(client.manifest("team", "app", "1").await.status, 503, "replica {replica}");
        assert_eq!(client.blob("team", "app", scene.layer.digest()).await.status, 503, "replica {replica}");
    }
}

#[actix_rt::test]
async fn an_image_goes_with_what_it_names_before_its_manifest_is_in_the_bucket() {
    let scene = Scene::of(2).await;
    for replica in &scene.fleet.replicas {
        replica.to_bucket.set(Mode::Refuse);
        replica.to_bucket.cut();
    }
    scene.pull(0).await;
    let links = async || scene.fleet.database.query("SELECT count(*) FROM link") == "3";
    eventually("the links are shared", links).await;
    let removed = scene.fleet.service(0).api("DELETE", &format!("{IMAGES}/app:1"), Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    assert_eq!(scene.fleet.database.query("SELECT count(*) FROM link"), "0");
}

#[actix_rt::test]
async fn a_cleared_cache_is_cleared_at_every_replica() {
    let scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    scene.pull(1).await;
    let cleared = scene.fleet.service(1).api("DELETE", "/groups/team/dependency_proxy/cache", Value::Null).await;
    assert_eq!(cleared.status, 202, "{}", cleared.text());
    for replica in 0..2 {
        let service = scene.fleet.service(replica);
        eventually("the image is gone", async || tags(service).await.is_empty()).await;
    }
    scene.upstream_is_down();
    let client = scene.client(0).await;
    eventually("it is not served any more", async || client.manifest("team", "app", "1").await.status == 503).await;
}

#[actix_rt::test]
async fn what_was_removed_while_a_replica_was_away_does_not_come_back_with_it() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.pull(1).await;
    scene.fleet.replicas[1].service.stop();
    let removed = scene.fleet.service(0).api("DELETE", &format!("{IMAGES}/app:1"), Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    scene.fleet.replicas[1].service.restart();
    assert!(tags(scene.fleet.service(1)).await.is_empty());
    scene.upstream_is_down();
    assert_eq!(scene.client(1).await.manifest("team", "app", "1").await.status, 503);
}

#[actix_rt::test]
async fn what_a_replica_has_pulled_while_it_was_cut_off_does_not_undo_a_removal() {
    let scene = Scene::of(2).await;
    scene.pull(0).await;
    eventually("both list the image", async || tags(scene.fleet.service(1)).await == ["1"]).await;
    scene.fleet.replicas[1].lose_database(Mode::Refuse);
    sleep(crate::fleet::BOUND).await;
    scene.pull(1).await;
    let removed = scene.fleet.service(0).api("DELETE", &format!("{IMAGES}/app:1"), Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    scene.fleet.replicas[1].to_database.set(Mode::Pass);
    eventually("the image is gone there, too", async || tags(scene.fleet.service(1)).await.is_empty()).await;
    // What waited has been written by now: each change of a replica comes after those before it.
    assert_eq!(
        scene.fleet.service(1).api("DELETE", "/groups/team/dependency_proxy/cache", Value::Null).await.status,
        202
    );
    scene.upstream_is_down();
    for replica in 0..2 {
        assert!(tags(scene.fleet.service(replica)).await.is_empty(), "replica {replica}");
        assert_eq!(scene.client(replica).await.manifest("team", "app", "1").await.status, 503, "replica {replica}");
    }
}

#[actix_rt::test]
async fn what_is_pulled_at_the_replica_that_removes_it_does_not_come_back() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    // Nothing is in memory: each pull adds to the shared index what it finds in that of the replica.
    scene.fleet.replicas[0].service.stop();
    scene.fleet.replicas[0].service.restart();
    scene.upstream_is_down();
    let client = scene.client(0).await;
    let turn = scene.fleet.database.take_content_turn();
    let path = format!("{IMAGES}/app:1");
    let removed = scene.fleet.service(0).api("DELETE", &path, Value::Null);
    let pulled = async {
        sleep(Duration::from_millis(500)).await;
        assert_eq!(client.manifest("team", "app", "1").await.status, 200, "it is not removed yet");
        assert_eq!(client.blob("team", "app", scene.layer.digest()).await.status, 200);
        drop(turn);
    };
    let (removed, ()) = futures::join!(removed, pulled);
    assert_eq!(removed.status, 204, "{}", removed.text());
    scene.is_gone_at_both_replicas().await;
}

#[actix_rt::test]
async fn what_another_replica_adds_during_a_purge_does_not_come_back() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.pull(1).await;
    scene.uploaded(3).await;
    scene.fleet.replicas[1].service.stop();
    scene.fleet.replicas[1].service.restart();
    scene.upstream_is_down();
    let client = scene.client(1).await;
    // The event of the purge is written slowly.
    scene.fleet.database.query(
        "CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END'; \
         CREATE TRIGGER slow BEFORE UPDATE ON content_head FOR EACH STATEMENT EXECUTE FUNCTION pause()",
    );
    let purged = scene.fleet.service(0).api("DELETE", "/groups/team/dependency_proxy/cache", Value::Null);
    let pulled = async {
        sleep(Duration::from_millis(500)).await;
        client.manifest("team", "app", "1").await;
        client.blob("team", "app", scene.layer.digest()).await;
    };
    let (purged, ()) = futures::join!(purged, pulled);
    assert_eq!(purged.status, 202, "{}", purged.text());
    scene.is_gone_at_both_replicas().await;
}

#[actix_rt::test]
async fn what_is_pulled_right_after_a_purge_adds_nothing_of_before_to_the_shared_index() {
    let scene = Scene::of(1).await;
    let client = scene.client(0).await;
    for _ in 0..ROUNDS {
        for listener in [Listener::Registry, Listener::Realm, Listener::Storage] {
            scene.fleet.hub.up(listener);
        }
        scene.pull(0).await;
        let links = async || scene.fleet.database.query("SELECT count(*) FROM link") == "3";
        eventually("the links are shared", links).await;
        scene.upstream_is_down();
        let service = scene.fleet.service(0);
        let purged = service.api("DELETE", "/groups/team/dependency_proxy/cache", Value::Null).await;
        assert_eq!(purged.status, 202, "{}", purged.text());
        // The links of this replica are removed meanwhile.
        let pulls = (0..PULLS).map(|_| client.blob("team", "app", scene.layer.digest()));
        futures::future::join_all(pulls).await;
        // What waited has been written by now: each change of a replica comes after those before it.
        let gone = service.api("DELETE", &format!("{IMAGES}/other:1"), Value::Null).await;
        assert_eq!(gone.status, 404, "{}", gone.text());
        assert_eq!(scene.fleet.database.query("SELECT count(*) FROM link"), "0");
    }
}

#[actix_rt::test]
async fn a_replica_that_knows_another_history_of_the_index_begins_with_an_empty_one() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    eventually("it has taken the image over", async || tags(scene.fleet.service(1)).await == ["1"]).await;
    sleep(Duration::from_secs(1)).await;
    scene.fleet.replicas[1].service.stop();
    // As after a restore: others have made another event with the number that it knows.
    scene
        .fleet
        .database
        .query("UPDATE content_event SET id = 'another'; DELETE FROM image; DELETE FROM link; DELETE FROM tag");
    scene.fleet.replicas[1].service.restart();
    assert!(tags(scene.fleet.service(1)).await.is_empty());
    scene.upstream_is_down();
    assert_eq!(scene.client(1).await.manifest("team", "app", "1").await.status, 503);
}

impl Scene {
    /// Checks that the image is neither shared nor served, while upstream is down.
    async fn is_gone_at_both_replicas(&self) {
        for replica in 0..2 {
            let client = self.client(replica).await;
            let is_gone = async || {
                let layer = client.blob("team", "app", self.layer.digest()).await.status;
                (client.manifest("team", "app", "1").await.status, layer) == (503, 503)
            };
            eventually("it is not served", is_gone).await;
        }
        // What waited has been written by now: each change of a replica comes after those before it.
        for replica in 0..2 {
            let service = self.fleet.service(replica);
            let gone = service.api("DELETE", &format!("{IMAGES}/other:1"), Value::Null).await;
            assert_eq!(gone.status, 404, "{}", gone.text());
            assert!(tags(service).await.is_empty(), "replica {replica}");
        }
        assert_eq!(self.fleet.database.query("SELECT count(*) FROM link"), "0");
        assert_eq!(self.fleet.database.query("SELECT count(*) FROM image"), "0");
    }
}
