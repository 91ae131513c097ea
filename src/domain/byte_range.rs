//! Ranges of bytes as clients ask for them (RFC 9110, section 14). Decides what is sent; sends nothing.

use std::ops::Range;

/// What of some content a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: 200.
    Whole,
    /// These bytes, at least one: 206.
    Part(Range<u64>),
    /// Nothing, the range begins beyond the end: 416.
    Unsatisfiable,
    /// Nothing, the range is none: 400.
    Malformed,
}

/// What a request with these header values wants of content that is `length` bytes long and has this entity tag, written
/// without quotes. Several ranges and other units are ignored, as the RFC allows: the whole is sent. `If-Range` holds only for
/// the same strong tag; a date never does.
pub fn wanted(range: Option<&str>, if_range: Option<&str>, etag: &str, length: u64) -> Wanted {
    let same = if_range.is_none_or(|tag| strong_tag(tag) == Some(etag));
    let Some((unit, set)) = range.filter(|_| same).and_then(|range| range.split_once('=')) else {
        return Wanted::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Wanted::Whole;
    }
    Spec::parse(set).map_or(Wanted::Malformed, |spec| spec.within(length))
}

#[derive(Clone, Copy)]
enum Spec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl Spec {
    fn parse(set: &str) -> Option<Self> {
        let (first, last) = set.trim().split_once('-')?;
        match (number(first), number(last)) {
            (Some(first), Some(last)) => (first <= last).then_some(Self::Between(first, last)),
            (Some(first), None) if last.is_empty() => Some(Self::From(first)),
            (None, Some(last)) if first.is_empty() => Some(Self::Last(last)),
            _ => None,
        }
    }

    fn within(self, length: u64) -> Wanted {
        let range = match self {
            Self::From(first) => first..length,
            Self::Between(first, last) => first..last.saturating_add(1).min(length),
            Self::Last(count) => length.saturating_sub(count)..length,
        };
        if range.start < range.end { Wanted::Part(range) } else { Wanted::Unsatisfiable }
    }
}

/// Digits alone: `u64::from_str` would also take a sign. More than fit mean a position beyond any end.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn strong_tag(text: &str) -> Option<&str> {
    text.trim().strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_ten(range: &str) -> Wanted {
        wanted(Some(range), None, "tag", 10)
    }

    #[test]
    fn single_ranges_are_cut_to_the_content() {
        assert_eq!(wanted(None, None, "tag", 10), Wanted::Whole);
        assert_eq!(of_ten("bytes=0-"), Wanted::Part(0..10));
        assert_eq!(of_ten("bytes=3-"), Wanted::Part(3..10));
        assert_eq!(of_ten("Bytes=2-4"), Wanted::Part(2..5));
        assert_eq!(of_ten("bytes=2-99999999999999999999"), Wanted::Part(2..10));
        assert_eq!(of_ten("bytes=-4"), Wanted::Part(6..10));
        assert_eq!(of_ten("bytes=-40"), Wanted::Part(0..10));
    }

    #[test]
    fn a_range_beyond_the_end_cannot_be_satisfied() {
        assert_eq!(of_ten("bytes=10-"), Wanted::Unsatisfiable);
        assert_eq!(of_ten("bytes=99999999999999999999-"), Wanted::Unsatisfiable);
        assert_eq!(of_ten("bytes=-0"), Wanted::Unsatisfiable);
        assert_eq!(wanted(Some("bytes=0-"), None, "tag", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn several_ranges_and_other_units_are_ignored() {
        for other in ["bytes=1-2,4-5", "lines=1-2", "bytes", ""] {
            assert_eq!(of_ten(other), Wanted::Whole, "{other}");
        }
    }

    #[test]
    fn a_range_that_is_none_is_malformed() {
        for other in ["bytes=5-3", "bytes=-", "bytes=+1-2", "bytes=a-b", "bytes="] {
            assert_eq!(of_ten(other), Wanted::Malformed, "{other}");
        }
    }

    #[test]
    fn a_range_of_something_else_is_answered_with_the_whole() {
        let if_range = |tag| wanted(Some("bytes=3-"), Some(tag), "tag", 10);
        assert_eq!(if_range("\"tag\""), Wanted::Part(3..10));
        for other in ["\"other\"", "W/\"tag\"", "tag", "Sat, 21 Nov 2026 20:00:00 GMT"] {
            assert_eq!(if_range(other), Wanted::Whole, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_a_part_that_is_empty_or_beyond_the_end(header in "(bytes=)?[0-9]{0,21}-?[0-9]{0,21}", length: u64) {
            if let Wanted::Part(part) = wanted(Some(&header), None, "tag", length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
