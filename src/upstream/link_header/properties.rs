//! Properties of link headers, for whatever bytes upstream sends. Shared by the tests and `tests/fuzz`.

use super::{next_target, query_of};

/// Asserts that the next page of these fields, one on each line, has a query that stands between angle brackets in one
/// of them, that only a relation `next` names it, and that it can be passed on in a header.
pub(crate) fn hold(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Some(target) = next_target(text.lines()) else { return };
    let has_it = |field: &str| {
        let mut links = field.match_indices('<').filter_map(|(at, _)| field[at + 1..].split_once('>'));
        links.any(|(inside, _)| inside.trim() == target)
    };
    assert!(text.lines().any(has_it), "{target:?} is no target in {text:?}");
    assert!(text.to_ascii_lowercase().contains("next"), "{text:?}");
    let Some(query) = query_of(target) else { return };
    assert!(!query.is_empty() && query.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{query:?}");
    assert!(!query.as_str().contains(['#', '>']), "{query:?}");
    let again = format!("</v2/x?{}>; rel=\"next\"", query.as_str());
    assert_eq!(next_target([again.as_str()].into_iter()).and_then(query_of), Some(query), "{again}");
}
