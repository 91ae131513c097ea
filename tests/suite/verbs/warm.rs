//! `cache warm`: images that are in the cache before anyone requests them.

use std::process::Command;

use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener};
use serde_json::{Value, json};

use super::{says, verb};
use crate::service::{ADMIN_TOKEN, Client, Scenario, Started, eventually};

/// Pulls an image as a client does, and checks that nothing comes from the registry.
async fn is_cached(client: &Client, name: &str, tag: &str, image: &Image) {
    let pulled = client.manifest("team", name, tag).await;
    assert_eq!((pulled.status, &pulled.body), (200, image.bytes()));
    for child in image.children() {
        assert_eq!(client.manifest("team", name, child.digest()).await.header("x-cache"), "hit");
    }
    for blob in image.children().iter().chain([image]).flat_map(Image::blobs) {
        let found = client.blob("team", name, blob.digest()).await;
        assert_eq!((found.status, found.header("x-cache")), (200, "hit"));
        assert_eq!(found.body, blob.bytes());
    }
}

#[actix_rt::test]
async fn warmed_images_need_no_registry_and_what_is_cached_is_not_pulled_again() {
    let single = Image::single(&[Layer::random(300_000, 1), Layer::random(50_000, 2)]);
    let index = Image::index(&[Image::single(&[Layer::random(10_000, 3)]), Image::single(&[Layer::random(10_000, 4)])]);
    let scenario = Scenario::new().image("library/app", "1", &single).image("acme/multi", "2", &index);
    let Started { hub, service, client, .. } = scenario.settings("[cache]\ntag_freshness = \"1h\"").start().await;
    let list = "# for the workshop\napp:1\n\nacme/multi:2\n";
    let said = says(&verb(&service, ADMIN_TOKEN, "cache warm --group team --all-platforms --list -", list));
    assert!(said.lines().filter(|line| line.contains("done")).count() == 2, "{said}");
    let received = hub.requests().of(Kind::BlobDownload);
    says(&verb(&service, ADMIN_TOKEN, "cache warm --group team --all-platforms app:1 acme/multi:2", ""));
    assert_eq!(hub.requests().of(Kind::BlobDownload), received);
    hub.down(Listener::Registry);
    hub.down(Listener::Storage);
    is_cached(&client, "app", "1", &single).await;
    is_cached(&client, "acme/multi", "2", &index).await;
    let listed = says(&verb(&service, ADMIN_TOKEN, "cache list --group team", ""));
    assert!(listed.contains("library/app:1") && listed.contains("acme/multi:2"), "{listed}");
}

#[actix_rt::test]
async fn the_platform_of_an_image_that_was_warmed_and_never_pulled_is_listed() {
    let image = Image::single(&[Layer::random(1_000, 1)]);
    let Started { hub: _hub, service, .. } = Scenario::new().image("library/app", "1", &image).start().await;
    says(&verb(&service, ADMIN_TOKEN, "cache warm --group team app:1", ""));
    let listed = says(&verb(&service, ADMIN_TOKEN, "cache list --group team --json", ""));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["platforms"], &listed[0]["account"]), (&json!(["linux/amd64"]), &Value::Null), "{listed}");
}

#[actix_rt::test]
async fn what_cannot_be_pulled_is_named_with_its_reason_and_the_rest_is_pulled() {
    let image = Image::single(&[Layer::random(1_000, 1)]);
    let Started { hub, service, client, .. } = Scenario::new().image("library/app", "1", &image).start().await;
    let output = verb(&service, ADMIN_TOKEN, "cache warm --group team app:1 app:nope", "");
    assert_eq!(output.status.code(), Some(1));
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("docker.io has no app:nope"), "{said}");
    assert!(failed.contains("1 of 2 images could not be pulled"), "{failed}");
    let output = verb(&service, ADMIN_TOKEN, "cache warm --group team app:1 app:nope --json", "");
    let jobs: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &jobs[0]["images"][1]["state"]), (Some(1), &json!("failed")), "{jobs}");
    hub.down(Listener::Registry);
    is_cached(&client, "app", "1", &image).await;
    let other = verb(&service, ADMIN_TOKEN, "cache warm --group team nowhere.test/app:1", "");
    assert!(String::from_utf8_lossy(&other.stderr).contains("nowhere.test is not an upstream of this service"));
}

