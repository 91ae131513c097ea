//! Clients that are configured to find docker.io at a group of the service, and name images as they always did.

use super::*;

#[actix_rt::test]
async fn podman_and_containerd_pull_images_of_docker_io_by_way_of_a_group() {
    let scene = Scene::with_open_registry(&["library/tool:1=oci-index", "acme/app:1=docker-list"]).await;
    for client in [Client::Podman, Client::Ctr] {
        for (image, digest) in &scene.images {
            let path = of("team", image);
            let digests = client.pull_by_mirror(&scene.engines, &scene.host(), scene.credential(), &path);
            assert!(digests.as_ref().is_ok_and(|digests| digests.contains(digest)), "{client:?} {image}: {digests:?}");
        }
    }
}
