//! Traffic, as pages show it: tiles with sums, and the chart of pulls by hour of the last 24 hours. In it, pulls from
//! the cache are above the line, and all others are below it, at one scale.

use jiff::Timestamp;
use maud::{Markup, html};

use super::formatting::{number, number_of, percent, size, time};
use crate::domain::traffic::{Hour, Traffic};

/// Number of hours in the chart.
pub(super) const HOURS: u32 = 24;

/// Space between the bars above and below the line, in percent of the height.
const GAP: f64 = 3.0;
/// Minimum height of a bar in percent, so that one pull can be seen beside a thousand.
const LEAST: f64 = 2.0;
/// Width of a bar in percent of the width of its hour.
const BAR: f64 = 0.76;

/// Returns the traffic of each of the last 24 hours, the earliest first.
pub(super) fn last_hours(traffic: &[(Hour, Traffic)], now: Timestamp) -> Vec<(Hour, Traffic)> {
    let present = Hour::of(now);
    let of = |hour| traffic.iter().find(|(of, _)| *of == hour).map(|(_, traffic)| *traffic).unwrap_or_default();
    (0..HOURS).rev().map(|before| present.before(before)).map(|hour| (hour, of(hour))).collect()
}

/// Returns the sum of the last 24 hours.
pub(super) fn of_day(traffic: &[(Hour, Traffic)], now: Timestamp) -> Traffic {
    Traffic::of_all(&last_hours(traffic, now))
}

/// Shows when the last pull was, to the hour.
pub(super) fn last_pull(traffic: &[(Hour, Traffic)], now: Timestamp) -> Markup {
    let last = traffic.iter().filter(|(_, traffic)| traffic.pulls() > 0).map(|(hour, _)| *hour).max();
    html! {
        @match last {
            None => "none in 30 days",
            Some(hour) if hour == Hour::of(now) => "within the hour",
            Some(hour) => (time(hour.start(), now)),
        }
    }
}

/// Shows what the cache saved, as the content of a tile.
pub(super) fn saved(traffic: &[(Hour, Traffic)]) -> Markup {
    let sum = Traffic::of_all(traffic);
    html! {
        span.figure { (size(sum.saved_bytes)) }
        " of " (size(sum.served_bytes)) " sent, and " (number_of(sum.saved_pulls, "pull")) " at registries"
    }
}

/// Shows the hit ratio of the last 24 hours with its chart, as the content of a tile.
pub(super) fn hit_ratio(traffic: &[(Hour, Traffic)], now: Timestamp) -> Markup {
    let hours = last_hours(traffic, now);
    let sum = Traffic::of_all(&hours);
    html! {
        dd.beside {
            span {
                @match sum.hit_ratio() {
                    Some(ratio) => { span.figure { (percent(ratio)) } " of " (number_of(sum.pulls(), "pull")) },
                    None => { span.figure { "–" } " no pulls" },
                }
            }
            (show(&hours))
        }
    }
}

/// Shows these hours.
fn show(hours: &[(Hour, Traffic)]) -> Markup {
    let scale = Scale::of(hours);
    html! {
        div.chart {
            svg role="img" aria-label=(description(hours)) {
                @for (index, (hour, traffic)) in hours.iter().enumerate() { (bars(index, *hour, traffic, &scale)) }
            }
            div.axis aria-hidden="true" {
                @for (hour, _) in hours.iter().step_by(6) { span { (clock(*hour)) } }
                span { "now" }
            }
            p.legend aria-hidden="true" {
                span { svg { rect.hit width="10" height="10" {} } "above: from the cache" }
                span { svg { rect.miss width="10" height="10" {} } "below: fetched" }
            }
        }
    }
}

/// Heights in percent.
struct Scale {
    /// Height for one pull.
    one: f64,
    /// Height above the line.
    above: f64,
}

