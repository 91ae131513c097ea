//! Parameters of endpoints, as their description states them.

use serde_json::{Value, json};

use crate::domain::access::AccessLevel;
use crate::domain::scope::Scope;

/// A parameter: in the query of `GET` and `DELETE`, in the body of `POST` and `PUT`.
pub(in crate::http::api) struct Parameter {
    /// The name.
    pub(in crate::http::api) name: &'static str,
    /// Its meaning: a sentence without its full stop.
    pub(in crate::http::api) meaning: &'static str,
    /// True if it must be there.
    pub(in crate::http::api) required: bool,
    /// True if it may be `null`.
    pub(in crate::http::api) nullable: bool,
    kind: Kind,
}

/// Content of a parameter.
enum Kind {
    Text,
    Secret,
    Number,
    Positive,
    Flag,
    Day,
    Time,
    OneOf(&'static [&'static str]),
    AccessLevel,
    Scopes,
    Texts,
}

impl Parameter {
    /// Describes a text.
    pub(in crate::http::api) const fn text(name: &'static str, meaning: &'static str) -> Self {
        Self::of(name, meaning, Kind::Text)
    }

    /// Describes a text that is neither shown nor logged.
    pub(in crate::http::api) const fn secret(name: &'static str, meaning: &'static str) -> Self {
        Self::of(name, meaning, Kind::Secret)
    }

    /// Describes a whole number that is not negative.
    pub(in crate::http::api) const fn number(name: &'static str, meaning: &'static str) -> Self {
        Self::of(name, meaning, Kind::Number)
    }

    /// Describes a whole number that is greater than 0.
    pub(in crate::http::api) const fn positive(name: &'static str, meaning: &'static str) -> Self {
        Self::of(name, meaning, Kind::Positive)
    }

    /// Describes a boolean.
    pub(in crate::http::api) const fn flag(name: &'static str, meaning: &'static str) -> Self {
        Self::of(name, meaning, Kind::Flag)
    }

    /// Describes a date.
    pub(in crate::http::api) const fn day(name: &'static str, meaning: &'static str) -> Self {
        Self::of(name, meaning, Kind::Day)
    }

    /// Describes a date, or a date with a time (RFC 3339).
    pub(in crate::http::api) const fn time(name: &'static str, meaning: &'static str) -> Self {
        Self::of(name, meaning, Kind::Time)
    }

    /// Describes a text that is one of these.
    pub(in crate::http::api) const fn one_of(
        name: &'static str,
        values: &'static [&'static str],
        meaning: &'static str,
    ) -> Self {
        Self::of(name, meaning, Kind::OneOf(values))
    }

    /// Describes one of GitLab's access levels.
    pub(in crate::http::api) const fn access_level(name: &'static str, meaning: &'static str) -> Self {
        Self::of(name, meaning, Kind::AccessLevel)
    }

    /// Describes the scopes of a token.
    pub(in crate::http::api) const fn scopes(meaning: &'static str) -> Self {
        Self::of("scopes", meaning, Kind::Scopes)
    }

    /// Describes a list of texts.
    pub(in crate::http::api) const fn texts(name: &'static str, meaning: &'static str) -> Self {
        Self::of(name, meaning, Kind::Texts)
    }

    /// States that it must be there.
    pub(in crate::http::api) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// States that it may be `null`, which the meaning explains.
    pub(in crate::http::api) const fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// Returns the JSON schema of its values.
    pub(in crate::http::api) fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Text => json!({"type": "string"}),
            Kind::Secret => json!({"type": "string", "format": "password"}),
            Kind::Number => json!({"type": "integer", "minimum": 0}),
            Kind::Positive => json!({"type": "integer", "minimum": 1}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Day => json!({"type": "string", "format": "date"}),
            Kind::Time => json!({"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]}),
            Kind::OneOf(values) => json!({"type": "string", "enum": values}),
            Kind::AccessLevel => json!({"type": "integer", "enum": access_levels()}),
            Kind::Scopes => json!({"type": "array", "items": {"type": "string", "enum": scopes()}, "minItems": 1}),
            Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        };
        if self.nullable {
            schema["type"] = json!([schema["type"], "null"]);
            if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
                values.push(Value::Null);
            }
        }
        schema
    }

    /// Returns the name of its kind, for people.
    pub(in crate::http::api) fn kind(&self) -> String {
        match self.kind {
            Kind::Text => "text".to_owned(),
            Kind::Secret => "secret text".to_owned(),
            Kind::Number | Kind::Positive => "number".to_owned(),
            Kind::Flag => "true or false".to_owned(),
            Kind::Day => "date".to_owned(),
            Kind::Time => "date or time".to_owned(),
            Kind::OneOf(values) => values.join(", "),
            Kind::AccessLevel => access_levels().iter().map(u8::to_string).collect::<Vec<_>>().join(", "),
            Kind::Scopes => "list of scopes".to_owned(),
            Kind::Texts => "list of texts".to_owned(),
        }
    }

    const fn of(name: &'static str, meaning: &'static str, kind: Kind) -> Self {
        Self { name, meaning, required: false, nullable: false, kind }
    }
}

/// Returns the numbers of all access levels.
pub(in crate::http::api) fn access_levels() -> Vec<u8> {
    (0..=u8::MAX).filter(|number| AccessLevel::try_from(*number).is_ok()).collect()
}

/// Returns the names of all scopes.
fn scopes() -> [&'static str; 6] {
    Scope::ALL.map(Scope::as_str)
}
