//! Values of the state file that are not those of the settings.

use std::fmt;

use jiff::civil::Date;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

use crate::domain::access::AccessLevel;
use crate::domain::commands::group::{MAX_TAG_FRESHNESS_SECONDS, MAX_UNPULLED_DAYS};
use crate::domain::day::{DayError, LAST};
use crate::formats::quantity::{parse_bytes, parse_seconds};

/// An access level, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// See [`AccessLevel::Guest`].
    Guest,
    /// See [`AccessLevel::Planner`].
    Planner,
    /// See [`AccessLevel::Reporter`].
    Reporter,
    /// See [`AccessLevel::Developer`].
    Developer,
    /// See [`AccessLevel::Maintainer`].
    Maintainer,
    /// See [`AccessLevel::Owner`].
    Owner,
}

/// A day on which something ends; `None`: it has no end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct End(pub Option<Date>);

/// The switch of the proxy of a group. It is written for the API: true, false, or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Switch {
    On,
    Off,
    Inherit,
}

/// A maximum size in bytes; `None`: no maximum of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub(super) struct MaxSize(Option<u64>);

/// A number of days; `None`: as in the group above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Days(Option<u32>);

/// Time for which tags are fresh, in seconds; `None`: as in the group above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub(super) struct TagTime(Option<u32>);

const NEVER: &str = "never";
const NO_MAXIMUM: &str = "none";
const INHERITED: &str = "inherit";

impl Level {
    /// All levels, the lowest first.
    pub const ALL: [Self; 6] =
        [Self::Guest, Self::Planner, Self::Reporter, Self::Developer, Self::Maintainer, Self::Owner];

    /// Returns the level with this number of the API.
    pub fn of_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|level| u64::from(level.number()) == number)
    }

    /// Returns the number of the level in the API.
    pub fn number(self) -> u8 {
        u8::from(match self {
            Self::Guest => AccessLevel::Guest,
            Self::Planner => AccessLevel::Planner,
            Self::Reporter => AccessLevel::Reporter,
            Self::Developer => AccessLevel::Developer,
            Self::Maintainer => AccessLevel::Maintainer,
            Self::Owner => AccessLevel::Owner,
        })
    }

    /// Returns the name in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Planner => "planner",
            Self::Reporter => "reporter",
            Self::Developer => "developer",
            Self::Maintainer => "maintainer",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(day) => day.fmt(f),
            None => f.write_str(NEVER),
        }
    }
}

impl TryFrom<String> for End {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == NEVER {
            return Ok(Self(None));
        }
        let wrong = |_| format!("'{text}' is not a day such as 2027-06-30, nor '{NEVER}'");
        match text.parse().map_err(wrong)? {
            day if day > LAST => Err(format!("'{text}' {}; for no end, write '{NEVER}'", DayError::TooLate)),
            day => Ok(Self(Some(day))),
        }
    }
}

impl TryFrom<String> for MaxSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == NO_MAXIMUM {
            return Ok(Self(None));
        }
        // A number alone was probably not meant as bytes.
        let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
        let size = parse_bytes(text.trim()).filter(|bytes| has_unit && *bytes > 0);
        size.map(|bytes| Self(Some(bytes)))
            .ok_or_else(|| format!("'{text}' is not a size such as 50GB, nor '{NO_MAXIMUM}'"))
    }
}

impl TryFrom<String> for TagTime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == INHERITED {
            return Ok(Self(None));
        }
        let seconds = parse_seconds(&text)
            .ok_or_else(|| format!("'{text}' is not a time such as 10m in whole seconds, nor '{INHERITED}'"))?;
        let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds <= MAX_TAG_FRESHNESS_SECONDS);
        let too_long = || format!("'{text}' is longer than {}h", MAX_TAG_FRESHNESS_SECONDS / 3600);
        seconds.map(|seconds| Self(Some(seconds))).ok_or_else(too_long)
    }
}

impl Serialize for Switch {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::On => to.serialize_bool(true),
            Self::Off => to.serialize_bool(false),
            Self::Inherit => to.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Days;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number of days or '{INHERITED}'")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Days, E> {
                let wrong = || E::custom(format_args!("'{text}' is not a number of days, nor '{INHERITED}'"));
                (text == INHERITED).then_some(Days(None)).ok_or_else(wrong)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Days, E> {
                let too_long = || E::custom(format_args!("{number} is more than {MAX_UNPULLED_DAYS}"));
                match number {
                    ..0 => Err(E::custom(format_args!("{number} is not a number of days"))),
                    0.. => u32::try_from(number)
                        .ok()
                        .filter(|days| *days <= MAX_UNPULLED_DAYS)
                        .map(|days| Days(Some(days)))
                        .ok_or_else(too_long),
                }
            }
        }

        from.deserialize_any(Written)
    }
}
