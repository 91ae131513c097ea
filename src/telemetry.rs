//! Telemetry: sets up logs with `tracing` and metrics with `metrics`. Does not know what they are about.
//!
//! Other crates may log warnings and errors only: at lower levels HTTP libraries log headers and signed URLs, which
//! are secrets. No filter can change that, so a log at any level can be shown to others. No metric has a group, a
//! user or an image in a label.

mod buffered_writer;
mod counters;
mod human;
pub mod in_time;
mod json;
mod line_limit;
mod line_window;
mod log_output;
mod process;
mod request;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;
use std::{panic, thread};

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

pub use self::counters::{CountersBy, served_bytes};
pub use self::line_limit::{LeftOut, LineLimit};
pub use self::line_window::{LineWindow, MAX_LINES_PER_WINDOW, WINDOW_LENGTH};
pub use self::request::{Entered, RequestId};

use self::buffered_writer::Lines;
use self::human::Human;
use self::json::Json;
use self::log_output::Unlocked;

/// The filter of log events, in the syntax of tracing's `EnvFilter`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogFilter(String);

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// The human format on a terminal, JSON otherwise.
    Auto,
    /// Text for people.
    Human,
    /// JSON for machines: one object per line.
    Json,
}

/// The reason why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Another logger is already installed in this process.
    #[error("logging is already set up: {0}")]
    Logging(#[from] tracing_subscriber::util::TryInitError),
    /// Standard error cannot be opened, or the log thread cannot be started.
    #[error("logging cannot be started: {0}")]
    Start(#[source] io::Error),
    /// The filter cannot be changed.
    #[error("the log filter cannot be changed: {0}")]
    Reload(#[from] reload::Error),
    /// The text is not a filter. A filter from the settings has been validated before.
    #[error("{0}")]
    Filter(#[from] NotAFilter),
}

/// The reason why a string is not a log filter.
#[derive(Debug, thiserror::Error)]
pub enum NotAFilter {
    /// The string does not have the form of a filter.
    #[error("'{0}' is not a log filter such as \"info\" or \"info,dependency_proxy::upstream=debug\"")]
    Malformed(String),
    /// A part of the filter would have no effect.
    #[error(
        "'{part}' in '{filter}' is neither a level nor a part of this program, as in dependency_proxy::upstream=debug"
    )]
    Unknown {
        /// The part without effect.
        part: String,
        /// The whole filter.
        filter: String,
    },
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

/// A guard of the running log. Its drop waits, for a limited time, until the buffered lines are written.
pub struct Logging {
    set_filter: SetFilter,
}

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error>>;

/// The log writer of this process.
static LOG: OnceLock<Lines> = OnceLock::new();

/// Maximum time that the end of the process waits for the reader of the log.
pub(crate) const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts logging to standard error; to be called once per process. At most `max_waiting_bytes` of lines are
/// buffered; further ones are dropped and counted. The returned guard is to be kept until the process ends.
///
/// # Errors
/// Fails if another logger is installed, or if the log thread cannot be started.
pub fn start_logging(filter: &LogFilter, format: LogFormat, max_waiting_bytes: u64) -> Result<Logging, TelemetryError> {
    let terminal = io::stderr().is_terminal();
    let human = match format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let max_waiting_bytes = usize::try_from(max_waiting_bytes).unwrap_or(usize::MAX);
    let lines =
        Unlocked::standard_error().and_then(|out| Lines::to(out, max_waiting_bytes)).map_err(TelemetryError::Start)?;
    let (subscriber, set_filter) = subscriber(filter, human, colours, lines.clone())?;
    subscriber.try_init()?;
    LOG.get_or_init(|| lines);
    panic::set_hook(Box::new(log_panic));
    Ok(Logging { set_filter })
}

/// Waits until all log lines are written, but no longer than a second. To be called before the process is ended by
/// force.
pub fn finish_log() {
    if let Some(lines) = LOG.get() {
        lines.finish(FINISH_TIMEOUT);
    }
}

/// Reports a panic as the standard library's hook does, but through the log thread.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let Some(lines) = LOG.get() else { return };
    let (thread, backtrace) = (thread::current(), Backtrace::capture());
    let mut text = format!("thread '{}' {panic}\n", thread.name().unwrap_or("<unnamed>"));
    if backtrace.status() == BacktraceStatus::Captured {
        text += &format!("{backtrace}");
    }
    lines.add(text.as_bytes(), true);
}

impl Logging {
    /// Replaces the log filter.
    ///
    /// # Errors
    /// Fails if the filter cannot be changed.
    pub fn set_filter(&self, filter: &LogFilter) -> Result<(), TelemetryError> {
        Ok((self.set_filter)(filter.directives()?)?)
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        finish_log();
    }
}

fn subscriber<W>(
    filter: &LogFilter,
    human: bool,
    colours: bool,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + 'static, SetFilter), NotAFilter>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match human {
        true => lines.with_ansi(colours).event_format(Human::new(colours)).boxed(),
        false => lines.event_format(Json).boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter.directives()?);
    let subscriber = tracing_subscriber::registry().with(lines).with(filter).with(filter_fn(may_be_logged));
    Ok((subscriber, Box::new(move |filter| handle.reload(filter))))
}

fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let own = metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"));
    own || (*metadata.level() <= Level::WARN && !metadata.target().starts_with(CONNECTION_TARGET))
}

/// The target of log events about a single connection. What actix reports there as an error was caused by one client,
/// which sent invalid HTTP or left. Any client could flood the log with these events, and they contain no address. A
/// failure of our own response bodies is logged where they are produced.
const CONNECTION_TARGET: &str = "actix_http::h1::dispatcher";

impl LogFilter {
    fn directives(&self) -> Result<EnvFilter, NotAFilter> {
        EnvFilter::try_new(&self.0).map_err(|_| NotAFilter::Malformed(self.0.clone()))
    }

    /// Refuses parts that are neither a level nor a known target. `EnvFilter` takes an unknown word for a target, so
    /// that a misspelt level would silence everything.
    fn refuse_unknown(&self) -> Result<(), NotAFilter> {
        let unknown = self.0.split(',').map(str::trim).find(|part| !is_known(part));
        match unknown {
            Some("") => Err(NotAFilter::Malformed(self.0.clone())),
            Some(part) => Err(NotAFilter::Unknown { part: part.to_owned(), filter: self.0.clone() }),
            None => Ok(()),
        }
    }
}

/// Returns true if a part of a filter is a level, or begins with the name of a crate that logs.
fn is_known(part: &str) -> bool {
    if part.parse::<tracing_subscriber::filter::LevelFilter>().is_ok() {
        return !part.is_empty();
    }
    let target = part.split(['=', '[']).next().unwrap_or_default();
    let name = target.split("::").next().unwrap_or_default();
    name == env!("CARGO_CRATE_NAME") || (part.contains('=') && LOGGING_CRATES.contains(&name))
}

/// The other crates in this program that log.
const LOGGING_CRATES: [&str; 14] = [
    "actix",
    "actix_http",
    "actix_rt",
    "actix_server",
    "actix_web",
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "reqwest",
    "rustls",
    "sled",
    "tokio",
    "want",
];

impl TryFrom<String> for LogFilter {
    type Error = NotAFilter;

    fn try_from(text: String) -> Result<Self, NotAFilter> {
        let filter = Self(text);
        filter.directives()?;
        filter.refuse_unknown()?;
        Ok(filter)
    }
}

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
    describe();
    handle
}

