//! The log format for machines: each line is a JSON object with the time, the level, the fields of the event, its
//! target and the request id. Every pull pays for a line, so text is copied as it is unless it contains a character
//! that JSON must escape.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::request::RequestId;

/// The formatter of log lines as JSON, in the form of `tracing_subscriber`'s own JSON format.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Object::begin();
        line.time(Timestamp::now());
        line.text("level", event.metadata().level().as_str());
        event.record(&mut line);
        line.text("target", event.metadata().target());
        if let Some(request) = RequestId::present() {
            line.request(request);
        }
        line.end(&mut out)
    }
}

/// A JSON object under construction.
struct Object(Vec<u8>);

/// Initial capacity of a line, in bytes; most lines are shorter.
const LINE_CAPACITY_BYTES: usize = 640;

impl Object {
    fn begin() -> Self {
        let mut bytes = Vec::with_capacity(LINE_CAPACITY_BYTES);
        bytes.push(b'{');
        Self(bytes)
    }

    /// Writes the name of a field, which is a Rust identifier and needs no escaping.
    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(if self.0.len() > 1 { b",\"" } else { b"\"" });
        self.0.extend_from_slice(name.strip_prefix("r#").unwrap_or(name).as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn value(&mut self, name: &str, value: impl Serialize) {
        self.name(name);
        if serde_json::to_writer(&mut self.0, &value).is_err() {
            self.0.extend_from_slice(b"null");
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        if is_plain(text) {
            self.name(name);
            self.0.push(b'"');
            self.0.extend_from_slice(text.as_bytes());
            self.0.push(b'"');
        } else {
            self.value(name, text);
        }
    }

    fn display(&mut self, name: &str, text: fmt::Arguments<'_>) {
        thread_local! {
            static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
        }
        // Formatting a value may itself write a log line, and then the buffer is already borrowed.
        TEXT.with(|buffer| match buffer.try_borrow_mut() {
            Ok(mut buffer) => {
                buffer.clear();
                // If formatting fails, the text up to there is logged.
                let _ = buffer.write_fmt(text);
                self.text(name, &buffer);
            }
            Err(_) => self.text(name, &text.to_string()),
        });
    }

    /// Writes the time in UTC with microseconds. The text of the whole second is cached, because many lines share it.
    fn time(&mut self, now: Timestamp) {
        thread_local! {
            static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
        }
        self.name("timestamp");
        SECOND.with_borrow_mut(|(second, text)| {
            if *second != now.as_second() {
                text.clear();
                // Writing to memory cannot fail.
                let _ = write!(text, "{now:.0}");
                text.pop();
                *second = now.as_second();
            }
            let _ = write!(self.0, "\"{text}.{:06}Z\"", now.subsec_nanosecond().unsigned_abs() / 1000);
        });
    }

    fn request(&mut self, id: RequestId) {
        self.0.extend_from_slice(b",\"span\":{\"id\":\"");
        self.0.extend_from_slice(id.as_str().as_bytes());
        self.0.extend_from_slice(b"\",\"name\":\"request\"}");
    }

    fn end(mut self, out: &mut Writer<'_>) -> fmt::Result {
        self.0.extend_from_slice(b"}\n");
        out.write_str(str::from_utf8(&self.0).map_err(|_| fmt::Error)?)
    }
}

/// Returns true if the text needs no escaping in a JSON string (RFC 8259, section 7).
fn is_plain(text: &str) -> bool {
    let escaped = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    // No early exit: the compiler then checks many bytes at a time.
    !text.bytes().fold(false, |found, byte| found | escaped(byte))
}

impl Visit for Object {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.display(field.name(), format_args!("{value:?}"));
    }
}
