//! `/dependency_proxy/upstreams`: the states of the registries and their accounts, for administrators.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::error::ApiError;
use super::response::{Body, Found};
use crate::actors::upstream_fetcher::{AccountHealth, AccountState};
use crate::domain::origin::Account;
use crate::domain::pull_budget::LimitReport;

/// The state of an account at a registry, or of pulls from it without an account.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UpstreamState")]
pub(super) struct StateView {
    /// The host of the registry.
    upstream: String,
    /// The user name of the account; `null` without an account.
    account: Option<String>,
    /// The path of the group that has the account; `null` if the account is of the settings.
    account_group: Option<String>,
    state: AccountHealth,
    /// The last failure, if there was one since the last success, or the reason why the password is unreadable.
    because: Option<String>,
    /// The time until the next request tries whether the registry works again.
    retry_seconds: Option<u64>,
    /// The time for which requests are held because the pull limit is reached.
    held_seconds: Option<u64>,
    /// The pull limit; `null` if the registry reports none.
    pull_limit: Option<PullLimitView>,
}

/// The pull limit of an account, as the registry last reported it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PullLimit")]
struct PullLimitView {
    /// The number of pulls in a window.
    limit: u64,
    /// The number of pulls that are left.
    remaining: u64,
    /// The length of the window; `null` if the registry does not report it.
    window_seconds: Option<u64>,
    /// The client that the registry counts: an address, or the id of an account; `null` if it does not report it.
    source: Option<String>,
    /// The time until no pull is left, at the rate of the last minutes; `null` if that is not known.
    runs_out_seconds: Option<u64>,
}

/// Handles `GET /dependency_proxy/upstreams`. Contains no secrets.
pub(super) async fn list(caller: Caller) -> Result<Found<Vec<StateView>>, ApiError> {
    caller.authority().administrator()?;
    let states = caller.state.upstream.states().await;
    Ok(Body(states.into_iter().map(|state| view(&caller, state)).collect()))
}

fn view(caller: &Caller, state: AccountState) -> StateView {
    let id = state.account.of_group();
    let holder = id.and_then(|id| caller.directory.holder_of_account(id));
    let (health, because) = health(caller, &state);
    StateView {
        account: (state.account != Account::Anonymous).then(|| state.account.username().to_owned()),
        account_group: holder.map(|group| group.path.to_string()),
        state: health,
        upstream: state.upstream.to_string(),
        because,
        retry_seconds: state.retry_in.map(seconds),
        held_seconds: state.held_for.map(seconds),
        pull_limit: state.limit.map(|limit| limit_view(limit, state.runs_out_in)),
    }
}

/// Returns the state of an account in one word, and why it is not a better one, if that is known.
pub(in crate::http) fn health(caller: &Caller, state: &AccountState) -> (AccountHealth, Option<String>) {
    let unreadable = state.account.of_group().and_then(|id| caller.state.accounts.unreadable(id));
    match unreadable {
        Some(error) => (AccountHealth::Unreadable, Some(format!("the password cannot be decrypted: {error}"))),
        None => (state.health(), state.because.clone()),
    }
}

fn limit_view(limit: LimitReport, runs_out_in: Option<Duration>) -> PullLimitView {
    PullLimitView {
        limit: limit.limit,
        remaining: limit.remaining,
        window_seconds: limit.window.map(seconds),
        source: limit.source,
        runs_out_seconds: runs_out_in.map(seconds),
    }
}

fn seconds(time: Duration) -> u64 {
    time.as_secs_f64().ceil() as u64
}
