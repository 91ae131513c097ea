//! Days on which something ends or begins, as people and programs write them: `2027-02-26`.

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

/// The last day whose beginning can be stored. On the day after it, times in other zones would be out of range.
pub const LAST: Date = date(9999, 12, 30);

/// Reason why a text is not used as a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DayError {
    /// It is no day.
    #[error("is not a day such as 2027-02-26")]
    Malformed,
    /// It is later than [`LAST`].
    #[error("is later than {LAST}, the last day that can be stored")]
    TooLate,
}

/// Returns the beginning of a day in UTC.
///
/// # Errors
///
/// Fails if the text is no day, or one that is too late.
pub fn beginning(text: &str) -> Result<Timestamp, DayError> {
    let is_plain = text.len() == "2027-02-26".len() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    start(text.parse().ok().filter(|_| is_plain).ok_or(DayError::Malformed)?)
}

/// Returns the beginning of a day in UTC.
///
/// # Errors
///
/// Fails if the day is too late, or before all times that can be stored.
pub fn start(day: Date) -> Result<Timestamp, DayError> {
    if day > LAST {
        return Err(DayError::TooLate);
    }
    day.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp()).map_err(|_| DayError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_up_to_the_last_one_that_can_be_stored() {
        let read = |text: &str| beginning(text).map(|at| at.to_string());
        assert_eq!(read("2027-02-26").as_deref(), Ok("2027-02-26T00:00:00Z"));
        assert_eq!(read("9999-12-30").as_deref(), Ok("9999-12-30T00:00:00Z"));
        assert_eq!(read("9999-12-31"), Err(DayError::TooLate));
        for text in ["", "tomorrow", "2027-02-30", "2027-2-6", "20270226", "2027-02-26T00:00:00Z", "-00027-02-26"] {
            assert_eq!(read(text), Err(DayError::Malformed), "{text}");
        }
    }
}
