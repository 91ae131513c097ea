//! The settings of a group: whether it pulls, how much it may cache, how long it keeps what nobody pulls, how long tags
//! are fresh, and its accounts at registries. A section has its own form.

mod accounts;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, html};

use super::address;
use super::fault::{Fault, Kind};
use super::form::Form;
use super::page;
use super::parts::{crumbs, icon, tabs, token_field};
use super::problem::Problem;
use super::visitor::Visitor;
use super::words::size;
use crate::domain::commands::group::{self as edit, GroupChange};
use crate::domain::group::Group;
use crate::domain::policy;
use crate::http::api::{Authority, owner_of};

/// What the page shows beside the group.
struct Shown {
    limits: Limits,
    /// The time for which tags are fresh, as it was typed.
    freshness: String,
    account: accounts::Typed,
    problem: Option<Problem>,
    note: Option<Note>,
}

/// A note on top of the page.
struct Note {
    good: bool,
    sentence: String,
}

/// The fields of the form of limits, as they were typed.
struct Limits {
    quota: String,
    days: String,
}

/// Number of bytes of the unit of the quota.
const GB: f64 = 1e9;

/// Maximum quota that can be typed, in GB.
const MAX_QUOTA_GB: f64 = 1e9;

/// Shows the page.
pub(super) fn show(visitor: &Visitor, path: &str) -> Result<HttpResponse, Fault> {
    let group = visitor.own_group(path)?;
    let content = content(visitor, &group, &Shown::of(&group));
    Ok(page::show(&visitor.frame(), &format!("Settings of {}", group.path), &content))
}

/// Saves a section, and shows the page with what it is now.
pub(super) async fn change(form: &Form, path: &str) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let group = visitor.own_group(path)?;
    let done = match form.value("section") {
        Some("limits") => {
            let limits = Limits::typed(form, &group);
            let wanted = limits.change();
            saved(visitor, &group, wanted, |shown| Shown { limits, ..shown }).await?
        }
        Some("freshness") => {
            let freshness = form.value("freshness").map_or_else(|| freshness_of(&group), |text| text.trim().to_owned());
            let wanted = freshness_change(&freshness);
            saved(visitor, &group, wanted, |shown| Shown { freshness, ..shown }).await?
        }
        Some(section) if accounts::SECTIONS.contains(&section) => accounts::change(form, &group, section).await?,
        Some("proxy") => saved(visitor, &group, switch(form), |shown| shown).await?,
        _ => return Err(visitor.fault(Kind::Invalid("The form does not say what to save.".to_owned()))),
    };
    let (group, shown) = done;
    let status = if shown.problem.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let content = content(visitor, &group, &shown);
    Ok(page::respond(status, &visitor.frame(), &format!("Settings of {}", group.path), &content))
}

/// Saves a change of the group. Returns the group and what to show; after a problem what was `typed`.
async fn saved(
    visitor: &Visitor,
    group: &Group,
    wanted: Result<GroupChange, Problem>,
    typed: impl FnOnce(Shown) -> Shown,
) -> Result<(Group, Shown), Fault> {
    let saved = match wanted {
        Ok(change) => save(visitor, group, change).await,
        Err(problem) => Err(Ok(problem)),
    };
    match saved {
        Ok(group) => {
            let shown = Shown { note: Some(Note::good("Saved.")), ..Shown::of(&group) };
            Ok((group, shown))
        }
        Err(Err(fault)) => Err(fault),
        Err(Ok(problem)) => {
            let shown = Shown { problem: Some(problem), ..typed(Shown::of(group)) };
            Ok((group.clone(), shown))
        }
    }
}

/// Returns a field as it was typed, without white space around it.
fn typed(form: &Form, name: &str) -> String {
    form.value(name).unwrap_or_default().trim().to_owned()
}

async fn save(visitor: &Visitor, group: &Group, change: GroupChange) -> Result<Group, Result<Problem, Fault>> {
    let update = move |caller: &Authority<'_>, id| {
        edit::update(caller.directory, &caller.state.upstreams.load(), id, change, caller.user.id)
    };
    let changed = match visitor.caller.may(owner_of(group.id)) {
        Ok(own) => visitor.caller.change("group changed", own, update).await,
        Err(error) => Err(error),
    };
    changed.map_err(|error| Problem::of(&error).ok_or_else(|| visitor.refused(&error)))
}

