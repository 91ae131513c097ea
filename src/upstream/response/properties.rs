//! Properties of `Content-Range`, for whatever bytes upstream sends. Shared by the tests and `tests/fuzz`.

use super::content_range;

/// Asserts that a range which is accepted is not empty, lies within the total length, and is written with digits alone.
pub(crate) fn hold(field: &str) {
    let Some((range, total)) = content_range(field) else { return };
    assert!(range.start < range.end && total.is_none_or(|total| range.end <= total), "{field:?}");
    let allowed = |char: char| char.is_ascii_digit() || "bytes-/* \t".contains(char);
    assert!(field.trim().chars().all(allowed), "{field:?}");
    let last = range.end - 1;
    let total_text = total.map_or("*".to_owned(), |total| total.to_string());
    assert_eq!(content_range(&format!("bytes {}-{last}/{total_text}", range.start)), Some((range, total)), "{field:?}");
}
