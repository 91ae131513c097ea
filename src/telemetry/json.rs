//! One line of the log as a JSON object: time, level, the event's own fields, where it was logged, and the request that it is
//! about. The fields of a request are written as they were when it began, which is all that a request has.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as JSON. Does what `tracing_subscriber`'s own format does, which reads the fields of the request's span back
/// from their JSON for every line.
pub(super) struct Json;

impl<S> FormatEvent<S, JsonFields> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Object::begin();
        line.text("timestamp", format_args!("{:.6}", Timestamp::now()));
        line.value("level", event.metadata().level().as_str());
        event.record(&mut line);
        line.value("target", event.metadata().target());
        if let Some(span) = context.lookup_current() {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>().map_or("{}", |fields| fields.as_str());
            line.span(span.name(), fields);
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

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.write(name.strip_prefix("r#").unwrap_or(name));
        self.0.push(b':');
    }

    fn value(&mut self, name: &str, value: impl Serialize) {
        self.name(name);
        self.write(value);
    }

    fn text(&mut self, name: &str, text: fmt::Arguments<'_>) {
        self.value(name, text);
    }

    fn write(&mut self, value: impl Serialize) {
        if serde_json::to_writer(&mut self.0, &value).is_err() {
            self.0.extend_from_slice(b"null");
        }
    }

    /// `fields` is an object, as text.
    fn span(&mut self, name: &str, fields: &str) {
        self.name("span");
        self.0.push(b'{');
        let fields = fields.strip_prefix('{').and_then(|fields| fields.strip_suffix('}')).unwrap_or_default();
        self.0.extend_from_slice(fields.as_bytes());
        self.0.extend_from_slice(if fields.is_empty() { b"\"name\":" } else { b",\"name\":" });
        self.write(name);
        self.0.push(b'}');
    }

    fn end(mut self, out: &mut Writer<'_>) -> fmt::Result {
        self.0.extend_from_slice(b"}\n");
        out.write_str(std::str::from_utf8(&self.0).map_err(|_| fmt::Error)?)
    }
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
        self.value(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), format_args!("{value:?}"));
    }
}
