//! Tests of the lines of small files: what was written is read, and nothing else is.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use serde_json::Value;

use super::*;

proptest! {
    #[test]
    fn a_line_is_read_as_it_was_written_and_with_any_changed_byte_it_is_ignored(
        text in ".{0,40}", number: i64, place: usize, other: u8, length: usize,
    ) {
        let written = serde_json::json!({"text": text, "number": number});
        let mut line = line(&written).unwrap();
        prop_assert_eq!(line.pop(), Some(b'\n'));
        prop_assert!(!line.contains(&b'\n'), "a line is one line");
        prop_assert_eq!(entry::<Value>(&line), Some(written));
        prop_assert_eq!(entry::<Value>(&line[..length % line.len()]), None);
        let place = place % line.len();
        prop_assume!(line[place] != other);
        line[place] = other;
        prop_assert_eq!(entry::<Value>(&line), None);
    }

    #[test]
    fn what_was_not_written_is_ignored(bytes: Vec<u8>, text in "[0-9a-f]{16} \\{.{0,40}\\}") {
        prop_assert_eq!(entry::<Value>(&bytes), None);
        prop_assert_eq!(entry::<Value>(text.as_bytes()), None);
        prop_assert!(images::parse(&bytes).is_none());
    }
}
