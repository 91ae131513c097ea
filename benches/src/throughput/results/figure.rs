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
    /// Median of the time to the last byte, as a multiple of the reference's.
    P50TimesReference,
}

/// Unit of a figure: decides how a value is shown.
#[derive(Clone, Copy)]
enum Unit {
    PerSecond,
    BytesPerSecond,
    Seconds,
    /// Seconds of CPU time for a fixed amount of work.
    CpuSeconds,
    Milliseconds,
    Bytes,
    /// A multiple of a reference.
    Times,
    Count,
    /// Something per response.
    PerAnswer,
}

/// All figures in the order of [`Figure`]: name in the JSON, with the unit; name in the text of an aim; unit.
const FIGURES: [(Figure, &str, &str, Unit); 19] = [
    (Figure::Rate, "answers_per_second", "requests/s", Unit::PerSecond),
    (Figure::Throughput, "bytes_per_second", "bytes/s", Unit::BytesPerSecond),
    (Figure::Seconds, "seconds", "time", Unit::Seconds),
    (Figure::FirstByteP50, "first_byte_p50_ms", "first byte", Unit::Milliseconds),
    (Figure::FirstByteP99, "first_byte_p99_ms", "first byte", Unit::Milliseconds),
    (Figure::P50, "p50_ms", "latency", Unit::Milliseconds),
    (Figure::P99, "p99_ms", "latency", Unit::Milliseconds),
    (Figure::CpuPerGigabyte, "server_cpu_seconds_per_gigabyte", "CPU/GB", Unit::CpuSeconds),
    (Figure::CpuPerThousand, "server_cpu_seconds_per_thousand_answers", "CPU/1,000", Unit::CpuSeconds),
    (Figure::Resident, "resident_bytes", "memory", Unit::Bytes),
    (Figure::Peak, "peak_resident_bytes", "memory", Unit::Bytes),
    (Figure::UpstreamPerAnswer, "upstream_requests_per_answer", "upstream", Unit::PerAnswer),
    (Figure::Upstream, "upstream_requests_in_a_round", "upstream", Unit::Count),
    (Figure::Cpu, "server_cpu_seconds", "CPU", Unit::Seconds),
    (Figure::Errors, "errors_in_a_round", "errors", Unit::Count),
    (Figure::TimesReference, "seconds_as_a_multiple_of_the_reference", "time", Unit::Times),
    (Figure::FirstByteAdded, "first_byte_p50_ms_beyond_the_reference", "first byte later", Unit::Milliseconds),
    (Figure::P99TimesReference, "p99_as_a_multiple_of_the_reference", "p99", Unit::Times),
    (Figure::P50TimesReference, "p50_as_a_multiple_of_the_reference", "latency", Unit::Times),
];

impl Figure {
    /// Returns all figures.
    pub fn all() -> impl Iterator<Item = Self> {
        FIGURES.into_iter().map(|(figure, ..)| figure)
    }

    /// Returns the name in the JSON, with the unit.
    pub fn key(self) -> &'static str {
        FIGURES[self as usize].1
    }

    /// Returns the name in the text of an aim.
    pub fn word(self) -> &'static str {
        FIGURES[self as usize].2
    }

    /// Formats a value with its unit.
    pub fn show(self, value: f64) -> String {
        match FIGURES[self as usize].3 {
            Unit::PerSecond if value < 100.0 => format!("{value:.1}/s"),
            Unit::PerSecond => format!("{}/s", grouped(value)),
            Unit::BytesPerSecond if value < 1e9 => format!("{:.0} MB/s", value / 1e6),
            Unit::BytesPerSecond => format!("{:.2} GB/s", value / 1e9),
            Unit::Seconds => format!("{value:.2} s"),
            Unit::CpuSeconds if value < 10.0 => format!("{value:.3} s"),
            Unit::CpuSeconds => format!("{} s", grouped(value)),
            Unit::Milliseconds if value < 10.0 => format!("{value:.2} ms"),
            Unit::Milliseconds => format!("{} ms", grouped(value)),
            Unit::Bytes => format!("{:.0} MiB", value / f64::from(1 << 20)),
            Unit::Times => format!("{value:.2} times"),
            Unit::Count => grouped(value),
            Unit::PerAnswer if value == 0.0 => "0".to_owned(),
            Unit::PerAnswer if value < 0.001 => "<0.001".to_owned(),
            Unit::PerAnswer => format!("{value:.3}"),
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
            Figure::P50TimesReference => some(self.total?.p50 / self.reference.as_ref()?.total?.p50),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_its_own_line_in_the_table() {
        for (place, (figure, key, ..)) in FIGURES.into_iter().enumerate() {
            assert_eq!((figure as usize, figure.key()), (place, key));
        }
    }

    #[test]
    fn values_are_shown_with_their_units() {
        let shown = [
            (Figure::Rate, 99.96, "100.0/s"),
            (Figure::Rate, 109_027.4, "109,027/s"),
            (Figure::Throughput, 2.5e8, "250 MB/s"),
            (Figure::Throughput, 1.24e10, "12.40 GB/s"),
            (Figure::P99, 2.345, "2.35 ms"),
            (Figure::P99, 1_234.0, "1,234 ms"),
            (Figure::CpuPerGigabyte, 0.064, "0.064 s"),
            (Figure::Peak, 67_108_864.0, "64 MiB"),
            (Figure::UpstreamPerAnswer, 0.0001, "<0.001"),
            (Figure::Upstream, 12.0, "12"),
        ];
        for (figure, value, expected) in shown {
            assert_eq!(figure.show(value), expected);
        }
    }
}
