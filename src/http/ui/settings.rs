//! The settings of a group: whether it pulls, how much it may cache, how long it keeps what nobody pulls, how long tags
//! are fresh, and its accounts at registries. A section has its own form.
//!
//! | file | section |
//! |---|---|
//! | [`switch`] | whether the group pulls |
//! | [`accounts`], [`account_table`] | its accounts at registries |
//! | [`freshness`] | the time for which tags are fresh |
//! | [`limits`], [`usage`] | quota, and days after which images go that nobody pulls; what they mean at present |

mod account_table;
mod accounts;
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
use crate::domain::commands::group::{self as edit, GroupChange};
use crate::domain::commands::seen::{Seen, SeenValue};
use crate::domain::group::Group;
use crate::http::api::{Authority, owner_of};

/// Content of the page beside the group.
struct Shown {
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
    let (group, shown) = match form.value("section") {
        Some(switch::SECTION) => switch::change(form, &group).await?,
        Some(section) if accounts::SECTIONS.contains(&section) => accounts::change(form, &group, section).await?,
        Some(freshness::SECTION) => freshness::change(form, &group).await?,
        Some(limits::SECTION) => limits::change(form, &group).await?,
        _ => return Err(visitor.fault(Kind::Invalid("The form does not say what to save.".to_owned()))),
    };
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
    match save(&form.visitor, group, wanted, (seen::of(form), values)).await {
        Ok(group) => {
            let shown = Shown { note: Some(Note::good("Saved.")), ..Shown::of(&group) };
            Ok((group, shown))
        }
        Err(NotSaved::Problem(problem)) => {
            let group = present(&form.visitor, group);
            let shown = Shown { problem: Some(problem), ..typed(Shown::of(&group)) };
            Ok((group, shown))
        }
        Err(NotSaved::Fault(fault)) => Err(fault),
    }
}

async fn save(
    visitor: &Visitor,
    group: &Group,
    wanted: Result<GroupChange, Problem>,
    (seen, values): (Seen, Values),
) -> Result<Group, NotSaved> {
    let change = wanted.map_err(NotSaved::Problem)?;
    let update = move |caller: &Authority<'_>, id| {
        let present = caller.directory.group(id).map(|group| values(group)).unwrap_or_default();
        let updated = edit::update(caller.directory, &caller.state.upstreams.load(), id, change, caller.user.id);
        seen.unchanged(present, updated, values)
    };
    let changed = match visitor.caller.may(owner_of(group.id)) {
        Ok(own) => visitor.caller.change("group changed", own, update).await,
        Err(error) => Err(error),
    };
    changed.map_err(|error| match Problem::of(&error) {
        Some(problem) => NotSaved::Problem(problem),
        None => NotSaved::Fault(visitor.refused(&error)),
    })
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
        let account = accounts::Typed::default();
        let (limits, freshness) = (limits::Typed::of(group), freshness::of(group));
        Self { proxy: group.proxy_enabled, limits, freshness, account, problem: None, note: None }
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
        (switch::section(visitor, group, shown.proxy))
        (accounts::section(visitor, group, (accounts.as_ref(), &shown.account), problem))
        (freshness::section(visitor, group, &shown.freshness, problem))
        (limits::section(visitor, group, (&usage, &shown.limits), problem))
    }
}

fn action(group: &Group) -> String {
    format!("{}/settings", address::of_group(group.path.as_str()))
}
