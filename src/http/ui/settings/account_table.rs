//! The table of the accounts that a group uses at registries: their last tests, what is left of their pull limits, and
//! the menu with what can be done to the group's own.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::accounts::{REMOVE, TEST};
use super::action;
use crate::actors::upstream_fetcher::{AccountState, TestResult};
use crate::domain::audit::Event;
use crate::domain::audit::query::{EntityFilter, EventFilter, EventQuery};
use crate::domain::group::Group;
use crate::domain::pull_budget::LimitReport;
use crate::http::api::upstream_accounts::{self as accounts, UsedAccount};
use crate::http::ui::formatting::{duration, number, time};
use crate::http::ui::icons::icon;
use crate::http::ui::parts::token_field;
use crate::http::ui::seen;
use crate::http::ui::table::{self, Column};
use crate::http::ui::visitor::Visitor;

/// An account that a group uses, with what is known of it.
struct AccountRow {
    used: UsedAccount,
    /// The pull limit, if the registry has announced one.
    limit: Option<LimitReport>,
    /// The last test, if the account is the group's own and was tested in the last days.
    test: Option<Test>,
}

/// The result of the test of an account, and its time.
type Test = (TestResult, Timestamp);

/// Number of days for which the last test of an account is looked up.
const TEST_DAYS: i64 = 30;

/// Maximum number of tests that are looked up.
const MAX_TESTS: usize = 50;

impl AccountRow {
    /// Reads the accounts that a group uses.
    async fn all(visitor: &Visitor, group: &Group) -> Vec<Self> {
        let directory = visitor.caller.state.identities.directory();
        let used = accounts::used(&visitor.caller, &directory, group);
        let states = if used.is_empty() { Vec::new() } else { visitor.caller.state.upstream.states().await };
        let tests = if used.iter().all(|used| used.inherited) { Vec::new() } else { tests(visitor, group).await };
        let row = |used: UsedAccount| Self { limit: limit_of(&used, &states), test: test_of(&used, &tests), used };
        used.into_iter().map(row).collect()
    }
}

/// Returns the table; `None` if the group uses no account of a group.
pub(super) async fn show(visitor: &Visitor, group: &Group) -> Option<Markup> {
    let rows = AccountRow::all(visitor, group).await;
    (!rows.is_empty()).then(|| table_of(visitor, group, &rows))
}

fn table_of(visitor: &Visitor, group: &Group, rows: &[AccountRow]) -> Markup {
    let columns = [
        Column::new("Registry"),
        Column::new("Account"),
        Column::new("Last test"),
        Column::new("Pulls left"),
        Column::actions(),
    ];
    table::show(
        "Accounts of this group",
        &columns,
        html! {
            @for (number, shown) in rows.iter().enumerate() { (row(visitor, group, shown, number)) }
        },
    )
}

fn limit_of(used: &UsedAccount, states: &[AccountState]) -> Option<LimitReport> {
    let is_it =
        |state: &&AccountState| state.upstream == used.upstream && state.account.of_group() == Some(used.account.id);
    states.iter().find(is_it).and_then(|state| state.limit.clone())
}

/// Returns the events of the tests of the group's accounts in the last days, the newest first; none if they cannot be
/// read.
async fn tests(visitor: &Visitor, group: &Group) -> Vec<Event> {
    let caller = &visitor.caller;
    let filter = EventFilter {
        after: caller.now.checked_sub(SignedDuration::from_hours(24 * TEST_DAYS)).ok(),
        entity: Some(EntityFilter::Group(Some(group.id))),
        name: Some(accounts::TESTED.to_owned()),
        ..EventFilter::default()
    };
    let query = EventQuery { filter, ascending: false, from: None, skip: 0, limit: MAX_TESTS, counted: false };
    let found = caller.state.audit.events(caller.user.id, query).await;
    found.map(|found| found.events.into_iter().map(|(_, event)| event).collect()).unwrap_or_default()
}

/// Returns the last test of an account with its present password.
fn test_of(used: &UsedAccount, tests: &[Event]) -> Option<Test> {
    let is_it = |event: &&Event| {
        !used.inherited && event.target.name == used.upstream.as_str() && event.at >= used.account.set_at
    };
    let event = tests.iter().find(is_it)?;
    let word = event.changes.first()?.to.as_ref()?.as_str()?;
    Some((TestResult::ALL.into_iter().find(|result| result.as_str() == word)?, event.at))
}

