//! The dashboard and the alerts of `config/monitoring/`, checked by Prometheus' own `promtool`: they name metrics that
//! the service has, and labels that it sets.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fake_registry::{Image, Layer};
use serde_json::{Value, json};

use super::metrics::{described, metrics, source};
use crate::documents::{self, OPERATING};
use crate::service::{Scenario, Started, eventually};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/monitoring")
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// Runs `promtool` with this text as standard input, and returns what it writes. Fails unless it succeeds.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's package prometheus, which tests/run installs");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

/// Returns the names of the alerts, in their order.
fn alerts() -> Vec<String> {
    read("alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

/// Returns the words of an expression or of a sentence.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

/// Returns the metrics that a text names, as the service describes them.
fn named(text: &str) -> BTreeSet<String> {
    let names = words(text).filter(|word| word.starts_with("dependency_proxy_") || word.starts_with("process_"));
    names.map(|name| name.strip_suffix("_bucket").unwrap_or(name).to_owned()).collect()
}

/// Returns all values with this key in the dashboard.
fn strings<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(text) if name == key => found.push(text),
                    _ => strings(field, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| strings(item, key, found)),
        _ => {}
    }
}

/// Returns the expressions of the dashboard, with values for what Grafana fills in.
fn expressions(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    strings(dashboard, "expr", &mut found);
    let filled = |text: &str| text.replace("$__rate_interval", "5m").replace("$__range", "6h");
    found.into_iter().map(|text| filled(text).replace("$instance", ".*").replace("$job", "dependency-proxy")).collect()
}

/// Returns the labels and values that selectors of an expression compare, but for those of Prometheus and numbers.
fn matched(expression: &str) -> Vec<(&str, &str)> {
    let selectors = expression.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let pairs = selectors.flat_map(|(inside, _)| inside.split(','));
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(label, values)| (label.trim().trim_end_matches('!'), values.trim_matches(['"', '~', ' '])));
    let pairs = pairs.filter(|(label, _)| !["instance", "job", "status", "alertname", "alertstate"].contains(label));
    pairs.flat_map(|(label, values)| values.split('|').map(move |value| (label, value))).collect()
}

#[test]
fn promtool_accepts_the_alerts_and_each_fires_when_it_should_and_only_then() {
    let checked = promtool(&["check", "rules", "alerts.yml"], "");
    assert!(checked.contains(&format!("{} rules found", alerts().len())), "{checked}");
    let tested = promtool(&["test", "rules", "alerts_test.yml"], "");
    assert!(tested.contains("SUCCESS"), "{tested}");
}

#[test]
fn each_alert_has_a_test_a_severity_and_sentences() {
    let (rules, tests) = (read("alerts.yml"), read("alerts_test.yml"));
    assert!(alerts().len() >= 15, "{:?}", alerts());
    for alert in alerts() {
        // Where it must not fire, the expected samples of other series do not have it.
        let fires = format!("{{labels: '{{alertname=\"{alert}\"");
        assert!(tests.contains(&fires) || tests.contains(&format!("- alertname: {alert}\n")), "{alert} is not tested");
        let (_, rule) = rules.split_once(&format!("- alert: {alert}\n")).unwrap();
        let rule = rule.split("- alert: ").next().unwrap();
        assert!(["critical", "warning"].iter().any(|word| rule.contains(&format!("{{severity: {word}}}"))), "{alert}");
        let (_, description) = rule.split_once("description: >-\n").unwrap();
        assert!(rule.contains("summary: ") && words(description).count() > 20, "{alert}");
    }
}

#[test]
fn promtool_parses_each_expression_of_the_dashboard() {
    let dashboard = serde_json::from_str(&read("dashboard.json")).unwrap();
    let rule = |(number, text): (usize, &String)| json!({"record": format!("panel:{number}"), "expr": text});
    let expressions = expressions(&dashboard);
    let rules: Vec<Value> = expressions.iter().enumerate().map(rule).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    let groups = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    fs::write(file.path(), groups.to_string()).unwrap();
    let checked = promtool(&["check", "rules", file.path().to_str().unwrap()], "");
    assert!(checked.contains(&format!("{} rules found", expressions.len())), "{checked}");
}

