//! Default behaviour of the registry: that of Docker Hub.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use super::*;

#[tokio::test]
async fn a_stranger_is_challenged_with_realm_service_and_scope() {
    let (registry, _) = registry_with_layer(10);
    let answer = get(&format!("{}/v2/{REPOSITORY}/manifests/latest", registry.url())).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let realm = registry.host(Listener::Realm);
    let expected = format!(
        "Bearer realm=\"http://{realm}/token\",service=\"registry.fake\",scope=\"repository:{REPOSITORY}:pull\""
    );
    assert_eq!(header(&answer, "www-authenticate"), expected);
    assert_eq!(registry.requests().refusals(), 1);
    assert_eq!(registry.requests().manifest_gets(REPOSITORY, "latest"), 0);
}

#[tokio::test]
async fn a_manifest_comes_by_tag_and_digest_with_type_digest_length_and_limits() {
    let (registry, layer) = registry_with_layer(10);
    let image = Image::single(&[layer]);
    for reference in ["latest", image.digest()] {
        let answer = pull(&registry, &format!("manifests/{reference}")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header(&answer, "content-type"), DOCKER_MANIFEST);
        assert_eq!(header(&answer, "docker-content-digest"), image.digest());
        assert_eq!(header(&answer, "content-length"), image.bytes().len().to_string());
        assert_eq!(header(&answer, "ratelimit-limit"), "100;w=21600");
        assert_eq!(answer.bytes().await.unwrap(), image.bytes());
        assert_eq!(registry.requests().manifest_gets(REPOSITORY, reference), 1);
    }
}

#[tokio::test]
async fn a_head_is_as_complete_as_a_get_and_counted_apart() {
    let (registry, layer) = registry_with_layer(10);
    let url = format!("{}/v2/{REPOSITORY}/manifests/latest", registry.url());
    let token = token(&registry, None, REPOSITORY).await;
    let request = client().head(url).bearer_auth(token).header("accept", DOCKER_MANIFEST);
    let answer = request.send().await.unwrap();
    let image = Image::single(&[layer]);
    assert_eq!(header(&answer, "content-length"), image.bytes().len().to_string());
    assert_eq!(header(&answer, "docker-content-digest"), image.digest());
    assert_eq!(registry.requests().manifest_heads(REPOSITORY, "latest"), 1);
    assert_eq!(registry.requests().manifest_gets(REPOSITORY, "latest"), 0);
}

#[tokio::test]
async fn a_manifest_is_kept_from_those_who_do_not_accept_its_type() {
    let (registry, _) = registry_with_layer(10);
    let token = token(&registry, None, REPOSITORY).await;
    let url = format!("{}/v2/{REPOSITORY}/manifests/latest", registry.url());
    let request = client().get(url).bearer_auth(token).header("accept", OCI_INDEX);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_index_holds_its_children_and_oci_types_make_other_digests() {
    let registry = FakeRegistry::start();
    let child = Image::single(&[Layer::random(10, 1)]).oci();
    let (docker, oci) = (Image::index(std::slice::from_ref(&child)), Image::index(std::slice::from_ref(&child)).oci());
    assert_eq!((docker.media_type(), oci.media_type()), (DOCKER_LIST, OCI_INDEX));
    assert_ne!(docker.digest(), oci.digest());
    registry.push_image(REPOSITORY, "multi", &oci);
    let answer = pull(&registry, &format!("manifests/{}", child.digest())).await.unwrap();
    assert_eq!(header(&answer, "content-type"), OCI_MANIFEST);
    let config = child.config().unwrap();
    let bytes = download(&registry, config, None).await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, config.bytes());
}

#[tokio::test]
async fn what_does_not_exist_or_is_private_is_401_even_with_a_token() {
    let (registry, _) = registry_with_layer(10);
    registry.push_image("team/app", "1", &Image::single(&[Layer::random(10, 2)]));
    registry.add_account("alice", "s3cret", &["team/app"]);
    registry.add_account("bob", "hunter2", &[]);
    for (login, repository, expected) in [
        (None, "library/ngnix", 401),
        (None, "team/app", 401),
        (Some(("bob", "hunter2")), "team/app", 401),
        (Some(("alice", "s3cret")), "team/app", 200),
    ] {
        let token = token(&registry, login, repository).await;
        let url = format!("{}/v2/{repository}/tags/list", registry.url());
        let answer = client().get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{login:?} {repository}");
        let is_said = header(&answer, "www-authenticate").contains("insufficient_scope");
        assert_eq!(is_said, expected == 401);
    }
    assert_eq!(registry.requests().refusals(), 0);
    assert_eq!(registry.requests().token_requests(), 4);
}

