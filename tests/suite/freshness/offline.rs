//! `network_mode = "offline"`: no registry is contacted, and errors state that.

use serde_json::Value;

use super::{REVALIDATE_ALWAYS, Scene};
use crate::service::eventually;

const OFFLINE: &str = "[proxy]\nnetwork_mode = \"offline\"";
const SENTENCE: &str = "This service is offline (proxy.network_mode) and alpine:other is not cached here yet";

#[actix_rt::test]
async fn what_is_cached_is_served_without_a_registry_and_the_rest_is_refused_with_the_reason() {
    let mut scene = Scene::start(REVALIDATE_ALWAYS).await;
    scene.gives(&scene.image, "miss").await;
    let layer = scene.image.layers()[0].clone();
    scene.client.stored_blob("team", "alpine", layer.digest()).await;
    scene.service.add_settings(OFFLINE);
    scene.restart();
    scene.hub.reset_counts();
    scene.gives(&scene.image, "hit").await;
    assert_eq!(scene.client.blob("team", "alpine", layer.digest()).await.header("x-cache"), "hit");
    let refused = scene.pull("other").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "UNAVAILABLE"));
    assert!(refused.message().starts_with(SENTENCE), "{}", refused.message());
    assert_eq!(scene.client.blob("team", "alpine", scene.image.digest()).await.status, 503);
    assert_eq!(scene.client.get("/v2/team/dependency_proxy/containers/alpine/tags/list").await.status, 503);
    assert_eq!(scene.hub.requests().total(), 0);
    let explain = "/groups/team/dependency_proxy/explain?user=root&image=alpine";
    let explained = scene.service.api("GET", explain, Value::Null).await.json();
    assert_eq!(explained["image"]["fresh_seconds"], Value::Null, "no pull asks the registry: {explained}");
    assert!(scene.service.log().contains("proxy.network_mode is offline"));
}

#[actix_rt::test]
async fn a_reload_goes_offline_and_online_again() {
    let scene = Scene::start(&format!("{REVALIDATE_ALWAYS}\n{OFFLINE}")).await;
    assert_eq!(scene.pull("latest").await.status, 503);
    scene.service.replace_setting("\"offline\"", "\"online\"");
    scene.service.signal("HUP");
    eventually("the service is online", async || scene.pull("latest").await.status == 200).await;
    scene.service.replace_setting("\"online\"", "\"offline\"");
    scene.service.signal("HUP");
    let mut number = 0;
    let is_offline = async || {
        // Each tag is another one, because what upstream does not have is remembered.
        number += 1;
        scene.pull(&format!("other-{number}")).await.status == 503
    };
    eventually("the service is offline", is_offline).await;
    // The registries are offline first, and the rule for tags follows within milliseconds.
    eventually("tags are fresh", async || scene.pull("latest").await.header("x-cache") == "hit").await;
    scene.gives(&scene.image, "hit").await;
}
