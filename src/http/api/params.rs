//! The parameters of a request, from the query, a form or a JSON object, as GitLab accepts them. Errors use its
//! words. A handler can read only those that [`endpoints`](super::endpoints) describes.

mod extraction;

#[cfg(debug_assertions)]
use std::sync::Arc;

#[cfg(debug_assertions)]
use actix_web::http::Method;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::error::ApiError;
use crate::domain::access::AccessLevel;
use crate::domain::day::{self, DayError};
use crate::domain::overlap::{Overlap, OverlapError};
use crate::domain::scope::{Scope, Scopes};

/// The parameters of one request. It has no `Debug`, because they may contain secrets.
pub(crate) struct Params {
    values: Map<String, Value>,
    /// The names in the description of the endpoint. A debug build panics if the handler reads another one.
    #[cfg(debug_assertions)]
    described: Option<Arc<[&'static str]>>,
}

/// The parameters in the descriptions of the endpoints of one path, by their methods: data of its routes.
#[cfg(debug_assertions)]
pub(in crate::http::api) struct Described(pub(in crate::http::api) Vec<(Method, Arc<[&'static str]>)>);

impl Params {
    /// Fails unless all of these parameters exist; the error names the missing ones.
    pub(super) fn require(&self, names: &[&str]) -> Result<(), ApiError> {
        let missing: Vec<String> =
            names.iter().filter(|name| self.value(name).is_none()).map(|name| format!("{name} is missing")).collect();
        if missing.is_empty() { Ok(()) } else { Err(ApiError::Parameter(missing.join(", "))) }
    }

    /// Returns true if this parameter exists and is `null` or empty.
    pub(super) fn is_blank(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.is_null() || value.as_str() == Some(""))
    }

    /// Returns true if this parameter exists and is JSON's `null`.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.value(name).is_some_and(Value::is_null)
    }

    /// Returns a text. A number is accepted, too.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, ApiError> {
        match self.value(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Err(ApiError::malformed(name)),
        }
    }

    /// Returns a text that must exist. It may be empty.
    pub(super) fn required_text(&self, name: &str) -> Result<String, ApiError> {
        self.text(name)?.ok_or_else(|| ApiError::Parameter(format!("{name} is missing")))
    }

    /// Returns a secret text.
    pub(super) fn secret(&self, name: &str) -> Result<Option<SecretString>, ApiError> {
        Ok(self.filled(name)?.map(SecretString::from))
    }

    /// Returns a non-negative whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        self.filled(name)?.map(|text| number(name, &text)).transpose()
    }

    /// Returns a number that may be negative.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let read = |text: String| text.parse().map_err(|_| ApiError::malformed(name));
        self.filled(name)?.map(read).transpose()
    }

    /// Returns a boolean.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        if let Some(Value::Bool(flag)) = self.value(name) {
            return Ok(Some(*flag));
        }
        match self.filled(name)?.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true" | "t" | "1" | "on") => Ok(Some(true)),
            Some("false" | "f" | "0" | "off") => Ok(Some(false)),
            Some(_) => Err(ApiError::malformed(name)),
        }
    }

    /// Returns the time for which the secret that a rotation replaces stays valid.
    pub(super) fn overlap(&self) -> Result<Option<Overlap>, ApiError> {
        let invalid = |error: OverlapError| ApiError::Invalid { field: "overlap", reason: error.to_string() };
        self.filled("overlap")?.map(|text| text.parse().map_err(invalid)).transpose()
    }

    /// Returns true if a list is wanted in descending order, by `sort`; `default` without it.
    pub(super) fn is_descending(&self, default: bool) -> Result<bool, ApiError> {
        match self.filled("sort")?.as_deref() {
            None => Ok(default),
            Some("asc") => Ok(false),
            Some("desc") => Ok(true),
            Some(_) => Err(ApiError::invalid_value("sort")),
        }
    }

    /// Returns true if this parameter exists and is true.
    pub(super) fn is_true(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.flag(name)? == Some(true))
    }

    /// Returns midnight UTC at the start of a date.
    pub(super) fn day(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        self.filled(name)?.map(|text| day_of(&text).map_err(|error| refused_day(name, error))).transpose()
    }

    /// Returns a point in time: RFC 3339, in UTC if it has no offset, or midnight UTC at the start of a date.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let plain = |text: &str| text.parse::<Timestamp>().ok().or_else(|| civil(text));
        let read = |text: String| match plain(&text) {
            Some(at) => Ok(at),
            None => day_of(&text).map_err(|error| refused_day(name, error)),
        };
        self.filled(name)?.map(read).transpose()
    }

    /// Returns one of GitLab's access levels.
    pub(super) fn level(&self, name: &str) -> Result<Option<AccessLevel>, ApiError> {
        let level = |number: u64| u8::try_from(number).ok().and_then(|number| AccessLevel::try_from(number).ok());
        self.number(name)?.map(|number| level(number).ok_or_else(|| ApiError::invalid_value(name))).transpose()
    }

    /// Returns the scopes of a new token.
    pub(super) fn scopes(&self) -> Result<Scopes, ApiError> {
        let read = |name: &String| name.parse().map_err(|_| ApiError::invalid_value("scopes"));
        let scopes: Vec<Scope> = self.list("scopes")?.iter().map(read).collect::<Result<_, _>>()?;
        let blank = |_| ApiError::Invalid { field: "scopes", reason: "can't be blank".to_owned() };
        Scopes::try_from(scopes).map_err(blank)
    }

    /// Returns several texts: from an array, from `name[]` once for each, or from one text with commas.
    pub(super) fn list(&self, name: &str) -> Result<Vec<String>, ApiError> {
        match self.value(name) {
            Some(Value::Array(items)) => {
                let text = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(|| ApiError::malformed(name));
                items.iter().map(text).collect()
            }
            _ => Ok(self.filled(name)?.iter().flat_map(|text| text.split(',')).map(str::to_owned).collect()),
        }
    }

    fn filled(&self, name: &str) -> Result<Option<String>, ApiError> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    fn of(values: Map<String, Value>) -> Self {
        Self {
            values,
            #[cfg(debug_assertions)]
            described: None,
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        #[cfg(debug_assertions)]
        assert!(
            self.described.as_ref().is_none_or(|names| names.contains(&name)),
            "'{name}' is not in the description"
        );
        self.values.get(name)
    }
}

