//! Prints: tables for people, JSON for programs. What the service says is shown without its control characters, so that a
//! name cannot steer the terminal.

use std::io::Write;

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::telemetry::in_time;

/// The columns of a table: a field of the API's objects each.
pub(super) type Columns = &'static [&'static str];

/// What a verb has to show.
pub(super) enum Output {
    /// Things of one kind, a line each.
    List(Columns, Vec<Value>),
    /// One thing, a line for each of its fields.
    One(Columns, Value),
    /// One thing that was made, and a sentence that says the next step. The JSON is the thing alone.
    Made(Columns, Value, String),
    /// One thing that was there already, after a sentence that says so.
    Existing(String, Columns, Value),
    /// A sentence.
    Done(String),
}

impl Output {
    /// Prints it to standard output; as JSON it is what the service said.
    pub(super) fn print(self, as_json: bool) {
        match (self, as_json) {
            (Self::List(_, values), true) => say(&pretty(&Value::Array(values))),
            (Self::One(_, value) | Self::Made(_, value, _) | Self::Existing(_, _, value), true) => say(&pretty(&value)),
            (Self::Done(text), true) => say(&pretty(&json!({ "message": text }))),
            (Self::List(columns, values), false) => say(&list(columns, &values)),
            (Self::One(columns, value), false) => say(&fields(columns, &value)),
            (Self::Made(columns, value, next), false) => {
                say(&fields(columns, &value));
                say(&printable(&next));
            }
            (Self::Existing(text, columns, value), false) => {
                say(&printable(&text));
                say(&fields(columns, &value));
            }
            (Self::Done(text), false) => say(&printable(&text)),
        }
    }
}

/// Prints a line to standard output. That nobody reads it any more is no error.
pub(super) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _gone = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints a line to standard output that nothing waits for: the service goes on although nobody reads it.
pub(super) fn announce(text: &str) {
    in_time::to_standard_output(text);
}

/// Prints a line to standard error. The process can go on, and end, although nobody reads it.
pub(super) fn complain(text: &str) {
    in_time::to_standard_error(&format!("dependency-proxy: {}", printable(text)));
}

/// Prints a line to standard error that is no complaint.
pub(super) fn note(text: &str) {
    let _gone = writeln!(std::io::stderr().lock(), "{}", printable(text));
}

/// A number of bytes for people, in decimal units.
pub(super) fn bytes(number: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(size, _)| number >= *size) {
        Some((size, unit)) => format!("{}.{} {unit}", number / size, number % size * 10 / size),
        None => format!("{number} bytes"),
    }
}

/// The text without control characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

/// A table with a line for each of the values.
pub(super) fn list(columns: Columns, values: &[Value]) -> String {
    let mut table = plain();
    table.set_header(columns.iter().map(|column| column.to_uppercase()));
    table.add_rows(values.iter().map(|value| columns.iter().map(|column| cell(&value[*column])).collect::<Vec<_>>()));
    table.trim_fmt()
}

fn fields(columns: Columns, value: &Value) -> String {
    let mut table = plain();
    let present = columns.iter().filter(|column| value.get(**column).is_some());
    table.add_rows(present.map(|column| vec![(*column).to_owned(), cell(&value[*column])]));
    table.trim_fmt()
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => printable(text).replace('\n', " "),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_table_with_a_line_for_each() {
        let values = [
            json!({"id": 1, "scopes": ["a", "b"], "revoked": false, "x": 1}),
            json!({"id": 20, "scopes": [], "revoked": true}),
        ];
        let table = list(&["id", "scopes", "revoked", "expires_at"], &values);
        let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            words,
            [vec!["ID", "SCOPES", "REVOKED", "EXPIRES_AT"], vec!["1", "a,", "b", "no", "-"], vec!["20", "yes", "-"]]
        );
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(cell(&json!("a\u{1b}[2Jb\nc")), "a\u{fffd}[2Jb c");
    }

    #[test]
    fn one_thing_shows_the_fields_that_it_has() {
        let shown = fields(&["id", "token"], &json!({"id": 7, "name": "x"}));
        assert_eq!(shown.split_whitespace().collect::<Vec<_>>(), ["id", "7"]);
    }
}
