//! The list of the members of a group, and the fields of the forms about one.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};

use super::{Typed, address_of};
use crate::domain::access::{AccessLevel, Membership};
use crate::domain::group::Group;
use crate::domain::policy;
use crate::http::ui::address;
use crate::http::ui::fields::{Field, FieldKind};
use crate::http::ui::formatting::day;
use crate::http::ui::icons::icon;
use crate::http::ui::pages::Part;
use crate::http::ui::parts::{top, typed_form};
use crate::http::ui::problem::Problem;
use crate::http::ui::roles;
use crate::http::ui::table::{self, Column};
use crate::http::ui::visitor::Visitor;

/// Shows the list, for owners with the form for a new member.
pub(super) async fn list(
    visitor: &Visitor,
    group: &Group,
    part: &Part,
    typed: &Typed,
    problem: Option<&Problem>,
) -> Markup {
    let mut people: Vec<_> = people(visitor, group).into_iter().collect();
    let (total, base) = (people.len(), address_of(group));
    people.retain(|(name, _)| name.to_lowercase().contains(&part.search));
    html! {
        (top(visitor, group, "Members", "members").await)
        @if let Some(problem) = problem { (problem.note()) }
        @if visitor.owns(group) { (add_form(visitor, group, typed, problem)) }
        section aria-labelledby="list" {
            h2 #list { "Who can pull from " (group.path) }
            (part.search_form(&base, "User name", total))
            @if people.is_empty() && !part.search.is_empty() {
                p { "No member has " b { (part.search) } " in the name. " a href=(base) { "Show all members" } }
            }
            (table::show("Members", &[
                Column::main("User").sorted(Some("ascending")),
                Column::new("Role"),
                Column::new("Member of"),
                Column::new("Since"),
                Column::new("Ends"),
                Column::actions(),
            ], html! { @for (name, member) in part.of_all(&people) { (row(visitor, group, name, member)) } }))
            (part.links(&base, people.len(), "members"))
            p.hint {
                "Administrators can pull from every group. "
                @if visitor.owns(group) {
                    a href={ (address::of_group(group.path.as_str())) "/explain" } {
                        "Explain whether somebody may pull, and why"
                    }
                }
                @if !visitor.owns(group) { "Owners of the group can add and remove members." }
            }
        }
    }
}

/// Returns the people who are members of a group or of those above it, by name, each with the highest membership.
fn people(visitor: &Visitor, group: &Group) -> BTreeMap<String, Arc<Membership>> {
    let directory = &visitor.caller.directory;
    let members = policy::members(directory, group.id, visitor.caller.now).into_values();
    let person = |member: Arc<Membership>| {
        let user = directory.user(member.user).filter(|user| user.bot_of.is_none())?;
        Some((user.username.to_string(), member))
    };
    members.filter_map(person).collect()
}

fn row(visitor: &Visitor, group: &Group, name: &str, member: &Membership) -> Markup {
    let directory = &visitor.caller.directory;
    let is_here = member.group == group.id;
    let above = directory.group(member.group).filter(|_| !is_here);
    let is_blocked = directory.user(member.user).is_some_and(|user| user.blocked);
    let id = format!("menu-{}", member.user.0);
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                b { (name) }
                @if member.user == visitor.caller.user.id { " " span.badge { "You" } }
                @if is_blocked { " " span.badge { "Blocked" } }
            }
            td role="cell" data-label="Role" {
                (member.level.name())
                @if member.level == AccessLevel::Owner { span.under { "may change it, too" } }
            }
            td.two role="cell" data-label="Member of" {
                @match above {
                    Some(above) if visitor.authority().level(above.id).is_some() => {
                        a href=(address_of(above)) { (above.path) } ", above this one"
                    },
                    Some(above) => { (above.path) ", above this one" },
                    None => { "this group" },
                }
            }
            td role="cell" data-label="Since" { (day(member.created_at)) }
            td role="cell" data-label="Ends" { @match member.expires_at { Some(at) => (day(at)), None => "Never" } }
            td.act role="cell" {
                @if visitor.owns(group) && is_here {
                    button.tiny.dots type="button" popovertarget=(id) aria-label={ "Actions for " (name) }
                        title="Actions" { (icon("dots")) }
                    div.menu id=(id) popover {
                        p { (name) }
                        a href={ (address_of(group)) "/" (member.user.0) "/change" } { "Change role or end…" }
                        a.bad href={ (address_of(group)) "/" (member.user.0) "/remove" } { "Remove…" }
                    }
                }
            }
        }
    }
}

fn add_form(visitor: &Visitor, group: &Group, typed: &Typed, problem: Option<&Problem>) -> Markup {
    html! {
        section aria-labelledby="add" {
            h2 #add { "Add a member" }
            form.inline method="post" action=(address_of(group)) {
                (typed_form(visitor))
                (Field::new("username", "User name").kind(FieldKind::Identifier).required().value(&typed.username)
                    .class("grow")
                    .show(problem))
                (role_field(typed, problem))
                (end_field(typed, problem))
                button.primary { "Add the member" }
            }
            p.hint {
                "All roles but Owner may do the same here: pull. They are GitLab’s, so that its clients work
                unchanged. Members can pull from the groups below, too."
            }
        }
    }
}

/// Shows the choice of a role.
pub(super) fn role_field(typed: &Typed, problem: Option<&Problem>) -> Markup {
    Field::new("access_level", "Role").short().of_options(problem, roles::options(&typed.level))
}

/// Shows the field for the end of a membership.
pub(super) fn end_field(typed: &Typed, problem: Option<&Problem>) -> Markup {
    let field = Field::new("expires_at", "Ends on, if ever").kind(FieldKind::Day("")).short();
    field.value(&typed.expires_at).show(problem)
}
