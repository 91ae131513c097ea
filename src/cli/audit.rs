//! `audit`: subcommands for audit events: who changed what, and what was refused.

mod row;

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::client::Api;
use super::connection::Connection;
use super::failure::Failure;
use super::group::named;
use super::output::{Columns, Output, list, print_line, print_note};
use crate::domain::day::LAST;

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: AuditVerb,
}

#[derive(Debug, Subcommand)]
enum AuditVerb {
    /// List events, the latest first: of the whole service for administrators, of a group for its owners
    #[command(after_help = "Example: dependency-proxy audit list --group team --since 7d")]
    List {
        #[command(flatten)]
        filter: Filter,
        /// Maximum number of events
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Print the last events, and then each new one, until the command is interrupted
    #[command(after_help = "Example: dependency-proxy audit follow --event login_failed --json")]
    Follow {
        #[command(flatten)]
        filter: Filter,
        /// Number of earlier events that are printed first
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
        lines: u32,
    },
}

#[derive(Debug, Args)]
#[group(skip)]
struct Filter {
    /// Only events of this group: full path or number
    #[arg(long)]
    group: Option<String>,
    /// Only what this user or deploy token did: user name
    #[arg(long, value_name = "USERNAME")]
    author: Option<String>,
    /// Only events with this name, such as deploy_token_created or login_failed
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Only events at this time or later: 2026-11-28, 2026-11-28T14:00:00Z, or an age such as 12h or 7d
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Only events at this time or earlier
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

/// A point in time: one that is given, or an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    At(Timestamp),
    Ago(SignedDuration),
}

/// The error for a text that is not a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a time such as 2026-11-28, 2026-11-28T14:00:00Z, 12h or 7d")]
struct MomentError;

const COLUMNS: Columns = &["at", "author", "token", "address", "event", "of", "target", "changes"];

/// Interval between requests for new events.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Maximum interval between requests to a service that is away.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Maximum number of events of one response.
const PER_PAGE: usize = 100;

impl AuditArgs {
    /// Runs the subcommand and prints its result.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (api, as_json) = (self.connection.api()?, self.connection.json);
        match self.verb {
            AuditVerb::List { filter, limit } => {
                let filter = filter.named(&api).await?;
                let events = Trail { api, filter }.latest(limit as usize).await?;
                let rows = events.iter().map(row::of).collect();
                Output::Table { columns: COLUMNS, rows, values: events }.print(as_json);
                Ok(())
            }
            AuditVerb::Follow { filter, lines } => {
                let filter = filter.named(&api).await?;
                Trail { api, filter }.follow(lines as usize, as_json).await
            }
        }
    }
}

/// The events that are wanted.
struct Trail {
    api: Api,
    filter: Filter,
}

impl Trail {
    /// Returns the latest events, the last one first.
    async fn latest(&self, limit: usize) -> Result<Vec<Value>, Failure> {
        let mut events: Vec<Value> = Vec::new();
        while events.len() < limit {
            let wanted = PER_PAGE.min(limit - events.len());
            let page = self.page("desc", number(events.last()), wanted).await?;
            let is_last = page.len() < wanted;
            events.extend(page);
            if is_last {
                break;
            }
        }
        Ok(events)
    }

    /// Prints the last events, and each new one as it comes.
    async fn follow(&self, lines: usize, as_json: bool) -> Result<(), Failure> {
        // At least one event is needed, to know after which number new ones begin.
        let mut events = self.latest(lines.max(1)).await?;
        let mut last = number(events.first()).unwrap_or_default();
        events.truncate(lines);
        events.reverse();
        print_events(&events, as_json, true);
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let events = self.next(last).await?;
            last = number(events.last()).unwrap_or(last);
            print_events(&events, as_json, false);
        }
    }

    /// Returns the events after this one. Waits while the service is away or busy, as during its restart.
    async fn next(&self, last: u64) -> Result<Vec<Value>, Failure> {
        let mut pause = POLL_INTERVAL;
        loop {
            match self.page("asc", Some(last), PER_PAGE).await {
                Err(failure) if failure.is_temporary() => print_note(&format!("{failure}; trying again")),
                page => return page,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn page(&self, sort: &str, from: Option<u64>, per_page: usize) -> Result<Vec<Value>, Failure> {
        let mut query = self.filter.query(Timestamp::now());
        query.extend([("pagination", "keyset".to_owned()), ("sort", sort.to_owned())]);
        query.push(("per_page", per_page.to_string()));
        query.extend(from.map(|from| ("cursor", from.to_string())));
        match &self.filter.group {
            Some(group) => self.api.page(&["groups", group, "audit_events"], &query).await,
            None => self.api.page(&["audit_events"], &query).await,
        }
    }
}

impl Filter {
    /// Returns the filter with the name of its group in the path of a request.
    async fn named(mut self, api: &Api) -> Result<Self, Failure> {
        if let Some(group) = &self.group {
            self.group = Some(named(api, group).await?);
        }
        Ok(self)
    }

    fn query(&self, now: Timestamp) -> Vec<(&'static str, String)> {
        let time = |moment: Option<Moment>| moment.map(|moment| moment.at(now).to_string());
        let values = [
            ("author", self.author.clone()),
            ("event_name", self.event.clone()),
            ("created_after", time(self.since)),
            ("created_before", time(self.until)),
        ];
        values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Moment {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(age) => now.checked_sub(age).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        if let Ok(date) = text.parse::<Date>() {
            let start = date.to_zoned(TimeZone::system()).map(|start| start.timestamp());
            // Nothing happened after the last time that can be stored.
            return Ok(Self::At(start.unwrap_or(if date > LAST { Timestamp::MAX } else { Timestamp::MIN })));
        }
        let days = text.strip_suffix('d').and_then(|days| days.parse::<u16>().ok());
        let age = days.map(|days| Ok(SignedDuration::from_hours(24 * i64::from(days))));
        age.unwrap_or_else(|| text.parse()).map(Self::Ago).map_err(|_| MomentError)
    }
}

/// Prints events; as JSON, one line for each.
fn print_events(events: &[Value], as_json: bool, with_header: bool) {
    if as_json {
        events.iter().for_each(|event| print_line(&event.to_string()));
    } else if with_header || !events.is_empty() {
        let table = list(COLUMNS, &events.iter().map(row::of).collect::<Vec<_>>());
        let skipped = if with_header { table.as_str() } else { table.split_once('\n').map_or("", |(_, rows)| rows) };
        print_line(skipped);
    }
}

fn number(event: Option<&Value>) -> Option<u64> {
    event?["id"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_given_or_an_age() {
        let now = Timestamp::from_second(1_000_000_000).unwrap_or_default();
        let at = |text: &str| text.parse::<Moment>().map(|moment| moment.at(now).as_second());
        assert_eq!(at("2001-09-09T01:46:40Z"), Ok(1_000_000_000));
        assert_eq!((at("12h"), at("7d")), (Ok(1_000_000_000 - 43_200), Ok(1_000_000_000 - 604_800)));
        assert!(at("2001-09-09").is_ok());
        for wrong in ["", "yesterday", "d", "-", "7 dd"] {
            assert_eq!(at(wrong), Err(MomentError), "{wrong}");
        }
    }
}
