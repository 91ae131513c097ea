//! Upstreams that redirect to forbidden addresses, or that have no address.

use std::fs;

use fake_registry::{Kind, Listener};

use super::{DOES_NOT_RESOLVE, EVERY_MANIFEST_REQUEST, Scene};

#[actix_rt::test]
async fn a_redirect_to_a_private_address_is_not_followed() {
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let listening = format!("http://{}/secret", elsewhere.local_addr().unwrap());
    for target in [listening.as_str(), "http://10.0.0.1/secret", "http://169.254.169.254/latest/meta-data/"] {
        let scene = Scene::start().await;
        for kind in EVERY_MANIFEST_REQUEST {
            scene.hub.on(kind).redirect_to(target);
        }
        scene.hub.on(Kind::BlobRedirect).redirect_to(target);
        let reason = "Upstream registry leads to an address that is not allowed";
        let sentence = "docker.io leads to an address that is neither public nor listed for it \
                        and new:latest is not cached here yet";
        scene.pull_new().await.is_unavailable(sentence, reason);
        assert_eq!(scene.pull_new_layer().await.status, 503);
        scene.cached_tag_is("stale").await;
        scene.cached_is_there().await;
        scene.nothing_bad_is_left().await;
    }
    assert!(elsewhere.accept().is_err(), "somebody came");
}

#[actix_rt::test]
async fn a_realm_at_another_site_gets_no_credentials() {
    let scene = Scene::start().await;
    let elsewhere = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    scene.hub.expire_tokens();
    scene.hub.realm_at(&format!("http://{}/token", elsewhere.local_addr().unwrap()));
    let reason = "Upstream registry wants the credentials at a host that is not listed for them";
    let sentence = "docker.io wants the login of account 'robot' at 127.0.0.2, which is not in its auth_hosts, \
                    and new:latest is not cached here yet";
    scene.pull_new().await.is_unavailable(sentence, reason);
    scene.cached_tag_is("stale").await;
    scene.cached_is_there().await;
    scene.nothing_bad_is_left().await;
    assert!(elsewhere.accept().is_err(), "somebody came");
}

#[actix_rt::test]
async fn a_name_that_does_not_resolve() {
    let mut scene = Scene::start().await;
    let config = scene.service.data().with_file_name("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(&scene.hub.host(Listener::Registry), "registry.invalid:5000")).unwrap();
    scene.service.stop();
    scene.service.restart();
    scene.client = scene.service.log_in_with(&scene.token).await;
    scene.pull_new().await.is_unavailable(DOES_NOT_RESOLVE.0, DOES_NOT_RESOLVE.1);
    assert_eq!(scene.pull_new_layer().await.status, 503);
    scene.cached_tag_is("stale").await;
    scene.cached_is_there().await;
    scene.nothing_bad_is_left().await;
}
