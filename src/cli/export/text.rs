//! The TOML text of a state file.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::settings::toml_text::{key_text, toml};

/// Maximum length of the name of a file of a secret, in bytes: with a number after it, all file systems take it.
const MAX_FILE_NAME: usize = 200;

/// A text that grows by tables and keys.
#[derive(Default)]
pub(super) struct Text {
    text: String,
    /// The files of secrets that are named so far.
    files: BTreeSet<String>,
    /// Number of tokens that are not in the text.
    pub(super) left_out: u64,
}

impl Text {
    /// Adds a line of a comment.
    pub(super) fn comment(&mut self, line: &str) {
        self.line(format_args!("# {line}"));
    }

    /// Begins a table.
    pub(super) fn table(&mut self, path: &[&str]) {
        let path: Vec<String> = path.iter().map(|key| key_text(key)).collect();
        self.line(format_args!("\n[{}]", path.join(".")));
    }

    /// Adds a key.
    pub(super) fn key(&mut self, key: &str, value: &Value) {
        self.line(format_args!("{} = {}", key_text(key), toml(value)));
    }

    /// Adds the name of the file of a secret, which no other secret has.
    pub(super) fn secret(&mut self, key: &str, parts: &[&str]) {
        let parts: Vec<String> = parts.iter().map(|part| file_name(part)).collect();
        let mut name = parts.join("-");
        name.truncate(MAX_FILE_NAME);
        let file = format!("secrets/{name}");
        let numbered = (2..).map(|number| format!("{file}-{number}"));
        let free = std::iter::once(file.clone()).chain(numbered).find(|file| self.files.insert(file.clone()));
        self.key(key, &free.unwrap_or(file).into());
    }

    /// Returns the text.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a text never fails.
        let _ = writeln!(self.text, "{line}");
    }
}

/// Returns a text that is a file name everywhere.
fn file_name(text: &str) -> String {
    let kept = |char: char| if char.is_ascii_alphanumeric() || "._".contains(char) { char } else { '-' };
    text.chars().map(kept).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_is_read_as_it_was() {
        let odd = "a \"b\" \\ 'c'\n\t\u{1b}\u{85}\u{7f} é";
        let mut text = Text::default();
        text.table(&["groups", "team/ci", "it's \"odd\" \\"]);
        text.key(odd, &json!(odd));
        text.key("bob", &json!({"access_level": "owner", "scopes": ["a", "b"]}));
        let read: toml::Table = text.finish().parse().unwrap();
        let table = &read["groups"]["team/ci"]["it's \"odd\" \\"];
        assert_eq!(table[odd].as_str().unwrap(), odd);
        assert_eq!(table["bob"]["scopes"][1].as_str().unwrap(), "b");
    }

    #[test]
    fn each_secret_has_a_file_of_its_own_below_the_folder_of_secrets() {
        let mut text = Text::default();
        text.secret("a", &["team/ci", "../../x"]);
        text.secret("b", &["team-ci", "..-..-x"]);
        let lines: Vec<String> = text.finish().lines().map(str::to_owned).collect();
        assert_eq!(lines, ["a = \"secrets/team-ci-..-..-x\"", "b = \"secrets/team-ci-..-..-x-2\""]);
    }

    #[test]
    fn the_file_of_a_secret_with_a_long_name_has_a_name_that_can_be_created_and_is_its_own() {
        let mut text = Text::default();
        let long = "é".repeat(255);
        text.secret("a", &[&long, "one"]);
        text.secret("b", &[&long, "two"]);
        let read: toml::Table = text.finish().parse().unwrap();
        let [one, two] = ["a", "b"].map(|key| read[key].as_str().unwrap().to_owned());
        assert!(one != two && one.len() < 255 && two.len() < 255, "{one} {two}");
    }
}
