//! Telemetry: sets up logs with `tracing`, metrics with `metrics`, and traces with `opentelemetry`. Does not know what
//! they are about.
//!
//! Other crates may log warnings and errors only: at lower levels HTTP libraries log headers and signed URLs, which
//! are secrets. No filter can change that, so a log at any level can be shown to others. No metric has a group, a
//! user or an image in a label.
//!
//! | module | content |
//! |---|---|
//! | [`log_filter`], [`human`], [`json`] | which events are logged, and the two formats of lines |
//! | [`line_limit`], [`line_window`] | limits on lines that requests cause |
//! | [`buffered_writer`], [`log_output`], [`in_time`] | the way of lines to the output, which never blocks a request |
//! | [`request`] | the id of the request in each line |
//! | [`exporter`], [`counters`], [`process`] | metrics for Prometheus; counters of pulls; metrics of the process |
//! | [`trace`] | traces |

mod buffered_writer;
mod counters;
mod exporter;
mod human;
pub mod in_time;
mod json;
mod line_limit;
mod line_window;
mod log_filter;
mod log_output;
mod process;
mod request;
mod trace;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;
use std::{panic, thread};

use serde::Deserialize;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

pub use self::counters::{CountersBy, served_bytes};
pub use self::exporter::Metrics;
pub use self::line_limit::{LeftOut, LineLimit};
pub use self::line_window::{LineWindow, MAX_LINES_PER_WINDOW, WINDOW_LENGTH};
pub use self::log_filter::{LogFilter, NotAFilter};
pub use self::request::{Entered, RequestId};
pub(crate) use self::trace::LAST_SPANS_TIMEOUT;
pub use self::trace::{TraceOptions, TraceParent, TraceSpan, Traces, start_traces, traces_are_made};

use self::buffered_writer::Lines;
use self::human::Human;
use self::json::Json;
use self::log_output::Unlocked;
use crate::formats::quantity;

/// Options of the log: the keys of `[log]`.
#[derive(Clone, Debug, Deserialize)]
pub struct LogOptions {
    /// Filter of log lines, by level and module.
    pub filter: LogFilter,
    /// Format of log lines.
    pub format: LogFormat,
    /// Maximum size of the lines that wait in memory to be read, in bytes.
    #[serde(deserialize_with = "quantity::bytes")]
    pub max_waiting_bytes: u64,
}

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
    /// The collector of traces cannot be used.
    #[error("telemetry.otlp_endpoint: {0}")]
    Traces(String),
    /// The filter cannot be changed.
    #[error("the log filter cannot be changed: {0}")]
    Reload(#[from] reload::Error),
    /// The text is not a filter. A filter from the settings has been validated before.
    #[error("{0}")]
    Filter(#[from] NotAFilter),
}

/// A guard of the running log. Its drop waits, for a limited time, until the buffered lines are written.
pub struct Logging {
    set_filter: SetFilter,
}

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error>>;

/// The log writer of this process.
static LOG: OnceLock<Lines> = OnceLock::new();

/// Maximum time that the end of the process waits for the reader of the log.
pub(crate) const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts logging to standard error; to be called once per process. Lines beyond those that may wait are dropped and
/// counted. The returned guard is to be kept until the process ends.
///
/// # Errors
/// Fails if another logger is installed, or if the log thread cannot be started.
pub fn start_logging(options: &LogOptions) -> Result<Logging, TelemetryError> {
    let terminal = io::stderr().is_terminal();
    let human = match options.format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let max_waiting_bytes = usize::try_from(options.max_waiting_bytes).unwrap_or(usize::MAX);
    let lines =
        Unlocked::standard_error().and_then(|out| Lines::to(out, max_waiting_bytes)).map_err(TelemetryError::Start)?;
    let (subscriber, set_filter) = subscriber(&options.filter, human, colours, lines.clone())?;
    subscriber.try_init()?;
    LOG.get_or_init(|| lines);
    panic::set_hook(Box::new(log_panic));
    Ok(Logging { set_filter })
}

/// Waits until all log lines are written, but no longer than a second. To be called before the process is ended by
/// force.
pub fn finish_log() {
    if let Some(lines) = LOG.get() {
        lines.finish(LAST_LINES_TIMEOUT);
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

#[cfg(test)]
mod tests;