/// Describes each metric in one line, which `/metrics` shows as its help text.
fn describe() {
    describe_counter!("dependency_proxy_http_requests_total", "HTTP responses, by route and status");
    describe_histogram!("dependency_proxy_http_first_byte_seconds", "Seconds until the response began, by route");
    let outcomes = "hit, revalidated, stale, miss or joined (coalesced with another request)";
    describe_counter!(
        "dependency_proxy_manifest_pulls_total",
        format!(
            "Pulls of manifests, by cache outcome: {outcomes}, failed, or passed_through (from the cache, but blobs of the \
             image are not stored)"
        )
    );
    describe_counter!(
        "dependency_proxy_blob_pulls_total",
        format!("Pulls of blobs, by cache outcome: {outcomes}, or failed")
    );
    describe_gauge!(
        "dependency_proxy_manifest_requests_in_flight",
        "Manifests being requested from upstreams, each counted once however many clients wait for it"
    );
    describe_gauge!(
        "dependency_proxy_downloads_in_flight",
        "Blobs being downloaded, each counted once however many clients read it"
    );
    describe_gauge!("dependency_proxy_connections", "Open client connections");
    describe_gauge!("dependency_proxy_queue_length", "Requests waiting or running, per bounded queue");
    describe_counter!("dependency_proxy_unstored_blobs_total", "Blobs passed on without being stored, by reason");
    describe_counter!(
        "dependency_proxy_unstored_manifests_total",
        "Manifests passed on without being stored or linked to the group, by reason"
    );
    describe_counter!("dependency_proxy_damaged_total", "Stored files found damaged, and removed or rebuilt, by kind");
    describe_counter!("dependency_proxy_evicted_files_total", "Files evicted to make room for other content");
    describe_counter!("dependency_proxy_evicted_bytes_total", "Bytes of these files");
    describe_counter!(
        "dependency_proxy_verified_bytes_total",
        "Bytes of stored blobs read back and verified in the background"
    );
    describe_counter!("dependency_proxy_upstream_requests_total", "Requests to upstreams, by kind and outcome");
    describe_gauge!(
        "dependency_proxy_reserved_memory_bytes",
        "Bytes in use of the memory budget for manifests and lists"
    );
    describe_gauge!(
        "dependency_proxy_upstream_account_refused",
        "1 while an upstream rejects the credentials of a configured account, by upstream and account"
    );
    describe_gauge!("dependency_proxy_upstream_in_flight", "Upstream requests in progress, by upstream and kind");
    describe_gauge!(
        "dependency_proxy_upstream_waiting",
        "Upstream requests waiting for the limit on concurrent requests, by upstream"
    );
    describe_counter!("dependency_proxy_fetched_bytes_total", "Bytes of manifests and blobs received from upstreams");
    describe_counter!("dependency_proxy_served_bytes_total", "Bytes of manifests and blobs sent to clients");
    describe_counter!(
        "dependency_proxy_refusals_total",
        "Responses that refuse a request (401, 403, 404, 405, 429, 5xx), by reason"
    );
    describe_counter!(
        "dependency_proxy_changes_throttled_total",
        "API changes refused because their caller made too many"
    );
    describe_counter!(
        "dependency_proxy_over_capacity_total",
        "Requests refused because a queue was full, and connections because their address had too many, by queue"
    );
    describe_counter!(
        "dependency_proxy_log_lines_dropped_total",
        "Log lines dropped because the log was not read or could not be written"
    );
    describe_gauge!("dependency_proxy_log_buffered_bytes", "Bytes of log lines waiting to be written");
    describe_gauge!("process_resident_memory_bytes", "Resident memory of this process, in bytes");
    describe_gauge!("process_open_fds", "Open file descriptors of this process, including connections");
    describe_gauge!("dependency_proxy_stored_bytes", "Bytes of all stored manifests and blobs, each content once");
    describe_gauge!("dependency_proxy_stored_blobs", "Stored blobs");
    describe_gauge!("dependency_proxy_stored_manifests", "Stored manifests and indexes");
    describe_gauge!("dependency_proxy_free_bytes", "Free bytes on the file system of the cache");
    describe_gauge!(
        "dependency_proxy_tokens_expiring",
        "Active tokens with a lifetime of more than a week that expire within 1, 7 or 30 days, by days"
    );
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, human: bool, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = LogFilter::try_from(filter.to_owned()).unwrap();
        let (subscriber, _) = subscriber(&filter, human, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn other_crates_may_only_warn_whatever_the_filter_says() {
        let text = logged("trace,hyper=trace,reqwest=trace", true, || {
            tracing::trace!(target: "hyper::proto", "authorization: hidden");
            tracing::debug!(target: "reqwest::connect", "hidden?X-Amz-Signature=1");
            tracing::info!(target: "dependency_proxy_of_others", "hidden");
            tracing::error!(target: "actix_http::h1::dispatcher", "stream error: hidden");
            tracing::warn!(target: "h2", "a warning of h2");
            tracing::trace!("our own trace");
        });
        assert!(!text.contains("hidden"), "{text}");
        assert!(text.contains("a warning of h2") && text.contains("our own trace"), "{text}");
    }

    #[test]
    fn the_filter_holds_for_our_own_lines() {
        let text = logged("info", true, || {
            tracing::debug!("unseen");
            tracing::info!("seen");
        });
        assert!(text.contains("seen") && !text.contains("unseen"), "{text}");
    }

    #[test]
    fn machines_get_one_object_a_line() {
        let text = logged("info", false, || {
            let _request = RequestId::new(0x4f).enter();
            tracing::info!(bytes = 7, image = %"a\n\"b\"", missing = None::<u64>, r#type = "x", "served");
            tracing::info!("nothing else");
        });
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        let time = lines[0]["timestamp"].as_str().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == "2026-01-01T00:00:00.000000Z".len(), "{time}");
        let mut first = lines[0].clone();
        first.as_object_mut().unwrap().remove("timestamp");
        assert_eq!(
            first,
            serde_json::json!({
                "level": "INFO", "message": "served", "bytes": 7, "image": "a\n\"b\"", "type": "x",
                "target": "dependency_proxy::telemetry::tests", "span": {"id": "0000004f", "name": "request"},
            })
        );
        assert_eq!(lines[1]["message"], "nothing else");
    }

    #[test]
    fn people_see_the_request_at_the_end_of_a_line() {
        let text = logged("info", true, || {
            tracing::info!(bytes = 7, "apart");
            let _request = RequestId::new(0x4f).enter();
            tracing::info!(bytes = 7, "served");
        });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("INFO apart bytes=7") && !text.contains("\n\n"), "{text}");
        assert!(lines[1].ends_with("INFO served bytes=7 request=0000004f"), "{text}");
    }

    #[test]
    fn a_line_outside_of_any_request_has_no_span() {
        let text = logged("info", false, || tracing::warn!(ratio = 0.5, late = true, by = -3, "apart"));
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((&line["ratio"], &line["late"], &line["by"]), (&0.5.into(), &true.into(), &(-3).into()));
        assert!(line.get("span").is_none(), "{text}");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let refused = LogFilter::try_from("dependency_proxy=loud".to_owned()).unwrap_err();
        assert!(refused.to_string().starts_with("'dependency_proxy=loud' is not a log filter"), "{refused}");
        for (filter, part) in
            [("inof", "inof"), ("info,verbose", "verbose"), ("info,dependency_prxy=debug", "dependency_prxy=debug")]
        {
            let refused = LogFilter::try_from(filter.to_owned()).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("'{part}' in '{filter}' is neither a level")), "{refused}");
        }
        for filter in ["", "info,", ","] {
            assert!(LogFilter::try_from(filter.to_owned()).is_err(), "{filter}");
        }
        for filter in ["off", "INFO", "warn,dependency_proxy::http=trace", "dependency_proxy", "info,hyper=error", "3"]
        {
            assert!(LogFilter::try_from(filter.to_owned()).is_ok(), "{filter}");
        }
    }

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