#[actix_rt::test]
async fn it_gives_way_to_others_as_the_pull_limit_is_nearly_reached() {
    let image = Image::single(&[Layer::random(1_000, 1)]);
    let Started { hub, service, client, .. } = Scenario::new().image("library/app", "1", &image).start().await;
    hub.pulls_left(20);
    let path = "/groups/team/dependency_proxy/warm";
    let started = service.api("POST", path, json!({ "images": ["app:1"] })).await;
    assert_eq!(started.status, 202, "{}", started.text());
    let job = format!("{path}/{}", started.json()["id"]);
    let state = async || service.api("GET", &job, Value::Null).await.json()["images"][0].clone();
    eventually("it waits", async || state().await["state"] == "held").await;
    assert!(state().await["message"].as_str().unwrap().contains("docker.io's pull limit is nearly reached"));
    assert_eq!(hub.requests().of(Kind::ManifestGet), 0);
    assert_eq!(client.manifest("team", "app", "1").await.status, 200, "a client's pull does not wait");
    assert_eq!(service.api("DELETE", &job, Value::Null).await.status, 204);
    for method in ["GET", "DELETE"] {
        let malformed = service.api(method, &format!("{path}/first"), Value::Null).await;
        assert_eq!((malformed.status, malformed.json()), (400, json!({"error": "job is invalid"})), "{method}");
    }
    let ended = async || service.api("GET", &job, Value::Null).await.json()["state"] == "cancelled";
    eventually("it has ended", ended).await;
}

#[actix_rt::test]
async fn an_image_that_is_refused_is_not_listed() {
    let image = Image::single(&[Layer::random(1_000, 1)]);
    let Started { hub, service, .. } = Scenario::new().image("library/app", "1", &image).start().await;
    hub.on(Kind::ManifestGet).status(403);
    let output = verb(&service, ADMIN_TOKEN, "cache warm --group team app:1", "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(hub.requests().of(Kind::ManifestHead), 1);
    assert_eq!(says(&verb(&service, ADMIN_TOKEN, "cache list --group team --json", "")).trim(), "[]");
}

#[actix_rt::test]
async fn of_a_list_with_lines_that_are_no_images_nothing_is_started() {
    let Started { hub, service, .. } = Scenario::new().start().await;
    let list = "app:1\n".repeat(250) + "bad..image:v1\nnot a valid image!!\n";
    let output = verb(&service, ADMIN_TOKEN, "cache warm --group team --list -", &list);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("line 251: 'bad..image:v1'"), "{said}");
    assert!(said.contains("line 252: 'not a valid image!!'"), "{said}");
    assert_eq!(service.api("GET", "/groups/team/dependency_proxy/warm", Value::Null).await.json(), json!([]));
    assert_eq!(hub.requests().total(), 0);
}

#[actix_rt::test]
async fn a_list_that_needs_more_jobs_than_a_group_may_have_says_what_was_started() {
    let Started { hub, service, .. } = Scenario::new().start().await;
    hub.on_anything().at(Listener::Registry).before_auth().too_many_requests(3600);
    let output = verb(&service, ADMIN_TOKEN, "cache warm --group team --detach --list -", &"app:1\n".repeat(2_500));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("10 jobs of this group are running"), "{said}");
    assert!(said.contains("jobs for the first 2000 of 2500 images were started"), "{said}");
    assert!(said.contains("the same command goes on"), "{said}");
}

