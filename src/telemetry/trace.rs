//! Traces: spans of pulls and of the requests to registries that they need, sent to a collector over OTLP. Where the
//! settings name none, no span is made, and a request costs one look at whether there is a collector.
//!
//! A span belongs to the task that works for it: [`TraceParent::during`] marks it as the present one for each poll of a
//! future, and the sender of a message to an actor adds [`TraceParent::present`] to it.

mod collector;

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Duration;

use futures::future::Either;
use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan};
use serde::Deserialize;
use url::Url;

use crate::formats;

/// Options of traces: the keys of `[telemetry]`.
#[derive(Clone, Debug, Deserialize)]
pub struct TraceOptions {
    /// Address of the collector, to which `/v1/traces` is added; `None`: no traces.
    #[serde(deserialize_with = "formats::optional_url")]
    pub otlp_endpoint: Option<Url>,
    /// Share of the pulls of which a trace is made, in percent, where the client does not decide it; at most 100.
    pub trace_percent: u32,
}

/// Guard of the running traces. Its drop sends the spans that wait, for a limited time.
pub struct Traces(SdkTracerProvider);

/// A span that has begun. Its drop ends it.
#[derive(Debug)]
pub struct TraceSpan(SdkSpan);

/// The span to which others belong, in this process or at a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

/// The tracer of this process, if there is a collector.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

thread_local! {
    static PRESENT: Cell<Option<TraceParent>> = const { Cell::new(None) };
}

/// Maximum time that the end of the process waits for the collector.
pub(crate) const LAST_SPANS_TIMEOUT: Duration = Duration::from_secs(2);

/// Name under which the spans are those of this program.
const NAME: &str = "dependency-proxy";

/// Starts to make traces, if the settings name a collector; to be called once per process. The returned guard is to be
/// kept until the process ends.
///
/// # Errors
/// Fails with a sentence if the address of the collector cannot be used.
pub fn start_traces(options: &TraceOptions) -> Result<Option<Traces>, String> {
    let Some(endpoint) = &options.otlp_endpoint else { return Ok(None) };
    let provider = collector::provider(endpoint, f64::from(options.trace_percent) / 100.0)?;
    TRACER.get_or_init(|| provider.tracer(NAME));
    Ok(Some(Traces(provider)))
}

/// Returns true if there is a collector.
pub fn traces_are_made() -> bool {
    TRACER.get().is_some()
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_SPANS_TIMEOUT) {
            tracing::warn!(%error, "the last spans could not be sent to the collector of traces");
        }
    }
}

impl TraceSpan {
    /// Begins the span of a request of a client, with the value of its header `traceparent`. Returns `None` if there
    /// are no traces. If the client has decided whether the trace is recorded, that counts.
    pub fn of_request(name: &'static str, traceparent: impl FnOnce() -> Option<TraceParent>) -> Option<Self> {
        let tracer = TRACER.get()?;
        Some(Self::begin(tracer, (name, SpanKind::Server), traceparent()))
    }

    /// Begins the span of a request to another service, which is a part of this one. Returns `None` if there is no such
    /// span.
    pub fn of_upstream(name: &'static str, parent: Option<TraceParent>) -> Option<Self> {
        let (tracer, parent) = (TRACER.get()?, parent?);
        parent.flags.is_sampled().then(|| Self::begin(tracer, (name, SpanKind::Client), Some(parent)))
    }

    fn begin(tracer: &SdkTracer, (name, kind): (&'static str, SpanKind), parent: Option<TraceParent>) -> Self {
        let context = parent.map_or_else(Context::new, |TraceParent { trace, span, flags }| {
            Context::new().with_remote_span_context(SpanContext::new(trace, span, flags, true, TraceState::default()))
        });
        Self(tracer.span_builder(name).with_kind(kind).start_with_context(tracer, &context))
    }

    /// Returns this span as the parent of others.
    pub fn parent(&self) -> TraceParent {
        let context = self.0.span_context();
        TraceParent { trace: context.trace_id(), span: context.span_id(), flags: context.trace_flags() }
    }

    /// Returns true if what is set is recorded.
    pub fn is_recorded(&self) -> bool {
        self.0.is_recording()
    }

    /// Sets an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.set_attribute(KeyValue::new(key, value));
    }

    /// Marks what the span stands for as failed.
    pub fn fail(&mut self, description: impl Into<Cow<'static, str>>) {
        self.0.set_status(Status::error(description));
    }
}

impl TraceParent {
    /// Returns the present span of this thread.
    pub fn present() -> Option<Self> {
        PRESENT.get()
    }

    /// Does the work with this span as the present one.
    pub fn during<F: Future>(this: Option<Self>, work: F) -> impl Future<Output = F::Output> {
        // Not an async function: its future would contain the work twice. Without a span it is the work alone.
        let Some(parent) = this else { return Either::Left(work) };
        let mut work = Box::pin(work);
        Either::Right(std::future::poll_fn(move |cx| {
            let _entered = Entered { before: PRESENT.replace(Some(parent)) };
            work.as_mut().poll(cx)
        }))
    }

    /// Parses the value of `traceparent` (W3C Trace Context, section 3.2). Later versions are read as version 00, whose
    /// fields they begin with.
    pub fn parse(header: &str) -> Option<Self> {
        let mut fields = header.trim().split('-');
        let mut field = |length: usize| {
            fields.next().filter(|text| {
                text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            })
        };
        let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        let ends_here = fields.next().is_none();
        if version == "ff" || (version == "00" && !ends_here) {
            return None;
        }
        let parent = Self {
            trace: TraceId::from_hex(trace).ok()?,
            span: SpanId::from_hex(span).ok()?,
            flags: TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        };
        (parent.trace != TraceId::INVALID && parent.span != SpanId::INVALID).then_some(parent)
    }
}

/// Restores the present span on drop, also if the work panics.
struct Entered {
    before: Option<TraceParent>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        PRESENT.set(self.before);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_parsed_with_its_flag_and_what_is_malformed_is_none() {
        let parent = TraceParent::parse(SAMPLED).unwrap();
        assert_eq!(parent.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(parent.flags.is_sampled());
        assert!(!TraceParent::parse(&SAMPLED.replace("-01", "-00")).unwrap().flags.is_sampled());
        assert!(TraceParent::parse(&format!("{}-more", SAMPLED.replacen("00", "cc", 1))).is_some());
        let zeros = "0".repeat(32);
        for wrong in [
            "",
            "00",
            &SAMPLED[..54],
            &format!("{SAMPLED}-more"),
            &SAMPLED.replacen("00", "ff", 1),
            &SAMPLED.to_uppercase(),
            &SAMPLED.replace("4bf92f3577b34da6a3ce929d0e0e4736", &zeros),
            &SAMPLED.replace("00f067aa0ba902b7", &zeros[..16]),
            "00-é",
        ] {
            assert_eq!(TraceParent::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn without_a_collector_there_is_no_span_and_the_header_is_not_read() {
        assert!(TraceSpan::of_request("pull", || unreachable!("there is no collector")).is_none());
        assert!(TraceSpan::of_upstream("request", TraceParent::parse(SAMPLED)).is_none());
    }

    #[actix_rt::test]
    async fn work_has_its_span_as_the_present_one_at_each_poll_and_others_do_not() {
        let parent = TraceParent::parse(SAMPLED);
        let work = |expected: Option<TraceParent>| async move {
            for _ in 0..3 {
                assert_eq!(TraceParent::present(), expected);
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(TraceParent::during(parent, work(parent)), TraceParent::during(None, work(None)));
        assert_eq!(TraceParent::present(), None);
    }
}
