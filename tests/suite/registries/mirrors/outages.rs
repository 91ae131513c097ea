//! Mirrors that do not respond, are down, or come back, and those that serve while the registry itself is down.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[actix_rt::test]
async fn a_mirror_that_does_not_respond_is_skipped_and_costs_its_timeout_seldom() {
    let own = FakeRegistry::start();
    let images: Vec<Image> = (0..30).map(image).collect();
    for (number, image) in images.iter().enumerate() {
        own.push_image(&format!("acme/{number}"), "1", image);
    }
    let (silent, accepted) = silent_host();
    let scene = Scene::start(own, &[silent], "header_timeout = \"1s\"").await;
    for (number, image) in images.iter().enumerate() {
        is_image(&scene.pull(&format!("acme/{number}")).await, image);
    }
    let accepted = accepted.load(Ordering::SeqCst);
    assert!((1..images.len()).contains(&accepted), "{accepted} connections for {} pulls", images.len());
    let metrics = scene.metrics().await;
    assert!(
        metrics.contains("dependency_proxy_mirror_skipped{upstream=\"docker.io\",mirror=\"127.0.0.1:"),
        "{metrics}"
    );
    let log = scene.service.log();
    assert!(log.contains("is skipped for a while: upstream did not respond in time"), "{log}");
}

#[actix_rt::test]
async fn a_mirror_that_comes_back_is_used_again_and_the_log_says_both() {
    let (own, mirror) = (FakeRegistry::start(), open_registry());
    let image = image(1);
    [&own, &mirror].iter().for_each(|registry| drop(registry.push_image("acme/app", "1", &image)));
    mirror.down(Listener::Registry);
    let scene = Scene::start(own, &[mirror.url()], "").await;
    is_image(&scene.pull("acme/app").await, &image);
    mirror.up(Listener::Registry);
    eventually("the mirror is used again", async || {
        is_image(&scene.pull("acme/app").await, &image);
        mirror.requests().total() > 0
    })
    .await;
    let name = mirror.host(Listener::Registry);
    let log = scene.service.log();
    assert!(log.contains(&format!("the mirror {name} of docker.io is skipped for a while")), "{log}");
    assert!(log.contains(&format!("the mirror {name} of docker.io works again")), "{log}");
}

#[actix_rt::test]
async fn a_mirror_serves_while_the_registry_itself_is_down() {
    let (own, mirror) = (FakeRegistry::start(), open_registry());
    let image = image(1);
    [&own, &mirror].iter().for_each(|registry| drop(registry.push_image("acme/app", "1", &image)));
    own.down(Listener::Registry);
    let scene = Scene::start(own, &[mirror.url()], "").await;
    is_image(&scene.pull("acme/app").await, &image);
    scene.gives("acme/app", &image.layers()[0]).await;
}

/// Starts a host that accepts connections and never responds. Returns its address and the number of connections.
fn silent_host() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, accepted) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = accepted.clone();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
            open.push(stream);
        }
    });
    (format!("http://{address}"), accepted)
}