#[test]
fn the_dashboard_shows_every_metric_and_it_and_the_alerts_name_no_other() {
    let described: BTreeSet<String> = described().into_iter().collect();
    let dashboard = read("dashboard.json");
    let parsed = serde_json::from_str(&dashboard).unwrap();
    let shown: BTreeSet<String> = expressions(&parsed).iter().flat_map(|text| named(text)).collect();
    assert_eq!(shown, described);
    for file in ["dashboard.json", "alerts.yml", "alerts_test.yml"] {
        let unknown: Vec<String> = named(&read(file)).difference(&described).cloned().collect();
        assert_eq!(unknown, [""; 0], "{file}");
    }
}

#[test]
fn the_labels_and_values_that_expressions_compare_are_set_by_the_service() {
    let source = source();
    let dashboard = serde_json::from_str(&read("dashboard.json")).unwrap();
    let rules = read("alerts.yml");
    let rules = rules.split("expr: ").skip(1).map(|rest| rest.split("for:").next().unwrap());
    let rules = rules.map(|rest| rest.split("labels:").next().unwrap().to_owned());
    let mut compared = 0;
    for expression in rules.chain(expressions(&dashboard)) {
        for literal in matched(&expression).into_iter().flat_map(|(label, value)| [label, value]) {
            assert!(source.contains(&format!("\"{literal}\"")), "{literal} in {expression}");
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn no_panel_lies_over_another_and_each_says_what_it_shows() {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{}", panel["title"]);
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{} lies over another", panel["title"]);
        }
        let is_row = panel["type"] == "row";
        assert!(is_row || panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{}", panel["title"]);
    }
}

#[actix_rt::test]
async fn promtool_finds_nothing_wrong_with_the_metrics_of_a_service_that_has_served_pulls() {
    let image = Image::single(&[Layer::random(10_000, 1)]);
    let scenario = Scenario::new().image("library/alpine", "1", &image);
    let scenario = scenario.configured(|config| config.variable("DEPENDENCY_PROXY__STORAGE__MAX_BYTES", "1GB"));
    let Started { hub: _hub, service, client, .. } = scenario.start().await;
    for _ in 0..2 {
        assert_eq!(client.manifest("team", "alpine", "1").await.status, 200);
        assert_eq!(client.blob("team", "alpine", image.layers()[0].digest()).await.status, 200);
    }
    assert_eq!(client.manifest("team", "alpine", "missing").await.status, 404);
    let of_the_disk = "dependency_proxy_max_stored_bytes 1000000000\n";
    eventually("the disk was measured", async || metrics(&service).await.contains(of_the_disk)).await;
    let text = metrics(&service).await;
    assert_eq!(promtool(&["check", "metrics"], &text), "");
    for name in ["process_max_fds", "process_start_time_seconds"] {
        assert!(super::metrics::value(&text, name) > 100.0, "{name}");
    }
}

#[test]
fn promtool_accepts_the_settings_of_the_document() {
    let blocks = documents::blocks(OPERATING, "Monitoring with Prometheus and Grafana", "yaml");
    let [scrape] = blocks[..] else { panic!("one block") };
    let file = tempfile::NamedTempFile::new().unwrap();
    let alerts = folder().join("alerts.yml");
    let given = "/usr/share/doc/dependency-proxy/monitoring/alerts.yml";
    assert!(scrape.contains(given), "{scrape}");
    fs::write(file.path(), scrape.replace(given, alerts.to_str().unwrap())).unwrap();
    let checked = promtool(&["check", "config", file.path().to_str().unwrap()], "");
    assert!(checked.contains("SUCCESS") && checked.contains("rules found"), "{checked}");
}