fn switch(form: &Form) -> Result<GroupChange, Problem> {
    let unknown = || Problem::at_field("proxy", "is none of those that can be chosen");
    let proxy_enabled = match form.value("proxy") {
        Some("on") => Some(true),
        Some("off") => Some(false),
        Some("inherit") => None,
        _ => return Err(unknown()),
    };
    Ok(GroupChange { proxy_enabled: Some(proxy_enabled), ..GroupChange::default() })
}

impl Limits {
    fn of(group: &Group) -> Self {
        let quota = group.cache.max_bytes.map(|bytes| (bytes as f64 / GB).to_string()).unwrap_or_default();
        Self { quota, days: group.cache.unpulled_days.map(|days| days.to_string()).unwrap_or_default() }
    }

    /// Reads the fields. An empty one means no limit; one that is missing stays as it is.
    fn typed(form: &Form, group: &Group) -> Self {
        let present = Self::of(group);
        let typed = |name: &str| form.value(name).map(|text| text.trim().to_owned());
        Self { quota: typed("quota").unwrap_or(present.quota), days: typed("days").unwrap_or(present.days) }
    }

    fn change(&self) -> Result<GroupChange, Problem> {
        let max_cache_bytes = match self.quota.as_str() {
            "" => None,
            typed => Some(
                typed
                    .parse::<f64>()
                    .ok()
                    .filter(|gb| *gb > 0.0 && *gb <= MAX_QUOTA_GB)
                    .ok_or_else(|| Problem::at_field("quota", "is not a number of GB such as 50 or 0.5"))?,
            ),
        };
        let unpulled_days = match self.days.as_str() {
            "" => None,
            typed => Some(typed.parse::<u32>().map_err(|_| Problem::at_field("days", "is not a number of days"))?),
        };
        Ok(GroupChange {
            max_cache_bytes: Some(max_cache_bytes.map(|gb| (gb * GB).round() as u64)),
            unpulled_days: Some(unpulled_days),
            ..GroupChange::default()
        })
    }
}

fn freshness_of(group: &Group) -> String {
    group.cache.tag_freshness_seconds.map(|seconds| seconds.to_string()).unwrap_or_default()
}

fn freshness_change(typed: &str) -> Result<GroupChange, Problem> {
    let seconds = match typed {
        "" => None,
        typed => Some(typed.parse::<u32>().map_err(|_| Problem::at_field("freshness", "is not a number of seconds"))?),
    };
    Ok(GroupChange { tag_freshness_seconds: Some(seconds), ..GroupChange::default() })
}

impl Shown {
    fn of(group: &Group) -> Self {
        let account = accounts::Typed::default();
        Self { limits: Limits::of(group), freshness: freshness_of(group), account, problem: None, note: None }
    }
}

impl Note {
    fn good(sentence: &str) -> Self {
        Self { good: true, sentence: sentence.to_owned() }
    }

    fn show(&self) -> Markup {
        let (class, shape, role) = if self.good { ("good", "fresh", "status") } else { ("bad", "bad", "alert") };
        html! { div class={ "note " (class) } role=(role) { (icon(shape)) div { p { b { (self.sentence) } } } } }
    }
}

fn content(visitor: &Visitor, group: &Group, shown: &Shown) -> Markup {
    let problem = shown.problem.as_ref();
    html! {
        (crumbs(visitor, group, Some("Settings")))
        div.head { h1 { (group.path) } }
        (tabs(visitor, group, "settings"))
        @if let Some(note) = &shown.note { (note.show()) }
        @if let Some(problem) = problem { (problem.note()) }
        (proxy_form(visitor, group))
        (accounts::section(visitor, group, &shown.account, problem))
        (freshness_form(visitor, group, &shown.freshness, problem))
        (limits_form(visitor, group, &shown.limits, problem))
    }
}

