//! Tests of parsing and selection, and of the upstream requests for several ranges.

#![expect(clippy::unwrap_used, clippy::single_range_in_vec_init, reason = "a failed unwrap is a failed test")]

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
    for other in ["bytes=5-3", "bytes=-", "bytes=+1-2", "bytes=a-b", "bytes=", "bytes=,", "bytes=1-2,x", "bytes=1 - 2"]
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
    assert_eq!(upstream_requests(&[kib(0, 1), kib(6, 7)]), [kib(0, 1), kib(6, 7)], "more would be dropped than sent");
    assert_eq!(upstream_requests(&[kib(0, 10), kib(20, 30)]), [kib(0, 30)]);
    assert_eq!(upstream_requests(&[kib(0, 999), kib(1064, 2000)]), [kib(0, 999), kib(1064, 2000)]);
    assert_eq!(upstream_requests(&[kib(0, 10), kib(25, 30), kib(36, 37)]), [kib(0, 10), kib(25, 37)]);
    assert_eq!(upstream_requests(&[5..9, 0..2, 1..3]), [5..9, 0..2, 1..3], "only forward, and no byte twice");
}

proptest! {
    #[test]
    fn no_header_makes_a_part_that_is_empty_or_beyond_the_end(
        header in "(bytes=)?([0-9]{0,21}-?[0-9]{0,21},? ?){0,5}", any_text in "\\PC*", length: u64,
    ) {
        properties::hold(&header, length);
        properties::hold(&any_text, length);
        properties::hold(&header, length % 100);
    }

    #[test]
    fn a_header_that_is_written_is_read_as_it_was_meant(
        ranges in prop::collection::vec((0..1_000_u64, 0..1_000_u64), 1..20), length in 1..1_000_u64,
    ) {
        let written: Vec<_> = ranges.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
        let set = requested(Some(&format!("bytes={}", written.join(", "))), None, "tag").unwrap().unwrap();
        let within = |(first, more): &(u64, u64)| (*first < length).then(|| *first..length.min(first + more + 1));
        let meant: Vec<_> = ranges.iter().filter_map(within).collect();
        match set.select(length) {
            Selected::Unsatisfiable => prop_assert!(meant.is_empty()),
            Selected::Part(part) => prop_assert_eq!(vec![part], meant),
            Selected::Parts(parts) => prop_assert_eq!(parts, meant),
            Selected::Whole => prop_assert!(total_length(&meant) > length),
        }
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
