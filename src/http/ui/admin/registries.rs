//! The registries and the accounts there: whether they respond, and what is left of their pull limits.

use std::time::Duration;

use maud::{Markup, html};

use crate::actors::upstream_fetcher::{AccountHealth, AccountState};
use crate::domain::backoff::Circuit;
use crate::domain::directory::Directory;
use crate::domain::origin::Account;
use crate::domain::pull_budget::LimitReport;
use crate::http::api::{Caller, upstreams};
use crate::http::ui::formatting::{duration, number, share};
use crate::http::ui::icons::icon;
use crate::http::ui::table::{self, Column};

/// Part of a pull limit, in percent, below which what is left is shown as scarce.
const SCARCE: f64 = 50.0;

/// Shows the section.
pub(super) fn section(caller: &Caller, accounts: &[AccountState]) -> Markup {
    html! {
        section aria-labelledby="registries" {
            h2 #registries { "Registries" }
            (table::show("Registries", &[
                Column::main("Registry"),
                Column::new("Account"),
                Column::new("State"),
                Column::new("Pulls left"),
            ], html! { @for account in accounts { (row(caller, account)) } }))
            p.hint {
                "A registry that fails is left alone for some seconds, then tried with one request. Cached images are
                served all the time. Whether a registry works is known from the pulls that went there."
            }
        }
    }
}

/// Returns a sentence about what is wrong with an account; `None` if nothing is.
pub(super) fn problem(account: &AccountState) -> Option<String> {
    let name = of_registry(account);
    if let Some(held) = account.held_for {
        return Some(format!(
            "The pull limit of {name} is reached. Pulls of what is not cached wait for {} s.",
            seconds(held)
        ));
    }
    let because = account.because.as_deref().unwrap_or("the request failed").trim_end_matches('.');
    match account.circuit {
        Circuit::Open => return Some(format!("{name} does not work: {because}. What is cached is served.")),
        Circuit::HalfOpen => {
            let ago = ago(account).unwrap_or_default();
            return Some(format!("The last request to {name} failed{ago}: {because}. The next pull tries it again."));
        }
        Circuit::Closed => {}
    }
    let runs_out = account.runs_out_in?;
    let limit = account.limit.as_ref()?;
    let (remaining, all) = (number(limit.remaining), number(limit.limit));
    Some(format!(
        "{remaining} of {all} pulls of {name} are left. At the present rate they are used up in {} min.",
        minutes(runs_out)
    ))
}

fn row(caller: &Caller, account: &AccountState) -> Markup {
    html! {
        tr role="row" {
            th role="rowheader" scope="row" { b { (account.upstream) } }
            td role="cell" data-label="Account" {
                (account_name(&caller.directory, &account.account))
            }
            td.two role="cell" data-label="State" { (state(caller, account)) }
            td.across role="cell" data-label="Pulls left" {
                @match &account.limit { Some(limit) => (budget(limit)), None => span.soft { "no limit announced" } }
            }
        }
    }
}

fn state(caller: &Caller, account: &AccountState) -> Markup {
    let (health, because) = upstreams::health(caller, account);
    let shown = |class: &str, shape: &str, word: &str, because: &str| {
        html! {
            div class={ "state " (class) } { (icon(shape)) b { (word) } @if !because.is_empty() { span { (because) } } }
        }
    };
    let retry = match account.retry_in {
        None => String::new(),
        Some(pause) if pause.is_zero() => "; the next pull tries it again".to_owned(),
        Some(pause) => format!("; the next try in {} s", seconds(pause)),
    };
    let failed = ago(account).map(|ago| format!("failed{ago}: ")).unwrap_or_default();
    let because = format!("{failed}{}{retry}", because.as_deref().unwrap_or_default());
    match health {
        AccountHealth::Offline => shown("", "off", "Offline", "no registry is contacted"),
        AccountHealth::LimitReached => shown("warn", "stale", "Limit reached", "pulls wait"),
        AccountHealth::Unused => shown("", "off", "Not used yet", "since the start of the service"),
        AccountHealth::Working => shown("good", "fresh", "Works", ""),
        AccountHealth::TriedAgain => shown("warn", "stale", "Failed", &because),
        AccountHealth::Failing => shown("bad", "bad", "Fails", &because),
        AccountHealth::Unreadable => shown("bad", "bad", "Unreadable", &because),
    }
}

fn budget(limit: &LimitReport) -> Markup {
    let left = share(limit.remaining, limit.limit);
    html! {
        (number(limit.remaining)) " of " (number(limit.limit))
        svg.share aria-hidden="true" { rect.warn[left < SCARCE] x="0%" width={ (left) "%" } height="100%" {} }
    }
}

fn account_name(directory: &Directory, account: &Account) -> String {
    match account {
        Account::Anonymous => "none".to_owned(),
        Account::Username(name) => name.clone(),
        Account::OfGroup { id, username } => match directory.holder_of_account(*id) {
            Some(group) => format!("{username}, of {}", group.path),
            None => username.clone(),
        },
    }
}

fn of_registry(account: &AccountState) -> String {
    match &account.account {
        Account::Anonymous => account.upstream.to_string(),
        Account::Username(name) => format!("{} with the account {name}", account.upstream),
        Account::OfGroup { username, .. } => format!("{} with the account {username} of a group", account.upstream),
    }
}

/// Returns how long ago the last request failed, if it did.
fn ago(account: &AccountState) -> Option<String> {
    account.failed_ago.map(|ago| format!(" {} ago", duration(ago)))
}

fn seconds(time: Duration) -> u64 {
    time.as_secs_f64().ceil() as u64
}

fn minutes(time: Duration) -> u64 {
    time.as_secs().div_ceil(60)
}
