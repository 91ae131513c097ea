//! Tests of what the headers of a response confirm.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn a_manifest_needs_its_media_type() {
    let head = manifest_head(&headers(&[
        ("content-type", "Application/vnd.oci.image.index.v1+json; charset=utf-8"),
        ("content-length", "7"),
        ("docker-content-digest", "sha256:nonsense"),
    ]));
    let expected = ContentHead { media_type: Some(ACCEPTED[0].to_owned()), length: Some(7), digest: None };
    assert_eq!(head, Ok(expected));
    for silent in [&[][..], &[("content-type", "application/json")], &[("content-type", "text/plain; charset=utf-8")]] {
        let head = manifest_head(&headers(silent)).unwrap();
        assert_eq!((head.media_type, affirmed_manifest(&headers(silent))), (None, None), "the document decides");
    }
    let page = headers(&[("content-type", "text/html")]);
    assert!(matches!(manifest_head(&page), Err(UpstreamError::InvalidResponse { .. })));
    let schema_1 = headers(&[("content-type", "application/vnd.docker.distribution.manifest.v1+prettyjws")]);
    assert!(matches!(manifest_head(&schema_1), Err(UpstreamError::Unsupported { .. })));
}

#[test]
fn a_head_affirms_only_what_it_tells_the_length_of() {
    let typed = ("content-type", ACCEPTED[2]);
    for (length, confirmed) in [(Some("7"), true), (Some("0"), false), (None, false)] {
        let all: Vec<_> = [typed].into_iter().chain(length.map(|length| ("content-length", length))).collect();
        assert_eq!(affirmed_manifest(&headers(&all)).is_some(), confirmed, "{length:?}");
        let digest = Digest::from_bytes([7; 32]);
        assert_eq!(affirmed_blob(&headers(&all), &digest).is_some(), confirmed, "{length:?}");
    }
    let nothing = EMPTY_BLOB.parse().unwrap();
    assert!(affirmed_blob(&headers(&[("content-length", "0")]), &nothing).is_some());
}

#[test]
fn a_default_sentence_says_nothing() {
    assert!(!adds_information("Requested access to the resource is denied") && !adds_information("unauthorized."));
    assert!(adds_information("Your authorization token has expired. Reauthenticate and try again."));
}

#[test]
fn only_the_range_asked_for_is_taken() {
    let head =
        |range: &str, from| blob_head(true, &headers(&[("content-range", range), ("content-length", "5")]), from);
    assert_eq!(head("bytes 5-9/10", 5).map(|(head, skip)| (head.length, skip)), Ok((Some(10), 0)));
    assert_eq!(head("bytes 5-9/*", 5).map(|(head, skip)| (head.length, skip)), Ok((None, 0)));
    for wrong in
        ["bytes 4-9/10", "bytes 6-9/10", "bytes 5-9/9", "bytes 5-4/10", "5-9/10", "bytes */10", "bytes 5-9", ""]
    {
        assert_eq!(head(wrong, 5), Err(UpstreamError::WrongRange), "{wrong}");
    }
    assert_eq!(head("bytes 0-9/10", 0), Err(UpstreamError::WrongRange), "no range was requested");
    assert_eq!(blob_head(true, &headers(&[]), 5), Err(UpstreamError::WrongRange));
}

#[test]
fn a_bounded_range_has_to_be_the_one_requested() {
    let head = |sent: &str| {
        let headers = headers(&[("content-range", sent), ("content-length", "5")]);
        range_head(&headers, &(5..10)).map(|head| head.length)
    };
    assert_eq!(head("bytes 5-9/10"), Ok(Some(10)));
    assert_eq!(head("bytes 5-9/*"), Ok(None));
    assert_eq!(head("bytes 5-7/8"), Ok(Some(8)), "the blob is shorter than expected");
    for wrong in ["bytes 4-9/10", "bytes 5-8/10", "bytes 5-10/20", "bytes 5-7/*", "bytes */10", "5-9/10", ""] {
        assert_eq!(head(wrong), Err(UpstreamError::WrongRange), "{wrong}");
    }
    assert_eq!(range_head(&headers(&[]), &(5..10)), Err(UpstreamError::WrongRange));
}

#[test]
fn whole_content_is_skipped_forward() {
    let whole = headers(&[("content-length", "10")]);
    assert_eq!(blob_head(false, &whole, 4).map(|(head, skip)| (head.length, skip)), Ok((Some(10), 4)));
    assert_eq!(blob_head(false, &whole, 11), Err(UpstreamError::WrongRange));
}

proptest! {
    #[test]
    fn a_range_that_upstream_states_is_within_the_content(
        any_text in "\\PC*", near_miss in "(bytes )?[0-9+* -]{0,22}-[0-9+]{0,22}/[0-9+*]{0,22}",
        first: u64, more in 0..10_u64, rest in 0..10_u64,
    ) {
        for text in [&any_text, &near_miss] {
            properties::hold(text);
        }
        let Some(total) = first.checked_add(more + rest) else { return Ok(()) };
        let last = first + more;
        let of = |total: &str| content_range(&format!("bytes {first}-{last}/{total}"));
        let range = last.checked_add(1).map(|end| first..end);
        prop_assert_eq!(of("*"), range.clone().map(|range| (range, None)));
        let expected = range.filter(|_| last < total).map(|range| (range, Some(total)));
        prop_assert_eq!(of(&total.to_string()), expected);
    }
}
