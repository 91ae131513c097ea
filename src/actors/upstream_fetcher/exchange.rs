//! The exchange of reports about limits, once a second: this replica writes those that upstreams have sent to it, and
//! reads those of the others, so that all know that a pull limit runs low, and a pause holds for all. `max_concurrent`
//! of an upstream is the fleet's, and each replica that is alive has its share. While the database does not respond,
//! each replica goes by what it knows.

use std::time::{Duration, Instant};

use actix::prelude::*;

use super::fetcher::UpstreamFetcher;
use super::gates::GateKey;
use super::request::ContentKind;
use super::unwritten::{Exchange, Unwritten};
use crate::domain::origin::Account;
use crate::domain::repository::UpstreamName;
use crate::store::error::StoreError;
use crate::store::fleet::{BudgetReport, PauseReport, Reports, UpstreamReports};

/// Starts the exchange with other replicas.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ShareLimits(pub(super) UpstreamReports);

/// Returns the reports of others, or an error with those that could not be written.
#[derive(Message)]
#[rtype(result = "()")]
struct Received(Result<Reports, (StoreError, Unwritten)>);

/// Interval of the exchange.
const EXCHANGE_INTERVAL: Duration = Duration::from_secs(1);

impl UpstreamFetcher {
    fn exchange_reports(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let (budgets, pauses) = (self.new_budgets(), self.new_pauses(now));
        let Some(exchange) = &mut self.exchange else { return };
        exchange.unwritten.budgets.extend(budgets);
        exchange.unwritten.pauses.extend(pauses);
        if exchange.is_running {
            return;
        }
        exchange.is_running = true;
        let (reports, own, me) = (exchange.reports.clone(), std::mem::take(&mut exchange.unwritten), ctx.address());
        actix_rt::spawn(async move {
            let received = reports.exchange(own.at(now)).await;
            me.do_send(Received(received.map_err(|error| (error, own))));
        });
    }

    /// Returns the reports about pull limits since the last call.
    fn new_budgets(&self) -> Vec<((UpstreamName, Account), (BudgetReport, Instant))> {
        let current = self.current.load();
        let mut budgets = Vec::new();
        for (upstream, registry) in current.registries.all() {
            for (account, report, at) in registry.take_reports() {
                let key = (upstream.clone(), account.clone());
                let budget = BudgetReport { upstream: upstream.clone(), account, report, age: Duration::ZERO };
                budgets.push((key, (budget, at)));
            }
        }
        budgets
    }

    /// Returns the pauses since the last call.
    fn new_pauses(&self, now: Instant) -> Vec<(GateKey, (PauseReport, Instant))> {
        let pause = |(key, until): (GateKey, Instant)| {
            let (kind, upstream, account) = &key;
            let (source, kind) = (self.source(upstream, account, now), kind.label().to_owned());
            let (upstream, account) = (upstream.clone(), account.clone());
            (key, (PauseReport { upstream, account, kind, source, rest: Duration::ZERO }, until))
        };
        self.gates.take_pauses(now).into_iter().map(pause).collect()
    }

    /// Returns the client that upstream counts for requests of this account, if it is known.
    fn source(&self, upstream: &UpstreamName, account: &Account, now: Instant) -> Option<String> {
        let registry = self.current.load().registries.of(upstream).ok()?;
        registry.budget(account, |budget| budget.report(now).and_then(|report| report.source.clone())).flatten()
    }

    /// Learns from the reports of others.
    fn learn(&mut self, Reports { budgets, pauses }: Reports) {
        let now = Instant::now();
        let current = self.current.load_full();
        let registry = |upstream: &UpstreamName, account: &Account| {
            // Others may have accounts that this replica does not have any more, or not yet.
            current.registries.of(upstream).ok().filter(|registry| registry.accounts().any(|known| known == *account))
        };
        for BudgetReport { upstream, account, report, age } in budgets {
            let Some((registry, at)) = registry(&upstream, &account).zip(now.checked_sub(age)) else { continue };
            registry.learn_report(&account, report, at);
        }
        for PauseReport { upstream, account, kind, source, rest } in pauses {
            let Some((kind, _)) = ContentKind::of_label(&kind).zip(registry(&upstream, &account)) else { continue };
            // Without an account, an upstream may count each address by itself: a pause of another one says nothing.
            let own = self.source(&upstream, &account, now);
            if own.is_none() || source.is_none() || own == source {
                self.gates.hold((kind, upstream, account), now + rest);
            }
        }
    }

    fn share_permits(&self) {
        let replicas = self.replicas();
        self.current.load().limits.values().for_each(|limits| limits.share_among(replicas));
    }
}

impl Handler<ShareLimits> for UpstreamFetcher {
    type Result = ();

    fn handle(&mut self, ShareLimits(reports): ShareLimits, ctx: &mut Context<Self>) {
        self.exchange = Some(Exchange { reports, unwritten: Unwritten::default(), is_running: false });
        self.exchange_reports(ctx);
        ctx.run_interval(EXCHANGE_INTERVAL, Self::exchange_reports);
    }
}

impl Handler<Received> for UpstreamFetcher {
    type Result = ();

    fn handle(&mut self, Received(received): Received, _: &mut Context<Self>) {
        let Some(exchange) = &mut self.exchange else { return };
        exchange.is_running = false;
        match received {
            Ok(reports) => self.learn(reports),
            Err((error, unwritten)) => {
                // The follower reports an engine that does not respond.
                tracing::debug!(%error, "reports about the limits of upstreams were not exchanged");
                exchange.unwritten.take_back(unwritten, Instant::now());
            }
        }
        self.share_permits();
    }
}
