//! The metrics: complete, described, and without information on who pulls what.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use fake_registry::{FakeRegistry, Image, Layer};
use serde_json::json;

use crate::service::{Config, Service, eventually};

/// All values of labels. Statuses and the bounds of histograms are numbers.
const LABELS: [(&str, &[&str]); 10] = [
    ("route", &["base", "token", "health", "api", "manifest", "blob", "tags", "referrers", "other"]),
    ("cache", &["hit", "revalidated", "revalidating", "stale", "miss", "coalesced", "failed", "passed_through"]),
    (
        "upstream",
        &[
            "docker.io",
            "ghcr.io",
            "quay.io",
            "registry.k8s.io",
            "mcr.microsoft.com",
            "public.ecr.aws",
            "gcr.io",
            "registry.gitlab.com",
        ],
    ),
    ("account", &[""]),
    ("kind", &["manifest", "manifest_head", "blob", "blob_range", "blob_head", "list", "token", "content", "short"]),
    (
        "outcome",
        &[
            "ok",
            "redirect",
            "unauthorized",
            "forbidden",
            "not_found",
            "rate_limited",
            "failed",
            "unreachable",
            "timed_out",
            "given_up",
        ],
    ),
    (
        "queue",
        &[
            "blob_suspects",
            "passwords",
            "changes",
            "manifests",
            "manifest_waiters",
            "downloads",
            "blob_waiters",
            "blob_heads",
            "unstored_streams",
            "range_streams",
            "upstream",
        ],
    ),
    ("reason", &["too_long", "no_room", "login_needed", "no_access", "not_found", "refused_by_upstream"]),
    ("days", &["1", "7", "30"]),
    ("le", &["+Inf"]),
];

pub async fn metrics(service: &Service) -> String {
    metrics_at(service.metrics).await
}

/// Returns the metrics of the service that has them at this address.
pub(crate) async fn metrics_at(address: SocketAddr) -> String {
    reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap()
}

/// Returns the value of a sample of whole numbers, by its name with its labels; 0 where it is missing.
pub(crate) async fn metric(service: &Service, sample: &str) -> u64 {
    metric_at(service.metrics, sample).await
}

/// Returns the value of a sample as [`metric`] does, of the service with metrics at this address.
pub(crate) async fn metric_at(address: SocketAddr, sample: &str) -> u64 {
    let metrics = metrics_at(address).await;
    let found = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.unwrap_or("0").parse().unwrap()
}

/// Returns the value of a sample, by its name with its labels.
pub fn value(metrics: &str, sample: &str) -> f64 {
    let found = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {sample} in {metrics}")).parse().unwrap()
}

#[actix_rt::test]
async fn a_pull_is_counted_and_no_label_says_whose_it_is() {
    let hub = FakeRegistry::start();
    let layer = Layer::random(50_000, 1);
    let image = Image::single(std::slice::from_ref(&layer));
    hub.push_image("library/secret-image", "v7", &image);
    let service = Config::docker_hub(&hub).start();
    let team = service.group("secret-team").await;
    let expiring = |name: &str, days: i64| json!({"name": name, "scopes": ["read_registry", "write_registry"], "expires_at": in_days(days)});
    let token = service.deploy_token_with(&team, expiring("soon", 10)).await;
    service.deploy_token_with(&team, expiring("made-for-less-than-a-week", 3)).await;
    service.user("secret-user", "a-long-enough-password").await;
    service.token("secret-user", "a-long-enough-password", "").await;
    let client = service.log_in_with(&token).await;
    for _ in 0..2 {
        client.manifest("secret-team", "secret-image", "v7").await;
        client.blob("secret-team", "secret-image", layer.digest()).await;
    }
    client.manifest("secret-team", "secret-missing", "v7").await;
    client.get("/v2/secret-team/dependency_proxy/containers/secret-image/tags/list").await;
    client.manifest("other-secret-team", "secret-image", "v7").await;
    eventually("tokens were counted", async || metrics(&service).await.contains("tokens_expiring")).await;

    let text = metrics(&service).await;
    let bytes = (image.bytes().len() + 50_000) as f64;
    assert_eq!(value(&text, "dependency_proxy_manifest_pulls_total{cache=\"miss\"}"), 1.0);
    assert_eq!(value(&text, "dependency_proxy_manifest_pulls_total{cache=\"hit\"}"), 1.0);
    assert_eq!(value(&text, "dependency_proxy_blob_pulls_total{cache=\"miss\"}"), 1.0);
    assert_eq!(value(&text, "dependency_proxy_fetched_bytes_total"), bytes);
    assert_eq!(value(&text, "dependency_proxy_served_bytes_total"), 2.0 * bytes);
    assert_gauges(&text);
    assert!(value(&text, "dependency_proxy_free_bytes") > 0.0);
    assert!(value(&text, "process_resident_memory_bytes") > 1e6 && value(&text, "process_open_fds") > 10.0);
    assert_labels_are_known(&text);
    assert!(!text.contains("secret"), "{text}");
    let named: Vec<_> =
        service.log().lines().filter(|line| line.contains("a token expires soon")).map(str::to_owned).collect();
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(named[0].contains("\\\"soon\\\" of group") && named[0].contains("\"days\":14"), "{named:?}");
}

