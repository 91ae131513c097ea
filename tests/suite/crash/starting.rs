//! Kills during the start, with an existing store and with a new one.

use fake_registry::{FakeRegistry, Image, Layer};

use super::{Chances, folder};
use crate::service::{ADMIN_TOKEN, Config, Service};

const KILLS: u64 = 24;

#[actix_rt::test]
async fn a_store_survives_kills_while_it_is_opened() {
    let mut chances = Chances::announced("kills while starting");
    let hub = FakeRegistry::start();
    let image = Image::single(&[Layer::random(50_000, 1)]);
    hub.push_image("library/alpine", "latest", &image);
    let mut service = Config::docker_hub(&hub).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let digest = image.layers()[0].digest().to_owned();
    let client = service.log_in_with(&token).await;
    assert_eq!(client.manifest("team", "alpine", image.digest()).await.status, 200);
    client.stored_blob("team", "alpine", &digest).await;
    service.kill();
    for kill in 1..=KILLS {
        service.start_and_kill_after(chances.moment(300));
        if kill % 6 == 0 {
            service.restart();
            folder::verify(&service.data().join("cache"));
            hub.reset_counts();
            let client = service.log_in_with(&token).await;
            assert_eq!(client.manifest("team", "alpine", image.digest()).await.body, image.bytes());
            assert_eq!(client.blob("team", "alpine", &digest).await.body, image.layers()[0].bytes());
            assert_eq!(hub.requests().total(), 0);
            service.kill();
        }
    }
}

#[actix_rt::test]
async fn a_first_start_that_is_killed_is_begun_anew() {
    let mut chances = Chances::announced("kills in the first start");
    let mut service = Config::upstream_at("docker.io", "http://127.0.0.1:9").start();
    for _ in 0..4 {
        service.kill();
        service.forget_everything();
        for _ in 0..3 {
            service.start_and_kill_after(chances.moment(200));
        }
        service.restart();
        first_login_works(&service).await;
    }
}

async fn first_login_works(service: &Service) {
    let secret = std::fs::read_to_string(service.data().join("first-login")).unwrap();
    assert_eq!(service.token("example-pull", secret.trim_end(), "").await.status, 200);
    assert_eq!(service.token("root", ADMIN_TOKEN, "").await.status, 200);
}
