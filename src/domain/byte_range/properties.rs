//! Properties of ranges, for whatever bytes a client sends. Shared by the tests and `tests/fuzz`.

use super::{MAX_RANGES, Selected, requested, total_length, upstream_requests};

/// Asserts that the parts which a header selects lie within content of this length, are not empty, and have no more
/// bytes than it together; and that the upstream requests for them have all of their bytes.
pub(crate) fn hold(header: &str, length: u64) {
    let Ok(Some(set)) = requested(Some(header), None, "tag") else { return };
    let parts = match set.select(length) {
        Selected::Part(part) => vec![part],
        Selected::Parts(parts) => {
            assert!(parts.len() >= 2);
            parts
        }
        Selected::Whole | Selected::Unsatisfiable => Vec::new(),
    };
    assert!(parts.len() <= MAX_RANGES && total_length(&parts) <= length, "{header}");
    assert!(parts.iter().all(|part| part.start < part.end && part.end <= length), "{header}");
    if let Some(first) = set.rest_from() {
        assert_eq!(
            set.select(length),
            if first < length { Selected::Part(first..length) } else { Selected::Unsatisfiable }
        );
    }
    let requests = upstream_requests(&parts);
    let is_fetched = |part: &std::ops::Range<u64>| {
        requests.iter().any(|request| request.start <= part.start && part.end <= request.end)
    };
    assert!(requests.len() <= parts.len() && parts.iter().all(is_fetched), "{header}");
    assert_eq!(requested(Some(header), Some("\"other\""), "tag"), Ok(None), "a range for other content");
}