/// Asserts the values of gauges after the last pull has ended.
fn assert_gauges(metrics: &str) {
    for (sample, expected) in [
        ("dependency_proxy_downloads_in_flight", 0.0),
        ("dependency_proxy_manifest_requests_in_flight", 0.0),
        ("dependency_proxy_queue_length{queue=\"manifest_waiters\"}", 0.0),
        ("dependency_proxy_queue_length{queue=\"blob_waiters\"}", 0.0),
        ("dependency_proxy_queue_length{queue=\"changes\"}", 0.0),
        ("dependency_proxy_queue_length{queue=\"passwords\"}", 0.0),
        ("dependency_proxy_tokens_expiring{days=\"1\"}", 0.0),
        ("dependency_proxy_tokens_expiring{days=\"7\"}", 0.0),
        ("dependency_proxy_tokens_expiring{days=\"30\"}", 1.0),
    ] {
        assert_eq!(value(metrics, sample), expected, "{sample}");
    }
}

fn assert_labels_are_known(metrics: &str) {
    for (label, value) in labels(metrics) {
        let allowed = LABELS.iter().find(|(name, _)| *name == label).map_or(&[][..], |(_, values)| values);
        let number = ["status", "le"].contains(&label) && value.parse::<f64>().is_ok();
        assert!(number || allowed.contains(&value), "{label}=\"{value}\"");
    }
}

#[actix_rt::test]
async fn metrics_are_not_on_the_public_port() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    assert_eq!(service.stranger().get("/metrics").await.status, 404);
}

fn in_days(days: i64) -> String {
    let then = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
    then.strftime("%Y-%m-%d").to_string()
}

/// Returns the labels of all samples.
fn labels(metrics: &str) -> Vec<(&str, &str)> {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let inside = samples.filter_map(|line| Some(line.split_once('{')?.1.split_once('}')?.0));
    inside.flat_map(|labels| labels.split(',')).map(|label| label.split_once('=').unwrap()).map(unquoted).collect()
}

fn unquoted<'a>((label, value): (&'a str, &'a str)) -> (&'a str, &'a str) {
    (label, value.trim_matches('"'))
}

#[test]
fn every_metric_is_described_as_what_it_is_and_every_description_is_of_one() {
    let text = source();
    assert_eq!(named(&text, "describe_"), named(&text, ""));
}

/// Returns the names of all metrics that the service describes.
pub(super) fn described() -> Vec<String> {
    named(&source(), "describe_").into_keys().collect()
}

/// Returns the source of the service.
pub(super) fn source() -> String {
    let mut text = String::new();
    read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    text
}

fn read_all(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Returns the metrics that macros with this prefix name in the source, with their kinds.
fn named(source: &str, prefix: &str) -> BTreeMap<String, &'static str> {
    let mut found = BTreeMap::new();
    for kind in ["counter", "gauge", "histogram"] {
        let call = format!("{prefix}{kind}!(");
        for (at, _) in source.match_indices(&call) {
            let name = source[at + call.len()..].trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
            if !prefix.is_empty() || !source[..at].ends_with("describe_") {
                found.insert(name.expect("a metric is named by a literal").0.to_owned(), kind);
            }
        }
    }
    found
}
