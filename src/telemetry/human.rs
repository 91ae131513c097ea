//! The log format for people: lines as `tracing_subscriber` formats them, with the request id at the end.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::request::RequestId;

/// The formatter of log lines for people.
pub(super) struct Human(Format<Full>);

impl Human {
    pub(super) fn new(colours: bool) -> Self {
        Self(Format::default().with_ansi(colours).with_target(false))
    }
}

impl<S, N> FormatEvent<S, N> for Human
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match RequestId::present() {
            Some(request) => writeln!(out, "{} request={request}", line.trim_end()),
            None => out.write_str(&line),
        }
    }
}
