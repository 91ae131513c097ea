//! A final refusal reaches the client with upstream's status and message, and affects no other request.

use fake_registry::{Image, Kind, Layer, Listener};

use super::{REVALIDATE, Scene, is_image};
use crate::service::eventually;

const HOME: &str = "/v2/team/dependency_proxy/containers/acme/bad";

#[actix_rt::test]
async fn a_final_refusal_has_upstreams_status_code_and_sentence() {
    let scene = Scene::start("").await;
    let image = scene.push("acme/bad", 1);
    let (layer, said) = (image.layers()[0].digest(), "this registry has moved");
    for status in [400, 402, 405, 406, 409, 410, 412, 418, 421, 451] {
        scene.hub.on_anything().at(Listener::Registry).in_repository("acme/bad").refusal(status, "MOVED", said);
        for path in ["manifests/1", &format!("blobs/{layer}"), "tags/list?n=10000", &format!("referrers/{layer}")] {
            let answer = scene.client.get(&format!("{HOME}/{path}")).await;
            assert_eq!((answer.status, answer.code().as_str()), (status, "MOVED"), "{path}: {}", answer.text());
            let sentence = answer.message();
            assert!(sentence.starts_with("docker.io refuses "), "{sentence}");
            assert!(sentence.contains(&format!("with HTTP status {status}: \"{said}\"")), "{sentence}");
            assert_eq!(answer.header("retry-after"), "", "there is nothing to wait for");
        }
        let head = scene.client.manifest_head("team", "acme/bad", "1").await;
        assert_eq!(head.status, status);
        scene.hub.behave();
    }
    assert_eq!(scene.pull("acme/bad").await.status, 200);
}

#[actix_rt::test]
async fn the_log_has_a_final_refusal_with_the_id_of_the_request() {
    let scene = Scene::start("").await;
    scene.push("acme/bad", 1);
    let said = "Invalid parameter at 'maxResults' failed to satisfy constraint";
    scene.hub.on(Kind::Tags).refusal(405, "UNSUPPORTED", said);
    let answer = scene.client.get(&format!("{HOME}/tags/list?n=10000")).await;
    assert_eq!((answer.status, answer.code().as_str()), (405, "UNSUPPORTED"));
    assert!(answer.message().contains(said), "{}", answer.message());
    let log = scene.service.log();
    let id = answer.header("x-request-id");
    assert!(log.lines().any(|line| line.contains(id) && line.contains(said)), "{log}");
}

#[actix_rt::test]
async fn what_a_refusal_says_is_one_short_line_and_repeats_no_token() {
    let scene = Scene::start("").await;
    scene.push("acme/bad", 1);
    let long = format!("first\nsecond \u{1b}[31m {}", "x".repeat(5_000));
    scene.hub.on(Kind::ManifestGet).times(1).refusal(400, "not a code", &long);
    let answer = scene.pull("acme/bad").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "UNSUPPORTED"));
    assert!(
        answer.message().contains("\"first second [31m xxx") && answer.message().len() < 500,
        "{}",
        answer.message()
    );
    let token = scene.hub.issued_tokens().remove(0);
    scene.hub.on(Kind::ManifestGet).times(1).refusal(400, "X", &format!("bad token {token}"));
    let answer = scene.pull("acme/bad").await;
    assert_eq!(answer.status, 400);
    assert!(!answer.text().contains(&token) && !scene.service.log().contains(&token));
}

#[actix_rt::test]
async fn one_repository_that_fails_keeps_no_other_from_being_revalidated() {
    for status in [400, 410, 429, 451, 500, 503] {
        let scene = Scene::start(REVALIDATE).await;
        scene.push("acme/bad", 1);
        scene.push("acme/good", 2);
        for repository in ["acme/bad", "acme/good"] {
            assert_eq!(scene.pull(repository).await.status, 200);
        }
        scene.hub.on_anything().in_repository("acme/bad").refusal(status, "FAKED", "as the test commanded");
        for seed in 10..30 {
            scene.pull("acme/bad").await;
            let moved = scene.push("acme/good", seed);
            let answer = scene.pull("acme/good").await;
            // A pull limit applies to the whole account.
            if status != 429 {
                is_image(&answer, &moved);
            }
        }
    }
}

