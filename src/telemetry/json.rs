//! One line of the log as a JSON object: time, level, the event's own fields, where it was logged, and the request that it is
//! about. Every pull pays for a line, so text is copied and only looked through for what JSON cannot have in a string.

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

/// Writes events as JSON, as `tracing_subscriber`'s own format does.
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

/// An object that is being written.
struct Object(Vec<u8>);

/// Most lines are shorter.
const USUAL: usize = 640;

impl Object {
    fn begin() -> Self {
        let mut bytes = Vec::with_capacity(USUAL);
        bytes.push(b'{');
        Self(bytes)
    }

    /// The name of a field, which is one of Rust and needs no escaping.
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
        // What is displayed may log, too.
        TEXT.with(|buffer| match buffer.try_borrow_mut() {
            Ok(mut buffer) => {
                buffer.clear();
                let _shown_as_far_as_it_goes = buffer.write_fmt(text);
                self.text(name, &buffer);
            }
            Err(_) => self.text(name, &text.to_string()),
        });
    }

    /// The time in UTC to a millionth of a second, of which the whole seconds are the same for many lines.
    fn time(&mut self, now: Timestamp) {
        thread_local! {
            static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
        }
        self.name("timestamp");
        SECOND.with_borrow_mut(|(second, text)| {
            if *second != now.as_second() {
                text.clear();
                let _shown = write!(text, "{now:.0}");
                text.pop();
                *second = now.as_second();
            }
            let _written = write!(self.0, "\"{text}.{:06}Z\"", now.subsec_nanosecond().unsigned_abs() / 1000);
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

/// Whether each byte stands for itself in a string (RFC 8259, section 7). Looks at all of them, which is many at a time.
fn is_plain(text: &str) -> bool {
    let escaped = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
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