fn last_test(test: Option<&Test>, now: Timestamp) -> Markup {
    let Some((result, at)) = test else { return html! { span.soft { "none" } } };
    let (class, shape, word) = match result {
        TestResult::Accepted => ("good", "fresh", "Accepted"),
        TestResult::NotRequired => ("good", "fresh", "No login needed"),
        TestResult::Refused => ("bad", "bad", "Refused"),
        TestResult::Limited => ("warn", "stale", "Limit reached"),
        TestResult::Unreachable => ("bad", "bad", "Unreachable"),
        TestResult::Failed => ("bad", "bad", "Failed"),
        TestResult::NotTried => ("", "off", "Not tried"),
    };
    html! { div class={ "state " (class) } { (icon(shape)) b { (word) } span { (time(*at, now)) } } }
}

fn row(visitor: &Visitor, group: &Group, shown: &AccountRow, number_of_row: usize) -> Markup {
    let AccountRow { used, limit, test } = shown;
    html! {
        tr role="row" {
            th role="rowheader" scope="row" { b { (used.upstream) } }
            td.two role="cell" data-label="Account" { (account(used)) }
            td role="cell" data-label="Last test" {
                @if used.inherited { "–" } @else { (last_test(test.as_ref(), visitor.caller.now)) }
            }
            td.two role="cell" data-label="Pulls left" { (pulls_left(limit.as_ref())) }
            td.act role="cell" { @if !used.inherited { (menu(visitor, group, used, number_of_row)) } }
        }
    }
}

fn account(used: &UsedAccount) -> Markup {
    html! {
        code { (used.account.username) }
        @if used.inherited { span.under { "of the group " (used.holder) } }
        @if let Some(error) = &used.unreadable {
            div.state.bad { (icon("bad")) b { "Unreadable" } span { (error) ". Set it again." } }
        }
    }
}

fn pulls_left(limit: Option<&LimitReport>) -> Markup {
    html! {
        @match limit {
            Some(LimitReport { limit, remaining, window, .. }) => {
                (number(*remaining)) " of " (number(*limit))
                @if let Some(window) = window { span.under { "in " (window_words(*window)) } }
            },
            None => span.soft { "no limit announced" },
        }
    }
}

/// Returns the length of a window of pulls: whole hours as such, as registries announce them.
fn window_words(window: Duration) -> String {
    match window.as_secs() {
        seconds if seconds >= 3_600 && seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        _ => duration(window),
    }
}

fn menu(visitor: &Visitor, group: &Group, used: &UsedAccount, number: usize) -> Markup {
    let (id, about) = (format!("menu-account-{number}"), format!("the account at {}", used.upstream));
    html! {
        button.tiny.dots type="button" popovertarget=(id) aria-label={ "Actions for " (about) } title="Actions" {
            (icon("dots"))
        }
        div.menu id=(id) popover {
            p { (about) }
            (button(visitor, group, (TEST, used), "Test now", ""))
            a href="#account" { "Change…" }
            (button(visitor, group, (REMOVE, used), "Remove", "bad"))
        }
    }
}

fn button(
    visitor: &Visitor,
    group: &Group,
    (section, used): (&str, &UsedAccount),
    word: &str,
    class: &'static str,
) -> Markup {
    html! {
        form method="post" action=(action(group)) {
            (token_field(visitor))
            input type="hidden" name="section" value=(section);
            input type="hidden" name="upstream" value=(used.upstream);
            @if section == REMOVE { (seen::field(&accounts::values(&visitor.caller, group))) }
            button class=[Some(class).filter(|class| !class.is_empty())] { (word) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_pull_limit_is_shown_with_its_window() {
        let limit = LimitReport { limit: 200, remaining: 163, window: Some(Duration::from_secs(21_600)), source: None };
        let shown = pulls_left(Some(&limit)).into_string();
        assert_eq!(shown, r#"163 of 200<span class="under">in 6 h</span>"#);
        assert!(pulls_left(None).into_string().contains("no limit announced"));
        assert_eq!(window_words(Duration::from_secs(90)), "1 min 30 s");
    }
}
