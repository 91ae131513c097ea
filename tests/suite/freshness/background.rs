//! Tags that have been stale for a short time only: served at once, and revalidated in the background.

use std::time::Duration;

use fake_registry::{Image, Kind, Layer, Listener};
use futures::future::join_all;

use super::Scene;
use crate::service::eventually;

/// Tags are fresh for a second, and are then served for an hour while they are revalidated.
const IN_BACKGROUND: &str = "[cache]\ntag_freshness = \"1s\"\nstale_while_revalidate = \"1h\"\nnegative_ttl = \"1h\"";

async fn stale_scene(lines: &str) -> Scene {
    let scene = Scene::start(lines).await;
    scene.gives(&scene.image, "miss").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    scene.hub.reset_counts();
    scene
}

#[actix_rt::test]
async fn nobody_waits_for_the_revalidation_of_a_tag_and_it_happens_once() {
    let scene = stale_scene(IN_BACKGROUND).await;
    // The `HEAD` does not end: a pull that waited for it would be stale.
    scene.hub.on(Kind::ManifestHead).hang();
    let pulls = join_all((0..200).map(|_| scene.pull("latest"))).await;
    for pulled in &pulls {
        assert_eq!((pulled.status, pulled.header("x-cache")), (200, "revalidating"), "{}", pulled.text());
        assert_eq!(pulled.body, scene.image.bytes());
        assert_eq!(scene.upstream_calls(pulled).await, 0);
    }
    scene.hub.seen(Kind::ManifestHead, 1).await;
    assert_eq!(scene.heads(), 1);
    assert!(scene.gets() <= 1, "only after the `HEAD` was given up");
}

#[actix_rt::test]
async fn after_the_revalidation_the_tag_is_fresh_again() {
    let scene = stale_scene("[cache]\ntag_freshness = \"2s\"\nstale_while_revalidate = \"1h\"").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.gives(&scene.image, "revalidating").await;
    eventually("the tag is fresh", async || scene.pull("latest").await.header("x-cache") == "hit").await;
    assert_eq!(scene.gets(), 0);
}

#[actix_rt::test]
async fn a_tag_that_moved_is_fetched_in_the_background_and_recorded_as_moved() {
    let scene = stale_scene(IN_BACKGROUND).await;
    let moved = Image::single(&[Layer::random(1_000, 2)]);
    scene.hub.push_image("library/alpine", "latest", &moved);
    scene.gives(&scene.image, "revalidating").await;
    eventually("the new manifest is served", async || scene.pull("latest").await.body == moved.bytes()).await;
    assert_eq!(scene.gets(), 1);
    assert!(scene.service.log().contains("a tag has moved"));
}

#[actix_rt::test]
async fn a_tag_that_is_gone_or_refused_upstream_is_gone_or_refused_here_after_one_more_pull() {
    for (status, later) in [(404, 404), (403, 403)] {
        let scene = stale_scene(IN_BACKGROUND).await;
        for kind in [Kind::ManifestHead, Kind::ManifestGet] {
            scene.hub.on(kind).status(status);
        }
        scene.gives(&scene.image, "revalidating").await;
        eventually("upstream's word holds", async || scene.pull("latest").await.status == later).await;
    }
}

#[actix_rt::test]
async fn an_outage_is_met_by_few_revalidations_and_after_the_time_the_tag_is_stale() {
    let lines = "[cache]\ntag_freshness = \"1s\"\nstale_while_revalidate = \"3s\"";
    let scene = stale_scene(lines).await;
    scene.hub.down(Listener::Registry);
    for _ in 0..100 {
        scene.gives(&scene.image, "revalidating").await;
    }
    eventually("the tag is stale", async || scene.pull("latest").await.header("x-cache") == "stale").await;
    scene.hub.up(Listener::Registry);
    eventually("upstream is requested again", async || {
        matches!(scene.pull("latest").await.header("x-cache"), "hit" | "revalidated")
    })
    .await;
}

#[actix_rt::test]
async fn a_restart_changes_nothing_about_it() {
    let mut scene = stale_scene(IN_BACKGROUND).await;
    scene.restart();
    scene.hub.on(Kind::ManifestHead).hang();
    scene.gives(&scene.image, "revalidating").await;
    scene.hub.seen(Kind::ManifestHead, 1).await;
}
