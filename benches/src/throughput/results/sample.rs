//! One measurement of one server, and how figures are computed from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_registry::Counts;
use hdrhistogram::Histogram;

use super::figure::Figure;
use crate::throughput::load::{Outcome, Tally};
use crate::throughput::usage::Usage;

/// One measurement of one server in one round.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Duration in seconds.
    pub seconds: f64,
    /// Number of correct responses, or of other units of the row, such as images.
    pub answers: u64,
    /// Bytes that clients received.
    pub bytes: u64,
    /// Numbers of errors by their texts.
    pub errors: BTreeMap<String, u64>,
    /// Time to the first byte of a response. `None` where no response was complete.
    pub first_byte: Option<Latency>,
    /// Time to the last byte of a response.
    pub total: Option<Latency>,
    /// Number of resumed TLS sessions.
    pub resumed: u64,
    /// CPU time of the server, and its memory at the end and at most.
    pub usage: Usage,
    /// Upstream requests of the server meanwhile.
    pub upstream: Counts,
    /// The best possible result in the same round, for rows that have one: without a server, or with
    /// upstream available.
    pub reference: Option<Arc<Sample>>,
    /// Figures that were measured as such.
    pub measured: BTreeMap<Figure, f64>,
}

/// Percentiles of a latency, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

impl Sample {
    /// Creates a sample from the results of a load, the server's usage and the upstream requests.
    pub fn new(outcome: &Outcome, usage: Usage, upstream: Counts) -> Self {
        let Tally { answers, bytes, errors, resumed, first_byte, total } = &outcome.tally;
        Self {
            seconds: outcome.seconds,
            answers: *answers,
            bytes: *bytes,
            errors: errors.clone(),
            first_byte: Latency::of(first_byte),
            total: Latency::of(total),
            resumed: *resumed,
            usage,
            upstream,
            reference: None,
            measured: BTreeMap::new(),
        }
    }

    /// Returns a sample for a measurement that failed.
    pub fn failed(error: &std::io::Error) -> Self {
        Self { errors: BTreeMap::from([(error.to_string(), 1)]), ..Self::default() }
    }

    /// Adds a figure that was measured as such.
    pub fn with(mut self, figure: Figure, value: f64) -> Self {
        self.measured.insert(figure, value);
        self
    }

    /// Adds the sample that this one is compared with.
    pub fn beside(mut self, reference: &Arc<Self>) -> Self {
        self.reference = Some(Arc::clone(reference));
        self
    }

    /// Returns the figure; `None` where it cannot be computed.
    pub fn read(&self, figure: Figure) -> Option<f64> {
        if self.answers == 0 && !self.errors.is_empty() {
            return None;
        }
        if let Some(value) = self.measured.get(&figure) {
            return Some(*value);
        }
        let (answers, bytes) = (self.answers as f64, self.bytes as f64);
        let of_reference = |figure: Figure| self.read(figure).zip(self.reference.as_ref()?.read(figure));
        let some = |value: f64| value.is_finite().then_some(value);
        match figure {
            Figure::Rate => some(answers / self.seconds),
            Figure::Throughput => some(bytes / self.seconds),
            Figure::Seconds => some(self.seconds),
            Figure::FirstByteP50 => Some(self.first_byte?.p50),
            Figure::FirstByteP99 => Some(self.first_byte?.p99),
            Figure::P50 => Some(self.total?.p50),
            Figure::P99 => Some(self.total?.p99),
            Figure::CpuPerGigabyte => some(self.usage.cpu_seconds / (bytes / 1e9)),
            Figure::CpuPerThousand => some(self.usage.cpu_seconds / (answers / 1e3)),
            Figure::Resident => Some(self.usage.resident as f64),
            Figure::Peak => Some(self.usage.peak as f64),
            Figure::UpstreamPerAnswer => some(self.upstream.total() as f64 / answers),
            Figure::Upstream => Some(self.upstream.total() as f64),
            Figure::Cpu => Some(self.usage.cpu_seconds),
            Figure::Errors => Some(self.errors.values().sum::<u64>() as f64),
            Figure::TimesReference => some(self.seconds / self.reference.as_ref()?.seconds),
            Figure::FirstByteAdded => Some(self.first_byte?.p50 - self.reference.as_ref()?.first_byte?.p50),
            Figure::P50TimesReference => some(self.total?.p50 / self.reference.as_ref()?.total?.p50),
            Figure::P99TimesReference => some(self.total?.p99 / self.reference.as_ref()?.total?.p99),
            Figure::CpuTimesReference => {
                of_reference(Figure::CpuPerThousand).and_then(|(own, other)| some(own / other))
            }
            Figure::RateTimesReference => of_reference(Figure::Rate).and_then(|(own, other)| some(own / other)),
            Figure::EngineBytes
            | Figure::EngineConnections
            | Figure::ManifestGets
            | Figure::BlobGets
            | Figure::FollowerFirstByte
            | Figure::Stall
            | Figure::UpstreamTimesSize
            | Figure::SharedAfter
            | Figure::LockWaiters => None,
        }
    }
}

impl Latency {
    /// Returns the percentiles of a histogram in microseconds; `None` where it is empty.
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (!histogram.is_empty()).then(|| Self { p50: at(0.5), p99: at(0.99) })
    }
}
