//! Clients that are configured to use a group of the service as mirror of docker.io, and name images as before.

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

#[actix_rt::test]
async fn containerd_pulls_images_of_any_name_from_a_registry_that_it_names() {
    let names =
        ["my.group/app:1=oci", "docker.io/library/tool:1=oci-index", "library/tool:1=docker", "single:1=docker"];
    let scene = Scene::with_open_registry(&names).await;
    let host = scene.registry.as_ref().unwrap().address().to_owned();
    let service = Config::upstream_at("other.test", &format!("http://{host}")).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let credential = Credential::of(&token.username, &token.secret);
    for (image, digest) in &scene.images {
        let (host, path) = (service.address.to_string(), of("team", image));
        let digests = Client::Ctr.pull_by_mirror_of(&scene.engines, &host, credential, &path, "other.test");
        assert!(digests.as_ref().is_ok_and(|digests| digests.contains(digest)), "{image}: {digests:?}");
    }
}
