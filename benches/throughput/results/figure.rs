//! One measurement of one server, and the figures that can be read from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::load::{Outcome, Tally};
use crate::origin::Counts;
use crate::usage::Usage;

/// One measurement of one server in one round.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Right answers, or whatever the row counts, such as images.
    pub answers: u64,
    /// Bytes that clients received.
    pub bytes: u64,
    /// What went wrong, and how often.
    pub errors: BTreeMap<String, u64>,
    /// Until the first byte of an answer. None where no answer was whole.
    pub first_byte: Option<Latency>,
    /// Until the last byte of an answer.
    pub total: Option<Latency>,
    /// Of the TLS handshakes, how many were short.
    pub resumed: u64,
    /// Processor time that the server took for it, and its memory at the end and at most.
    pub usage: Usage,
    /// What the server asked upstream meanwhile.
    pub upstream: Counts,
    /// The same in this round as it should be at best, where the row has that: without a server, or with upstream alive.
    pub reference: Option<Arc<Sample>>,
}

/// Percentiles of a latency, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Half of the answers took no longer.
    pub p50: f64,
    /// All but one in a hundred took no longer.
    pub p99: f64,
}

/// A figure of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Answers a second.
    Rate,
    /// Bytes a second.
    Throughput,
    /// Seconds from the start to the end.
    Seconds,
    /// Milliseconds to the first byte.
    FirstByteP50,
    /// Milliseconds to the first byte.
    FirstByteP99,
    /// Milliseconds to the last byte.
    P50,
    /// Milliseconds to the last byte.
    P99,
    /// Seconds of processor time of the server for a gigabyte (10^9 bytes).
    CpuPerGigabyte,
    /// Seconds of processor time of the server for a thousand answers.
    CpuPerThousand,
    /// Bytes resident at the end.
    Resident,
    /// Bytes resident at most.
    Peak,
    /// Requests to upstream for an answer.
    UpstreamPerAnswer,
    /// Requests to upstream.
    Upstream,
    /// Seconds of processor time of the server.
    Cpu,
    /// What went wrong.
    Errors,
    /// Seconds from the start to the end, as a multiple of the reference's.
    TimesReference,
    /// Milliseconds to the first byte, beyond the reference's.
    FirstByteAdded,
    /// Milliseconds to the last byte, as a multiple of the reference's.
    P99TimesReference,
}

impl Figure {
    /// Every one.
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

    /// What it is called in the JSON, with its unit.
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

    /// The word that an aim begins with.
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

    /// The value for people, with its unit.
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
    /// What the load generator saw, what the server took, and what upstream was asked.
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

    /// A measurement that came to nothing.
    pub fn failed(error: &std::io::Error) -> Self {
        Self { errors: BTreeMap::from([(error.to_string(), 1)]), ..Self::default() }
    }

    /// The figure; none where there is nothing to read it from.
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
            Figure::UpstreamPerAnswer => some(self.upstream.all() as f64 / answers),
            Figure::Upstream => Some(self.upstream.all() as f64),
            Figure::Cpu => Some(self.usage.cpu_seconds),
            Figure::Errors => Some(self.errors.values().sum::<u64>() as f64),
            Figure::TimesReference => some(self.seconds / self.reference.as_ref()?.seconds),
            Figure::FirstByteAdded => Some(self.first_byte?.p50 - self.reference.as_ref()?.first_byte?.p50),
            Figure::P99TimesReference => some(self.total?.p99 / self.reference.as_ref()?.total?.p99),
        }
    }
}

impl Latency {
    /// Those of a histogram in microseconds; none where it is empty.
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (!histogram.is_empty()).then(|| Self { p50: at(0.5), p99: at(0.99) })
    }
}

/// A whole number with a comma at each thousand.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}
