//! Texts that people read and compare, such as names: characters that nobody sees, or that change the order in which
//! others are shown, would make one name look like another.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Returns true for a character that is not shown as itself: a control character, a separator of lines, a formatting
/// character such as those that turn the direction of writing (Unicode Standard, section 23.2), and the character that
/// stands for bytes that are not UTF-8. The joiners of letters and of emoji are shown.
pub fn is_invisible(char: char) -> bool {
    const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];
    let is_invisible_category = matches!(
        char.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    );
    is_invisible_category && !JOINERS.contains(&char) || char == char::REPLACEMENT_CHARACTER
}

/// Returns true if a text shows nothing: only spaces, characters that look like one, and joiners.
pub fn is_blank(text: &str) -> bool {
    // Letters and a pattern that are drawn as nothing: Hangul fillers, the empty Braille pattern.
    const EMPTY: [char; 5] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}', '\u{2800}'];
    let is_formatting = |char: char| char.general_category() == GeneralCategory::Format;
    text.chars().all(|char| char.is_whitespace() || EMPTY.contains(&char) || is_formatting(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shown_as_itself_is_invisible() {
        for char in ['\n', '\0', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{2028}', '\u{2029}', '\u{fffd}'] {
            assert!(is_invisible(char), "{char:?}");
        }
        for char in "aé漢😀 \u{200d}-".chars() {
            assert!(!is_invisible(char), "{char:?}");
        }
    }

    #[test]
    fn a_text_that_shows_nothing_is_blank() {
        for text in ["", "  ", "\u{a0}\u{3000}", "\u{3164}", "\u{2800} ", "\u{200d}"] {
            assert!(is_blank(text), "{text:?}");
        }
        assert!(!is_blank(" a ") && !is_blank("👩\u{200d}💻"));
    }
}