#[actix_rt::test]
async fn images_that_wait_for_their_registry_hold_up_no_others() {
    let image = Image::single(&[Layer::random(1_000, 1)]);
    let quay = FakeRegistry::start();
    quay.push_image("acme/ok", "1", &image);
    let scenario = Scenario::new().configured(|config| config.with_hub("quay.io", &quay));
    let Started { hub, service, .. } = scenario.start().await;
    let _other = service.group("other").await;
    hub.on_anything().at(Listener::Registry).before_auth().too_many_requests(3600);
    let path = "/groups/team/dependency_proxy/warm";
    let names = ["app:1", "app:2", "app:3", "app:4", "quay.io/acme/ok:1"];
    let job = service.api("POST", path, json!({ "images": names })).await.json();
    let job = format!("{path}/{}", job["id"]);
    let states = async || {
        let images = service.api("GET", &job, Value::Null).await.json()["images"].clone();
        images.as_array().unwrap().iter().map(|image| image["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Neither the others of the job, nor those of other groups.
    eventually("the others are pulled", async || states().await == ["held", "held", "held", "held", "done"]).await;
    says(&verb(&service, ADMIN_TOKEN, "cache warm --group other quay.io/acme/ok:1", ""));
}

#[actix_rt::test]
async fn a_group_has_a_share_of_the_jobs() {
    let Started { hub, service, .. } = Scenario::new().start().await;
    let _other = service.group("other").await;
    hub.on_anything().at(Listener::Registry).before_auth().too_many_requests(3600);
    let start = async |group: &str| {
        let path = format!("/groups/{group}/dependency_proxy/warm");
        service.api("POST", &path, json!({ "images": ["app:1"] })).await
    };
    for _ in 0..10 {
        assert_eq!(start("team").await.status, 202);
    }
    let refused = start("team").await;
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("10 jobs of this group are running, as many as it may have"), "{}", refused.text());
    assert_eq!(start("other").await.status, 202);
}

#[actix_rt::test]
async fn a_job_that_was_interrupted_is_continued_by_the_same_command() {
    let image = Image::single(&[Layer::random(400_000, 1), Layer::random(400_000, 2)]);
    let scenario = Scenario::new().image("library/app", "1", &image);
    let Started { hub, mut service, client, .. } = scenario.start().await;
    let [first, second] = [0, 1].map(|layer| image.layers()[layer].digest().to_owned());
    hub.on(Kind::BlobDownload).for_reference(&second).hold_after(1_000);
    says(&verb(&service, ADMIN_TOKEN, "cache warm --group team --detach app:1", ""));
    client.stored_blob("team", "app", &first).await;
    service.kill_and_restart();
    hub.behave();
    hub.release();
    hub.reset_counts();
    says(&verb(&service, ADMIN_TOKEN, "cache warm --group team app:1", ""));
    assert_eq!((hub.requests().blob_downloads(&first), hub.requests().blob_downloads(&second)), (0, 1));
}

#[actix_rt::test]
async fn ctrl_c_ends_the_job() {
    let image = Image::single(&[Layer::random(400_000, 1)]);
    let Started { hub, service, .. } = Scenario::new().image("library/app", "1", &image).start().await;
    hub.on(Kind::BlobDownload).hold_after(1_000);
    let mut child = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
        .args(["cache", "warm", "--group", "team", "app:1", "--url", &service.url()])
        .env("DEPENDENCY_PROXY_TOKEN", ADMIN_TOKEN)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    hub.seen(Kind::BlobDownload, 1).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let pid = i32::try_from(child.id()).unwrap();
    assert!(Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap().success());
    let ended = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).unwrap();
        (child.wait().unwrap(), said)
    });
    let (status, said) = ended.await.unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("the job was ended"), "{said}");
    let jobs = service.api("GET", "/groups/team/dependency_proxy/warm", Value::Null).await.json();
    assert_eq!(jobs[0]["state"], "cancelled");
}
