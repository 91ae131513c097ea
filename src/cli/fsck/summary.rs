//! Summary of an examination: what was examined, with the number of findings, as a table and as JSON.

use serde_json::{Value, json};

use crate::admin::fsck::{Examined, Report};
use crate::cli::output::{Columns, bytes, list};

const COLUMNS: Columns = &["examined", "number", "findings"];

/// The lines of the table: what was examined, and the kinds of findings that are counted there.
const LINES: [(&str, &[&str]); 6] = [
    ("blobs", &["blob"]),
    ("manifests", &["manifest", "description"]),
    ("small files", &["links", "small_file", "misplaced", "group"]),
    ("index", &["index", "missing_entry", "surplus_entry", "differing_entry", "length", "count"]),
    ("identities", &["identities"]),
    ("other files", &["foreign", "unreadable", "leftover"]),
];

/// Formats the table.
pub(super) fn table(report: &Report) -> String {
    let row = |(what, kinds): (&str, &[&str])| {
        let numbers = report.findings.numbers();
        let findings: u64 = kinds.iter().filter_map(|kind| numbers.get(kind)).sum();
        json!({"examined": what, "number": number(what, &report.examined), "findings": findings})
    };
    let table = list(COLUMNS, &LINES.map(row));
    format!("{table}\n{} of blobs and manifests were verified.", bytes(report.examined.bytes))
}

fn number(what: &str, examined: &Examined) -> Value {
    match what {
        "blobs" => json!(examined.blobs),
        "manifests" => json!(examined.manifests),
        "small files" => json!(format!("{} (groups: {})", examined.small_files, examined.groups)),
        "index" => json!(examined.entries),
        "identities" => json!(examined.identities.map(|(users, groups)| format!("users: {users}, groups: {groups}"))),
        _ => Value::Null,
    }
}

/// Returns the numbers of what was examined.
pub(super) fn as_json(examined: &Examined) -> Value {
    json!({
        "blobs": examined.blobs,
        "manifests": examined.manifests,
        "bytes": examined.bytes,
        "small_files": examined.small_files,
        "groups": examined.groups,
        "index_entries": examined.entries,
        "users": examined.identities.map(|(users, _)| users),
    })
}