fn freshness_form(visitor: &Visitor, group: &Group, typed: &str, problem: Option<&Problem>) -> Markup {
    html! {
        div.split {
            div {
                h2 { "Freshness of tags" }
                p.soft {
                    "After this time the next pull of a tag asks the registry whether it has moved. It holds for all tags
                    that this group and the groups below it pull."
                }
            }
            form.column.stack method="post" action=(action(group)) {
                (token_field(visitor))
                input type="hidden" name="section" value="freshness";
                div.field {
                    label for="freshness" { "Tags are fresh for this number of seconds" }
                    p.hint #freshness-is { "Such as 600; 0: the registry is asked at every pull. Empty: as in the group above, or the service" }
                    (Problem::at(problem, "freshness"))
                    input.short #freshness name="freshness" inputmode="numeric" value=(typed)
                        aria-invalid=[Problem::invalid(problem, "freshness")]
                        aria-describedby=[Problem::description(problem, "freshness", "freshness-is")];
                }
                button { "Save freshness" }
            }
        }
    }
}

fn action(group: &Group) -> String {
    format!("{}/settings", address::of_group(group.path.as_str()))
}

fn proxy_form(visitor: &Visitor, group: &Group) -> Markup {
    let directory = &visitor.caller.directory;
    let switched = visitor.caller.state.is_switched_on(directory);
    let above = match group.parent {
        Some(parent) => switched && policy::proxy_enabled(directory, parent),
        None => switched,
    };
    let inherited = format!("It is {} there", if above { "on" } else { "off" });
    let choices = [
        ("inherit", "As in the group above, or the service", inherited.as_str(), group.proxy_enabled.is_none()),
        ("on", "On", "Whatever the group above says", group.proxy_enabled == Some(true)),
        ("off", "Off", "Also in groups below, unless they say otherwise", group.proxy_enabled == Some(false)),
    ];
    html! {
        div.split {
            div { h2 { "Dependency proxy" } p.soft { "Off: every pull is refused with a sentence that says so. What is cached stays." } }
            form.column.stack method="post" action=(action(group)) {
                (token_field(visitor))
                input type="hidden" name="section" value="proxy";
                fieldset {
                    legend.unseen { "Dependency proxy" }
                    @for (value, label, meaning, is_chosen) in choices {
                        div.choice {
                            input type="radio" name="proxy" id={ "proxy-" (value) } value=(value) checked[is_chosen]
                                aria-describedby={ "proxy-" (value) "-is" };
                            div { label for={ "proxy-" (value) } { (label) } p.hint id={ "proxy-" (value) "-is" } { (meaning) } }
                        }
                    }
                }
                button { "Save the switch" }
            }
        }
    }
}

fn limits_form(visitor: &Visitor, group: &Group, limits: &Limits, problem: Option<&Problem>) -> Markup {
    html! {
        div.split {
            div {
                h2 { "Space and age" }
                p.soft { "Over the quota, what this group has not read for the longest time goes first. Pinned images stay." }
            }
            form.column.stack method="post" action=(action(group)) {
                (token_field(visitor))
                input type="hidden" name="section" value="limits";
                div.field {
                    label for="quota" { "Quota in GB" }
                    p.hint #quota-is {
                        "Such as 50. Empty: none but that of the whole store"
                        @if let Some(bytes) = group.cache.max_bytes { ". It is " (size(bytes)) " now" }
                    }
                    (Problem::at(problem, "quota"))
                    input.short #quota name="quota" inputmode="decimal" value=(limits.quota)
                        aria-invalid=[Problem::invalid(problem, "quota")] aria-describedby=[Problem::description(problem, "quota", "quota-is")];
                }
                div.field {
                    label for="days" { "Remove images that nobody pulled for this number of days" }
                    p.hint #days-is { "Such as 90; 0: never. Empty: as in the group above, or the service" }
                    (Problem::at(problem, "days"))
                    input.short #days name="days" inputmode="numeric" value=(limits.days)
                        aria-invalid=[Problem::invalid(problem, "days")] aria-describedby=[Problem::description(problem, "days", "days-is")];
                }
                button { "Save space and age" }
            }
        }
    }
}
