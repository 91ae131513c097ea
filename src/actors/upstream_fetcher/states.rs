//! States of upstreams, for people and metrics: which get no requests after failures, and what is left of their pull
//! limits.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;

use super::fetcher::{Gauged, UpstreamFetcher};
use super::request::ContentKind;
use crate::domain::backoff::Circuit;
use crate::domain::origin::Account;
use crate::domain::pull_budget::LimitReport;
use crate::domain::repository::UpstreamName;
use crate::domain::upstream::NetworkMode;
use crate::upstream::{Registry, gauge_pulls};

/// State of one account at an upstream.
#[derive(Clone, Debug)]
pub struct AccountState {
    /// The upstream.
    pub upstream: UpstreamName,
    /// The account.
    pub account: Account,
    /// The mode of the service: online, or offline.
    pub mode: NetworkMode,
    /// State of the kind of content that fails most: whether requests are sent.
    pub circuit: Circuit,
    /// The last failure, as a sentence, if there was one since the last success.
    pub because: Option<String>,
    /// Time since that failure.
    pub failed_ago: Option<Duration>,
    /// True if a request has succeeded since the start of the service, or since the account changed.
    pub has_worked: bool,
    /// Time until the next request tries whether it works again.
    pub retry_in: Option<Duration>,
    /// Time for which requests are held because the limit is reached.
    pub held_for: Option<Duration>,
    /// The pull limit, where upstream reports one.
    pub limit: Option<LimitReport>,
    /// Time until no pull is left, at the rate of the last minutes.
    pub runs_out_in: Option<Duration>,
}

/// The state of an account in one word: the most important one, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AccountHealth {
    /// The service contacts no registry.
    Offline,
    /// The pull limit is reached: requests wait.
    LimitReached,
    /// No request has been sent since the start of the service: whether it works is not known.
    Unused,
    /// Requests are sent.
    Working,
    /// A request finds out whether the registry works again.
    TriedAgain,
    /// No requests are sent for a time after failures.
    Failing,
    /// The password of the account cannot be decrypted.
    Unreadable,
}

impl AccountState {
    /// Returns what people need to know first. Whether the password is unreadable is not known here.
    pub fn health(&self) -> AccountHealth {
        match (self.mode, self.circuit) {
            (NetworkMode::Offline, _) => AccountHealth::Offline,
            (NetworkMode::Online, _) if self.held_for.is_some() => AccountHealth::LimitReached,
            (NetworkMode::Online, Circuit::Closed) if self.has_worked => AccountHealth::Working,
            (NetworkMode::Online, Circuit::Closed) => AccountHealth::Unused,
            (NetworkMode::Online, Circuit::HalfOpen) => AccountHealth::TriedAgain,
            (NetworkMode::Online, Circuit::Open) => AccountHealth::Failing,
        }
    }
}

/// Requests the states of all accounts, in the order of their names.
#[derive(Message)]
#[rtype(result = "Vec<AccountState>")]
pub(super) struct ListStates;

impl UpstreamFetcher {
    /// Returns the states of all accounts.
    fn states(&self, now: Instant) -> Vec<AccountState> {
        let current = self.current.load();
        let mut states = Vec::new();
        for (upstream, registry) in current.registries.all() {
            let of_account = |account| self.state(upstream.clone(), account, &registry, current.mode, now);
            states.extend(registry.accounts().map(of_account));
        }
        states.sort_by(|one, other| (&one.upstream, &one.account).cmp(&(&other.upstream, &other.account)));
        states
    }

    fn state(
        &self,
        upstream: UpstreamName,
        account: Account,
        registry: &Registry,
        mode: NetworkMode,
        now: Instant,
    ) -> AccountState {
        let of_kind = |kind| self.backoffs_of(kind).failing(&upstream, &account, now);
        let failing = ContentKind::ALL.into_iter().filter_map(of_kind).max_by_key(|one| (one.circuit, one.end));
        let key = (upstream.clone(), account.clone());
        let has_worked = ContentKind::ALL.into_iter().any(|kind| self.backoffs_of(kind).has_worked(&key));
        let budget = registry.budget(&account, |budget| (budget.report(now).cloned(), budget.runs_out_in(now)));
        let (limit, runs_out_in) = budget.unwrap_or_default();
        let left = |until: Instant| until.duration_since(now);
        AccountState {
            mode,
            circuit: failing.map_or(Circuit::Closed, |failing| failing.circuit),
            because: failing.map(|failing| failing.error.to_string()),
            failed_ago: failing.map(|failing| now.duration_since(failing.at)),
            has_worked,
            retry_in: failing.map(|failing| left(failing.end)),
            held_for: self.gates.closed_until(&upstream, &account, now).map(left),
            limit,
            runs_out_in,
            upstream,
            account,
        }
    }

    /// Sets the gauges of the circuits of all accounts, and those of accounts that are not configured any more.
    pub(super) fn set_gauges(&mut self) {
        let states = self.states(Instant::now()).into_iter();
        let present: HashMap<Gauged, AccountState> =
            states.map(|state| ((state.upstream.clone(), state.account.clone()), state)).collect();
        for (account, state) in &present {
            *self.gauged.entry(account.clone()).or_default() |= state.limit.is_some();
        }
        for (gauged, has_limit) in &self.gauged {
            let (upstream, account) = gauged;
            let labels = [("upstream", upstream.to_string()), ("account", account.label())];
            let state = present.get(gauged);
            let circuit = state.map_or(Circuit::Closed, |state| state.circuit);
            metrics::gauge!("dependency_proxy_upstream_circuit", &labels).set(value_of(circuit));
            if state.is_none() && *has_limit {
                // The upstream's client, which has set them, is gone.
                gauge_pulls(upstream, account, (0, 0), None);
            }
        }
    }
}

fn value_of(circuit: Circuit) -> f64 {
    match circuit {
        Circuit::Closed => 0.0,
        Circuit::HalfOpen => 1.0,
        Circuit::Open => 2.0,
    }
}

impl Handler<ListStates> for UpstreamFetcher {
    type Result = MessageResult<ListStates>;

    fn handle(&mut self, ListStates: ListStates, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.states(Instant::now()))
    }
}