/// Parses the number in a path or a parameter. Fails if it is malformed.
pub(super) fn number(name: &str, text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| ApiError::malformed(name))
}

fn day_of(text: &str) -> Result<Timestamp, DayError> {
    day::start(text.parse::<Date>().map_err(|_| DayError::Malformed)?)
}

fn refused_day(name: &str, error: DayError) -> ApiError {
    match error {
        DayError::Malformed => ApiError::malformed(name),
        DayError::TooLate => ApiError::Parameter(format!("{name} {error}")),
    }
}

fn civil(text: &str) -> Option<Timestamp> {
    Some(text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn params(query: &str, content_type: &str, body: &str) -> Params {
        Params::read(query, content_type, body.as_bytes()).unwrap()
    }

    #[test]
    fn query_form_and_json_mean_the_same() {
        let form = "application/x-www-form-urlencoded";
        let variants = [
            params("name=a&scopes[]=api&scopes[]=read_api&access_level=30&admin=true", "", ""),
            params("", form, "name=a&scopes%5B%5D=api&scopes%5B%5D=read_api&access_level=30&admin=1"),
            params(
                "",
                "application/json; charset=utf-8",
                r#"{"name":"a","scopes":["api","read_api"],"access_level":30,"admin":true}"#,
            ),
        ];
        for params in variants {
            assert_eq!(params.text("name").unwrap().as_deref(), Some("a"));
            assert_eq!(params.scopes().unwrap().to_string(), "api and read_api");
            assert_eq!(params.level("access_level").unwrap(), Some(AccessLevel::Developer));
            assert_eq!(params.flag("admin").unwrap(), Some(true));
        }
    }

    #[test]
    fn null_differs_from_absent() {
        let params = params("", "application/json", r#"{"expires_at":null}"#);
        assert!(params.is_blank("expires_at"));
        assert!(!params.is_blank("name"));
        assert_eq!(params.day("expires_at").unwrap(), None);
    }

    #[test]
    fn days_and_times_are_in_utc() {
        let params = params("a=2026-03-01&b=2026-03-01T02:00:00%2B02:00&c=2026-03-01T00:00:00&d=tomorrow", "", "");
        let midnight: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(params.day("a").unwrap(), Some(midnight));
        for name in ["a", "b", "c"] {
            assert_eq!(params.time(name).unwrap(), Some(midnight), "{name}");
        }
        assert_eq!(params.day("d").unwrap_err().to_string(), "d is invalid");
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = params("path=x", "", "").require(&["name", "path", "id"]).unwrap_err();
        assert_eq!(error.to_string(), "name is missing, id is missing");
    }
}
