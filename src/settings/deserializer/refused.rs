//! A fault of the tree of settings, as the deserializer finds it: sentences that follow the name of the key.

use std::fmt::Display;

use serde::de::{Error, Expected, Unexpected};

use super::Place;

/// A deserialization error: the innermost known place, and the keys from there up to the root.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(in crate::settings) struct Refused {
    pub(in crate::settings) path: Vec<String>,
    pub(super) place: Option<Place>,
    pub(super) problem: String,
    /// The index in the innermost list, if that list is the value of the key.
    pub(super) item: Option<usize>,
    pub(in crate::settings) kind: Kind,
}

/// Kind of the fault, for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::settings) enum Kind {
    /// The value has a type that the key does not accept.
    Type,
    /// The text is none of these.
    Variant(&'static [&'static str]),
    /// The key is none of these.
    UnknownKey(Vec<&'static str>),
    /// The table lacks this key.
    MissingKey(&'static str),
    /// Anything else.
    Other,
}

impl Refused {
    /// Creates the error for a key that none of these is.
    pub(super) fn unknown_key(known: &[&'static str]) -> Self {
        let problem = format_args!("unknown key; known keys are {}", known.join(", "));
        Self { kind: Kind::UnknownKey(known.to_vec()), ..Self::custom(problem) }
    }

    /// Creates the error for a value of a type that the key does not accept.
    pub(super) fn wrong_type(problem: impl Display) -> Self {
        Self { kind: Kind::Type, ..Self::custom(problem) }
    }

    /// Returns the error with the key in which it is, seen from the table around it.
    pub(super) fn at(mut self, key: &str, place: &Place) -> Self {
        self.path.push(key.to_owned());
        self.place.get_or_insert_with(|| place.clone());
        self
    }
}

impl Error for Refused {
    fn custom<T: Display>(problem: T) -> Self {
        Self { path: Vec::new(), place: None, problem: one_line(&problem.to_string()), item: None, kind: Kind::Other }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong_type(format_args!("is {}, not {}", kind(&found), expectation(expected)))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "others may be secrets: the message names their kind only")]
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match found {
            Unexpected::Signed(number) => Self::custom(format_args!("{number} is not {}", expectation(expected))),
            Unexpected::Unsigned(number) => Self::custom(format_args!("{number} is not {}", expectation(expected))),
            other => Self::invalid_type(other, expected),
        }
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        let problem = format_args!("'{found}' is not one of {}", known.join(", "));
        Self { kind: Kind::Variant(known), ..Self::custom(problem) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { kind: Kind::MissingKey(field), ..Self::custom(format_args!("the key {field} is missing")) }
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::unknown_key(known)
    }
}

/// Returns the text with its control characters escaped: a value that is repeated may have line ends and more.
fn one_line(text: &str) -> String {
    let escaped = |char: char| if char.is_control() { char.escape_default().to_string() } else { char.to_string() };
    text.chars().map(escaped).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "TOML has no other kinds")]
fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a number",
        Unexpected::Float(_) => "a number with a fraction or out of range",
        Unexpected::Str(_) | Unexpected::Char(_) => "a string",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        _ => "a date",
    }
}

fn expectation(expected: &dyn Expected) -> String {
    match expected.to_string() {
        text if text.starts_with("a nonzero ") => "a whole number of 1 or more".to_owned(),
        text if matches!(text.as_str(), "u16" | "u32" | "u64" | "usize") => "a whole number of 0 or more".to_owned(),
        text if text == "a boolean" => "true or false".to_owned(),
        text if text == "a sequence" => "a list".to_owned(),
        text if text.starts_with("struct ") || text == "a map" => "a table".to_owned(),
        text => text,
    }
}
