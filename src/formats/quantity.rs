//! Parsers of durations and sizes in the settings: `"60s"`, `"1h"`, `90`, `"4MiB"`, `"10%"`.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::domain::min_free::MinFree;
use crate::domain::quota::Quota;

/// Reads a duration: a string such as `"90s"`, `"500ms"` or `"1h 30m"`, or a whole number of seconds.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let RawQuantity(text) = RawQuantity::deserialize(from)?;
    time(&text)
}

fn time<E: Error>(text: &str) -> Result<Duration, E> {
    parse_duration(text).ok_or_else(|| E::custom(format_args!("'{text}' is not a time such as \"60s\" or \"1h\"")))
}

/// Reads a duration of milliseconds or seconds, as [`duration`] does. Refuses a number above 600 without a unit,
/// which was probably meant as milliseconds.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn timeout<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    /// Maximum number of seconds that may be given without a unit.
    const MAX_BARE_SECONDS: u64 = 600;
    let RawQuantity(text) = RawQuantity::deserialize(from)?;
    if text.parse().is_ok_and(|seconds: u64| seconds > MAX_BARE_SECONDS) {
        return Err(D::Error::custom(format_args!(
            "'{text}' has no unit and would be {text} seconds; write \"{text}ms\" or \"{text}s\""
        )));
    }
    time(&text)
}

/// Reads a duration of hours or days, as [`duration`] does. Refuses a number without a unit, unless it is zero.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn long_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let RawQuantity(text) = RawQuantity::deserialize(from)?;
    if is_bare(&text) {
        return Err(D::Error::custom(format_args!(
            "'{text}' has no unit and would be {text} seconds; write \"{text}h\" or \"{text}s\""
        )));
    }
    time(&text)
}

/// Reads a duration as [`duration`] does; an empty string is `None`.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn optional_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let RawQuantity(text) = RawQuantity::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    time(&text).map(Some)
}

/// Reads a number of bytes: a whole number, or a string such as `"4MiB"` or `"10GB"`.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let RawQuantity(text) = RawQuantity::deserialize(from)?;
    parse_bytes(&text)
        .ok_or_else(|| D::Error::custom(format_args!("'{text}' is not a size such as 4194304 or \"4MiB\"")))
}

/// Reads a number of bytes as [`bytes()`] does; zero is `None`: no limit.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn limit_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(Some(bytes(from)?).filter(|bytes| *bytes > 0))
}

/// Reads a number of bytes as [`bytes()`] does, for a key whose name does not contain `bytes`. Refuses a number without
/// a unit, unless it is zero.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let RawQuantity(text) = RawQuantity::deserialize(from)?;
    if is_bare(&text) {
        return Err(D::Error::custom(format_args!(
            "'{text}' has no unit and would be {text} bytes; write \"{text}MiB\", or \"{text}B\" for bytes"
        )));
    }
    parse_bytes(&text).ok_or_else(|| D::Error::custom(format_args!("'{text}' is not a size such as \"4MiB\"")))
}

/// Returns true for a number other than zero without a unit.
fn is_bare(text: &str) -> bool {
    text.parse().is_ok_and(|number: u64| number > 0)
}

/// Reads a number of bytes, at least 16 MiB: the maximum length of a manifest that is passed through.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn transfer_memory<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    const MIN_BYTES: u64 = 16 << 20;
    let value = size(from)?;
    if value < MIN_BYTES {
        Err(D::Error::custom("at least 16MiB, the longest manifest that is passed on"))
    } else {
        Ok(value)
    }
}

/// Reads a share of the file system such as `"10%"`, or a size, which needs a unit unless it is zero.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn min_free<'de, D: Deserializer<'de>>(from: D) -> Result<MinFree, D::Error> {
    let RawQuantity(text) = RawQuantity::deserialize(from)?;
    if is_bare(&text) {
        // A number below 100 was probably meant as a percentage.
        let share = if text.len() < 3 { format!("\"{text}%\" or ") } else { String::new() };
        return Err(D::Error::custom(format_args!(
            "'{text}' has no unit and would be {text} bytes; write {share}\"{text}GiB\", or \"{text}B\" for bytes"
        )));
    }
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().ok().filter(|percent| *percent < 100).map(MinFree::Percent),
        None => parse_bytes(&text).map(MinFree::Bytes),
    };
    value.ok_or_else(|| {
        D::Error::custom(format_args!("'{text}' is not a share such as \"10%\" or a size such as \"20GiB\""))
    })
}

