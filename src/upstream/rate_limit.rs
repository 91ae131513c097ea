//! Rate limit that an upstream reports in the headers of its responses (Docker Hub's `ratelimit-limit`,
//! `ratelimit-remaining` and `docker-ratelimit-source`), and of a 429 (RFC 9110, section 10.2.3).

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::error::RateLimit;
use crate::domain::pull_budget::LimitReport;

/// Maximum wait that is accepted from a registry: one day. Longer ones are shortened to it.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Maximum length of the name of the source, in bytes.
const MAX_SOURCE_BYTES: usize = 100;

/// Returns what a response reports about the limit and what is left of it; `None` if it does not report both.
pub(super) fn report(headers: &HeaderMap) -> Option<LimitReport> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (limit, window) = limit_and_window(text("ratelimit-limit")?);
    let (remaining, _) = limit_and_window(text("ratelimit-remaining")?);
    let source = text("docker-ratelimit-source").map(str::trim);
    let source = source.filter(|source| !source.is_empty() && source.len() <= MAX_SOURCE_BYTES).map(str::to_owned);
    let (limit, remaining) = (limit.filter(|limit| *limit > 0)?, remaining?);
    Some(LimitReport { limit, remaining: remaining.min(limit), window, source })
}

/// Returns the limit as far as the headers of a 429 can be parsed. Invalid headers are ignored.
pub(super) fn read(headers: &HeaderMap, now: Timestamp) -> RateLimit {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (limit, window) = text("ratelimit-limit").map(limit_and_window).unwrap_or_default();
    RateLimit { limit, window, retry_after: retry_after(headers, now) }
}

/// Returns the value of `Retry-After` as a time from now on; `None` if it is missing or cannot be parsed.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok().and_then(|value| wait(value, now))
}

/// Parses `100;w=21600`: the number of pulls, and the window in seconds.
fn limit_and_window(value: &str) -> (Option<u64>, Option<Duration>) {
    let mut parts = value.split(';').map(str::trim);
    let limit = parts.next().and_then(|count| count.parse().ok());
    let window = parts.find_map(|part| part.strip_prefix("w=")).and_then(|seconds| seconds.parse().ok());
    (limit, window.map(Duration::from_secs))
}

/// Parses the value of `Retry-After`: a number of seconds or a date.
fn wait(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that does not fit in 64 bits is a long time, too.
        return Some(value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs).min(MAX_RETRY_AFTER));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    let wait = Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO);
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(fields: &[(&'static str, &str)]) -> RateLimit {
        let headers = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        read(&headers, "2026-11-01T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn docker_hubs_limit_is_understood() {
        let read = read_all(&[("ratelimit-limit", "100;w=21600"), ("retry-after", "2820")]);
        let expected = RateLimit {
            limit: Some(100),
            window: Some(Duration::from_secs(21_600)),
            retry_after: Some(Duration::from_secs(2820)),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_left_is_understood_if_the_limit_is() {
        let of = |limit: &str, remaining: &str| {
            let fields = [
                ("ratelimit-limit", limit),
                ("ratelimit-remaining", remaining),
                ("docker-ratelimit-source", "192.0.2.1"),
            ];
            let headers = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            report(&headers)
        };
        let expected = LimitReport {
            limit: 100,
            remaining: 76,
            window: Some(Duration::from_secs(21_600)),
            source: Some("192.0.2.1".to_owned()),
        };
        assert_eq!(of("100;w=21600", "76;w=21600"), Some(expected.clone()));
        assert_eq!(of("100", "176").map(|report| (report.remaining, report.window)), Some((100, None)));
        for (limit, remaining) in [("0;w=1", "0"), ("many", "1"), ("100", ""), ("100", "-1"), ("", "5")] {
            assert_eq!(of(limit, remaining), None, "{limit} {remaining}");
        }
    }

    #[test]
    fn a_date_is_a_wait_from_now_and_never_negative() {
        let wait = |date| read_all(&[("retry-after", date)]).retry_after;
        assert_eq!(wait("Sun, 01 Nov 2026 12:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(wait("Sun, 01 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("99999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(wait("99999999999999999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(wait("+5"), None);
    }

    #[test]
    fn what_is_unreadable_is_not_there() {
        assert_eq!(read_all(&[("ratelimit-limit", "many;w=long"), ("retry-after", "soon")]), RateLimit::default());
        assert_eq!(read_all(&[]), RateLimit::default());
    }

    fn value() -> impl Strategy<Value = String> {
        "[ -~]{0,30}|[0-9]{0,22}(;? ?w=[0-9]{0,22})?|[A-Z][a-z]{2}, [0-9]{2} (Jan|Nov) [0-9]{4} 12:00:[0-9]{2} GMT"
    }

    proptest! {
        #[test]
        fn no_header_makes_a_wait_beyond_a_day_or_more_pulls_than_the_limit(
            limit in value(), remaining in value(), source in value(), retry_after in value(),
        ) {
            let fields = [
                ("ratelimit-limit", &limit),
                ("ratelimit-remaining", &remaining),
                ("docker-ratelimit-source", &source),
                ("retry-after", &retry_after),
            ];
            let headers = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            let read = read(&headers, "2026-11-01T12:00:00Z".parse().unwrap());
            prop_assert!(read.retry_after.is_none_or(|wait| wait <= MAX_RETRY_AFTER));
            let Some(report) = report(&headers) else { return Ok(()) };
            prop_assert!(report.limit > 0 && report.remaining <= report.limit);
            prop_assert_eq!((Some(report.limit), report.window), (read.limit, read.window));
            prop_assert_eq!(report.source.unwrap_or_default(), source.trim());
        }
    }
}
