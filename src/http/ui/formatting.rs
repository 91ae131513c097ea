//! Numbers, sizes and times as pages show them: decimal units with three digits, as Docker prints them; thousands with
//! a comma; times relative to now, and in full under the pointer.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::domain::day::{self, DayError};

/// Returns a number of bytes, such as `4.86 GB`.
pub(super) fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in ["kB", "MB", "GB", "TB", "PB"] {
        // What would be rounded to 1000 is 1.00 of the next unit.
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    match value {
        _ if unit == "B" => format!("{bytes} B"),
        _ if value < 9.995 => format!("{value:.2} {unit}"),
        _ if value < 99.95 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// Returns a number with commas between thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Returns a number of things, whose plural ends with "s".
pub(super) fn number_of(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", number(count), if count == 1 { "" } else { "s" })
}

/// Returns the sentence with its first letter in upper case.
pub(super) fn first_upper(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// Returns a share from 0 to 1 in percent, with one decimal, rounded down, so that 99.99 % is not shown as 100 %.
pub(super) fn percent(share: f64) -> String {
    if share >= 1.0 { "100 %".to_owned() } else { format!("{:.1} %", (share * 1000.0).floor() / 10.0) }
}

/// Returns the share of `part` in `whole` in percent, with one decimal and at most 100.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    (part as f64 * 1000.0 / whole.max(1) as f64).round().min(1000.0) / 10.0
}

/// Returns a length of time, such as `5 min 3 s`.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => "under 1 s".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..360_000 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => "over 100 h".to_owned(),
    }
}

/// Shows a time: how long ago it was, or from 100 days on its day.
pub(super) fn time(then: Timestamp, now: Timestamp) -> Markup {
    let seconds = now.duration_since(then).as_secs().max(0);
    let shown = match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        86_400..8_640_000 => format!("{} d ago", seconds / 86_400),
        _ => then.strftime("%Y-%m-%d").to_string(),
    };
    html! {
        time datetime=(then.strftime("%Y-%m-%dT%H:%M:%SZ")) title=(then.strftime("%Y-%m-%d %H:%M:%S UTC")) { (shown) }
    }
}

/// Shows a time as its day in UTC.
pub(super) fn day(at: Timestamp) -> Markup {
    html! { time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ")) { (day_text(at)) } }
}

/// Returns the day of a time in UTC, such as `2027-02-26`.
pub(super) fn day_text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Returns the beginning of a day that was typed, in UTC; `None` for an empty text.
///
/// # Errors
///
/// Fails if it is not a day, or one that is too late.
pub(super) fn parsed_day(typed: &str) -> Result<Option<Timestamp>, DayError> {
    if typed.is_empty() { Ok(None) } else { day::beginning(typed).map(Some) }
}

/// Shows a time to the minute.
pub(super) fn minute(then: Timestamp) -> Markup {
    html! { time datetime=(then.strftime("%Y-%m-%dT%H:%M:%SZ")) { (then.strftime("%Y-%m-%d %H:%M")) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_numbers_have_commas() {
        let sizes =
            [(0, "0 B"), (999, "999 B"), (1_170, "1.17 kB"), (4_860_000_000, "4.86 GB"), (92_449_999, "92.4 MB")];
        let rounded = [(309_400_000, "309 MB"), (999_600, "1.00 MB"), (9_996_000, "10.0 MB"), (99_960_000, "100 MB")];
        for (bytes, shown) in sizes.into_iter().chain(rounded) {
            assert_eq!(size(bytes), shown);
        }
        assert_eq!([number(0), number(999), number(18_204), number(1_000_000)], ["0", "999", "18,204", "1,000,000"]);
        let times = [0, 59, 303, 7_380, 400_000].map(|seconds| duration(Duration::from_secs(seconds)));
        assert_eq!(times, ["under 1 s", "59 s", "5 min 3 s", "2 h 3 min", "over 100 h"]);
        assert_eq!([number_of(1, "image"), number_of(1_200, "image")], ["1 image", "1,200 images"]);
    }

    #[test]
    fn a_time_is_as_long_ago_as_its_largest_unit_and_later_a_day() {
        let now = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(24 * 365);
        let shown = |seconds: i64| time(now - jiff::SignedDuration::from_secs(seconds), now).into_string();
        for (seconds, words) in [
            (-5, ">0 s ago<"),
            (59, ">59 s ago<"),
            (60, ">1 min ago<"),
            (7_200, ">2 h ago<"),
            (86_400 * 99, ">99 d ago<"),
            (86_400 * 100, ">1970-09-23<"),
        ] {
            assert!(shown(seconds).contains(words), "{}", shown(seconds));
        }
        assert!(shown(60).contains(r#"title="1970-12-31 23:59:00 UTC""#));
    }
}
