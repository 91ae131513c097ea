//! An audit event as a line of a table.

use serde_json::{Value, json};

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
    let changes = details["changes"].as_array().into_iter().flatten().map(change);
    let failure = details["failure"].as_str().map(|failure| format!("failed: {failure}"));
    let more = details["left_out"].as_u64().map(|more| format!("{more} more objects"));
    let all: Vec<String> = changes.chain(failure).chain(more).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn change(change: &Value) -> String {
    let field = change["change"].as_str().unwrap_or_default();
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (&change["from"], &change["to"]) {
        (Value::Null, Value::Null) => field.to_owned(),
        (Value::Null, to) => format!("{field} {}", shown(to)),
        (from, Value::Null) => format!("{field} {} removed", shown(from)),
        (from, to) => format!("{field} {} -> {}", shown(from), shown(to)),
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
}
