//! The figures of a measurement, with their names and units.

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
    /// CPU time per thousand responses, as a multiple of the reference's.
    CpuTimesReference,
    /// Responses per second, as a multiple of the reference's.
    RateTimesReference,
    /// Bytes to and from the engines of a fleet beyond those of an equally long idle time, per thousand responses.
    EngineBytes,
    /// Connections to the engines of a fleet beyond those of an equally long idle time.
    EngineConnections,
    /// `GET`s of manifests that upstream received.
    ManifestGets,
    /// `GET`s of the blob that upstream received.
    BlobGets,
    /// Time from the first byte at the replica that downloads to that at the last of the others, in milliseconds.
    FollowerFirstByte,
    /// Longest time for which a client received nothing, in seconds.
    Stall,
    /// Bytes from upstream, as a multiple of the size of the blob.
    UpstreamTimesSize,
    /// Time until all replicas may know what was pulled, after the last pull, in seconds.
    SharedAfter,
    /// Mean number of sessions of the database that wait for a lock.
    LockWaiters,
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
const FIGURES: [(Figure, &str, &str, Unit); 30] = [
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
    (Figure::CpuTimesReference, "server_cpu_as_a_multiple_of_the_reference", "CPU/1,000", Unit::Times),
    (Figure::RateTimesReference, "rate_as_a_multiple_of_the_reference", "rate", Unit::Times),
    (Figure::EngineBytes, "engine_bytes_per_thousand_answers", "engine bytes/1,000", Unit::Count),
    (Figure::EngineConnections, "engine_connections", "engine connections", Unit::Count),
    (Figure::ManifestGets, "upstream_manifest_gets", "GETs of manifests", Unit::Count),
    (Figure::BlobGets, "upstream_blob_gets", "GETs of the blob", Unit::Count),
    (Figure::FollowerFirstByte, "first_byte_at_followers_ms_later", "first byte of followers", Unit::Milliseconds),
    (Figure::Stall, "longest_stall_seconds", "stall", Unit::Seconds),
    (Figure::UpstreamTimesSize, "upstream_bytes_as_a_multiple_of_the_size", "bytes from upstream", Unit::Times),
    (Figure::SharedAfter, "shared_after_seconds", "shared after", Unit::Seconds),
    (Figure::LockWaiters, "sessions_that_wait_for_a_lock", "waiting for a lock", Unit::PerAnswer),
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
