//! Reports of upstreams about their limits: how many pulls an account has left, and until when requests are to pause.
//! Each replica has rows of its own, and reads those of the others; what follows from several reports is decided by
//! their readers. Times are those of the database.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::database::{Database, work};
use super::live_replicas::LiveReplicas;
use crate::domain::id::ReplicaId;
use crate::domain::origin::Account;
use crate::domain::pull_budget::LimitReport;
use crate::domain::repository::UpstreamName;
use crate::store::error::StoreError;

/// The reports to all replicas, as one of them writes and reads them. Cheap to clone.
#[derive(Clone)]
pub struct UpstreamReports {
    database: Database,
    replica: ReplicaId,
    live: LiveReplicas,
    /// The beginning of the last exchange.
    last: Arc<Mutex<Option<Instant>>>,
}

/// Reports and pauses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// The last report of each account.
    pub budgets: Vec<BudgetReport>,
    /// Pauses that have not ended.
    pub pauses: Vec<PauseReport>,
}

/// A report about the pull limit of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetReport {
    /// The upstream.
    pub upstream: UpstreamName,
    /// The account.
    pub account: Account,
    /// The report.
    pub report: LimitReport,
    /// Its age.
    pub age: Duration,
}

/// A pause that an upstream wants (429).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseReport {
    /// The upstream.
    pub upstream: UpstreamName,
    /// The account.
    pub account: Account,
    /// The kind of requests that pause.
    pub kind: String,
    /// The client that upstream counts, if the replica knows it.
    pub source: Option<String>,
    /// Time until its end.
    pub rest: Duration,
}

const WRITE_BUDGETS: &str = "INSERT INTO upstream_budget \
    (upstream, account, replica, pull_limit, remaining, window_seconds, source, reported_at, written_at) \
    SELECT upstream, account, $1, pull_limit, remaining, window_seconds, source, \
    now() - make_interval(secs => age), now() \
    FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::float8[]) \
    AS new (upstream, account, pull_limit, remaining, window_seconds, source, age) \
    ON CONFLICT (upstream, account, replica) DO UPDATE SET pull_limit = excluded.pull_limit, \
    remaining = excluded.remaining, window_seconds = excluded.window_seconds, source = excluded.source, \
    reported_at = excluded.reported_at, written_at = excluded.written_at";
const WRITE_PAUSES: &str = "INSERT INTO upstream_pause (upstream, account, replica, kind, source, until, written_at) \
    SELECT upstream, account, $1, kind, source, now() + make_interval(secs => rest), now() \
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::float8[]) \
    AS new (upstream, account, kind, source, rest) \
    ON CONFLICT (upstream, account, replica, kind) DO UPDATE SET source = excluded.source, until = excluded.until, \
    written_at = excluded.written_at";
const READ_BUDGETS: &str = "SELECT upstream, account, pull_limit, remaining, window_seconds, source, \
    greatest(0, extract(epoch FROM now() - reported_at))::float8 FROM upstream_budget \
    WHERE replica <> $1 AND written_at > now() - make_interval(secs => $2)";
const READ_PAUSES: &str = "SELECT upstream, account, kind, source, extract(epoch FROM until - now())::float8 \
    FROM upstream_pause \
    WHERE replica <> $1 AND until > now() AND written_at > now() - make_interval(secs => $2)";
const FORGET: &str = "DELETE FROM upstream_budget WHERE written_at < now() - interval '2 days'";
const FORGET_PAUSES: &str = "DELETE FROM upstream_pause WHERE until < now() - interval '2 days'";

/// Age up to which a replica that starts reads the reports to others: the longest pause, and longer than the windows of
/// registries.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Time for which rows are read once more: those that were committed later than their time says.
const OVERLAP: Duration = Duration::from_secs(3);

impl UpstreamReports {
    /// Returns the reports in this database, for this replica.
    pub fn new((database, replica): (Database, ReplicaId), live: LiveReplicas) -> Self {
        Self { database, replica, live, last: Arc::default() }
    }

    /// Returns the last known number of replicas that are alive.
    pub fn live_replicas(&self) -> usize {
        self.live.count()
    }

    /// Writes reports to this replica, and returns those that others have written since the last exchange, and perhaps
    /// some of before. Counts the replicas that are alive.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be reached, or a row is damaged.
    pub async fn exchange(&self, own: Reports) -> Result<Reports, StoreError> {
        let began = Instant::now();
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let age = last.map_or(MAX_AGE, |last| last.elapsed() + OVERLAP).as_secs_f64();
        let (replica, live) = (self.replica.to_string(), self.live.clone());
        let (budgets, pauses) = (BudgetColumns::of(&own.budgets)?, PauseColumns::of(&own.pauses)?);
        let exchange = work(move |client| {
            Box::pin(async move {
                if last.is_none() {
                    client.execute_typed(FORGET, &[]).await?;
                    client.execute_typed(FORGET_PAUSES, &[]).await?;
                }
                budgets.write(client, &replica).await?;
                pauses.write(client, &replica).await?;
                live.look(client).await?;
                let values = [(&replica as _, Type::TEXT), (&age as _, Type::FLOAT8)];
                let budgets = client.query_typed(READ_BUDGETS, &values).await?;
                Ok((budgets, client.query_typed(READ_PAUSES, &values).await?))
            })
        });
        let (budgets, pauses) = self.database.run(exchange).await?;
        let budgets = budgets.iter().map(budget_of).collect::<Result<_, _>>()?;
        let pauses = pauses.iter().map(pause_of).collect::<Result<_, _>>()?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
        Ok(Reports { budgets, pauses })
    }
}

