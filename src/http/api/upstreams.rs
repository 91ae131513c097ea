//! `/dependency_proxy/upstreams`: the states of the registries and their accounts, for administrators.

use std::time::Duration;

use actix_web::HttpResponse;
use serde_json::{Value, json};

use super::caller::Caller;
use super::error::ApiError;
use crate::actors::upstream_fetcher::{AccountHealth, AccountState};
use crate::domain::origin::Account;
use crate::domain::pull_budget::LimitReport;

/// Handles `GET /dependency_proxy/upstreams`. Contains no secrets.
pub(super) async fn list(caller: Caller) -> Result<HttpResponse, ApiError> {
    caller.authority().administrator()?;
    let states = caller.state.upstream.states().await;
    let states: Vec<Value> = states.iter().map(|state| view(&caller, state)).collect();
    Ok(HttpResponse::Ok().json(states))
}

fn view(caller: &Caller, state: &AccountState) -> Value {
    let account = Some(state.account.username()).filter(|_| state.account != Account::Anonymous);
    let id = state.account.of_group();
    let holder = id.and_then(|id| caller.directory.holder_of_account(id));
    let unreadable = id.and_then(|id| caller.state.accounts.unreadable(id));
    let unreadable = unreadable.map(|error| format!("the password cannot be decrypted: {error}"));
    json!({
        "upstream": state.upstream,
        "account": account,
        "account_group": holder.map(|group| group.path.as_str()),
        "state": if unreadable.is_some() { "unreadable" } else { word(state) },
        "because": unreadable.as_ref().or(state.because.as_ref()),
        "retry_seconds": state.retry_in.map(seconds),
        "held_seconds": state.held_for.map(seconds),
        "pull_limit": state.limit.as_ref().map(|limit| limit_view(limit, state.runs_out_in)),
    })
}

fn word(state: &AccountState) -> &'static str {
    match state.health() {
        AccountHealth::Offline => "offline",
        AccountHealth::LimitReached => "limit_reached",
        AccountHealth::Working => "working",
        AccountHealth::TriedAgain => "tried_again",
        AccountHealth::Failing => "failing",
    }
}

fn limit_view(limit: &LimitReport, runs_out_in: Option<Duration>) -> Value {
    json!({
        "limit": limit.limit,
        "remaining": limit.remaining,
        "window_seconds": limit.window.map(seconds),
        "source": limit.source,
        "runs_out_seconds": runs_out_in.map(seconds),
    })
}

fn seconds(time: Duration) -> u64 {
    time.as_secs_f64().ceil() as u64
}
