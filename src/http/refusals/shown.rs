//! Texts that a client chose, as the log shows them.

use std::borrow::Cow;

use crate::auth::secret::redacted;

/// Longest text that is logged from a request, in characters.
pub(super) const MAX_TEXT_CHARS: usize = 200;

/// Returns the beginning of a text that a client chose, with tokens redacted. Redaction comes before the cut, which
/// could otherwise leave a part of a token that is no longer recognized.
pub(in crate::http) fn shown(text: &str) -> Cow<'_, str> {
    let mut text = redacted(text);
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT_CHARS) {
        text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
            Cow::Owned(text) => Cow::Owned(text[..end].to_owned()),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_token_is_shown_wherever_a_long_text_is_cut() {
        let token = format!("dpd-{}", "a".repeat(50));
        for before in 140..=200 {
            let text = format!("/{} {token} {}", "x".repeat(before), "y".repeat(100));
            assert!(!shown(&text).contains("dpd-a"), "{before}");
            assert!(shown(&text).chars().count() <= MAX_TEXT_CHARS);
        }
    }
}
