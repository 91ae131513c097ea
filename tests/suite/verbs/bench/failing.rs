//! Failing servers: errors are counted by kind.

use super::*;
use crate::service::eventually;

/// Returns the number of errors of this kind at the first server.
fn errors(report: &Value, kind: &str) -> u64 {
    let errors = report["servers"][0]["errors"].as_array().unwrap();
    errors.iter().filter(|error| error["kind"] == kind).map(|error| error["count"].as_u64().unwrap()).sum()
}

/// Returns a hub with one image, and the arguments to pull it.
fn hub_and_line() -> (FakeRegistry, String) {
    let hub = FakeRegistry::start();
    hub.push_image("library/app", "1", &image(1));
    let line = format!("--url {} --image library/app:1 --clients 2 --json", hub.url());
    (hub, line)
}

#[actix_rt::test]
async fn wrong_content_is_told_and_is_a_failure() {
    let (hub, line) = hub_and_line();
    // Names the blob, because a flipped byte changes nothing in the image's empty layer. The first two requests are
    // that of the pull that finds the image and that of the first measured one.
    let layer = image(1).layers()[0].digest().to_owned();
    hub.on(Kind::BlobDownload).for_reference(&layer).after(2).times(1).flip_byte(5);
    let output = bench(&format!("{line} --pulls 5"));
    assert_eq!((output.status.code(), errors(&json(&output), "wrong digest")), (Some(1), 1), "{}", json(&output));
    assert!(told(&output).contains("1 digests did not match"), "{}", told(&output));
    assert_eq!(json(&output)["servers"][0]["pulls"], 4);
}

#[actix_rt::test]
async fn wrong_content_at_first_ends_it_at_once() {
    let (hub, line) = hub_and_line();
    hub.on(Kind::ManifestGet).digest_header(image(9).digest());
    let output = bench(&line);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(told(&output).contains(&format!("should be {}", image(9).digest())), "{}", told(&output));
}

#[actix_rt::test]
async fn a_longer_body_than_the_manifest_says_is_wrong_content() {
    let (hub, line) = hub_and_line();
    hub.on(Kind::BlobDownload).after(4).times(1).endless_body();
    let output = bench(&format!("{line} --pulls 5"));
    assert_eq!((output.status.code(), errors(&json(&output), "wrong digest")), (Some(1), 1));
}

#[actix_rt::test]
async fn a_wrong_secret_is_answered_with_the_sentence_of_the_server() {
    let hub = FakeRegistry::start();
    hub.push_image("library/app", "1", &image(1));
    let (service, mut token) = service_of(&hub).await;
    token.secret = "wrong".to_owned();
    let folder = tempfile::tempdir().unwrap();
    let output = bench(&format!("{} --image app:1", pull_from(&service, &token, &folder)));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(told(&output).contains("Wrong username or password"), "{}", told(&output));
}

#[actix_rt::test]
async fn nobody_there_is_told_at_once() {
    let (hub, line) = hub_and_line();
    hub.down(Listener::Registry);
    let output = bench(&line);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
    assert!(told(&output).contains("cannot be reached: no connection"), "{}", told(&output));
}

#[actix_rt::test]
async fn errors_are_counted_by_kind() {
    let (hub, line) = hub_and_line();
    hub.on(Kind::ManifestGet).after(1).times(1).status(503);
    hub.on(Kind::BlobDownload).for_reference(image(1).layers()[0].digest()).after(1).times(1).cut_after(1_000);
    hub.on(Kind::BlobDownload).for_reference(image(1).layers()[1].digest()).after(2).times(1).hang();
    let output = bench(&format!("{line} --pulls 10 --timeout 3s"));
    assert!(output.status.success(), "{}", told(&output));
    let report = json(&output);
    let counts = ["status", "cut off", "timeout"].map(|kind| errors(&report, kind));
    assert_eq!(counts, [1, 1, 1], "{report:#}");
    let server = &report["servers"][0];
    assert_eq!((&server["pulls"], &server["failed"]), (&7.into(), &3.into()));
    let status = server["errors"].as_array().unwrap().iter().find(|error| error["kind"] == "status").unwrap();
    assert_eq!((&status["at"], &status["status"], &status["code"]), (&"manifest".into(), &503.into(), &"FAKED".into()));
}

#[actix_rt::test]
async fn tokens_that_end_are_renewed() {
    let (hub, line) = hub_and_line();
    let child = start(&format!("{line} --pulls 500"));
    hub.seen(Kind::ManifestGet, 20).await;
    hub.expire_tokens();
    let output = child.wait_with_output().unwrap();
    let server = &json(&output)["servers"][0];
    assert_eq!((&server["pulls"], &server["failed"], &server["tokens"]), (&500.into(), &0.into(), &2.into()));
}

#[actix_rt::test]
async fn a_server_that_dies_is_told_and_holds_nobody_up() {
    let hub = FakeRegistry::start();
    hub.push_image("library/app", "1", &image(1));
    let (mut service, token) = service_of(&hub).await;
    let folder = tempfile::tempdir().unwrap();
    let line = pull_from(&service, &token, &folder);
    let child = start(&format!("{line} --image app:1 --clients 8 --duration 5s --json"));
    // The first one is not counted.
    eventually("20 manifests are pulled", async || service.log().matches("\"manifest\"").count() >= 20).await;
    service.kill();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let report = json(&output);
    assert!(errors(&report, "connect") > 0, "{report:#}");
    let (pulls, rounds) = (&report["servers"][0]["pulls"], report["servers"][0]["rounds"].as_array().unwrap().len());
    assert!(pulls.as_u64().unwrap() > 0 && rounds == 1, "{report:#}");
}
