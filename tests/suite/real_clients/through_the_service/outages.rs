//! Pulls while upstream is unavailable: cached images are served, others fail with a reason.

use super::*;

#[actix_rt::test]
async fn what_is_cached_is_pulled_while_upstream_is_down_and_the_rest_says_so() {
    let mut scene = Scene::with_open_registry(&["library/cached:1=oci-index", "library/cold:1=oci"]).await;
    let (cached, digest) = scene.images[0].clone();
    // Skopeo pulls every platform of the image.
    scene.assert_pulls(Client::Skopeo, &cached, &digest);
    drop(scene.registry.take());
    for client in Client::ALL {
        scene.assert_pulls(client, &cached, &digest);
        scene.assert_pulls(client, &format!("library/cached@{digest}"), &digest);
        let said = scene.pull(client, "library/cold:1").unwrap_err();
        let told = "503 Upstream registry refuses connections and this is not cached here yet";
        assert!(said.contains(told), "{client:?}: {said}");
    }
}
