//! `bench`: its reports on the service and on other registries, compared with the requests that these received.

mod failing;
mod registries;

use std::process::{Child, Command, Output, Stdio};

use fake_registry::{FakeRegistry, Image, Kind, Layer, Listener};
use serde_json::Value;

use crate::service::{Config, Service, Token};

/// Returns an image of three layers and a configuration.
fn image(seed: u64) -> Image {
    Image::single(&[Layer::random(100_000, seed), Layer::random(20_000, seed + 1), Layer::random(0, 0)])
}

fn start(line: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command.arg("bench").args(line.split_whitespace()).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn bench(line: &str) -> Output {
    start(line).wait_with_output().unwrap()
}

/// Runs `bench`, which must succeed, and returns its JSON.
fn measured(line: &str) -> Value {
    let output = bench(&format!("{line} --json"));
    assert!(output.status.success(), "{}", told(&output));
    json(&output)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", told(output)))
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns a service in front of the hub, with a token that can pull.
async fn service_of(hub: &FakeRegistry) -> (Service, Token) {
    let service = Config::docker_hub(hub).start();
    let team = service.group("team").await;
    let token = service.deploy_token(&team, "ci").await;
    (service, token)
}

/// Returns the arguments for the service's image and the token, whose secret is in a file of this folder.
fn pull_from(service: &Service, token: &Token, folder: &tempfile::TempDir) -> String {
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{}\n", token.secret)).unwrap();
    let (url, username) = (service.url(), &token.username);
    format!("--url {url} --group team --username {username} --secret-file {}", file.display())
}

#[actix_rt::test]
async fn pulls_from_the_service_are_counted_and_verified() {
    let hub = FakeRegistry::start();
    let image = image(1);
    hub.push_image("library/app", "1", &image);
    let (service, token) = service_of(&hub).await;
    let folder = tempfile::tempdir().unwrap();
    let line = pull_from(&service, &token, &folder);
    let report = measured(&format!("{line} --image app:1 --clients 4 --pulls 20"));
    let server = &report["servers"][0];
    let blobs = image.layers().iter().chain(image.config());
    let size = image.bytes().len() as u64 + blobs.clone().map(Layer::size).sum::<u64>();
    assert_eq!((&server["pulls"], &server["failed"], &server["bytes"]), (&20.into(), &0.into(), &(20 * size).into()));
    assert_eq!(server["latency_ms"]["manifest"]["total"]["count"], 20);
    assert_eq!(server["latency_ms"]["blob"]["first_byte"]["count"], 20 * blobs.count());
    assert_eq!(server["digests"][0]["digest"], image.digest());
    assert_eq!(hub.requests().blob_downloads(image.layers()[0].digest()), 1, "the others were hits");
    let text = String::from_utf8(bench(&format!("{line} --image app:1 --pulls 5")).stdout).unwrap();
    assert!(text.starts_with(&format!("{}: 5 images in ", service.url())), "{text}");
}

#[actix_rt::test]
async fn the_line_of_the_readme_measures_the_first_group() {
    let hub = FakeRegistry::start();
    hub.push_image("library/alpine", "latest", &image(1));
    let service = Config::docker_hub(&hub).start();
    let line =
        "--group example --username example-pull --secret-stdin --image alpine:latest --clients 32 --duration 1s";
    let secret = std::fs::File::open(service.data().join("first-login")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command.arg("bench").args(line.split_whitespace()).args(["--url", &service.url()]).stdin(secret);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("images/s"), "{text}{}", told(&output));
}

#[actix_rt::test]
async fn a_registry_with_tokens_and_redirects_sees_just_these_requests() {
    let hub = FakeRegistry::start();
    let (image, other) = (image(1), image(5));
    hub.push_image("library/app", "1", &image);
    hub.push_image("library/other", "1", &other);
    let line = format!("--url {} --image library/app:1 --image library/other:1 --clients 2 --pulls 10", hub.url());
    let report = measured(&line);
    let server = &report["servers"][0];
    assert_eq!(server["pulls"], 10);
    assert_eq!(server["tokens"], 2, "one for each repository");
    let seen = hub.requests();
    // Plus the first pull of each, which is not counted.
    assert_eq!(seen.of(Kind::ManifestGet), 10 + 2);
    assert_eq!(seen.manifest_gets("library/app", "1"), 5 + 1);
    assert_eq!(seen.blob_downloads(image.layers()[0].digest()), 5 + 1);
    assert_eq!(seen.of(Kind::BlobRedirect), (10 + 2) * 4);
    assert_eq!(seen.token_requests(), 2);
    assert!(seen.iter().filter(|request| request.listener == Listener::Storage).all(|request| !request.refused));
}

#[actix_rt::test]
async fn of_an_index_the_platform_is_pulled() {
    let hub = FakeRegistry::start();
    let (amd64, arm64) = (image(1), image(5));
    hub.push_image("library/app", "1", &Image::index(&[amd64.clone(), arm64.clone()]).oci());
    let line = format!("--url {} --image library/app:1 --pulls 3", hub.url());
    let report = measured(&format!("{line} --platform linux/arm64"));
    assert_eq!(report["servers"][0]["latency_ms"]["manifest"]["total"]["count"], 6);
    assert_eq!(hub.requests().manifest_gets("library/app", arm64.digest()), 4);
    assert_eq!(hub.requests().manifest_gets("library/app", amd64.digest()), 0);
    let none = bench(&format!("{line} --platform plan9/mips"));
    assert!(told(&none).contains("nothing for plan9/mips"), "{}", told(&none));
    assert_eq!(none.status.code(), Some(1));
}

#[actix_rt::test]
async fn manifests_alone_touch_no_blob() {
    let hub = FakeRegistry::start();
    hub.push_image("library/app", "1", &image(1));
    let report = measured(&format!("--url {} --image library/app:1 --pulls 5 --manifests-only", hub.url()));
    assert_eq!((&report["servers"][0]["pulls"], hub.requests().of(Kind::BlobRedirect)), (&5.into(), 0));
}

#[actix_rt::test]
async fn new_connections_are_not_kept_by_either_side() {
    let hub = FakeRegistry::start();
    hub.push_image("library/app", "1", &image(1));
    let line = format!("--url {} --image library/app:1 --pulls 5", hub.url());
    measured(&line);
    let closed = |hub: &FakeRegistry| {
        hub.requests().iter().filter(|request| request.header("connection") == Some("close")).count()
    };
    assert_eq!(closed(&hub), 0);
    hub.reset_counts();
    measured(&format!("{line} --new-connections"));
    assert_eq!(closed(&hub), hub.requests().total());
}

#[actix_rt::test]
async fn two_servers_are_compared_and_differences_told() {
    let hub = FakeRegistry::start();
    let image = image(1);
    hub.push_image("library/app", "1", &image);
    let (service, token) = service_of(&hub).await;
    let folder = tempfile::tempdir().unwrap();
    let ours = pull_from(&service, &token, &folder);
    let line =
        format!("{ours} --image library/app:1 --compare {} --round 500ms --duration 1500ms --clients 2", hub.url());
    let report = measured(&line);
    for (server, url) in report["servers"].as_array().unwrap().iter().zip([service.url(), hub.url()]) {
        assert_eq!((&server["url"], &server["digests"][0]["digest"]), (&url.into(), &image.digest().into()));
        assert_eq!(server["rounds"].as_array().unwrap().len(), 3);
    }
    let speed = |server: usize| report["servers"][server]["images_per_second"].as_f64().unwrap();
    let ratio = report["ratios"]["images_per_second"].as_f64().unwrap();
    assert!((ratio - speed(0) / speed(1)).abs() < 1e-9);
    assert_eq!(report["differences"].as_array().unwrap().len(), 0);
    // The service continues to serve the tag that it has just pulled.
    hub.push_image("library/app", "1", &self::image(9));
    let text = String::from_utf8(bench(&line).stdout).unwrap();
    assert!(text.contains("Warning: the servers sent different images"), "{text}");
    let shown = hub.requests().iter().any(|request| format!("{request:?}").contains(&token.secret));
    assert!(!shown, "the other server was shown the secret");
}

#[actix_rt::test]
async fn what_was_measured_until_ctrl_c_is_told() {
    let hub = FakeRegistry::start();
    hub.push_image("library/app", "1", &image(1));
    let child = start(&format!("--url {} --image library/app:1 --duration 1h --json", hub.url()));
    hub.seen(Kind::ManifestGet, 50).await;
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let pulls = json(&output)["servers"][0]["pulls"].as_u64().unwrap();
    assert!(pulls > 0 && pulls < hub.requests().of(Kind::ManifestGet) as u64, "{pulls}");
}
