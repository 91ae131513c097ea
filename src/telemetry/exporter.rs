//! The metrics of this process: collects them and renders them for Prometheus.

mod descriptions;

use std::sync::OnceLock;

use jiff::Timestamp;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{LOG, process};

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Returns the metrics of this process, which are collected from the first call on.
    pub fn collected() -> Self {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        Self(HANDLE.get_or_init(start_collecting).clone())
    }

    /// Returns all metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        process::publish();
        if let Some(lines) = LOG.get() {
            metrics::counter!("dependency_proxy_log_lines_dropped_total").absolute(lines.dropped());
            metrics::gauge!("dependency_proxy_log_buffered_bytes").set(lines.waiting_bytes() as f64);
        }
        self.0.render()
    }

    /// Aggregates the recorded values into the histograms. To be called every few seconds; otherwise memory grows
    /// while nobody scrapes the metrics.
    pub fn run_upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Upper bounds of the histogram buckets of all durations, in seconds.
const LATENCY_BUCKETS_SECONDS: [f64; 11] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0, 120.0];

fn start_collecting() -> PrometheusHandle {
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS_SECONDS);
    let recorder = builder.unwrap_or_else(|_| PrometheusBuilder::new()).build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is already installed in this process: /metrics stays empty");
    }
    descriptions::describe();
    metrics::gauge!("process_start_time_seconds").set(Timestamp::now().as_second() as f64);
    handle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_rendered_with_their_descriptions() {
        let metrics = Metrics::collected();
        metrics::counter!("dependency_proxy_over_capacity_total", "queue" => "password").increment(2);
        metrics::histogram!("dependency_proxy_http_first_byte_seconds", "route" => "blob").record(0.2);
        metrics.run_upkeep();
        let text = Metrics::collected().render();
        assert!(text.contains("# HELP dependency_proxy_over_capacity_total Requests refused"), "{text}");
        assert!(text.contains("dependency_proxy_over_capacity_total{queue=\"password\"} 2"), "{text}");
        assert!(
            text.contains("dependency_proxy_http_first_byte_seconds_bucket{route=\"blob\",le=\"0.5\"} 1"),
            "{text}"
        );
    }
}
