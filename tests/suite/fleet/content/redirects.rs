//! Clients that are sent to the bucket for blobs.

use super::*;

/// Returns the settings by which clients of this machine are sent to the bucket.
fn redirecting(mode: &str) -> String {
    let store = Bucket::shared().address();
    format!("redirect = \"{mode}\"\nredirect_endpoint = \"http://{store}\"\nredirect_from = [\"127.0.0.0/8\"]")
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
            // It may know from a moment ago that the bucket does not have it.
            let is_there = async || client.get_without_redirects(&path).await.status == 307;
            eventually("the client is sent to the bucket", is_there).await;
            let answer = client.get_without_redirects(&path).await;
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
