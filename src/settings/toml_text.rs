//! Keys and values of JSON as TOML, each in one line.

use serde_json::Value;

/// Returns a key, in quotes where it needs them.
pub(crate) fn key_text(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare { key.to_owned() } else { quoted(key) }
}

/// Returns a text as a basic string of TOML: one of JSON, in which TOML also wants DEL escaped.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

/// Returns a value. TOML has no null: it is an empty text.
pub(crate) fn toml(value: &Value) -> String {
    match value {
        Value::Null => quoted(""),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{} = {}", key_text(key), toml(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
    }
}
