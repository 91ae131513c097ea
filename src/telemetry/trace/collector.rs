//! Export to the collector: bounded batches, on a thread of their own, so that no pull waits for it. What does not fit
//! is dropped. One line is logged when the collector cannot be reached, and one when it can be reached again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use url::Url;

/// Exporter that counts and reports outcomes.
#[derive(Debug)]
struct Reported {
    exporter: OtlpExporter,
    endpoint: String,
    failing: AtomicBool,
}

/// Maximum number of spans that wait.
const MAX_WAITING: usize = 4096;
/// Maximum number of spans in one request.
const MAX_BATCH: usize = 512;

/// Time for which spans wait for others to be sent with.
const SEND_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum time of one request to the collector.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the provider of tracers that send spans to this collector. `share` is that of the traces that are recorded,
/// from 0 to 1, where no client decides it.
///
/// # Errors
/// Fails with a sentence if the address cannot be used.
pub(super) fn provider(endpoint: &Url, share: f64) -> Result<SdkTracerProvider, String> {
    let address = format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/'));
    let exporter = OtlpExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(address)
        .with_timeout(REQUEST_TIMEOUT)
        .build();
    let exporter = exporter.map_err(|error| error.to_string())?;
    let reported = Reported { exporter, endpoint: endpoint.to_string(), failing: AtomicBool::new(false) };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(MAX_WAITING)
        .with_max_export_batch_size(MAX_BATCH)
        .with_scheduled_delay(SEND_INTERVAL)
        .build();
    let processor = BatchSpanProcessor::builder(reported).with_batch_config(batches).build();
    let resource = Resource::builder_empty()
        .with_service_name("dependency-proxy")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
        .with_resource(resource)
        .build())
}

impl Reported {
    fn report(&self, spans: u64, outcome: &OTelSdkResult) {
        let word = if outcome.is_ok() { "sent" } else { "failed" };
        metrics::counter!("dependency_proxy_trace_spans_total", "outcome" => word).increment(spans);
        let was_failing = self.failing.swap(outcome.is_err(), Ordering::Relaxed);
        let endpoint = &self.endpoint;
        match outcome {
            Err(error) if !was_failing => {
                tracing::warn!(
                    %endpoint,
                    %error,
                    "the collector of traces cannot be reached; spans are dropped until it can (telemetry.otlp_endpoint)"
                );
            }
            Ok(()) if was_failing => tracing::info!(%endpoint, "the collector of traces can be reached again"),
            Ok(()) | Err(_) => {}
        }
    }
}

impl SpanExporter for Reported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let outcome = self.exporter.export(batch).await;
        self.report(spans, &outcome);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
