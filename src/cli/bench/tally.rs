//! What was measured: counts, bytes, how long things took, and what went wrong, by kind. Knows no server and prints nothing.
//! Bounded whatever servers answer.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::fault::{Part, Wrong};
use crate::cli::failure::Failure;
use crate::domain::digest::Digest;

/// What some clients measured of one server.
pub(super) struct Tally {
    /// Manifests that came whole.
    pub(super) manifests: Answers,
    /// Blobs that came whole.
    pub(super) blobs: Answers,
    /// Images that came whole: the pulls that succeeded.
    pub(super) images: Latency,
    /// Pulls that failed.
    pub(super) failed: u64,
    /// Bytes of manifests and blobs, also of those that did not come whole.
    pub(super) bytes: u64,
    errors: BTreeMap<Kind, Errors>,
    digests: BTreeMap<(usize, Digest), u64>,
}

/// How long the answers of one kind took.
pub(super) struct Answers {
    /// From the request to the first byte of the content.
    pub(super) first_byte: Latency,
    /// From the request to the last byte.
    pub(super) total: Latency,
}

/// A distribution of times, in microseconds up to an hour and to three digits.
pub(super) struct Latency(Histogram<u64>);

/// By what errors are told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    /// At what they occurred.
    pub(super) part: Part,
    /// Their kind.
    pub(super) kind: &'static str,
    /// Status and code, where a server said no.
    pub(super) status: Option<(u16, String)>,
}

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Errors {
    /// How many.
    pub(super) count: u64,
    /// What the first of them said.
    pub(super) example: String,
}

const HOUR_IN_MICROSECONDS: u64 = 3_600_000_000;
const DIGITS: u8 = 3;
/// Kinds of errors that are told apart; a server could make up codes without end.
const MAX_KINDS: usize = 32;
const MAX_CODE: usize = 40;
/// Digests of an image that are told apart; a tag does not move often.
const MAX_DIGESTS: usize = 256;

impl Tally {
    /// Nothing yet.
    pub(super) fn new() -> Result<Self, Failure> {
        let (errors, digests) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self {
            manifests: Answers::new()?,
            blobs: Answers::new()?,
            images: Latency::new()?,
            failed: 0,
            bytes: 0,
            errors,
            digests,
        })
    }

    /// An image of this number came whole, and was this one.
    pub(super) fn pulled(&mut self, image: usize, digest: Digest, took: Duration) {
        self.images.record(took);
        self.served(image, digest, 1);
    }

    /// A pull failed.
    pub(super) fn wrong(&mut self, wrong: &Wrong) {
        self.failed += 1;
        let status = wrong.fault.status();
        let status = status.map(|(status, code)| (status, code.chars().take(MAX_CODE).collect()));
        let kind = Kind { part: wrong.part, kind: wrong.fault.kind(), status };
        self.count(kind, Errors { count: 1, example: wrong.fault.to_string() });
    }

    /// Adds what others measured of the same server.
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

    /// The errors, the most frequent first.
    pub(super) fn errors(&self) -> Vec<(&Kind, &Errors)> {
        let mut errors: Vec<_> = self.errors.iter().collect();
        errors.sort_by_key(|(_, errors)| std::cmp::Reverse(errors.count));
        errors
    }

    /// How often content was not what it should be.
    pub(super) fn wrong_digests(&self) -> u64 {
        let wrong = self.errors.iter().filter(|(kind, _)| kind.kind == "wrong digest");
        wrong.map(|(_, errors)| errors.count).sum()
    }

    /// Which manifests the image of this number had, and how often.
    pub(super) fn digests(&self, image: usize) -> impl Iterator<Item = (Digest, u64)> {
        self.digests.iter().filter(move |((of, _), _)| *of == image).map(|((_, digest), count)| (*digest, *count))
    }

    /// Kinds beyond the bound are counted with the last one of their part.
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

impl Answers {
    fn new() -> Result<Self, Failure> {
        Ok(Self { first_byte: Latency::new()?, total: Latency::new()? })
    }
}

impl Latency {
    fn new() -> Result<Self, Failure> {
        let made = Histogram::new_with_bounds(1, HOUR_IN_MICROSECONDS, DIGITS);
        made.map(Self).map_err(|error| Failure::Input(format!("nothing can be measured: {error}")))
    }

    /// One more.
    pub(super) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// What this share of them, between 0 and 1, did not exceed, in milliseconds; none where there are none.
    pub(super) fn milliseconds(&self, quantile: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile) as f64 / 1_000.0)
    }

    /// Never fails: all have the same bounds.
    fn add(&mut self, other: &Self) {
        let _same_bounds = self.0.add(&other.0);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::cli::bench::fault::Fault;

    fn refused(code: &str) -> Wrong {
        let fault = Fault::Status { status: 503, code: code.to_owned(), sentence: "No".to_owned() };
        Wrong { part: Part::Blob, fault }
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
        tally.wrong(&Wrong { part: Part::Manifest, fault: Fault::Timeout });
        tally.wrong(&refused("BUSY"));
        others.wrong(&refused("BUSY"));
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
        (0..1_000).for_each(|number| tally.wrong(&refused(&format!("CODE{number}{}", "X".repeat(1_000)))));
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
        tally.wrong(&Wrong { part: Part::Blob, fault });
        tally.wrong(&refused(""));
        assert_eq!((tally.wrong_digests(), tally.failed), (1, 2));
    }
}
