//! One measurement of one server, and the figures that are computed from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_registry::Counts;
use hdrhistogram::Histogram;

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
}

/// Percentiles of a latency, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// A figure of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Responses per second.
    Rate,
    /// Bytes per second.
    Throughput,
    /// Duration in seconds.
    Seconds,
    /// Median of the time to the first byte, in milliseconds.
    FirstByteP50,
    /// 99th percentile of the time to the first byte, in milliseconds.
    FirstByteP99,
    /// Median of the time to the last byte, in milliseconds.
    P50,
    /// 99th percentile of the time to the last byte, in milliseconds.
    P99,
    /// CPU time of the server per gigabyte (10^9 bytes), in seconds.
    CpuPerGigabyte,
    /// CPU time of the server per thousand responses, in seconds.
    CpuPerThousand,
    /// Resident bytes at the end.
    Resident,
    /// Maximum of resident bytes.
    Peak,
    /// Upstream requests per response.
    UpstreamPerAnswer,
    /// Upstream requests.
    Upstream,
    /// CPU time of the server, in seconds.
    Cpu,
    /// Number of errors.
    Errors,
    /// Duration, as a multiple of the reference's.
    TimesReference,
    /// Median of the time to the first byte beyond the reference's, in milliseconds.
    FirstByteAdded,
    /// 99th percentile of the time to the last byte, as a multiple of the reference's.
    P99TimesReference,
}

impl Figure {
    /// All figures.
    pub const ALL: [Self; 18] = [
        Self::Rate,
        Self::Throughput,
        Self::Seconds,
        Self::FirstByteP50,
        Self::FirstByteP99,
        Self::P50,
        Self::P99,
        Self::CpuPerGigabyte,
        Self::CpuPerThousand,
        Self::Resident,
        Self::Peak,
        Self::UpstreamPerAnswer,
        Self::Upstream,
        Self::Cpu,
        Self::Errors,
        Self::TimesReference,
        Self::FirstByteAdded,
        Self::P99TimesReference,
    ];

    /// Returns the name in the JSON, with the unit.
    pub fn key(self) -> &'static str {
        match self {
            Self::Rate => "answers_per_second",
            Self::Throughput => "bytes_per_second",
            Self::Seconds => "seconds",
            Self::FirstByteP50 => "first_byte_p50_ms",
            Self::FirstByteP99 => "first_byte_p99_ms",
            Self::P50 => "p50_ms",
            Self::P99 => "p99_ms",
            Self::CpuPerGigabyte => "server_cpu_seconds_per_gigabyte",
            Self::CpuPerThousand => "server_cpu_seconds_per_thousand_answers",
            Self::Resident => "resident_bytes",
            Self::Peak => "peak_resident_bytes",
            Self::UpstreamPerAnswer => "upstream_requests_per_answer",
            Self::Upstream => "upstream_requests_in_a_round",
            Self::Cpu => "server_cpu_seconds",
            Self::Errors => "errors_in_a_round",
            Self::TimesReference => "seconds_as_a_multiple_of_the_reference",
            Self::FirstByteAdded => "first_byte_p50_ms_beyond_the_reference",
            Self::P99TimesReference => "p99_as_a_multiple_of_the_reference",
        }
    }

    /// Returns the name in the text of an aim.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rate => "requests/s",
            Self::Throughput => "bytes/s",
            Self::Seconds => "time",
            Self::FirstByteP50 | Self::FirstByteP99 => "first byte",
            Self::P50 | Self::P99 => "latency",
            Self::CpuPerGigabyte => "CPU/GB",
            Self::CpuPerThousand => "CPU/1,000",
            Self::Resident | Self::Peak => "memory",
            Self::UpstreamPerAnswer | Self::Upstream => "upstream",
            Self::Cpu => "CPU",
            Self::Errors => "errors",
            Self::TimesReference => "time",
            Self::FirstByteAdded => "first byte later",
            Self::P99TimesReference => "p99",
        }
    }

    /// Formats a value with its unit.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Rate if value < 100.0 => format!("{value:.1}/s"),
            Self::Rate => format!("{}/s", grouped(value)),
            Self::Throughput if value < 1e9 => format!("{:.0} MB/s", value / 1e6),
            Self::Throughput => format!("{:.2} GB/s", value / 1e9),
            Self::Seconds => format!("{value:.2} s"),
            Self::FirstByteP50 | Self::FirstByteP99 | Self::P50 | Self::P99 if value < 10.0 => format!("{value:.2} ms"),
            Self::FirstByteAdded => format!("{value:.2} ms"),
            Self::TimesReference | Self::P99TimesReference => format!("{value:.2} times"),
            Self::Upstream | Self::Errors => grouped(value),
            Self::Cpu => format!("{value:.2} s"),
            Self::FirstByteP50 | Self::FirstByteP99 | Self::P50 | Self::P99 => format!("{} ms", grouped(value)),
            Self::CpuPerGigabyte | Self::CpuPerThousand if value < 10.0 => format!("{value:.3} s"),
            Self::CpuPerGigabyte | Self::CpuPerThousand => format!("{} s", grouped(value)),
            Self::Resident | Self::Peak => format!("{:.0} MiB", value / f64::from(1 << 20)),
            Self::UpstreamPerAnswer if value == 0.0 => "0".to_owned(),
            Self::UpstreamPerAnswer if value < 0.001 => "<0.001".to_owned(),
            Self::UpstreamPerAnswer => format!("{value:.3}"),
        }
    }
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
        }
    }

    /// Returns a sample for a measurement that failed.
    pub fn failed(error: &std::io::Error) -> Self {
        Self { errors: BTreeMap::from([(error.to_string(), 1)]), ..Self::default() }
    }

    /// Returns the figure; `None` where it cannot be computed.
    pub fn read(&self, figure: Figure) -> Option<f64> {
        if self.answers == 0 && !self.errors.is_empty() {
            return None;
        }
        let (answers, bytes) = (self.answers as f64, self.bytes as f64);
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
            Figure::P99TimesReference => some(self.total?.p99 / self.reference.as_ref()?.total?.p99),
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

/// Formats a whole number with commas between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}
