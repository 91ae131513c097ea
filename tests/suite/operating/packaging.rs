//! The Helm chart, and the compose file of several replicas: they are for this version, and set what are settings.

use std::collections::BTreeSet;

use super::checked_settings::{check, said};

const CHART: &str = include_str!("../../../config/helm/dependency-proxy/Chart.yaml");
const PODS: &str = include_str!("../../../config/helm/dependency-proxy/templates/statefulset.yaml");
const EXAMPLES: [&str; 2] = [
    include_str!("../../../config/helm/dependency-proxy/ci/embedded-values.yaml"),
    include_str!("../../../config/helm/dependency-proxy/ci/fleet-values.yaml"),
];
const COMPOSE: &str = include_str!("../../../config/compose/compose.yaml");

/// Returns the names of the variables of settings in a text.
fn variables(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
    words.filter(|word| word.starts_with("DEPENDENCY_PROXY__")).collect()
}

/// Returns the settings among values of the chart.
fn settings(values: &str) -> String {
    let (_, rest) = values.split_once("\nsettings: |\n").unwrap();
    rest.lines().map_while(|line| line.strip_prefix("  ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_chart_is_for_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(CHART.contains(&format!("\nappVersion: \"{version}\"\n")), "{CHART}");
}

#[test]
fn the_variables_of_the_chart_and_of_the_compose_file_are_settings() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "").unwrap();
    for text in [PODS, COMPOSE] {
        let names = variables(text);
        assert!(names.len() >= 9, "{names:?}");
        // Some values must not be empty; here only the names matter.
        let with_empty = |name| (name, "");
        let output = check(&config, &names.into_iter().map(with_empty).collect::<Vec<_>>());
        assert!(!said(&output).contains("unknown key"), "{}", said(&output));
    }
    let output = check(&config, &[("DEPENDENCY_PROXY__FLEET__SECRETS", "")]);
    assert!(said(&output).contains("unknown key"), "{}", said(&output));
}

#[test]
fn the_settings_in_the_examples_of_the_chart_are_valid() {
    for example in EXAMPLES {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        std::fs::write(&config, settings(example)).unwrap();
        let output = check(&config, &[]);
        assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    }
}
