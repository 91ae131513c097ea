//! Tags that move, or that upstream refuses, at all replicas.

use super::*;

#[actix_rt::test]
async fn a_stale_tag_is_revalidated_once_for_all_replicas() {
    let scene =
        Scene::with(3, "[cache]\ntag_freshness = \"4s\"\nstale_while_revalidate = 0\nrevalidate_timeout = \"3s\"")
            .await;
    let mut clients = Vec::new();
    for replica in 0..3 {
        scene.pull(replica).await;
        clients.push(scene.client(replica).await);
    }
    sleep(Duration::from_secs(5)).await;
    let hub = &scene.fleet.hub;
    hub.reset_counts();
    hub.on(Kind::ManifestHead).delay(Duration::from_millis(500));
    let pulls = clients.iter().map(|client| client.manifest("team", "app", "1"));
    for answer in futures::future::join_all(pulls).await {
        assert_eq!((answer.status, &answer.body), (200, scene.image.bytes()));
    }
    assert_eq!(hub.requests().manifest_heads("library/app", "1"), 1);
    assert_eq!(hub.requests().manifest_gets("library/app", "1"), 0);
}

#[actix_rt::test]
async fn a_tag_that_has_moved_for_one_replica_has_moved_for_all() {
    let scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.pull(1).await;
    let moved = Image::single(&[Layer::random(1_000, 6)]);
    scene.fleet.hub.push_image("library/app", "1", &moved);
    let refreshed = scene.fleet.service(0).api("POST", "/groups/team/dependency_proxy/refresh/app:1", json!({})).await;
    assert!(refreshed.status < 300, "{}", refreshed.text());
    let client = scene.client(1).await;
    eventually("the other replica has followed", async || {
        client.manifest("team", "app", "1").await.body == *moved.bytes()
    })
    .await;
    assert_eq!(scene.fleet.hub.requests().manifest_gets("library/app", "1"), 2, "one for each image");
}

#[actix_rt::test]
async fn a_replica_that_serves_what_a_tag_was_before_does_not_move_it_back() {
    let mut scene = Scene::of(2).await;
    scene.pull(0).await;
    scene.pull(1).await;
    scene.fleet.replicas[1].service.stop();
    let moved = Image::single(&[Layer::random(1_000, 6)]);
    scene.fleet.hub.push_image("library/app", "1", &moved);
    let refreshed = scene.fleet.service(0).api("POST", "/groups/team/dependency_proxy/refresh/app:1", json!({})).await;
    assert!(refreshed.status < 300, "{}", refreshed.text());
    scene.fleet.replicas[1].service.restart();
    // Its own index still has the earlier image, which it adds to that of the fleet when it is pulled.
    let client = scene.client(1).await;
    client.manifest("team", "app", "1").await;
    eventually("the replica has followed", async || client.manifest("team", "app", "1").await.body == *moved.bytes())
        .await;
    let image = scene.fleet.database.query("SELECT encode(digest, 'hex') FROM image WHERE reference = '1'");
    assert_eq!(format!("sha256:{}", image.trim()), moved.digest());
}

#[actix_rt::test]
async fn a_confirmation_of_before_does_not_end_a_denial() {
    let scene = Scene::with(2, "[cache]\ntag_freshness = \"2s\"\nstale_while_revalidate = 0").await;
    scene.pull(0).await;
    scene.pull(1).await;
    let (one, other) = (scene.client(0).await, scene.client(1).await);
    scene.fleet.replicas[1].lose_database(Mode::Refuse);
    sleep(Duration::from_secs(3)).await;
    // It has upstream confirm the tag, and cannot share that, nor the image after it.
    assert_eq!(other.manifest("team", "app", "1").await.status, 200);
    scene.fleet.hub.push_image("library/after", "1", &scene.image);
    assert_eq!(other.manifest("team", "after", "1").await.status, 200);
    for kind in [Kind::ManifestHead, Kind::ManifestGet] {
        scene.fleet.hub.on(kind).in_repository("library/app").refusal(403, "DENIED", "not for you");
    }
    assert_eq!(one.manifest("team", "app", "1").await.status, 403);
    let is_denied = async || scene.fleet.database.query("SELECT count(*) FROM tag WHERE denied") == "1";
    eventually("the denial is shared", is_denied).await;
    scene.fleet.replicas[1].to_database.set(Mode::Pass);
    let images = async || scene.fleet.database.query("SELECT count(*) FROM image") == "2";
    eventually("what waited is shared", images).await;
    assert!(is_denied().await, "the confirmation was before the denial");
}
