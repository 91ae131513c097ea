//! Names of events, and the fields that a change concerns, in words for people.

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::formatting::{number, size};
use crate::domain::access::AccessLevel;
use crate::domain::audit::FieldChange;

/// Names of events that are not their words.
const EVENTS: [(&str, &str); 6] = [
    ("group_upstream_account_created", "account at a registry set for"),
    ("group_upstream_account_updated", "account at a registry changed for"),
    ("group_upstream_account_destroyed", "account at a registry removed from"),
    ("group_upstream_account_tested", "account tested at"),
    ("application_settings_updated", "settings of the service changed"),
    ("settings_reloaded", "configuration read again"),
];

/// Names of fields that are not their words.
const FIELDS: [(&str, &str); 15] = [
    ("max_bytes", "quota"),
    ("unpulled_days", "days after which unpulled images go"),
    ("tag_freshness_seconds", "freshness of tags in seconds"),
    ("proxy_enabled", "dependency proxy"),
    ("level", "role"),
    ("expires_at", "ends"),
    ("revoked_at", "revoked"),
    ("replaced_by", "replaced by"),
    ("rests_on", "rests on"),
    ("made_by", "made by"),
    ("created_by", "made by"),
    ("admin", "administrator"),
    ("old_secret", "old secret"),
    ("old_secret_expires_at", "old secret ends"),
    ("parent", "group above"),
];

/// Returns an event in words, without the object that it is about.
pub(super) fn event_words(name: &str) -> String {
    let known = EVENTS.into_iter().find(|(known, _)| *known == name);
    known.map_or_else(|| name.replace('_', " "), |(_, words)| words.to_owned())
}

/// Shows a field with its values before and after, a line each; of a field with parts, those that differ.
pub(super) fn change(change: &FieldChange) -> Markup {
    html! { @for part in change.parts() { (line(&part.field, part.from.as_ref(), part.to.as_ref())) } }
}

fn line(field: &str, from: Option<&Value>, to: Option<&Value>) -> Markup {
    html! {
        div {
            (field_words(field)) ": "
            @match (from, to) {
                (None, None) => "changed",
                _ => {
                    @if let Some(from) = from { del { (value_words(field, from)) } }
                    @if from.is_some() && to.is_some() { " → " }
                    @if let Some(to) = to { ins { (value_words(field, to)) } }
                },
            }
        }
    }
}

fn field_words(field: &str) -> String {
    if let Some(rest) = field.strip_prefix("upstream_accounts.") {
        let (upstream, part) = rest.rsplit_once('.').unwrap_or((rest, ""));
        let part = if part == "identity" { "user name" } else { "password" };
        return format!("{part} at {upstream}");
    }
    let known = FIELDS.into_iter().find(|(known, _)| *known == field);
    known.map_or_else(|| field.replace('_', " "), |(_, words)| words.to_owned())
}

fn value_words(field: &str, value: &Value) -> String {
    match (field, value) {
        (_, Value::Null) => "not set".to_owned(),
        ("proxy_enabled", Value::Bool(on)) => if *on { "on" } else { "off" }.to_owned(),
        (_, Value::Bool(holds)) => if *holds { "yes" } else { "no" }.to_owned(),
        ("max_bytes", Value::Number(bytes)) => bytes.as_u64().map_or_else(|| bytes.to_string(), size),
        ("level", Value::Number(level)) => role(level.as_u64()).unwrap_or_else(|| level.to_string()),
        (_, Value::Number(count)) => count.as_u64().map_or_else(|| count.to_string(), number),
        (_, Value::String(text)) => text.parse().map_or_else(|_| text.clone(), moment),
        (_, Value::Array(values)) => {
            values.iter().map(|value| value_words(field, value)).collect::<Vec<_>>().join(", ")
        }
        (_, Value::Object(_)) => value.to_string(),
    }
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn role(level: Option<u64>) -> Option<String> {
    let level = AccessLevel::try_from(u8::try_from(level?).ok()?).ok()?;
    Some(level.name().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(field: &str, from: &Value, to: &Value) -> String {
        let value = |value: &Value| Some(value.clone()).filter(|value| !value.is_null());
        change(&FieldChange { field: field.to_owned(), from: value(from), to: value(to) }).into_string()
    }

    #[test]
    fn values_are_shown_as_people_write_them() {
        for (field, from, to, words) in [
            ("level", json!(10), json!(50), "role: <del>Guest</del> → <ins>Owner</ins>"),
            ("scopes", Value::Null, json!(["read_registry", "api"]), "scopes: <ins>read_registry, api</ins>"),
            ("pinned", json!(false), json!(true), "pinned: <del>no</del> → <ins>yes</ins>"),
            ("upstream_accounts.docker.io.identity", Value::Null, json!("robot"), "user name at docker.io: "),
            ("password", Value::Null, Value::Null, "password: changed"),
            ("expires_at", Value::Null, json!("2027-02-28T17:19:06.839Z"), "ends: <ins>2027-02-28 17:19:06 UTC</ins>"),
        ] {
            assert!(shown(field, &from, &to).contains(words), "{}", shown(field, &from, &to));
        }
    }

    #[test]
    fn of_a_field_with_parts_those_are_shown_that_differ() {
        let before = json!({"max_bytes": 30_000_000_000_u64, "unpulled_days": null, "tag_freshness_seconds": 10});
        let after = json!({"max_bytes": 50_000_000_000_u64, "unpulled_days": 90, "tag_freshness_seconds": 10});
        let shown = shown("cache", &before, &after);
        assert!(shown.contains("quota: <del>30.0 GB</del> → <ins>50.0 GB</ins>"), "{shown}");
        assert!(shown.contains("go: <ins>90</ins>") && !shown.contains("freshness"), "{shown}");
    }

    #[test]
    fn an_event_is_named_in_words() {
        assert_eq!(event_words("user_created"), "user created");
        assert_eq!(event_words("group_upstream_account_created"), "account at a registry set for");
    }
}
