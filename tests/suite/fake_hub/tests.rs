//! What the fake hub promises to the tests that are written against it.

use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde_json::Value;

use super::{
    Authorization, DOCKER_LIST, DOCKER_MANIFEST, FakeHub, Image, Kind, Layer, Listener, OCI_INDEX,
    OCI_MANIFEST,
};

const REPOSITORY: &str = "library/alpine";

/// A hub with `library/alpine:latest` of one layer, and that layer.
fn hub_with_layer(size: u64) -> (FakeHub, Layer) {
    let hub = FakeHub::start();
    let layer = Layer::random(size, 7);
    hub.push_image(
        REPOSITORY,
        "latest",
        &Image::single(std::slice::from_ref(&layer)),
    );
    (hub, layer)
}

fn client() -> Client {
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

async fn get(url: &str) -> Response {
    client().get(url).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

async fn token_answer(hub: &FakeHub, login: Option<(&str, &str)>, repository: &str) -> Response {
    let realm = hub.host(Listener::Realm);
    let url =
        format!("http://{realm}/token?service=registry.fake&scope=repository:{repository}:pull");
    let request = client().get(url);
    let request = match login {
        Some((username, password)) => request.basic_auth(username, Some(password)),
        None => request,
    };
    request.send().await.unwrap()
}

async fn token(hub: &FakeHub, login: Option<(&str, &str)>, repository: &str) -> String {
    let body: Value = token_answer(hub, login, repository)
        .await
        .json()
        .await
        .unwrap();
    body["token"].as_str().unwrap().to_owned()
}

/// Asks the registry with a fresh anonymous token.
async fn pull(hub: &FakeHub, path: &str) -> reqwest::Result<Response> {
    let token = token(hub, None, REPOSITORY).await;
    let accept = [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX].join(", ");
    let url = format!("{}/v2/{REPOSITORY}/{path}", hub.url());
    client()
        .get(url)
        .bearer_auth(token)
        .header("accept", accept)
        .send()
        .await
}

/// Follows the redirect to the cdn, as it should be done: without the token.
async fn download(hub: &FakeHub, layer: &Layer, range: Option<&str>) -> reqwest::Result<Response> {
    let redirect = pull(hub, &format!("blobs/{}", layer.digest())).await?;
    let request = client().get(header(&redirect, "location"));
    match range {
        Some(range) => request.header("range", range).send().await,
        None => request.send().await,
    }
}

#[tokio::test]
async fn a_stranger_is_challenged_with_realm_service_and_scope() {
    let (hub, _) = hub_with_layer(10);
    let answer = get(&format!("{}/v2/{REPOSITORY}/manifests/latest", hub.url())).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let realm = hub.host(Listener::Realm);
    let expected = format!(
        "Bearer realm=\"http://{realm}/token\",service=\"registry.fake\",scope=\"repository:{REPOSITORY}:pull\""
    );
    assert_eq!(header(&answer, "www-authenticate"), expected);
    assert_eq!(hub.requests().refusals(), 1);
    assert_eq!(hub.requests().manifest_gets(REPOSITORY, "latest"), 0);
}

#[tokio::test]
async fn a_manifest_comes_by_tag_and_digest_with_type_digest_length_and_limits() {
    let (hub, layer) = hub_with_layer(10);
    let image = Image::single(&[layer]);
    for reference in ["latest", image.digest()] {
        let answer = pull(&hub, &format!("manifests/{reference}")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header(&answer, "content-type"), DOCKER_MANIFEST);
        assert_eq!(header(&answer, "docker-content-digest"), image.digest());
        assert_eq!(
            header(&answer, "content-length"),
            image.bytes().len().to_string()
        );
        assert_eq!(header(&answer, "ratelimit-limit"), "100;w=21600");
        assert_eq!(answer.bytes().await.unwrap(), image.bytes());
        assert_eq!(hub.requests().manifest_gets(REPOSITORY, reference), 1);
    }
}

#[tokio::test]
async fn a_head_is_as_complete_as_a_get_and_counted_apart() {
    let (hub, layer) = hub_with_layer(10);
    let url = format!("{}/v2/{REPOSITORY}/manifests/latest", hub.url());
    let token = token(&hub, None, REPOSITORY).await;
    let request = client()
        .head(url)
        .bearer_auth(token)
        .header("accept", DOCKER_MANIFEST);
    let answer = request.send().await.unwrap();
    let image = Image::single(&[layer]);
    assert_eq!(
        header(&answer, "content-length"),
        image.bytes().len().to_string()
    );
    assert_eq!(header(&answer, "docker-content-digest"), image.digest());
    assert_eq!(hub.requests().manifest_heads(REPOSITORY, "latest"), 1);
    assert_eq!(hub.requests().manifest_gets(REPOSITORY, "latest"), 0);
}

#[tokio::test]
async fn a_manifest_is_kept_from_those_who_do_not_accept_its_type() {
    let (hub, _) = hub_with_layer(10);
    let token = token(&hub, None, REPOSITORY).await;
    let url = format!("{}/v2/{REPOSITORY}/manifests/latest", hub.url());
    let request = client()
        .get(url)
        .bearer_auth(token)
        .header("accept", OCI_INDEX);
    assert_eq!(
        request.send().await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn an_index_holds_its_children_and_oci_types_make_other_digests() {
    let hub = FakeHub::start();
    let child = Image::single(&[Layer::random(10, 1)]).oci();
    let (docker, oci) = (
        Image::index(std::slice::from_ref(&child)),
        Image::index(std::slice::from_ref(&child)).oci(),
    );
    assert_eq!(
        (docker.media_type(), oci.media_type()),
        (DOCKER_LIST, OCI_INDEX)
    );
    assert_ne!(docker.digest(), oci.digest());
    hub.push_image(REPOSITORY, "multi", &oci);
    let answer = pull(&hub, &format!("manifests/{}", child.digest()))
        .await
        .unwrap();
    assert_eq!(header(&answer, "content-type"), OCI_MANIFEST);
    let config = child.config().unwrap();
    let bytes = download(&hub, config, None)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(bytes, config.bytes());
}

#[tokio::test]
async fn what_does_not_exist_or_is_private_is_401_even_with_a_token() {
    let (hub, _) = hub_with_layer(10);
    hub.push_image("team/app", "1", &Image::single(&[Layer::random(10, 2)]));
    hub.add_account("alice", "s3cret", &["team/app"]);
    hub.add_account("bob", "hunter2", &[]);
    for (login, repository, expected) in [
        (None, "library/ngnix", 401),
        (None, "team/app", 401),
        (Some(("bob", "hunter2")), "team/app", 401),
        (Some(("alice", "s3cret")), "team/app", 200),
    ] {
        let token = token(&hub, login, repository).await;
        let url = format!("{}/v2/{repository}/tags/list", hub.url());
        let answer = client().get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{login:?} {repository}");
        let is_said = header(&answer, "www-authenticate").contains("insufficient_scope");
        assert_eq!(is_said, expected == 401);
    }
    assert_eq!(hub.requests().refusals(), 0);
    assert_eq!(hub.requests().token_requests(), 4);
}

#[tokio::test]
async fn a_wrong_password_gets_no_token_and_is_recorded() {
    let (hub, _) = hub_with_layer(10);
    hub.add_account("alice", "s3cret", &[]);
    let answer = token_answer(&hub, Some(("alice", "guess")), REPOSITORY).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let expected = Authorization::Basic {
        username: "alice".to_owned(),
        password: "guess".to_owned(),
    };
    assert_eq!(hub.requests()[0].authorization, Some(expected));
    assert_eq!(hub.issued_tokens(), Vec::<String>::new());
}

#[tokio::test]
async fn a_token_opens_one_repository_until_it_expires() {
    let (hub, _) = hub_with_layer(10);
    hub.push_image("library/other", "latest", &Image::single(&[]));
    hub.token_lifetime(Duration::from_secs(2));
    let token = token(&hub, None, REPOSITORY).await;
    assert_eq!(hub.issued_tokens(), std::slice::from_ref(&token));
    let ask = async |repository: &str| {
        let url = format!("{}/v2/{repository}/tags/list", hub.url());
        client()
            .get(url)
            .bearer_auth(&token)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(ask(REPOSITORY).await, 200);
    assert_eq!(ask("library/other").await, 401);
    tokio::time::sleep(Duration::from_millis(2050)).await;
    assert_eq!(ask(REPOSITORY).await, 401);
}

#[tokio::test]
async fn tokens_can_be_ended_before_their_time_and_new_ones_work() {
    let (hub, _) = hub_with_layer(10);
    let token = token(&hub, None, REPOSITORY).await;
    let url = format!("{}/v2/", hub.url());
    let ask = async || {
        client()
            .get(&url)
            .bearer_auth(&token)
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(ask().await, StatusCode::OK);
    hub.expire_tokens();
    assert_eq!(ask().await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        pull(&hub, "tags/list").await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_blob_is_redirected_to_a_signed_url_that_answers_ranges() {
    let (hub, layer) = hub_with_layer(100_003);
    let redirect = pull(&hub, &format!("blobs/{}", layer.digest()))
        .await
        .unwrap();
    assert_eq!(redirect.status(), StatusCode::TEMPORARY_REDIRECT);
    let whole = download(&hub, &layer, None).await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.bytes().await.unwrap(), layer.bytes());
    let rest = download(&hub, &layer, Some("bytes=99999-")).await.unwrap();
    assert_eq!(rest.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(header(&rest, "content-range"), "bytes 99999-100002/100003");
    assert_eq!(rest.bytes().await.unwrap(), &layer.bytes()[99_999..]);
    let beyond = download(&hub, &layer, Some("bytes=100003-")).await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(hub.requests().blob_gets(REPOSITORY, layer.digest()), 4);
    assert_eq!(hub.requests().blob_downloads(layer.digest()), 3);
    assert_eq!(hub.requests().at(Listener::Cdn), 3);
    hub.reset_counts();
    assert_eq!(hub.requests().total(), 0);
}

#[tokio::test]
async fn the_cdn_refuses_authorization_wrong_signatures_and_expired_ones() {
    let (hub, layer) = hub_with_layer(10);
    hub.signed_url_lifetime(Duration::from_secs(2));
    let redirect = pull(&hub, &format!("blobs/{}", layer.digest()))
        .await
        .unwrap();
    let url = header(&redirect, "location");
    assert_eq!(get(url).await.status(), StatusCode::OK);
    let with_token = client().get(url).bearer_auth("leak").send().await.unwrap();
    assert_eq!(with_token.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        get(&url.replace("sig=", "sig=0")).await.status(),
        StatusCode::FORBIDDEN
    );
    tokio::time::sleep(Duration::from_millis(2050)).await;
    assert_eq!(get(url).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(hub.requests().blob_downloads(layer.digest()), 1);
}

#[tokio::test]
async fn a_plain_registry_asks_for_no_token_and_serves_blobs_itself() {
    let (hub, layer) = hub_with_layer(1000);
    hub.require_auth(false);
    hub.redirect_blobs(false);
    hub.honour_ranges(false);
    let url = format!("{}/v2/{REPOSITORY}/blobs/{}", hub.url(), layer.digest());
    let answer = client()
        .get(url)
        .header("range", "bytes=500-")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.bytes().await.unwrap(), layer.bytes());
    assert_eq!(hub.requests().blob_downloads(layer.digest()), 1);
    assert_eq!(hub.requests()[0].range.as_deref(), Some("bytes=500-"));
    let unknown = get(&format!("{}/v2/library/ngnix/manifests/latest", hub.url())).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn tags_move_and_go_and_are_listed_in_pages() {
    let (hub, _) = hub_with_layer(10);
    let newer = Image::single(&[Layer::random(10, 8)]);
    hub.push_image(REPOSITORY, "3.20", &newer);
    hub.move_tag(REPOSITORY, "latest", newer.digest());
    let answer = pull(&hub, "manifests/latest").await.unwrap();
    assert_eq!(header(&answer, "docker-content-digest"), newer.digest());
    let page = pull(&hub, "tags/list?n=1").await.unwrap();
    let next = format!(r#"</v2/{REPOSITORY}/tags/list?last=3.20&n=1>; rel="next""#);
    assert_eq!(header(&page, "link"), next);
    let page: Value = pull(&hub, "tags/list?n=1&last=3.20")
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(page["tags"], serde_json::json!(["latest"]));
    hub.delete_tag(REPOSITORY, "latest");
    assert_eq!(
        pull(&hub, "manifests/latest").await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
    hub.delete_blob(REPOSITORY, newer.layers()[0].digest());
    let gone = pull(&hub, &format!("blobs/{}", newer.layers()[0].digest()))
        .await
        .unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn referrers_are_found_by_subject_and_filtered_by_type() {
    let (hub, layer) = hub_with_layer(10);
    let subject = Image::single(&[layer]);
    let signature = Image::single(&[Layer::of("signed")])
        .oci()
        .attached_to(&subject, "test/sig");
    hub.push_untagged(REPOSITORY, &signature);
    let path = format!("referrers/{}", subject.digest());
    let found: Value = pull(&hub, &path).await.unwrap().json().await.unwrap();
    assert_eq!(found["manifests"][0]["digest"], signature.digest());
    let path = format!("{path}?artifactType=test/sbom");
    let none = pull(&hub, &path).await.unwrap();
    assert_eq!(header(&none, "oci-filters-applied"), "artifactType");
    assert_eq!(
        none.json::<Value>().await.unwrap()["manifests"],
        serde_json::json!([])
    );
    hub.referrers_api(false);
    assert_eq!(
        pull(&hub, &path).await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn rules_are_used_up_in_their_order_and_not_by_the_challenge() {
    let (hub, _) = hub_with_layer(10);
    hub.on(Kind::ManifestGet).times(1).status(503);
    hub.on(Kind::ManifestGet).times(1).too_many_requests(30);
    get(&format!("{}/v2/{REPOSITORY}/manifests/latest", hub.url())).await;
    let first = pull(&hub, "manifests/latest").await.unwrap();
    assert_eq!(first.status(), StatusCode::SERVICE_UNAVAILABLE);
    let second = pull(&hub, "manifests/latest").await.unwrap();
    assert_eq!(
        (second.status().as_u16(), header(&second, "retry-after")),
        (429, "30")
    );
    assert_eq!(
        pull(&hub, "manifests/latest").await.unwrap().status(),
        StatusCode::OK
    );
    hub.on_anything()
        .at(Listener::Registry)
        .before_auth()
        .status(500);
    assert_eq!(
        get(&format!("{}/v2/", hub.url())).await.status().as_u16(),
        500
    );
    hub.behave();
    assert_eq!(
        get(&format!("{}/v2/", hub.url())).await.status().as_u16(),
        401
    );
}

#[tokio::test]
async fn a_rule_may_name_a_repository_and_reference_and_skip_the_first() {
    let (hub, _) = hub_with_layer(10);
    hub.on(Kind::Tags)
        .in_repository("library/other")
        .status(500);
    hub.on(Kind::ManifestGet).for_reference("other").status(500);
    hub.on(Kind::Tags).after(1).times(1).html();
    let mut types = Vec::new();
    for _ in 0..3 {
        let answer = pull(&hub, "tags/list").await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        types.push(header(&answer, "content-type").to_owned());
    }
    assert_eq!(
        types,
        [
            "application/json",
            "text/html; charset=utf-8",
            "application/json"
        ]
    );
    assert_eq!(
        pull(&hub, "manifests/latest").await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_download_is_cut_or_closed_where_commanded_and_then_resumes() {
    let (hub, layer) = hub_with_layer(3_000_000);
    hub.on(Kind::BlobDownload).times(1).cut_after(1_000_000);
    hub.on(Kind::BlobDownload).times(1).close_after(2_000_000);
    for expected in [1_000_000, 2_000_000] {
        let mut answer = download(&hub, &layer, None).await.unwrap();
        assert_eq!(header(&answer, "content-length"), "3000000");
        let mut received = 0;
        let end = loop {
            match answer.chunk().await {
                Ok(Some(bytes)) => received += bytes.len(),
                other => break other,
            }
        };
        assert!(end.is_err(), "a body that is cut is no whole body");
        assert_eq!(received, expected);
    }
    let rest = download(&hub, &layer, Some("bytes=2000000-"))
        .await
        .unwrap();
    assert_eq!(rest.bytes().await.unwrap(), &layer.bytes()[2_000_000..]);
}

#[tokio::test]
async fn a_slow_body_takes_its_time_and_may_show_its_first_byte_at_once() {
    let (hub, layer) = hub_with_layer(20_000);
    hub.on(Kind::BlobDownload).times(1).slow(50_000);
    let started = Instant::now();
    let bytes = download(&hub, &layer, None)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(bytes, layer.bytes());
    assert!(started.elapsed() >= Duration::from_millis(400));
    hub.on(Kind::BlobDownload).times(1).slow_after_first_byte(1);
    let mut answer = download(&hub, &layer, None).await.unwrap();
    let first = tokio::time::timeout(Duration::from_secs(1), answer.chunk()).await;
    assert_eq!(first.unwrap().unwrap().unwrap(), layer.bytes()[..1]);
    let second = tokio::time::timeout(Duration::from_millis(300), answer.chunk()).await;
    assert!(second.is_err(), "the second byte is due after two seconds");
}

#[tokio::test]
async fn a_held_body_waits_for_its_release() {
    let (hub, layer) = hub_with_layer(5000);
    hub.on(Kind::BlobDownload).times(1).hold_after(1000);
    let mut answer = download(&hub, &layer, None).await.unwrap();
    hub.seen(Kind::BlobDownload, 1).await;
    let mut received = answer.chunk().await.unwrap().unwrap().to_vec();
    let more = tokio::time::timeout(Duration::from_millis(200), answer.chunk()).await;
    assert!(more.is_err() && received.len() == 1000);
    hub.release();
    while let Some(bytes) = answer.chunk().await.unwrap() {
        received.extend_from_slice(&bytes);
    }
    assert_eq!(received, layer.bytes());
    hub.on(Kind::BlobDownload)
        .times(1)
        .delay(Duration::from_millis(200))
        .hold_after(0);
    let early = async {
        hub.seen(Kind::BlobDownload, 2).await;
        hub.release();
    };
    let (answer, ()) = tokio::join!(download(&hub, &layer, None), early);
    assert_eq!(answer.unwrap().bytes().await.unwrap(), layer.bytes());
}

#[tokio::test]
async fn bytes_and_lengths_are_wrong_where_commanded() {
    let (hub, layer) = hub_with_layer(1000);
    let body = async || download(&hub, &layer, None).await.unwrap().bytes().await;
    hub.on(Kind::BlobDownload).times(1).flip_byte(500);
    let flipped = body().await.unwrap();
    let wrong: Vec<usize> = (0..1000)
        .filter(|&at| flipped[at] != layer.bytes()[at])
        .collect();
    assert_eq!(wrong, [500]);
    hub.on(Kind::BlobDownload)
        .times(1)
        .declared_length_off_by(10);
    assert!(body().await.is_err(), "ten bytes never come");
    hub.on(Kind::BlobDownload)
        .times(1)
        .declared_length_off_by(-10);
    assert_eq!(body().await.unwrap(), layer.bytes()[..990]);
    hub.on(Kind::BlobDownload).times(1).body_length_off_by(10);
    assert_eq!(body().await.unwrap().len(), 1010);
    hub.on(Kind::BlobDownload).times(1).body_length_off_by(-10);
    assert_eq!(body().await.unwrap(), layer.bytes()[..990]);
    hub.on(Kind::BlobDownload).times(1).without_content_length();
    assert_eq!(body().await.unwrap(), layer.bytes());
}

#[tokio::test]
async fn an_endless_body_goes_on_without_a_length() {
    let (hub, _) = hub_with_layer(10);
    hub.on(Kind::ManifestGet).endless_body();
    let mut answer = pull(&hub, "manifests/latest").await.unwrap();
    assert_eq!(header(&answer, "content-length"), "");
    let mut received = 0;
    while received < 10_000_000 {
        received += answer.chunk().await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn headers_targets_and_manifests_lie_where_commanded() {
    let (hub, _) = hub_with_layer(10);
    let other = Image::single(&[Layer::random(10, 9)]);
    hub.on(Kind::ManifestGet)
        .times(1)
        .manifest_of(&other)
        .digest_header("sha256:00");
    let answer = pull(&hub, "manifests/latest").await.unwrap();
    assert_eq!(header(&answer, "docker-content-digest"), "sha256:00");
    assert_eq!(answer.bytes().await.unwrap(), other.bytes());
    hub.on(Kind::ManifestGet)
        .times(1)
        .content_type("text/plain")
        .without_header("ratelimit-limit");
    let answer = pull(&hub, "manifests/latest").await.unwrap();
    assert_eq!(header(&answer, "content-type"), "text/plain");
    assert_eq!(header(&answer, "ratelimit-limit"), "");
    hub.on(Kind::BlobRedirect)
        .times(1)
        .redirect_to("http://169.254.169.254/");
    let answer = pull(&hub, "blobs/sha256:00").await.unwrap();
    assert_eq!(header(&answer, "location"), "http://169.254.169.254/");
    hub.on(Kind::Token)
        .times(1)
        .json(serde_json::json!({"expires_in": 300}));
    let answer: Value = token_answer(&hub, None, REPOSITORY)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(answer["token"], Value::Null);
    hub.realm_at("http://10.0.0.1/token");
    let answer = get(&format!("{}/v2/", hub.url())).await;
    let challenge = r#"Bearer realm="http://10.0.0.1/token",service="registry.fake""#;
    assert_eq!(header(&answer, "www-authenticate"), challenge);
}

#[tokio::test]
async fn an_answer_is_late_or_never_comes_or_is_a_reset() {
    let (hub, _) = hub_with_layer(10);
    hub.on(Kind::Tags)
        .times(1)
        .delay(Duration::from_millis(200));
    let started = Instant::now();
    assert_eq!(
        pull(&hub, "tags/list").await.unwrap().status(),
        StatusCode::OK
    );
    assert!(started.elapsed() >= Duration::from_millis(200));
    hub.on(Kind::Tags).times(1).hang();
    let hanging = tokio::time::timeout(Duration::from_millis(300), pull(&hub, "tags/list")).await;
    assert!(hanging.is_err(), "no answer may come");
    hub.on(Kind::Tags).times(2).reset();
    assert!(
        pull(&hub, "tags/list").await.is_err(),
        "a reset is no answer"
    );
}

#[tokio::test]
async fn the_pull_limit_counts_gets_and_then_refuses() {
    let (hub, _) = hub_with_layer(10);
    hub.pulls_left(1);
    let answer = pull(&hub, "manifests/latest").await.unwrap();
    assert_eq!(header(&answer, "ratelimit-remaining"), "0;w=21600");
    let answer = pull(&hub, "manifests/latest").await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "retry-after")),
        (429, "2820")
    );
}

#[tokio::test]
async fn a_listener_that_is_down_refuses_and_comes_back_on_its_port() {
    let (hub, layer) = hub_with_layer(1_000_000);
    hub.on(Kind::BlobDownload).times(1).hold_after(1000);
    let mut under_way = download(&hub, &layer, None).await.unwrap();
    under_way.chunk().await.unwrap();
    for listener in [Listener::Registry, Listener::Realm, Listener::Cdn] {
        let url = format!("http://{}/", hub.host(listener));
        assert!(client().get(&url).send().await.is_ok());
        hub.down(listener);
        hub.down(listener);
        assert!(client().get(&url).send().await.unwrap_err().is_connect());
        hub.up(listener);
        assert!(client().get(&url).send().await.is_ok());
    }
    assert!(
        under_way.chunk().await.is_err(),
        "what was under way is gone"
    );
}

#[tokio::test]
async fn a_large_layer_is_made_while_it_is_read_and_has_the_digest_it_says() {
    let (hub, layer) = hub_with_layer(64 << 20);
    let mut answer = download(&hub, &layer, None).await.unwrap();
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    while let Some(bytes) = answer.chunk().await.unwrap() {
        context.update(&bytes);
    }
    assert_eq!(
        format!("sha256:{}", hex::encode(context.finish())),
        layer.digest()
    );
    assert_eq!(Layer::random(64 << 20, 7).digest(), layer.digest());
    assert_ne!(Layer::random(64 << 20, 8).digest(), layer.digest());
}
