//! The group and the image of log lines: each has one name, whatever the reason of a refusal or the source of a
//! response is, and a refused request has one line, within the limit of lines.

use reqwest::Method;
use serde_json::{Value, json};

use super::refusals::Scene;
use crate::service::{Answer, Client};
use fake_registry::Kind;

const PROXY: &str = "/v2/team/dependency_proxy/containers";

async fn by(client: &Client, method: Method, path: &str) -> Answer {
    client.send(client.request(method, path)).await
}

#[actix_rt::test]
async fn refusals_name_group_and_image_as_the_lines_of_pulls_do() {
    let scene = Scene::start();
    let (team, _, client) = scene.puller("ci").await;
    assert_eq!(client.manifest("team", "alpine", "latest").await.status, 200);
    let lines = scene.service.log_lines();
    let pull = lines.iter().find(|line| line["message"] == "manifest").unwrap();
    let alpine = json!({"group": pull["group"], "image": pull["image"]});
    assert_eq!(alpine, json!({"group": "team", "image": "docker.io/library/alpine"}));
    // Requests without a credential get one line a minute.
    let stranger = scene.service.stranger().with_basic("nobody", "wrong");
    for path in ["alpine/tags/list", "alpine/manifests/x", "library/alpine/blobs/sha256:0", "v2/alpine/manifests/1"] {
        scene.has(&stranger.get(&format!("{PROXY}/{path}")).await, &alpine);
    }
    for path in ["alpine/manifests/absent", "alpine/blobs/uploads/"] {
        let method = if path.ends_with('/') { Method::POST } else { Method::GET };
        scene.has(&by(&client, method, &format!("{PROXY}/{path}")).await, &alpine);
    }
    let elsewhere = client.get(&format!("{PROXY}/acme/absent/manifests/1?ns=other.test")).await;
    scene.has(&elsewhere, &json!({"status": 404, "image": "other.test/acme/absent"}));
    for group in [team.id.to_string(), "TEAM".to_owned()] {
        let refused = stranger.get(&format!("/api/v4/groups/{group}/members")).await;
        scene.has(&refused, &json!({"status": 401, "group": "team"}));
    }
    scene.has(&stranger.get("/api/v4/groups/team%2Fabsent").await, &json!({"group": "team/absent"}));
}

#[actix_rt::test]
async fn a_login_that_is_refused_names_the_image_in_its_scope() {
    let scene = Scene::start();
    let stranger = scene.service.stranger();
    let scope = |image: &str| format!("repository:team/dependency_proxy/containers/{image}:pull");
    let query = format!("/jwt/auth?service=dependency_proxy&scope={}", scope("alpine"));
    let alpine = json!({"status": 403, "group": "team", "image": "docker.io/library/alpine"});
    scene.has(&stranger.get(&query).await, &alpine);
    scene.has(&stranger.with_basic("nobody", "wrong").get(&query).await, &alpine);
    let two = format!("{query}&scope={}", scope("ghcr.io/acme/app"));
    let both = json!({"group": "team", "image": "docker.io/library/alpine, ghcr.io/acme/app"});
    scene.has(&stranger.with_basic("nobody", "wrong").get(&two).await, &both);
    let form = |more: &str| {
        let form = format!("grant_type=password&service=dependency_proxy&username=nobody&password=wrong{more}");
        let request = stranger.request(Method::POST, "/jwt/auth");
        stranger.send(request.header("content-type", "application/x-www-form-urlencoded").body(form))
    };
    scene.has(&form(&format!("&scope={}", scope("alpine"))).await, &alpine);
    scene.has(&form("").await, &json!({"group": null, "image": null}));
}

#[actix_rt::test]
async fn a_pull_that_fails_has_one_line_and_a_client_that_repeats_it_no_more_than_the_limit() {
    let mut scene = Scene::start();
    let (.., client) = scene.puller("loop").await;
    scene.hub.on(Kind::ManifestGet).for_reference("denied").refusal(403, "DENIED", "not for you");
    scene.hub.on(Kind::ManifestHead).for_reference("denied").refusal(403, "DENIED", "not for you");
    let blob = format!("{PROXY}/alpine/blobs/sha256:{}", "0".repeat(64));
    let failing =
        [(format!("{PROXY}/alpine/manifests/absent"), 404), (format!("{PROXY}/alpine/manifests/denied"), 403)];
    for (path, status) in failing.iter().cloned().chain([(blob, 404)]) {
        let client = client.clone();
        for _ in 0..40 {
            assert_eq!(client.get(&path).await.status, status, "{path}");
        }
    }
    assert!(scene.service.stop().success());
    let lines = scene.service.log_lines();
    let of = |path: &str| lines.iter().filter(|line| line["path"] == path).collect::<Vec<_>>();
    for (path, _) in &failing {
        let lines = of(path);
        assert!((1..=10).contains(&lines.len()), "{path}: {}", lines.len());
        assert!(lines[0]["upstream_calls"].is_u64() && lines[0]["ms"].is_u64(), "{}", lines[0]);
    }
    assert!(of(&failing[1].0)[0]["sentence"].as_str().unwrap().contains("not for you"));
    // Of each reason ten lines, and one with the number of those that were left out.
    let about = |line: &&Value| line["principal"].is_string() && line["what"].is_null();
    let written = lines.iter().filter(about).count();
    assert!(written <= 2 * 11 + 1, "{written}: {lines:?}");
    let texts = ["manifest", "a request to upstream failed", "a download failed"];
    assert!(!lines.iter().any(|line| texts.contains(&line["message"].as_str().unwrap())), "{lines:?}");
}

#[actix_rt::test]
async fn a_tag_that_is_served_stale_names_group_and_image_and_repeats_itself_no_more_than_the_limit() {
    let scene = Scene::with("[cache]\ntag_freshness = \"0s\"");
    let (.., client) = scene.puller("ci").await;
    assert_eq!(client.manifest("team", "alpine", "latest").await.status, 200);
    scene.hub.on_anything().status(500);
    let lines = || {
        let lines = scene.service.log_lines();
        lines.into_iter().filter(|line| line["message"] == "a tag is served stale").collect::<Vec<_>>()
    };
    for _ in 0..40 {
        let stale = client.manifest("team", "alpine", "latest").await;
        assert_eq!(stale.status, 200, "{}", stale.text());
    }
    let stale = lines();
    assert_eq!(stale.len(), 10, "{stale:?}");
    assert_eq!((&stale[0]["group"], &stale[0]["image"]), (&json!("team"), &json!("docker.io/library/alpine")));
    assert_eq!(stale[0]["reference"], "latest");
}
