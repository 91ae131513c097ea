//! Output on the terminal: tables for people, JSON for programs. Texts of the service are printed without control
//! characters, so that a name cannot send commands to the terminal.

use std::io::Write;

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::domain::visible_text::is_invisible;
use crate::telemetry::in_time;

/// The columns of a table, each the name of a field of the API's objects.
pub(super) type Columns = &'static [&'static str];

/// The result of a subcommand, to be printed.
pub(super) enum Output {
    /// Objects of one kind, one per line.
    List(Columns, Vec<Value>),
    /// A table whose cells are made for people. The JSON is the service's response.
    Table {
        /// The columns of the table.
        columns: Columns,
        /// Its lines.
        rows: Vec<Value>,
        /// The objects of the response.
        values: Vec<Value>,
    },
    /// One object, one field per line.
    One(Columns, Value),
    /// A new object, followed by a sentence about the next step. The JSON is the object alone.
    Made(Columns, Value, String),
    /// An object that existed already, after a sentence that states so.
    Existing(String, Columns, Value),
    /// A sentence about what was done.
    Done(String),
}

impl Output {
    /// Prints the result to standard output; as JSON, it is the service's response.
    pub(super) fn print(self, as_json: bool) {
        match (self, as_json) {
            (Self::List(_, values) | Self::Table { values, .. }, true) => print_line(&pretty(&Value::Array(values))),
            (Self::One(_, value) | Self::Made(_, value, _) | Self::Existing(_, _, value), true) => {
                print_line(&pretty(&value))
            }
            (Self::Done(text), true) => print_line(&pretty(&json!({ "message": text }))),
            (Self::List(columns, values), false) => print_line(&list(columns, &values)),
            (Self::Table { columns, rows, .. }, false) => print_line(&list(columns, &rows)),
            (Self::One(columns, value), false) => print_line(&fields(columns, &value)),
            (Self::Made(columns, value, next), false) => {
                print_line(&fields(columns, &value));
                print_line(&printable(&next));
            }
            (Self::Existing(text, columns, value), false) => {
                print_line(&printable(&text));
                print_line(&fields(columns, &value));
            }
            (Self::Done(text), false) => print_line(&printable(&text)),
        }
    }
}

/// Prints a line to standard output.
pub(super) fn print_line(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that has closed the pipe, such as `head`, is no error.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints a title, and a line for each item; nothing if there are none.
pub(super) fn print_list(title: &str, items: &[String]) {
    if !items.is_empty() {
        print_line(title);
        items.iter().for_each(|item| print_line(&format!("  {item}")));
    }
}

/// Prints a line to standard output from a thread of its own, so that the service continues if nothing reads the pipe.
pub(super) fn announce(text: &str) {
    in_time::to_standard_output(text);
}

/// Prints an error message to standard error from a thread of its own, so that the process can continue, and end, if
/// nothing reads the pipe.
pub(super) fn print_error(text: &str) {
    in_time::to_standard_error(&format!("dependency-proxy: {}", printable(text)));
}

/// Prints a line to standard error that is not an error message.
pub(super) fn print_note(text: &str) {
    // A closed standard error must not fail the command.
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(text));
}

/// Formats a number of things, whose plural ends with "s".
pub(super) fn number_of(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Formats a number of bytes in decimal units.
pub(super) fn bytes(number: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(size, _)| number >= *size) {
        Some((size, unit)) => format!("{}.{} {unit}", number / size, number % size * 10 / size),
        None => format!("{number} bytes"),
    }
}

/// Returns the text with invisible characters replaced, except for line breaks: a terminal could obey them, and they
/// make one name look like another.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_invisible(c) && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

/// Formats a table with one line per value.
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