#[tokio::test]
async fn a_wrong_password_gets_no_token_and_is_recorded() {
    let (registry, _) = registry_with_layer(10);
    registry.add_account("alice", "s3cret", &[]);
    let answer = token_answer(&registry, Some(("alice", "guess")), REPOSITORY).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let expected = Authorization::Basic { username: "alice".to_owned(), password: "guess".to_owned() };
    assert_eq!(registry.requests()[0].authorization, Some(expected));
    assert_eq!(registry.issued_tokens(), Vec::<String>::new());
}

#[tokio::test]
async fn a_token_opens_one_repository_until_it_expires() {
    let (registry, _) = registry_with_layer(10);
    registry.push_image("library/other", "latest", &Image::single(&[]));
    registry.token_lifetime(Duration::from_secs(2));
    let token = token(&registry, None, REPOSITORY).await;
    assert_eq!(registry.issued_tokens(), std::slice::from_ref(&token));
    let ask = async |repository: &str| {
        let url = format!("{}/v2/{repository}/tags/list", registry.url());
        client().get(url).bearer_auth(&token).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(REPOSITORY).await, 200);
    assert_eq!(ask("library/other").await, 401);
    tokio::time::sleep(Duration::from_millis(2050)).await;
    assert_eq!(ask(REPOSITORY).await, 401);
}

