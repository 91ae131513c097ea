//! Events of changes of what groups have cached.

use fake_registry::{Image, Layer};
use serde_json::Value;

use super::{events, only};
use crate::service::Scenario;

#[actix_rt::test]
async fn pins_refreshes_deletions_and_a_purge_have_events_and_pulls_have_none() {
    let image = Image::single(&[Layer::random(20_000, 1)]);
    let started = Scenario::new()
        .image("library/app", "1", &image)
        .image("library/app", "2", &image)
        .settings("[cache]\ntag_freshness = \"1h\"")
        .start()
        .await;
    let (service, client) = (&started.service, &started.client);
    for tag in ["1", "2"] {
        assert_eq!(client.manifest("team", "app", tag).await.status, 200);
    }
    let before = events(service, "").await.len();
    for _ in 0..30 {
        assert_eq!(client.manifest("team", "app", "1").await.header("x-cache"), "hit");
    }
    let of = |what: &str, name: &str| format!("/groups/team/dependency_proxy/{what}/{name}");
    let images = |name: &str| of("images", name);
    // The second time nothing changes, so it has no event.
    for _ in 0..2 {
        assert_eq!(service.api("PUT", &images("app:1"), serde_json::json!({"pinned": true})).await.status, 200);
    }
    let moved = Image::single(&[Layer::random(20_000, 2)]);
    started.hub.push_image("library/app", "1", &moved);
    assert_eq!(service.api("POST", &of("refresh", "app:1"), Value::Null).await.status, 200);
    assert_eq!(service.api("DELETE", &images("app:2"), Value::Null).await.status, 204);
    assert_eq!(service.api("DELETE", &images("app:9"), Value::Null).await.status, 404);
    assert_eq!(service.api("DELETE", "/groups/team/dependency_proxy/cache", Value::Null).await.status, 202);

    let pinned = only(service, "event_name=cached_image_pinned").await;
    assert_eq!((&pinned["details"]["from"], &pinned["details"]["to"]), (&false.into(), &true.into()));
    assert_eq!(pinned["details"]["target_details"], "library/app:1");
    assert_eq!(pinned["details"]["author_name"], "root");
    let refreshed = only(service, "event_name=cached_image_refreshed").await;
    assert_eq!(
        (&refreshed["details"]["from"], &refreshed["details"]["to"]),
        (&image.digest().into(), &moved.digest().into())
    );
    let deleted = only(service, "event_name=cached_image_deleted").await;
    assert_eq!(
        (&deleted["details"]["change"], &deleted["details"]["from"]),
        (&"digest".into(), &image.digest().into())
    );
    assert_eq!(only(service, "event_name=cache_cleared").await["details"]["entity_path"], "team");
    assert_eq!(events(service, "").await.len(), before + 4);
}

#[actix_rt::test]
async fn a_refresh_that_fails_has_an_event_with_the_reason() {
    let image = Image::single(&[Layer::random(20_000, 1)]);
    let started = Scenario::new().image("library/app", "1", &image).start().await;
    assert_eq!(started.client.manifest("team", "app", "1").await.status, 200);
    started.hub.down(fake_registry::Listener::Registry);
    let refresh = "/groups/team/dependency_proxy/refresh/app:1";
    assert_eq!(started.service.api("POST", refresh, Value::Null).await.status, 502);
    let failed = only(&started.service, "event_name=cached_image_refreshed").await;
    assert!(failed["details"]["failure"].as_str().unwrap().contains("502"), "{failed}");
}