impl Scale {
    fn of(hours: &[(Hour, Traffic)]) -> Self {
        let most =
            |count: fn(&Traffic) -> u64| hours.iter().map(|(_, traffic)| count(traffic)).max().unwrap_or(0) as f64;
        let (hits, others) = (most(|traffic| traffic.hits), most(not_from_cache));
        let one = (100.0 - GAP - 2.0 * LEAST) / (hits + others).max(1.0);
        Self { one, above: hits * one + LEAST }
    }

    fn height(&self, count: u64) -> f64 {
        if count == 0 { 0.0 } else { (count as f64 * self.one).max(LEAST) }
    }
}

fn bars(index: usize, hour: Hour, traffic: &Traffic, scale: &Scale) -> Markup {
    let (hits, others) = (scale.height(traffic.hits), scale.height(not_from_cache(traffic)));
    let each = 100.0 / f64::from(HOURS);
    let x = format!("{:.2}%", (index as f64 + (1.0 - BAR) / 2.0) * each);
    let width = format!("{:.2}%", BAR * each);
    let shown = |value: f64| format!("{value:.1}%");
    html! {
        g {
            title { (clock(hour)) ": " (summary(traffic)) }
            @if hits > 0.0 { rect.hit x=(x) y=(shown(scale.above - hits)) width=(width) height=(shown(hits)) {} }
            @if others > 0.0 { rect.miss x=(x) y=(shown(scale.above + GAP)) width=(width) height=(shown(others)) {} }
        }
    }
}

fn summary(traffic: &Traffic) -> String {
    match traffic.hit_ratio() {
        Some(ratio) => format!("{} pulls, {} from the cache", number(traffic.pulls()), percent(ratio)),
        None => "no pulls".to_owned(),
    }
}

/// Describes the chart for those who do not see it.
fn description(hours: &[(Hour, Traffic)]) -> String {
    let sum = Traffic::of_all(hours);
    let ratios = hours.iter().filter_map(|(hour, traffic)| Some((*hour, traffic.hit_ratio()?)));
    let lowest = ratios.min_by(|one, other| one.1.total_cmp(&other.1));
    let (Some(ratio), Some((hour, low))) = (sum.hit_ratio(), lowest) else {
        return format!("There were no pulls in the last {HOURS} hours.");
    };
    let pulls = number(sum.pulls());
    format!(
        "Pulls by hour in the last {HOURS} hours: {pulls}, of which {} were served from the cache. The lowest hour \
         was {} with {}.",
        percent(ratio),
        clock(hour),
        percent(low)
    )
}

fn not_from_cache(traffic: &Traffic) -> u64 {
    traffic.pulls().saturating_sub(traffic.hits)
}

fn clock(hour: Hour) -> String {
    hour.start().strftime("%H:%M").to_string()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn bars_have_one_scale_and_hours_without_pulls_have_none() {
        let now: Timestamp = "2026-11-28T14:30:00Z".parse().unwrap();
        let present = Hour::of(now);
        let hits = Traffic { hits: 90, ..Traffic::default() };
        let mixed = Traffic { hits: 45, coalesced: 4, fetched: 6, ..Traffic::default() };
        let hours = last_hours(&[(present.before(30), hits), (present.before(1), hits), (present, mixed)], now);
        assert_eq!((hours.len(), hours[23].1, hours[0].1), (24, mixed, Traffic::default()));
        let page = show(&hours).into_string();
        // 93 % of the height for 90 and 10 pulls.
        for part in [
            r#"y="2.0%" width="3.17%" height="83.7%""#,
            r#"y="43.9%" width="3.17%" height="41.9%""#,
            r#"y="88.7%" width="3.17%" height="9.3%""#,
            "13:00: 90 pulls, 100 % from the cache",
            "145, of which 93.1 % were served from the cache. The lowest hour was 14:00 with 81.8 %.",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(page.matches("<rect class=\"hit\" x").count(), 2);
        assert!(show(&last_hours(&[], now)).into_string().contains("There were no pulls in the last 24 hours."));
    }
}
