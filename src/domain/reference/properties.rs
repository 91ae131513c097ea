//! Properties of references, for whatever bytes stand in their place. Shared by the tests and `tests/fuzz`.

use super::{Reference, Tag};

/// Asserts that a reference which is accepted is one path segment, and is printed as it was written.
pub(crate) fn hold(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(reference) = text.parse::<Reference>() else {
        assert!(text.parse::<Tag>().is_err(), "{text:?} is a tag, and no reference");
        return;
    };
    assert_eq!(reference.to_string(), text);
    assert!(!text.contains(['/', '\\', '@', '%', '?', '#', ' ', '\0']) && !text.starts_with('.'), "{text:?}");
    assert_eq!(text.contains(':'), matches!(reference, Reference::Digest(_)), "{text:?}");
    assert!(text.len() <= 128, "{text:?}");
}
