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

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties;

#[cfg(test)]
mod tests;
