//! Byte ranges of HTTP requests (RFC 9110, section 14). Parses and selects ranges; sends nothing.

use std::ops::Range;

/// Maximum number of ranges in one request. podman's partial pulls send up to 1,024, as `a-b,c-d,...` in ascending
/// order. More are refused with 400, upon which podman and the stargz snapshotter retry with fewer, larger ranges; at
/// 416 they give up.
pub const MAX_RANGES: usize = 1024;

/// Maximum gap between two parts, in bytes, that one upstream request always spans: the headers of a second request
/// with its redirect are about as long.
const FREE_GAP_BYTES: u64 = 4 * 1024;

/// Maximum gap between two parts, in bytes, that one upstream request spans: more than this arrives in the time of a
/// second request.
const MAX_GAP_BYTES: u64 = 64 * 1024;

/// The ranges of one request, at least one. Their positions in the content are known once its length is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeSet {
    first: Spec,
    more: Vec<Spec>,
}

/// The reason why a `Range` header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// The header is not a valid set of ranges; status 400.
    Malformed,
    /// The header has more than [`MAX_RANGES`] ranges; status 400.
    TooMany,
}

/// The bytes of some content that a set of ranges selects, and so the status of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// The whole content, with 200: the ranges have more bytes together than the content, so they overlap. A server
    /// may ignore such a set (RFC 9110, section 14.2).
    Whole,
    /// One range, not empty, with 206.
    Part(Range<u64>),
    /// At least two ranges, none empty, in the order of the request, with 206 as `multipart/byteranges` (RFC 9110,
    /// section 14.6). There is one part for each satisfiable range: podman refuses a response with fewer parts than
    /// it requested, so none are coalesced.
    Parts(Vec<Range<u64>>),
    /// Nothing, with 416: each range begins beyond the end.
    Unsatisfiable,
}

/// Parses the `Range` header of a request for content with this entity tag, which is written without quotes. Returns
/// `None` if the whole content is to be sent: without a range, for a unit other than bytes (RFC 9110, section 14.2),
/// and where `If-Range` is not the same strong tag (section 13.1.5); a date never matches. Empty elements of the list
/// are skipped (section 5.6.1.2).
///
/// # Errors
/// Fails if the set of ranges is malformed or has more than [`MAX_RANGES`] ranges.
pub fn requested(range: Option<&str>, if_range: Option<&str>, etag: &str) -> Result<Option<RangeSet>, RangeError> {
    let same = if_range.is_none_or(|tag| strong_tag(tag) == Some(etag));
    let Some((unit, set)) = range.filter(|_| same).and_then(|range| range.split_once('=')) else {
        return Ok(None);
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ok(None);
    }
    RangeSet::parse(set).map(Some)
}

/// Maximum number of upstream requests for the ranges of one client request.
pub const MAX_UPSTREAM_REQUESTS: usize = 64;

/// Returns the ranges to request from upstream for these parts, in their order. Neighbouring parts share a request,
/// whose bytes between them are dropped: gaps of up to 4 KiB always, longer ones up to 64 KiB as long as the dropped
/// bytes are no more than those of the parts. If that leaves more than [`MAX_UPSTREAM_REQUESTS`], the shortest of the
/// other gaps are spanned, too.
pub fn upstream_requests(parts: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut spanned = spanned_gaps(parts);
    let gap = |index: usize| parts[index].start.checked_sub(parts[index - 1].end);
    let mut left: Vec<(u64, usize)> =
        (1..parts.len()).filter(|index| !spanned[*index]).filter_map(|index| Some((gap(index)?, index))).collect();
    left.sort_unstable();
    let surplus = (left.len() + 1).saturating_sub(MAX_UPSTREAM_REQUESTS);
    left.iter().take(surplus).for_each(|(_, index)| spanned[*index] = true);
    let mut requests: Vec<Range<u64>> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        match requests.last_mut() {
            Some(last) if spanned[index] => last.end = part.end,
            _ => requests.push(part.clone()),
        }
    }
    requests
}

/// Returns true if each part begins at or after the end of the one before. Parts in any other order would have to be
/// requested twice.
pub fn are_ascending(parts: &[Range<u64>]) -> bool {
    parts.windows(2).all(|pair| pair[0].end <= pair[1].start)
}

/// Returns the total number of bytes of these parts.
pub fn total_length(parts: &[Range<u64>]) -> u64 {
    parts.iter().fold(0, |total, part| total.saturating_add(part.end.saturating_sub(part.start)))
}

/// Returns for each part whether it shares the request of the one before. The shortest gaps are spanned first.
fn spanned_gaps(parts: &[Range<u64>]) -> Vec<bool> {
    let gap = |index: usize| parts[index].start.checked_sub(parts[index - 1].end);
    let mut gaps: Vec<(u64, usize)> = (1..parts.len()).filter_map(|index| Some((gap(index)?, index))).collect();
    gaps.retain(|(gap, _)| *gap <= MAX_GAP_BYTES);
    gaps.sort_unstable();
    let (mut spanned, mut budget) = (vec![false; parts.len()], total_length(parts));
    for (gap, index) in gaps {
        if gap <= FREE_GAP_BYTES || gap <= budget {
            budget = budget.saturating_sub(gap);
            spanned[index] = true;
        }
    }
    spanned
}