/// Reads a share of the file system such as `"80%"`, a size, which needs a unit, or `"unlimited"`.
///
/// # Errors
///
/// Fails if the value is not one, with a sentence that follows the name of the key.
pub fn quota<'de, D: Deserializer<'de>>(from: D) -> Result<Quota, D::Error> {
    let RawQuantity(text) = RawQuantity::deserialize(from)?;
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().ok().filter(|percent| (1..=100).contains(percent)).map(Quota::Percent),
        None if text == "unlimited" => Some(Quota::Unlimited),
        None if is_bare(&text) => None,
        None => parse_bytes(&text).filter(|bytes| *bytes > 0).map(Quota::Bytes),
    };
    value.ok_or_else(|| {
        D::Error::custom(format_args!(
            "'{text}' is not a share such as \"80%\", a size such as \"500GiB\", or \"unlimited\""
        ))
    })
}

/// Parses a duration: `90s`, `500ms`, `1h 30m`, or a whole number of seconds. Returns `None` for anything else.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    text.parse::<SignedDuration>().ok()?.try_into().ok()
}

/// Parses a duration of whole seconds, and returns their number. Returns `None` for anything else.
pub fn parse_seconds(text: &str) -> Option<u64> {
    parse_duration(text).filter(|time| time.subsec_nanos() == 0).map(|time| time.as_secs())
}

/// Parses a number of bytes: a whole number with a unit such as `MiB` or `GB`, or without one.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let factor: u64 = match text.get(digits.len()..)?.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    // Digits alone: `u64::from_str` would also accept a sign.
    let number: u64 = digits.parse().ok().filter(|_| !digits.starts_with('+'))?;
    number.checked_mul(factor)
}

/// The text of a quantity that was written as a number or as a string.
struct RawQuantity(String);

impl<'de> Deserialize<'de> for RawQuantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Quantity;

        impl Visitor<'_> for Quantity {
            type Value = RawQuantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or a string with a unit")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawQuantity, E> {
                Ok(RawQuantity(text.trim().to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<RawQuantity, E> {
                Ok(RawQuantity(number.to_string()))
            }
        }

        from.deserialize_any(Quantity)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_have_a_unit_or_are_seconds() {
        for (text, milliseconds) in
            [("60s", 60_000), ("25", 25_000), ("1h", 3_600_000), ("500ms", 500), ("1h 30m", 5_400_000), ("0", 0)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "-5s", "-5", "x", "5 parsecs"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_told_from_a_quantity() {
        for (text, bare) in [("10", true), ("1", true), ("0", false), ("10B", false), ("10%", false), ("x", false)] {
            assert_eq!(is_bare(text), bare, "{text}");
        }
    }

    #[test]
    fn sizes_have_a_unit_or_are_bytes() {
        for (text, bytes) in [("0", 0), ("17", 17), ("4MiB", 4 << 20), ("2 KiB", 2048), ("1GB", 1_000_000_000)] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "4mib", "1.5GiB", "99999999TiB", "%", "+5MiB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_quantity_that_is_written_is_read_as_it_was_meant(number in 0..1_000_000_u64, spaces in " {0,2}") {
            let bytes = |unit: &str| parse_bytes(&format!("{number}{spaces}{unit}"));
            for (unit, factor) in [("B", 1), ("KiB", 1 << 10), ("GiB", 1 << 30), ("kB", 1000), ("GB", 1_000_000_000)] {
                prop_assert_eq!(bytes(unit), Some(number * factor), "{}", unit);
            }
            let time = |unit: &str| parse_duration(&format!("{number}{unit}"));
            for (unit, milliseconds) in [("", 1000), ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)] {
                prop_assert_eq!(time(unit), Some(Duration::from_millis(number * milliseconds)), "{}", unit);
            }
        }

        #[test]
        fn no_text_is_a_quantity_without_a_digit_or_with_a_sign(
            any_text in "\\PC*", near_miss in "[+-]?[0-9.]{0,22} ?(B|MiB|TiB|kB|%|s|h|ms| )?[+-]?",
        ) {
            for text in [any_text, near_miss] {
                let digits = text.bytes().any(|byte| byte.is_ascii_digit());
                let signed = text.contains('-') || text.starts_with('+');
                prop_assert!(parse_bytes(&text).is_none() || (digits && !signed), "{}", text);
                let time = parse_duration(&text);
                prop_assert!(time.is_none() || digits, "{}", text);
            }
        }
    }
}
