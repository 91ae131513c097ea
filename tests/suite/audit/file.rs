//! The file of audit events: each event once and in order, also over kills, rotation and a file that cannot be written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::events;
use crate::crash::Chances;
use crate::operating::metrics::metric;
use crate::service::{Config, Service, eventually};

const FAILING: &str = "dependency_proxy_audit_file_failing";

fn started(folder: &Path) -> (Service, PathBuf) {
    let file = folder.join("audit.jsonl");
    let setting = format!("[audit]\nfile = \"{}\"", file.display());
    (Config::upstream_at("docker.io", "http://127.0.0.1:9").and(&setting).start(), file)
}

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn ids(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["id"].as_u64().unwrap()).collect()
}

/// Waits until these files together have the events of the service, each once and in order.
async fn has_all(service: &Service, files: &[&Path]) {
    eventually("the file has all events", async || {
        let written: Vec<Value> = files.iter().flat_map(|file| lines(file)).collect();
        written == events(service, "").await
    })
    .await;
}

#[actix_rt::test]
async fn events_are_appended_as_the_api_shows_them_with_refusals_and_a_stop_appends_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let (mut service, file) = started(folder.path());
    service.group("team").await;
    has_all(&service, &[&file]).await;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let stranger = service.stranger().with_basic("somebody", "a-wrong-password");
    assert_eq!(stranger.get("/jwt/auth?service=dependency_proxy").await.status, 401);
    service.group("last").await;
    assert!(service.stop().success());
    let names: Vec<Value> = lines(&file).iter().map(|event| event["event_name"].clone()).collect();
    assert!(names.contains(&"login_failed".into()), "{names:?}");
    let created = names.iter().filter(|name| **name == "group_created").count();
    assert_eq!(created, 3, "one of them is that of the first start: {names:?}");
    service.restart();
    service.group("again").await;
    has_all(&service, &[&file]).await;
}

#[actix_rt::test]
async fn after_kills_each_event_is_there_once_and_in_order() {
    let mut chances = Chances::announced("kills and the file of audit events");
    let folder = tempfile::tempdir().unwrap();
    let (mut service, file) = started(folder.path());
    for round in 0..4 {
        for number in 0..5 {
            service.group(&format!("group-{round}-{number}")).await;
        }
        tokio::time::sleep(chances.moment(6_000)).await;
        service.kill();
        service.restart();
    }
    has_all(&service, &[&file]).await;
    let written = ids(&lines(&file));
    assert!(written.is_sorted() && written.windows(2).all(|pair| pair[0] != pair[1]), "{written:?}");
}

#[actix_rt::test]
async fn a_renamed_file_is_created_again_and_nothing_is_lost_or_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let (mut service, file) = started(folder.path());
    service.group("before").await;
    has_all(&service, &[&file]).await;
    let rotated = folder.path().join("audit.jsonl.1");
    fs::rename(&file, &rotated).unwrap();
    service.group("after").await;
    has_all(&service, &[&rotated, &file]).await;
    service.kill_and_restart();
    service.group("later").await;
    has_all(&service, &[&rotated, &file]).await;
}

#[actix_rt::test]
async fn a_file_that_cannot_be_written_stops_nothing_and_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    // A folder in its place: not even root can write it.
    fs::create_dir(&file).unwrap();
    let (service, file) = started(folder.path());
    service.group("team").await;
    eventually("the failure is counted", async || metric(&service, FAILING).await == 1).await;
    service.group("other").await;
    fs::remove_dir(&file).unwrap();
    has_all(&service, &[&file]).await;
    eventually("the failure is over", async || metric(&service, FAILING).await == 0).await;
    let of_file = |line: &&Value| line["file"].as_str().is_some_and(|name| name.ends_with("audit.jsonl"));
    let log = service.log_lines();
    let levels: Vec<&str> = log.iter().filter(of_file).filter_map(|line| line["level"].as_str()).collect();
    assert_eq!(levels.len(), 2, "{levels:?}");
    assert!(levels[0].eq_ignore_ascii_case("warn") && levels[1].eq_ignore_ascii_case("info"), "{levels:?}");
}
