//! An audit event as a line of a table.

use serde_json::{Value, json};

use crate::domain::audit::FieldChange;
use crate::domain::audit::json::AuthorClass;

/// Returns an event as a line.
pub(super) fn of(event: &Value) -> Value {
    let details = &event["details"];
    let text = |field: &str| details[field].as_str().unwrap_or_default();
    let at = event["created_at"].as_str().unwrap_or_default().split('.').next().unwrap_or_default();
    let token = match (&details["token_id"], &details["token_name"]) {
        (Value::Null, _) => Value::Null,
        (id, name) => json!(format!("{id} {}", name.as_str().unwrap_or_default())),
    };
    let author = match serde_json::from_value(details["author_class"].clone()) {
        // Its owner chose the user name, which may be that of a user.
        Ok(AuthorClass::DeployToken) => format!("{} (deploy token)", text("author_name")),
        // A newer server may have further classes.
        Ok(AuthorClass::User | AuthorClass::Nobody | AuthorClass::Service | AuthorClass::Operator) | Err(_) => {
            text("author_name").to_owned()
        }
    };
    let of = match event["entity_type"].as_str() {
        Some("Group" | "User") => text("entity_path"),
        _ => "the service",
    };
    let count = details["count"].as_u64().filter(|count| *count > 1);
    let name = event["event_name"].as_str().unwrap_or_default();
    json!({
        "at": format!("{at}Z"),
        "author": author,
        "token": token,
        "address": details["ip_address"],
        "event": count.map_or_else(|| name.to_owned(), |count| format!("{name} ({count} times)")),
        "of": of,
        "target": text("target_details"),
        "changes": changes(details),
    })
}

/// Returns the changed fields with their values, and the reason of a failure.
fn changes(details: &Value) -> Option<String> {
    let changes = details["changes"].as_array().into_iter().flatten().flat_map(|change| field(change).parts());
    let changes = changes.map(|change| words(&change));
    let failure = details["failure"].as_str().map(|failure| format!("failed: {failure}"));
    let more = details["left_out"].as_u64().map(|more| format!("{more} more objects"));
    let all: Vec<String> = changes.chain(failure).chain(more).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn field(change: &Value) -> FieldChange {
    let value = |name: &str| Some(&change[name]).filter(|value| !value.is_null()).cloned();
    let field = change["change"].as_str().unwrap_or_default().to_owned();
    FieldChange { field, from: value("from"), to: value("to") }
}

fn words(FieldChange { field, from, to }: &FieldChange) -> String {
    match (from, to) {
        (None, None) => field.clone(),
        (None, Some(to)) => format!("{field} {}", shown(to)),
        (Some(from), None) => format!("{field} {} removed", shown(from)),
        (Some(from), Some(to)) => format!("{field} {} -> {}", shown(from), shown(to)),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join("+"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_with_its_author_and_what_changed() {
        let event = json!({
            "id": 7, "created_at": "2026-11-29T19:00:00.123Z", "event_name": "member_updated", "entity_type": "Group",
            "details": {
                "author_name": "alice", "token_id": 3, "token_name": "ci", "ip_address": "10.0.0.1",
                "entity_path": "team", "target_details": "bob", "count": 2,
                "changes": [{"change": "level", "from": 30, "to": 50}, {"change": "password", "from": null, "to": null}],
            },
        });
        let expected = json!({
            "at": "2026-11-29T19:00:00Z", "author": "alice", "token": "3 ci", "address": "10.0.0.1",
            "event": "member_updated (2 times)", "of": "team", "target": "bob", "changes": "level 30 -> 50, password",
        });
        assert_eq!(of(&event), expected);
    }

    #[test]
    fn of_a_field_with_parts_those_are_shown_that_differ() {
        let cache = |max_bytes: u64, days: Value| json!({"max_bytes": max_bytes, "unpulled_days": days, "pinned": 1});
        let fields = json!([
            {"change": "cache", "from": cache(10, Value::Null), "to": cache(20, json!(90))},
            {"change": "scopes", "from": ["api"], "to": ["read_registry", "write_registry"]},
        ]);
        let shown = changes(&json!({ "changes": fields }));
        let expected = "max_bytes 10 -> 20, unpulled_days 90, scopes api -> read_registry+write_registry";
        assert_eq!(shown.as_deref(), Some(expected));
    }
}
