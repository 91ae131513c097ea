//! Clients that are sent to the bucket for blobs.

use std::cell::RefCell;

use super::*;
use crate::service::Answer;

/// Returns the settings by which clients of this machine are sent to the bucket.
fn redirecting(mode: &str) -> String {
    let store = Bucket::shared().address();
    format!("redirect = \"{mode}\"\nredirect_endpoint = \"http://{store}\"\nredirect_from = [\"127.0.0.0/8\"]")
}

/// Returns the response that sends the client to the bucket. The replica may know from a moment ago that the bucket
/// does not have the blob, and serves it then.
async fn sent_to_bucket(client: &Client, path: &str) -> Answer {
    let answer = RefCell::new(None);
    let is_sent = async || {
        let got = client.get_without_redirects(path).await;
        let is_sent = got.status == 307;
        *answer.borrow_mut() = Some(got);
        is_sent
    };
    eventually("the client is sent to the bucket", is_sent).await;
    answer.into_inner().unwrap()
}

#[actix_rt::test]
async fn clients_are_sent_to_the_bucket_where_the_settings_say_so() {
    for (mode, own, other) in [("cold", false, true), ("all", true, true), ("never", false, false)] {
        let scene = Scene::with(2, &redirecting(mode)).await;
        scene.pull(0).await;
        scene.uploaded(3).await;
        let path = format!("/v2/team/dependency_proxy/containers/app/blobs/{}", scene.layer.digest());
        for (replica, is_sent) in [(0, own), (1, other)] {
            let client = scene.client(replica).await;
            if !is_sent {
                assert_eq!(client.get_without_redirects(&path).await.status, 200, "{mode}, replica {replica}");
                continue;
            }
            let answer = sent_to_bucket(&client, &path).await;
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.header("docker-content-digest"), scene.layer.digest());
            // The store wants no login token, and sends ranges.
            let url = answer.header("location").to_owned();
            let store = reqwest::Client::builder().no_proxy().build().unwrap();
            let whole = store.get(&url).send().await.unwrap().bytes().await.unwrap();
            assert!(whole == scene.layer.bytes(), "other bytes");
            let part = store.get(&url).header("range", "bytes=1000-1999").send().await.unwrap();
            assert_eq!(part.status(), 206);
            assert!(part.bytes().await.unwrap() == scene.layer.bytes()[1000..2000], "other bytes");
            let changed = store.get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000")).send().await.unwrap();
            assert_eq!(changed.status(), 403, "the URL is signed with its lifetime");
        }
        let client = scene.client(1).await;
        assert_eq!(client.send(client.request(Method::HEAD, &path)).await.status, 200, "a HEAD is answered");
        assert!(client.blob("team", "app", scene.layer.digest()).await.body == scene.layer.bytes());
    }
}

#[actix_rt::test]
async fn a_group_without_a_link_is_not_sent_to_the_bucket() {
    let scene = Scene::with(1, &redirecting("all")).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    let other = scene.fleet.service(0).group("other").await;
    let client = scene.fleet.service(0).log_in_with(&scene.fleet.service(0).deploy_token(&other, "ci").await).await;
    let path = format!("/v2/other/dependency_proxy/containers/app/blobs/{}", scene.layer.digest());
    scene.fleet.hub.on(Kind::BlobHead).refusal(403, "DENIED", "not for you");
    scene.fleet.hub.on(Kind::BlobDownload).refusal(403, "DENIED", "not for you");
    let refused = client.get_without_redirects(&path).await;
    assert!(refused.status >= 400, "{}", refused.status);
}

#[actix_rt::test]
async fn no_client_is_sent_to_an_object_of_another_length() {
    let scene = Scene::with(2, &redirecting("all")).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    scene.overwrite_layer("short");
    let (client, service) = (scene.client(1).await, scene.fleet.service(1));
    for _ in 0..2 {
        let answer = client.blob("team", "app", scene.layer.digest()).await;
        assert_eq!((answer.status, answer.body == scene.layer.bytes()), (200, true));
    }
    assert_eq!(metric(service, "dependency_proxy_fleet_wrong_objects_total").await, 1);
    assert!(service.log().contains("it is not used any more"), "{}", service.log());
    // What came from upstream in its place is uploaded.
    scene.uploaded(3).await;
}

#[actix_rt::test]
async fn a_client_that_comes_back_for_a_blob_gets_it_from_the_replica_which_verifies_the_object() {
    let scene = Scene::with(1, &redirecting("all")).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    let (service, digest) = (scene.fleet.service(0), scene.layer.digest());
    let path = format!("/v2/team/dependency_proxy/containers/app/blobs/{digest}");
    sent_to_bucket(&scene.client(0).await, &path).await;
    scene.overwrite_layer(&"x".repeat(LENGTH as usize));
    let other = scene.other_client().await;
    let answer = other.blob("team", "app", digest).await;
    assert_eq!((answer.status, answer.body == scene.layer.bytes()), (200, false), "it was sent to the object");
    let answer = other.blob("team", "app", digest).await;
    assert_eq!((answer.status, answer.body == scene.layer.bytes()), (200, true));
    let given_up = async || metric(service, "dependency_proxy_fleet_wrong_objects_total").await == 1;
    eventually("the object is not used any more", given_up).await;
    let answer = scene.client(0).await.blob("team", "app", digest).await;
    assert_eq!((answer.status, answer.body == scene.layer.bytes()), (200, true), "nobody is sent to it");
}

#[actix_rt::test]
async fn a_client_that_comes_back_for_a_blob_is_sent_to_the_bucket_again_once_the_object_was_verified() {
    let scene = Scene::with(1, &redirecting("all")).await;
    scene.pull(0).await;
    scene.uploaded(3).await;
    let path = format!("/v2/team/dependency_proxy/containers/app/blobs/{}", scene.layer.digest());
    let client = scene.client(0).await;
    sent_to_bucket(&client, &path).await;
    let mut sent_in_a_row = 0;
    eventually("it is sent there each time", async || {
        // Longer than the time in which a client that came back does not count as such once more.
        sleep(Duration::from_millis(2_100)).await;
        let is_sent = client.get_without_redirects(&path).await.status == 307;
        sent_in_a_row = if is_sent { sent_in_a_row + 1 } else { 0 };
        sent_in_a_row == 2
    })
    .await;
    assert_eq!(metric(scene.fleet.service(0), "dependency_proxy_fleet_wrong_objects_total").await, 0);
}