impl RangeSet {
    fn parse(set: &str) -> Result<Self, RangeError> {
        let mut elements = set.split(',').map(str::trim).filter(|element| !element.is_empty());
        let spec = |element| Spec::parse(element).ok_or(RangeError::Malformed);
        let first = spec(elements.next().ok_or(RangeError::Malformed)?)?;
        let mut more = Vec::new();
        for element in elements {
            if more.len() + 1 == MAX_RANGES {
                return Err(RangeError::TooMany);
            }
            more.push(spec(element)?);
        }
        Ok(Self { first, more })
    }

    /// Returns the first byte of a single open-ended range, `bytes=N-`, with which clients resume an interrupted
    /// pull.
    pub fn rest_from(&self) -> Option<u64> {
        match self.first {
            Spec::From(first) if self.more.is_empty() => Some(first),
            Spec::From(_) | Spec::Between(..) | Spec::Last(_) => None,
        }
    }

    /// Returns the bytes that the set selects of content that is `length` bytes long.
    pub fn select(&self, length: u64) -> Selected {
        if self.more.is_empty() {
            return self.first.within(length).map_or(Selected::Unsatisfiable, Selected::Part);
        }
        let specs = [self.first].into_iter().chain(self.more.iter().copied());
        let parts: Vec<_> = specs.filter_map(|spec| spec.within(length)).collect();
        match parts.as_slice() {
            [] => Selected::Unsatisfiable,
            [part] => Selected::Part(part.clone()),
            parts if total_length(parts) > length => Selected::Whole,
            _ => Selected::Parts(parts),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl Spec {
    fn parse(set: &str) -> Option<Self> {
        let (first, last) = set.split_once('-')?;
        match (number(first), number(last)) {
            (Some(first), Some(last)) => (first <= last).then_some(Self::Between(first, last)),
            (Some(first), None) if last.is_empty() => Some(Self::From(first)),
            (None, Some(last)) if first.is_empty() => Some(Self::Last(last)),
            _ => None,
        }
    }

    /// Returns the selected bytes of content of this length; `None` if there are none.
    fn within(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first) => first..length,
            Self::Between(first, last) => first..last.saturating_add(1).min(length),
            Self::Last(count) => length.saturating_sub(count)..length,
        };
        (range.start < range.end).then_some(range)
    }
}

fn number(text: &str) -> Option<u64> {
    // Digits alone: `u64::from_str` would also accept a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number that does not fit in 64 bits is a position beyond any end.
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn strong_tag(text: &str) -> Option<&str> {
    text.trim().strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::single_range_in_vec_init, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selected(range: &str, length: u64) -> Selected {
        requested(Some(range), None, "tag").unwrap().unwrap().select(length)
    }

    fn of_ten(range: &str) -> Selected {
        selected(range, 10)
    }

    fn refused(range: &str) -> RangeError {
        requested(Some(range), None, "tag").unwrap_err()
    }

    #[test]
    fn single_ranges_are_cut_to_the_content() {
        assert_eq!(requested(None, None, "tag"), Ok(None));
        assert_eq!(of_ten("bytes=0-"), Selected::Part(0..10));
        assert_eq!(of_ten("bytes=0-0"), Selected::Part(0..1));
        assert_eq!(of_ten("bytes=3-"), Selected::Part(3..10));
        assert_eq!(of_ten("Bytes=2-4"), Selected::Part(2..5));
        assert_eq!(of_ten("bytes = 2-4 "), Selected::Part(2..5));
        assert_eq!(of_ten("bytes=2-99999999999999999999"), Selected::Part(2..10));
        assert_eq!(of_ten("bytes=-4"), Selected::Part(6..10));
        assert_eq!(of_ten("bytes=-40"), Selected::Part(0..10));
    }

    #[test]
    fn a_range_beyond_the_end_cannot_be_satisfied() {
        for beyond in ["bytes=10-", "bytes=99999999999999999999-", "bytes=-0", "bytes=10-11,-0,12-"] {
            assert_eq!(of_ten(beyond), Selected::Unsatisfiable, "{beyond}");
        }
        assert_eq!(selected("bytes=0-", 0), Selected::Unsatisfiable);
    }

    #[test]
    fn several_ranges_are_parts_in_the_order_of_the_request() {
        assert_eq!(of_ten("bytes=1-2,4-5"), Selected::Parts(vec![1..3, 4..6]));
        assert_eq!(of_ten("bytes=4-5,1-2,-1"), Selected::Parts(vec![4..6, 1..3, 9..10]));
        assert_eq!(of_ten("bytes=1-2,3-4"), Selected::Parts(vec![1..3, 3..5]), "adjacent ones stay apart");
        assert_eq!(of_ten("bytes= ,1-2 ,\t,  4-,"), Selected::Parts(vec![1..3, 4..10]), "empty elements are skipped");
        assert_eq!(of_ten("bytes=1-2,10-12"), Selected::Part(1..3), "one that can be satisfied is no list");
    }

    #[test]
    fn ranges_that_have_more_bytes_than_the_content_are_ignored() {
        assert_eq!(of_ten("bytes=0-4,5-9"), Selected::Parts(vec![0..5, 5..10]));
        assert_eq!(of_ten("bytes=0-5,5-9"), Selected::Whole);
        assert_eq!(of_ten("bytes=0-,0-,0-"), Selected::Whole);
    }

    #[test]
    fn only_so_many_ranges_are_taken() {
        let ranges = |number: usize| format!("bytes={}", vec!["0-0"; number].join(","));
        assert!(matches!(selected(&ranges(MAX_RANGES), 1 << 20), Selected::Parts(parts) if parts.len() == MAX_RANGES));
        assert_eq!(refused(&ranges(MAX_RANGES + 1)), RangeError::TooMany);
    }

    #[test]
    fn other_units_are_ignored() {
        for other in ["lines=1-2", "bytes", ""] {
            assert_eq!(requested(Some(other), None, "tag"), Ok(None), "{other}");
        }
    }

    #[test]
    fn a_range_that_is_none_is_malformed() {
        for other in
            ["bytes=5-3", "bytes=-", "bytes=+1-2", "bytes=a-b", "bytes=", "bytes=,", "bytes=1-2,x", "bytes=1 - 2"]
        {
            assert_eq!(refused(other), RangeError::Malformed, "{other}");
        }
    }

    #[test]
    fn only_one_open_ended_range_is_the_rest() {
        let rest = |range| requested(Some(range), None, "tag").unwrap().unwrap().rest_from();
        assert_eq!((rest("bytes=0-"), rest("bytes=7-")), (Some(0), Some(7)));
        assert_eq!((rest("bytes=7-9"), rest("bytes=-7"), rest("bytes=0-1,7-")), (None, None, None));
    }

    #[test]
    fn a_range_for_another_entity_tag_selects_the_whole() {
        let if_range = |tag| requested(Some("bytes=3-"), Some(tag), "tag").unwrap();
        assert_eq!(if_range("\"tag\"").unwrap().select(10), Selected::Part(3..10));
        for other in ["\"other\"", "W/\"tag\"", "tag", "Sat, 21 Nov 2026 20:00:00 GMT"] {
            assert_eq!(if_range(other), None, "{other}");
        }
    }

    #[test]
    fn parts_close_to_each_other_share_an_upstream_request() {
        let kib = |from: u64, to: u64| from * 1024..to * 1024;
        assert_eq!(upstream_requests(&[0..10, 10..20, 4000..4010]), [0..4010]);
        assert_eq!(
            upstream_requests(&[kib(0, 1), kib(6, 7)]),
            [kib(0, 1), kib(6, 7)],
            "more would be dropped than sent"
        );
        assert_eq!(upstream_requests(&[kib(0, 10), kib(20, 30)]), [kib(0, 30)]);
        assert_eq!(upstream_requests(&[kib(0, 999), kib(1064, 2000)]), [kib(0, 999), kib(1064, 2000)]);
        assert_eq!(upstream_requests(&[kib(0, 10), kib(25, 30), kib(36, 37)]), [kib(0, 10), kib(25, 37)]);
        assert_eq!(upstream_requests(&[5..9, 0..2, 1..3]), [5..9, 0..2, 1..3], "only forward, and no byte twice");
    }

    proptest! {
        #[test]
        fn no_header_makes_a_part_that_is_empty_or_beyond_the_end(
            header in "(bytes=)?([0-9]{0,21}-?[0-9]{0,21},? ?){0,5}", length: u64,
        ) {
            let Ok(Some(set)) = requested(Some(&header), None, "tag") else { return Ok(()) };
            let parts = match set.select(length) {
                Selected::Part(part) => vec![part],
                Selected::Parts(parts) => parts,
                Selected::Whole | Selected::Unsatisfiable => Vec::new(),
            };
            prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
            prop_assert!(total_length(&parts) <= length);
        }

        #[test]
        fn upstream_requests_have_every_part_and_no_more_than_that_again(
            parts in prop::collection::vec((0_u64..3_000_000, 1_u64..100_000), 1..40),
        ) {
            let parts: Vec<_> = parts.into_iter().map(|(start, length)| start..start + length).collect();
            let requests = upstream_requests(&parts);
            let mut rest = parts.iter().peekable();
            for request in &requests {
                let mut at = request.start;
                while let Some(part) = rest.next_if(|part| part.start >= at && part.end <= request.end) {
                    at = part.end;
                }
                prop_assert_eq!(at, request.end);
            }
            prop_assert!(rest.next().is_none());
            let free = parts.len() as u64 * FREE_GAP_BYTES;
            prop_assert!(total_length(&requests) <= 2 * total_length(&parts) + free);
        }
    }
}
