//! Measurements: counts, bytes, latencies, and errors by kind. Their memory is bounded whatever servers send.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::fault::{Part, PullError};
use crate::cli::failure::Failure;
use crate::domain::digest::Digest;

/// Measurements of some clients of one server.
pub(super) struct Tally {
    /// Latencies of complete manifests.
    pub(super) manifests: ResponseTimes,
    /// Latencies of complete blobs.
    pub(super) blobs: ResponseTimes,
    /// Latencies of complete images, that is, of successful pulls.
    pub(super) images: Latency,
    /// Number of failed pulls.
    pub(super) failed: u64,
    /// Received bytes of manifests and blobs, including incomplete ones.
    pub(super) bytes: u64,
    errors: BTreeMap<Kind, Errors>,
    digests: BTreeMap<(usize, Digest), u64>,
}

/// Latencies of the responses of one kind.
pub(super) struct ResponseTimes {
    /// Time from the request to the first byte of the content.
    pub(super) first_byte: Latency,
    /// Time from the request to the last byte.
    pub(super) total: Latency,
}

/// A histogram of times, in microseconds up to one hour, with three significant digits.
pub(super) struct Latency(Histogram<u64>);

/// Kind of an error, by which errors are counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    /// Content that was being fetched.
    pub(super) part: Part,
    /// Name of the kind.
    pub(super) kind: &'static str,
    /// Status and error code, where a server refused.
    pub(super) status: Option<(u16, String)>,
}

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Errors {
    /// Number of errors.
    pub(super) count: u64,
    /// Text of the first one.
    pub(super) example: String,
}

/// Maximum latency that is distinguished: one hour.
const MAX_LATENCY_MICROS: u64 = 3_600_000_000;
/// Number of significant digits of latencies.
const SIGNIFICANT_DIGITS: u8 = 3;
/// Maximum number of kinds of errors that are counted separately: a server could send any number of error codes.
const MAX_KINDS: usize = 32;
const MAX_CODE_CHARS: usize = 40;
/// Maximum number of digests that are counted separately: a tag rarely changes during a measurement.
const MAX_DIGESTS: usize = 256;

impl Tally {
    /// Returns empty measurements. Fails where a histogram cannot be created.
    pub(super) fn new() -> Result<Self, Failure> {
        let (errors, digests) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self {
            manifests: ResponseTimes::new()?,
            blobs: ResponseTimes::new()?,
            images: Latency::new()?,
            failed: 0,
            bytes: 0,
            errors,
            digests,
        })
    }

    /// Records a successful pull of the image with this number, and its digest.
    pub(super) fn pulled(&mut self, image: usize, digest: Digest, took: Duration) {
        self.images.record(took);
        self.served(image, digest, 1);
    }

    /// Records a failed pull.
    pub(super) fn record_failure(&mut self, error: &PullError) {
        self.failed += 1;
        let status = error.fault.status();
        let status = status.map(|(status, code)| (status, code.chars().take(MAX_CODE_CHARS).collect()));
        let kind = Kind { part: error.part, kind: error.fault.kind(), status };
        self.count(kind, Errors { count: 1, example: error.fault.to_string() });
    }

    /// Adds the measurements of other clients of the same server.
    pub(super) fn add(&mut self, other: Self) {
        for (mine, theirs) in [(&mut self.manifests, other.manifests), (&mut self.blobs, other.blobs)] {
            mine.first_byte.add(&theirs.first_byte);
            mine.total.add(&theirs.total);
        }
        self.images.add(&other.images);
        self.failed += other.failed;
        self.bytes += other.bytes;
        other.errors.into_iter().for_each(|(kind, errors)| self.count(kind, errors));
        other.digests.into_iter().for_each(|((image, digest), count)| self.served(image, digest, count));
    }

    /// Returns the errors, the most frequent first.
    pub(super) fn errors(&self) -> Vec<(&Kind, &Errors)> {
        let mut errors: Vec<_> = self.errors.iter().collect();
        errors.sort_by_key(|(_, errors)| std::cmp::Reverse(errors.count));
        errors
    }

    /// Returns how often content did not have its digest.
    pub(super) fn wrong_digests(&self) -> u64 {
        let wrong = self.errors.iter().filter(|(kind, _)| kind.kind == "wrong digest");
        wrong.map(|(_, errors)| errors.count).sum()
    }

    /// Returns the digests of the image with this number, each with the number of its pulls.
    pub(super) fn digests(&self, image: usize) -> impl Iterator<Item = (Digest, u64)> {
        self.digests.iter().filter(move |((of, _), _)| *of == image).map(|((_, digest), count)| (*digest, *count))
    }

    /// Counts errors. Kinds beyond the maximum are counted together as "other".
    fn count(&mut self, kind: Kind, errors: Errors) {
        let full = self.errors.len() >= MAX_KINDS && !self.errors.contains_key(&kind);
        let kind = if full { Kind { kind: "other", status: None, ..kind } } else { kind };
        self.errors.entry(kind).and_modify(|known| known.count += errors.count).or_insert(errors);
    }

    fn served(&mut self, image: usize, digest: Digest, count: u64) {
        if self.digests.len() < MAX_DIGESTS || self.digests.contains_key(&(image, digest)) {
            *self.digests.entry((image, digest)).or_default() += count;
        }
    }
}