/// The values of reports, by column.
#[derive(Default)]
struct BudgetColumns {
    upstreams: Vec<String>,
    accounts: Vec<String>,
    limits: Vec<i64>,
    remaining: Vec<i64>,
    windows: Vec<Option<i64>>,
    sources: Vec<Option<String>>,
    ages: Vec<f64>,
}

impl BudgetColumns {
    fn of(budgets: &[BudgetReport]) -> Result<Self, StoreError> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let mut columns = Self::default();
        for BudgetReport { upstream, account, report, age } in budgets {
            columns.upstreams.push(upstream.to_string());
            columns.accounts.push(serde_json::to_string(account)?);
            columns.limits.push(number(report.limit));
            columns.remaining.push(number(report.remaining));
            columns.windows.push(report.window.map(|window| number(window.as_secs())));
            columns.sources.push(report.source.clone());
            columns.ages.push(age.as_secs_f64());
        }
        Ok(columns)
    }

    async fn write(&self, client: &Client, replica: &str) -> Result<(), Error> {
        if self.upstreams.is_empty() {
            return Ok(());
        }
        let values = [
            (&replica as _, Type::TEXT),
            (&self.upstreams as _, Type::TEXT_ARRAY),
            (&self.accounts as _, Type::TEXT_ARRAY),
            (&self.limits as _, Type::INT8_ARRAY),
            (&self.remaining as _, Type::INT8_ARRAY),
            (&self.windows as _, Type::INT8_ARRAY),
            (&self.sources as _, Type::TEXT_ARRAY),
            (&self.ages as _, Type::FLOAT8_ARRAY),
        ];
        client.execute_typed(WRITE_BUDGETS, &values).await.map(drop)
    }
}

/// The values of pauses, by column.
#[derive(Default)]
struct PauseColumns {
    upstreams: Vec<String>,
    accounts: Vec<String>,
    kinds: Vec<String>,
    sources: Vec<Option<String>>,
    rests: Vec<f64>,
}

impl PauseColumns {
    fn of(pauses: &[PauseReport]) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for PauseReport { upstream, account, kind, source, rest } in pauses {
            columns.upstreams.push(upstream.to_string());
            columns.accounts.push(serde_json::to_string(account)?);
            columns.kinds.push(kind.clone());
            columns.sources.push(source.clone());
            columns.rests.push(rest.as_secs_f64());
        }
        Ok(columns)
    }

    async fn write(&self, client: &Client, replica: &str) -> Result<(), Error> {
        if self.upstreams.is_empty() {
            return Ok(());
        }
        let values = [
            (&replica as _, Type::TEXT),
            (&self.upstreams as _, Type::TEXT_ARRAY),
            (&self.accounts as _, Type::TEXT_ARRAY),
            (&self.kinds as _, Type::TEXT_ARRAY),
            (&self.sources as _, Type::TEXT_ARRAY),
            (&self.rests as _, Type::FLOAT8_ARRAY),
        ];
        client.execute_typed(WRITE_PAUSES, &values).await.map(drop)
    }
}

fn budget_of(row: &Row) -> Result<BudgetReport, StoreError> {
    let (upstream, account) = account_of(row)?;
    let number = |value: i64| value.unsigned_abs();
    let report = LimitReport {
        limit: number(row.get(2)).max(1),
        remaining: number(row.get(3)),
        window: row.get::<_, Option<i64>>(4).map(|seconds| Duration::from_secs(number(seconds))),
        source: row.get(5),
    };
    Ok(BudgetReport { upstream, account, report, age: seconds(row.get(6)) })
}

fn pause_of(row: &Row) -> Result<PauseReport, StoreError> {
    let (upstream, account) = account_of(row)?;
    Ok(PauseReport { upstream, account, kind: row.get(2), source: row.get(3), rest: seconds(row.get(4)) })
}

fn account_of(row: &Row) -> Result<(UpstreamName, Account), StoreError> {
    let upstream: &str = row.get(0);
    let upstream =
        upstream.parse().map_err(|_| StoreError::Damaged(format!("the limit of an upstream '{upstream}'")))?;
    Ok((upstream, serde_json::from_str(row.get(1))?))
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}
