//! The settings of a group: its name, path and place, whether it pulls, how much it may cache, how long it keeps what
//! nobody pulls, how long tags are fresh, and its accounts at registries. A section has its own form.
//!
//! | file | section |
//! |---|---|
//! | [`details`] | name, path, description and visibility; the group above; the way to the deletion |
//! | [`switch`] | whether the group pulls |
//! | [`accounts`], [`account_table`] | its accounts at registries |
//! | [`freshness`] | the time for which tags are fresh |
//! | [`limits`], [`usage`] | quota, and days after which images go that nobody pulls; what they mean at present |

mod account_table;
mod accounts;
mod details;
mod freshness;
mod limits;
mod switch;
mod usage;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, html};

use super::address;
use super::fault::{Fault, Kind};
use super::form::Form;
use super::icons::icon;
use super::page;
use super::parts::top;
use super::problem::Problem;
use super::seen;
use super::visitor::Visitor;
use crate::domain::commands::group::GroupChange;
use crate::domain::commands::seen::SeenValue;
use crate::domain::group::Group;
use crate::http::api::{ApiError, groups};

/// Content of the page beside the group.
struct Shown {
    details: details::Typed,
    /// The chosen value of the switch.
    proxy: Option<bool>,
    limits: limits::Typed,
    /// The time for which tags are fresh, as it was typed.
    freshness: String,
    account: accounts::Typed,
    problem: Option<Problem>,
    note: Option<Note>,
}

/// A note on top of the page.
struct Note {
    is_success: bool,
    sentence: String,
}

/// Returns the values of a group that a form of the page shows.
type Values = fn(&Group) -> Vec<SeenValue>;

/// Reason why a change was not saved.
enum NotSaved {
    /// Something that was typed, which the page says.
    Problem(Problem),
    /// Something else, which has a page of its own.
    Fault(Fault),
}

/// Shows the page.
pub(super) async fn show(visitor: &Visitor, path: &str) -> Result<HttpResponse, Fault> {
    let group = visitor.own_group(path)?;
    let content = content(visitor, &group, &Shown::of(&group)).await;
    Ok(page::show(&visitor.frame(), &format!("Settings of {}", group.path), &content))
}

/// Saves a section, and shows the page with what it is now.
pub(super) async fn change(form: &Form, path: &str) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let group = visitor.own_group(path)?;
    let before = group.path.clone();
    let (group, shown) = match form.value("section") {
        Some(details::SECTION) => details::change(form, &group).await?,
        Some(details::PLACE) => details::change_place(form, &group).await?,
        Some(switch::SECTION) => switch::change(form, &group).await?,
        Some(section) if accounts::SECTIONS.contains(&section) => accounts::change(form, &group, section).await?,
        Some(freshness::SECTION) => freshness::change(form, &group).await?,
        Some(limits::SECTION) => limits::change(form, &group).await?,
        _ => return Err(visitor.fault(Kind::Invalid("The form does not say what to save.".to_owned()))),
    };
    if group.path != before && shown.problem.is_none() {
        return Ok(visitor.done("Saved. The pages of the group have this address now.", &action(&group)).await);
    }
    let status = shown.problem.as_ref().map_or(StatusCode::OK, Problem::status);
    let content = content(visitor, &group, &shown).await;
    Ok(page::respond(status, &visitor.frame(), &format!("Settings of {}", group.path), &content))
}

/// Saves a change of the group, of which the page showed these `values`. Returns the group and what to show; after a
/// problem what was `typed`.
async fn saved(
    form: &Form,
    group: &Group,
    (wanted, values): (Result<GroupChange, Problem>, Values),
    typed: impl FnOnce(Shown) -> Shown,
) -> Result<(Group, Shown), Fault> {
    let visitor = &form.visitor;
    let changed = match wanted {
        Ok(change) => {
            let changed = groups::change_seen(&visitor.caller, group.id, change, (seen::of(form), values)).await;
            changed.map_err(|error| not_saved(visitor, &error))
        }
        Err(problem) => Err(NotSaved::Problem(problem)),
    };
    shown_after(visitor, group, changed, typed)
}

/// Returns the group and what to show after a change of it; after a problem what was `typed`.
fn shown_after(
    visitor: &Visitor,
    group: &Group,
    changed: Result<Group, NotSaved>,
    typed: impl FnOnce(Shown) -> Shown,
) -> Result<(Group, Shown), Fault> {
    match changed {
        Ok(group) => {
            let shown = Shown { note: Some(Note::good("Saved.")), ..Shown::of(&group) };
            Ok((group, shown))
        }
        Err(NotSaved::Problem(problem)) => {
            let group = present(visitor, group);
            let shown = Shown { problem: Some(problem), ..typed(Shown::of(&group)) };
            Ok((group, shown))
        }
        Err(NotSaved::Fault(fault)) => Err(fault),
    }
}

fn not_saved(visitor: &Visitor, error: &ApiError) -> NotSaved {
    Problem::of(error).map_or_else(|| NotSaved::Fault(visitor.refused(error)), NotSaved::Problem)
}

/// Returns a group as it is now: somebody else may have changed it since the head of the request arrived.
fn present(visitor: &Visitor, group: &Group) -> Group {
    visitor.caller.state.identities.directory().group(group.id).map_or_else(|| group.clone(), |now| Group::clone(now))
}

/// Returns a field as it was typed, without white space around it.
fn typed(form: &Form, name: &str) -> String {
    form.value(name).unwrap_or_default().trim().to_owned()
}

impl Shown {
    fn of(group: &Group) -> Self {
        let (account, details) = (accounts::Typed::default(), details::Typed::of(group));
        let (limits, freshness) = (limits::Typed::of(group), freshness::of(group));
        Self { details, proxy: group.proxy_enabled, limits, freshness, account, problem: None, note: None }
    }
}

impl Note {
    fn good(sentence: &str) -> Self {
        Self { is_success: true, sentence: sentence.to_owned() }
    }

    fn show(&self) -> Markup {
        let (class, shape, role) = if self.is_success { ("good", "fresh", "status") } else { ("bad", "bad", "alert") };
        html! { div class={ "note " (class) } role=(role) { (icon(shape)) div { p { b { (self.sentence) } } } } }
    }
}

async fn content(visitor: &Visitor, group: &Group, shown: &Shown) -> Markup {
    let accounts = account_table::show(visitor, group).await;
    let usage = usage::Usage::read(visitor, group).await;
    let problem = shown.problem.as_ref();
    html! {
        (top(visitor, group, "Settings", "settings").await)
        @if let Some(note) = &shown.note { (note.show()) }
        @if let Some(problem) = problem { (problem.note()) }
        (details::section(visitor, group, &shown.details, problem))
        (switch::section(visitor, group, shown.proxy))
        (accounts::section(visitor, group, (accounts.as_ref(), &shown.account), problem))
        (freshness::section(visitor, group, &shown.freshness, problem))
        (limits::section(visitor, group, (&usage, &shown.limits), problem))
        (details::place_section(visitor, group, &shown.details, problem))
    }
}

fn action(group: &Group) -> String {
    format!("{}/settings", address::of_group(group.path.as_str()))
}
