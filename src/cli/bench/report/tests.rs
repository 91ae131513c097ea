//! Reports of invented measurements.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::*;
use crate::cli::bench::fault::{Fault, Part, PullError};
use crate::cli::bench::progress::Live;
use crate::cli::bench::pull::PullScope;
use crate::cli::bench::rounds::Schedule;
use crate::cli::bench::session::Session;
use crate::cli::bench::tally::Tally;
use crate::cli::bench::wire::ConnectionOptions;

fn server(url: &str) -> Server {
    let url: url::Url = url.parse().unwrap();
    let sessions = vec![Session::new(url.clone(), "team/app".to_owned(), None)];
    Server { url, sessions, pulls_left: AtomicU64::new(u64::MAX) }
}

fn load(urls: &[&str]) -> Load {
    Load {
        servers: urls.iter().map(|url| server(url)).collect(),
        references: vec!["1".to_owned()],
        scope: PullScope { platform: "linux/amd64".parse().unwrap(), manifests_only: false },
        connection: ConnectionOptions { new_connections: false, timeout: Duration::from_secs(30), authorities: None },
        clients: 4,
        schedule: Schedule { rounds: 2, length: Duration::from_secs(1) },
        live: Live::default(),
    }
}

/// Measurements of these numbers of pulls in two rounds of one second, with one megabyte per pull and this digest.
fn measured(rounds: [u64; 2], digest: u8) -> Measured {
    let mut tally = Tally::new().unwrap();
    for _ in 0..rounds.iter().sum() {
        tally.pulled(0, Digest::from_bytes([digest; 32]), Duration::from_millis(20));
    }
    tally.bytes = rounds.iter().sum::<u64>() * 1_000_000;
    let round = |pulls: u64| Round { seconds: 1.0, pulls, bytes: pulls * 1_000_000 };
    Measured { tally, rounds: rounds.map(round).to_vec() }
}

#[test]
fn speeds_are_of_the_time_that_was_measured() {
    let (load, measured) = (load(&["http://a:1"]), [measured([10, 30], 1)]);
    let report = Report { load: &load, measured: &measured };
    let server = &report.json()["servers"][0];
    assert_eq!((&server["images_per_second"], &server["megabytes_per_second"]), (&json!(20.0), &json!(20.0)));
    assert_eq!(server["digests"][0]["image"], "team/app:1");
    assert_eq!(server["digests"][0]["count"], 40);
    assert_eq!(server["latency_ms"]["image"]["total"]["count"], 40);
    assert_eq!(server["latency_ms"]["blob"]["total"]["p99"], Value::Null, "no blob was measured");
    let text = report.text();
    assert!(
        text.starts_with("http://a:1: 40 images in 2.0 s, 0 failed\n20.0 images/s, 20.0 MB/s, 0 tokens\n"),
        "{text}"
    );
    assert!(text.contains("image, total") && !text.contains("blob, total"), "{text}");
}

#[test]
fn two_servers_are_told_as_ratios_with_their_spread() {
    let (load, measured) = (load(&["http://a:1", "http://b:2"]), [measured([10, 30], 1), measured([10, 10], 1)]);
    let report = Report { load: &load, measured: &measured };
    let json = report.json();
    assert_eq!(json["ratios"]["images_per_second"], 2.0);
    assert_eq!(json["ratios"]["latency"]["image"]["total"]["p50"], 1.0);
    assert_eq!(json["differences"], json!([]));
    let text = report.text();
    let line = text.lines().map(str::trim_start).find(|line| line.starts_with("images/s")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["images/s", "2.00", "1.00", "to", "3.00"]);
}

#[test]
fn servers_that_give_different_images_are_no_fair_comparison() {
    let (load, measured) = (load(&["http://a:1", "http://b:2"]), [measured([1, 1], 1), measured([1, 1], 2)]);
    let report = Report { load: &load, measured: &measured };
    let warning = "the servers sent different images for team/app:1";
    assert_eq!(report.json()["differences"], json!([warning]));
    assert!(report.text().ends_with(&format!("Warning: {warning}")));
}

#[test]
fn errors_are_told_by_kind() {
    let (load, mut measured) = (load(&["http://a:1"]), [measured([1, 1], 1)]);
    let fault = Fault::Status { status: 503, code: "UNAVAILABLE".to_owned(), sentence: "Not now".to_owned() };
    measured[0].tally.record_failure(&PullError { part: Part::Manifest, fault });
    measured[0].tally.record_failure(&PullError { part: Part::Blob, fault: Fault::Timeout });
    let report = Report { load: &load, measured: &measured };
    let errors = &report.json()["servers"][0]["errors"];
    assert_eq!((&errors[0]["status"], &errors[0]["code"]), (&json!(503), &json!("UNAVAILABLE")));
    assert_eq!((&errors[1]["kind"], &errors[1]["status"]), (&json!("timeout"), &Value::Null));
    let text = report.text();
    assert!(
        text.lines().any(|line| line.ends_with("Not now (503)") && line.contains("status 503 UNAVAILABLE")),
        "{text}"
    );
}

#[test]
fn figures_have_three_digits() {
    assert_eq!([0.1234, 12.34, 123.4].map(figure), ["0.12", "12.3", "123"]);
}
