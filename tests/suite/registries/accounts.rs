//! Distinction between a registry's refusal of an account and its refusal of an image, and the content
//! that is served meanwhile.

use std::time::{Duration, Instant};

use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener};

use super::{REVALIDATE, Scene, is_image};
use crate::service::{Answer, Config};

const ACCOUNT: &str = "username = \"robot\"\npassword = \"the-robots-password\"\ngroups = [\"team\"]";
const REFUSED: &str = "The login of account 'robot' is refused by docker.io";

/// Returns a service that has pulled an image once that only the account can pull.
async fn pulled(settings: &str) -> (Scene, Image) {
    let hub = FakeRegistry::start();
    hub.add_account("robot", "the-robots-password", &["acme/app"]);
    let scene = Scene::before(hub, &format!("{ACCOUNT}\n{REVALIDATE}\n{settings}")).await;
    let image = scene.push("acme/app", 1);
    scene.gives("acme/app", &image, "miss").await;
    scene.hub.expire_tokens();
    (scene, image)
}

async fn metrics(scene: &Scene) -> String {
    reqwest::get(format!("http://{}/metrics", scene.service.metrics)).await.unwrap().text().await.unwrap()
}

fn refuses_the_account(scene: &Scene, status: u16) {
    scene.hub.on(Kind::Token).status(status);
}

/// Repeats the pull until the response has this status.
async fn once<F: Future<Output = Answer>>(status: u16, pull: impl Fn() -> F) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = pull().await;
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "not {status}: {}", answer.text());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[actix_rt::test]
async fn a_tag_is_served_stale_while_its_account_is_refused_and_the_log_is_loud_once() {
    for status in [401, 403] {
        let (scene, image) = pulled("").await;
        refuses_the_account(&scene, status);
        for _ in 0..3 {
            let answer = scene.pull("acme/app").await;
            is_image(&answer, &image);
            assert_eq!((answer.header("x-cache"), answer.header("x-upstream-error")), ("stale", REFUSED), "{status}");
        }
        let log = scene.service.log();
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("\"level\":\"ERROR\"")).collect();
        assert_eq!(errors.len(), 1, "{log}");
        assert!(errors[0].contains("account 'robot' is refused by docker.io"), "{}", errors[0]);
        assert!(!log.contains("the-robots-password"));
        let metrics = metrics(&scene).await;
        let line = |value| {
            format!("dependency_proxy_upstream_account_refused{{upstream=\"docker.io\",account=\"robot\"}} {value}\n")
        };
        assert!(metrics.contains(&line(1)), "{metrics}");
        // The password works again: everything is as before.
        scene.hub.behave();
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        scene.gives("acme/app", &image, "revalidated").await;
        assert!(self::metrics(&scene).await.contains(&line(0)));
    }
}

#[actix_rt::test]
async fn beyond_the_grace_a_cached_tag_is_refused_with_the_account_and_the_registry_also_after_a_restart() {
    let (mut scene, image) = pulled("account_grace = \"20s\"").await;
    refuses_the_account(&scene, 401);
    scene.gives("acme/app", &image, "stale").await;
    assert!(scene.service.stop().success());
    scene.service.restart();
    let client = scene.another_client().await;
    let answer = client.manifest("team", "acme/app", "1").await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "stale"), "{}", answer.text());
    let answer = once(503, || client.manifest("team", "acme/app", "1")).await;
    let sentence = format!("{REFUSED}, and it was last accepted for acme/app:1 longer ago than cache.account_grace");
    assert!(answer.message().starts_with(&sentence), "{}", answer.message());
    // An outage does not count as a refusal of the account.
    scene.hub.behave();
    scene.hub.down(Listener::Registry);
    let answer = once(200, || client.manifest("team", "acme/app", "1")).await;
    assert_eq!(answer.header("x-cache"), "stale", "{}", answer.text());
}

#[actix_rt::test]
async fn without_a_grace_a_refused_account_is_refused_at_once() {
    let (scene, _) = pulled("account_grace = 0").await;
    refuses_the_account(&scene, 401);
    let answer = scene.pull("acme/app").await;
    assert_eq!(answer.status, 503);
    assert!(answer.message().starts_with(REFUSED), "{}", answer.message());
}

#[actix_rt::test]
async fn a_realm_that_refuses_the_image_and_accepts_the_account_denies_the_image_at_once() {
    let (scene, _) = pulled("").await;
    scene.hub.refuse_scopes(true);
    let denied = "docker.io has no 'acme/app', or it is private (requested as robot)";
    let answer = scene.pull("acme/app").await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.message().starts_with(denied), "{}", answer.message());
    assert!(!scene.service.log().contains("account 'robot' is refused"), "{}", scene.service.log());
    // It stays denied while the account is refused.
    refuses_the_account(&scene, 401);
    assert_eq!(scene.pull("acme/app").await.status, 403);
}

#[actix_rt::test]
async fn a_registry_that_refuses_a_new_token_denies_the_image_at_once() {
    for status in [401, 403] {
        let (scene, _) = pulled("").await;
        for kind in [Kind::ManifestHead, Kind::ManifestGet] {
            scene.hub.on(kind).status(status);
        }
        let answer = scene.pull("acme/app").await;
        assert_eq!(answer.status, 403, "{status}: {}", answer.text());
    }
}

/// Lets a registry with HTTP Basic refuse a cached image with `status`, and `GET /v2/` with `ping`. Returns the status
/// that the client gets.
async fn basic_refusal(status: u16, ping: Option<u16>) -> u16 {
    let hub = FakeRegistry::start();
    hub.require_auth(false);
    let image = Image::single(&[Layer::random(100, 1)]);
    hub.push_image("acme/app", "1", &image);
    let challenge = "Basic realm=\"registry\"";
    hub.on(Kind::ManifestHead).times(1).status(401).header("WWW-Authenticate", challenge);
    hub.on(Kind::ManifestGet).times(1).status(401).header("WWW-Authenticate", challenge);
    let service = Config::docker_hub(&hub).and(&format!("{ACCOUNT}\n{REVALIDATE}")).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    let client = service.log_in_with(&token).await;
    is_image(&client.manifest("team", "acme/app", "1").await, &image);
    hub.behave();
    for kind in [Kind::ManifestHead, Kind::ManifestGet] {
        hub.on(kind).status(status).header("WWW-Authenticate", challenge);
    }
    if let Some(ping) = ping {
        hub.on(Kind::Ping).status(ping);
    }
    client.manifest("team", "acme/app", "1").await.status
}

#[actix_rt::test]
async fn what_a_registry_with_passwords_refuses_is_told_apart_by_its_greeting() {
    assert_eq!(basic_refusal(403, Some(403)).await, 200, "ECR's expired password: the account, and the tag is stale");
    assert_eq!(basic_refusal(401, Some(401)).await, 200, "the account");
    assert_eq!(basic_refusal(401, None).await, 200, "everybody is greeted: 401 is about credentials");
    assert_eq!(basic_refusal(403, None).await, 403, "the image");
}