#[tokio::test]
async fn tokens_can_be_ended_before_their_time_and_new_ones_work() {
    let (registry, _) = registry_with_layer(10);
    let token = token(&registry, None, REPOSITORY).await;
    let url = format!("{}/v2/", registry.url());
    let ask = async || client().get(&url).bearer_auth(&token).send().await.unwrap().status();
    assert_eq!(ask().await, StatusCode::OK);
    registry.expire_tokens();
    assert_eq!(ask().await, StatusCode::UNAUTHORIZED);
    assert_eq!(pull(&registry, "tags/list").await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_blob_is_redirected_to_a_signed_url_that_answers_ranges() {
    let (registry, layer) = registry_with_layer(100_003);
    let redirect = pull(&registry, &format!("blobs/{}", layer.digest())).await.unwrap();
    assert_eq!(redirect.status(), StatusCode::TEMPORARY_REDIRECT);
    let whole = download(&registry, &layer, None).await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.bytes().await.unwrap(), layer.bytes());
    let rest = download(&registry, &layer, Some("bytes=99999-")).await.unwrap();
    assert_eq!(rest.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(header(&rest, "content-range"), "bytes 99999-100002/100003");
    assert_eq!(rest.bytes().await.unwrap(), &layer.bytes()[99_999..]);
    let beyond = download(&registry, &layer, Some("bytes=100003-")).await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(registry.requests().blob_gets(REPOSITORY, layer.digest()), 4);
    assert_eq!(registry.requests().blob_downloads(layer.digest()), 3);
    assert_eq!(registry.requests().at(Listener::Storage), 3);
    registry.reset_counts();
    assert_eq!(registry.requests().total(), 0);
}

#[tokio::test]
async fn the_storage_refuses_authorization_wrong_signatures_and_expired_ones() {
    let (registry, layer) = registry_with_layer(10);
    registry.signed_url_lifetime(Duration::from_secs(2));
    let redirect = pull(&registry, &format!("blobs/{}", layer.digest())).await.unwrap();
    let url = header(&redirect, "location");
    assert_eq!(get(url).await.status(), StatusCode::OK);
    let with_token = client().get(url).bearer_auth("leak").send().await.unwrap();
    assert_eq!(with_token.status(), StatusCode::BAD_REQUEST);
    assert_eq!(get(&url.replace("sig=", "sig=0")).await.status(), StatusCode::FORBIDDEN);
    tokio::time::sleep(Duration::from_millis(2050)).await;
    assert_eq!(get(url).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(registry.requests().blob_downloads(layer.digest()), 1);
}

#[tokio::test]
async fn a_plain_registry_asks_for_no_token_and_serves_blobs_itself() {
    let (registry, layer) = registry_with_layer(1000);
    registry.require_auth(false);
    registry.redirect_blobs(false);
    registry.honour_ranges(false);
    let url = format!("{}/v2/{REPOSITORY}/blobs/{}", registry.url(), layer.digest());
    let answer = client().get(url).header("range", "bytes=500-").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.bytes().await.unwrap(), layer.bytes());
    assert_eq!(registry.requests().blob_downloads(layer.digest()), 1);
    assert_eq!(registry.requests()[0].range.as_deref(), Some("bytes=500-"));
    let unknown = get(&format!("{}/v2/library/ngnix/manifests/latest", registry.url())).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn tags_move_and_go_and_are_listed_in_pages() {
    let (registry, _) = registry_with_layer(10);
    let newer = Image::single(&[Layer::random(10, 8)]);
    registry.push_image(REPOSITORY, "3.20", &newer);
    registry.move_tag(REPOSITORY, "latest", newer.digest());
    let answer = pull(&registry, "manifests/latest").await.unwrap();
    assert_eq!(header(&answer, "docker-content-digest"), newer.digest());
    let page = pull(&registry, "tags/list?n=1").await.unwrap();
    let next = format!(r#"</v2/{REPOSITORY}/tags/list?last=3.20&n=1>; rel="next""#);
    assert_eq!(header(&page, "link"), next);
    let page: Value = pull(&registry, "tags/list?n=1&last=3.20").await.unwrap().json().await.unwrap();
    assert_eq!(page["tags"], serde_json::json!(["latest"]));
    registry.delete_tag(REPOSITORY, "latest");
    assert_eq!(pull(&registry, "manifests/latest").await.unwrap().status(), StatusCode::NOT_FOUND);
    registry.delete_blob(REPOSITORY, newer.layers()[0].digest());
    let gone = pull(&registry, &format!("blobs/{}", newer.layers()[0].digest())).await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn referrers_are_found_by_subject_and_filtered_by_type() {
    let (registry, layer) = registry_with_layer(10);
    let subject = Image::single(&[layer]);
    let signature = Image::single(&[Layer::of("signed")]).oci().attached_to(&subject, "test/sig");
    registry.push_untagged(REPOSITORY, &signature);
    let path = format!("referrers/{}", subject.digest());
    let found: Value = pull(&registry, &path).await.unwrap().json().await.unwrap();
    assert_eq!(found["manifests"][0]["digest"], signature.digest());
    let path = format!("{path}?artifactType=test/sbom");
    let none = pull(&registry, &path).await.unwrap();
    assert_eq!(header(&none, "oci-filters-applied"), "artifactType");
    assert_eq!(none.json::<Value>().await.unwrap()["manifests"], serde_json::json!([]));
    registry.referrers_api(false);
    assert_eq!(pull(&registry, &path).await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_pull_limit_counts_gets_and_then_refuses() {
    let (registry, _) = registry_with_layer(10);
    registry.pulls_left(1);
    let answer = pull(&registry, "manifests/latest").await.unwrap();
    assert_eq!(header(&answer, "ratelimit-remaining"), "0;w=21600");
    let answer = pull(&registry, "manifests/latest").await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "retry-after")), (429, "2820"));
}

#[tokio::test]
async fn a_large_layer_is_made_while_it_is_read_and_has_the_digest_it_says() {
    let (registry, layer) = registry_with_layer(64 << 20);
    let mut answer = download(&registry, &layer, None).await.unwrap();
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    while let Some(bytes) = answer.chunk().await.unwrap() {
        context.update(&bytes);
    }
    assert_eq!(format!("sha256:{}", hex::encode(context.finish())), layer.digest());
    assert_eq!(Layer::random(64 << 20, 7).digest(), layer.digest());
    assert_ne!(Layer::random(64 << 20, 8).digest(), layer.digest());
}

#[tokio::test]
async fn lists_are_paged_by_tokens_that_come_back_unchanged() {
    let (registry, layer) = registry_with_layer(10);
    let image = Image::single(&[layer]);
    for tag in ["1", "2", "3"] {
        registry.push_image(REPOSITORY, tag, &image);
    }
    registry.page_by("next_page", 2);
    let answer = pull(&registry, "tags/list?n=9").await.unwrap();
    assert_eq!(header(&answer, "link"), r#"</v2/elsewhere/list?next_page=Mg%3D%3D&n=9>; rel="next""#);
    let answer = pull(&registry, "tags/list?next_page=Mg%3D%3D&n=9").await.unwrap();
    assert_eq!((answer.status(), header(&answer, "link")), (StatusCode::OK, ""));
    assert_eq!(answer.json::<Value>().await.unwrap()["tags"], serde_json::json!(["3", "latest"]));
    for spelling in ["Mg==", "Mg%3d%3d", "x"] {
        let answer = pull(&registry, &format!("tags/list?next_page={spelling}")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{spelling}");
    }
}