impl ResponseTimes {
    fn new() -> Result<Self, Failure> {
        Ok(Self { first_byte: Latency::new()?, total: Latency::new()? })
    }
}

impl Latency {
    fn new() -> Result<Self, Failure> {
        let made = Histogram::new_with_bounds(1, MAX_LATENCY_MICROS, SIGNIFICANT_DIGITS);
        made.map(Self).map_err(|error| Failure::Input(format!("nothing can be measured: {error}")))
    }

    /// Records a time.
    pub(super) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns the number of recorded times.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Returns a quantile (between 0 and 1) in milliseconds; `None` where no time was recorded.
    pub(super) fn milliseconds(&self, quantile: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile) as f64 / 1_000.0)
    }

    fn add(&mut self, other: &Self) {
        // Cannot fail: all histograms have the same bounds.
        let _ = self.0.add(&other.0);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::cli::bench::fault::Fault;

    fn refused(code: &str) -> PullError {
        let fault = Fault::Status { status: 503, code: code.to_owned(), sentence: "No".to_owned() };
        PullError { part: Part::Blob, fault }
    }

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    #[test]
    fn percentiles_are_of_what_all_clients_measured() {
        let (mut all, mut others) = (Tally::new().unwrap(), Tally::new().unwrap());
        (1..=50).for_each(|number| all.pulled(0, digest(1), Duration::from_millis(number)));
        (51..=100).for_each(|number| others.pulled(0, digest(1), Duration::from_millis(number)));
        all.add(others);
        let near = |quantile, expected: f64| {
            let found = all.images.milliseconds(quantile).unwrap();
            assert!((found - expected).abs() <= expected / 1_000.0, "{quantile}: {found} and not {expected}");
        };
        near(0.5, 50.0);
        near(0.9, 90.0);
        near(0.99, 99.0);
        near(1.0, 100.0);
        assert_eq!((all.images.count(), all.blobs.total.milliseconds(0.5)), (100, None));
    }

    #[test]
    fn errors_of_a_kind_are_counted_together_with_the_first_sentence() {
        let (mut tally, mut others) = (Tally::new().unwrap(), Tally::new().unwrap());
        tally.record_failure(&PullError { part: Part::Manifest, fault: Fault::Timeout });
        tally.record_failure(&refused("BUSY"));
        others.record_failure(&refused("BUSY"));
        tally.add(others);
        let errors = tally.errors();
        assert_eq!((tally.failed, errors.len()), (3, 2));
        let (kind, busy) = errors[0];
        assert_eq!((kind.status.clone(), busy.count), (Some((503, "BUSY".to_owned())), 2));
        assert_eq!(busy.example, "No (503)");
    }

    #[test]
    fn a_server_that_makes_up_codes_fills_no_memory() {
        let mut tally = Tally::new().unwrap();
        (0..1_000).for_each(|number| tally.record_failure(&refused(&format!("CODE{number}{}", "X".repeat(1_000)))));
        assert_eq!(tally.errors().iter().map(|(_, errors)| errors.count).sum::<u64>(), 1_000);
        assert!(tally.errors().len() <= MAX_KINDS + 1);
        assert_eq!(tally.errors()[0].0.kind, "other");
    }

    #[test]
    fn the_digests_of_an_image_are_its_own() {
        let mut tally = Tally::new().unwrap();
        tally.pulled(0, digest(1), Duration::ZERO);
        tally.pulled(1, digest(2), Duration::ZERO);
        tally.pulled(1, digest(2), Duration::ZERO);
        assert_eq!(tally.digests(1).collect::<Vec<_>>(), [(digest(2), 2)]);
        (0..=u8::MAX).for_each(|byte| tally.pulled(0, digest(byte), Duration::ZERO));
        assert_eq!(tally.digests.len(), MAX_DIGESTS);
    }

    #[test]
    fn wrong_content_is_counted_apart() {
        let mut tally = Tally::new().unwrap();
        let fault = Fault::WrongDigest { expected: digest(1), found: "another".to_owned() };
        tally.record_failure(&PullError { part: Part::Blob, fault });
        tally.record_failure(&refused(""));
        assert_eq!((tally.wrong_digests(), tally.failed), (1, 2));
    }
}