#[actix_rt::test]
async fn a_second_repository_with_server_errors_spares_the_upstream_until_one_succeeds() {
    let scene = Scene::start(REVALIDATE).await;
    let images: Vec<Image> =
        ["a", "b", "c"].iter().zip(1..).map(|(name, seed)| scene.push(&format!("acme/{name}"), seed)).collect();
    for (name, image) in ["a", "b", "c"].iter().zip(&images) {
        scene.gives(&format!("acme/{name}"), image, "miss").await;
    }
    scene.hub.on_anything().at(Listener::Registry).status(500);
    scene.gives("acme/a", &images[0], "stale").await;
    scene.gives("acme/b", &images[1], "stale").await;
    scene.hub.reset_counts();
    scene.gives("acme/c", &images[2], "stale").await;
    assert_eq!(scene.hub.requests().total(), 0, "two repositories have failed: the upstream is spared");
    scene.hub.behave();
    let moved = scene.push("acme/c", 9);
    // A fetch is attempted nevertheless, and shows that upstream works.
    let new = Image::single(&[Layer::random(100, 8)]);
    scene.hub.push_image("acme/new", "1", &new);
    scene.gives("acme/new", &new, "miss").await;
    scene.gives("acme/c", &moved, "miss").await;
}

#[actix_rt::test]
async fn a_tag_is_served_stale_for_about_as_long_as_upstream_fails_and_no_longer() {
    let scene = Scene::start(REVALIDATE).await;
    let image = scene.push("acme/app", 1);
    scene.gives("acme/app", &image, "miss").await;
    scene.hub.down(Listener::Registry);
    scene.gives("acme/app", &image, "stale").await;
    scene.hub.up(Listener::Registry);
    let moved = scene.push("acme/app", 2);
    eventually("upstream's present tag is served", async || scene.pull("acme/app").await.body == moved.bytes()).await;
}

#[actix_rt::test]
async fn what_is_cached_is_refused_where_upstream_says_that_it_is_gone_and_served_where_it_says_no_more_than_no() {
    for (status, served) in [(451, 451), (410, 410), (402, 402), (403, 403), (400, 200), (405, 200)] {
        let scene = Scene::start(REVALIDATE).await;
        let image = scene.push("acme/app", 1);
        scene.gives("acme/app", &image, "miss").await;
        scene.hub.on_anything().at(Listener::Registry).refusal(status, "FAKED", "as the test commanded");
        assert_eq!(scene.pull("acme/app").await.status, served, "{status}");
        scene.hub.down(Listener::Registry);
        let expected = if served == 200 { 200 } else { 403 };
        assert_eq!(scene.pull("acme/app").await.status, expected, "{status}, and upstream is down now");
        let by_digest = scene.client.manifest("team", "acme/app", image.digest()).await;
        assert_eq!(by_digest.status, 200, "what a group has by digest it keeps");
    }
}

#[actix_rt::test]
async fn what_the_token_realm_refuses_is_never_told_as_the_registrys() {
    for status in [400, 404, 407, 410, 451, 500] {
        let scene = Scene::start(REVALIDATE).await;
        let image = scene.push("acme/app", 1);
        scene.push("acme/new", 2);
        scene.gives("acme/app", &image, "miss").await;
        scene.hub.expire_tokens();
        scene.hub.on(Kind::Token).refusal(status, "X", "no such realm");
        let answer = scene.pull("acme/new").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"), "{status}");
        let said = format!("docker.io's token realm is out of order (HTTP status {status}: \"no such realm\")");
        assert!(answer.message().starts_with(&said), "{}", answer.message());
        scene.gives("acme/app", &image, "stale").await;
    }
}

#[actix_rt::test]
async fn a_sign_in_page_in_place_of_a_list_of_referrers_means_that_there_is_none() {
    let scene = Scene::start("").await;
    let image = scene.push("acme/app", 1);
    let path = format!("/v2/team/dependency_proxy/containers/acme/app/referrers/{}", image.digest());
    scene.hub.on(Kind::Referrers).times(1).html();
    scene.hub.on(Kind::Referrers).times(1).status(501);
    for _ in 0..2 {
        let answer = scene.client.get(&path).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "UNSUPPORTED"), "{}", answer.text());
    }
    assert_eq!(scene.client.get(&path).await.status, 200);
}

#[actix_rt::test]
async fn a_sentence_that_repeats_the_password_is_dropped() {
    let hub = fake_registry::FakeRegistry::start();
    hub.on_anything()
        .at(Listener::Registry)
        .before_auth()
        .times(1)
        .status(401)
        .header("WWW-Authenticate", "Basic realm=\"r\"");
    hub.on_anything().before_auth().refusal(403, "DENIED", "robot:the-robots-password may not");
    let account = "username = \"robot\"\npassword = \"the-robots-password\"\ngroups = [\"team\"]";
    let scene = Scene::before(hub, account).await;
    scene.push("acme/app", 1);
    for _ in 0..2 {
        let answer = scene.pull("acme/app").await;
        assert!(!answer.text().contains("the-robots-password"), "{}", answer.text());
    }
    assert!(!scene.service.log().contains("the-robots-password"));
}
