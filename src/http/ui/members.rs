//! The members of a group: who can pull from it, and the group from which they have that right. Its owners add, change
//! and remove them.

mod list;

use std::sync::Arc;

use actix_web::HttpResponse;
use maud::{Markup, html};

use self::list::{end_field, list, role_field};
use super::address;
use super::fault::{Fault, Kind};
use super::form::Form;
use super::formatting::{day_text, parsed_day};
use super::page;
use super::pages::Part;
use super::parts::{crumbs_below, token_field, typed_form};
use super::problem::Problem;
use super::roles;
use super::seen;
use super::visitor::Visitor;
use crate::domain::access::Membership;
use crate::domain::commands::member::{self as edit, MemberChange, NewMember};
use crate::domain::commands::seen::{Seen, SeenValue};
use crate::domain::group::Group;
use crate::domain::id::UserId;
use crate::http::api::{ApiError, Authority, Faults, owner_of};

/// A page about the members of a group, by the rest of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MembersPage {
    /// The list, with the form for a new one.
    List,
    /// The form that changes one.
    Change(UserId),
    /// The confirmation before one is removed.
    Remove(UserId),
}

/// The fields of a form about a member, as they were typed.
#[derive(Default)]
struct Typed {
    username: String,
    level: String,
    expires_at: String,
}

impl MembersPage {
    /// Returns the page with this rest of an address, such as `/12/remove`.
    pub(super) fn parse(rest: &str) -> Option<Self> {
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.get(1..)? {
            _ if !parts[0].is_empty() => None,
            [] => Some(Self::List),
            [id, "change"] => Some(Self::Change(UserId(id.parse().ok()?))),
            [id, "remove"] => Some(Self::Remove(UserId(id.parse().ok()?))),
            _ => None,
        }
    }
}

/// Shows a page.
pub(super) async fn show(visitor: &Visitor, path: &str, page: MembersPage, query: &str) -> Result<HttpResponse, Fault> {
    let group = visitor.group(path)?;
    let typed = Typed { level: "30".to_owned(), ..Typed::default() };
    let content = match page {
        MembersPage::List => list(visitor, &group, &Part::of(query), &typed, None).await,
        MembersPage::Change(user) => {
            visitor.own_group(path)?;
            let member = find(visitor, &group, user)?;
            let end = member.expires_at.map(day_text).unwrap_or_default();
            let typed = Typed { level: u8::from(member.level).to_string(), expires_at: end, ..Typed::default() };
            change_form(visitor, &group, &member, &typed, None)
        }
        MembersPage::Remove(user) => {
            visitor.own_group(path)?;
            removal(visitor, &group, &*find(visitor, &group, user)?)
        }
    };
    Ok(page::show(&visitor.frame(), &format!("Members of {}", group.path), &content))
}

/// Carries out the form of a page, and redirects to the list. A form that is refused is shown again.
pub(super) async fn change(form: &Form, path: &str, page: MembersPage) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    let group = visitor.own_group(path)?;
    let text = |name: &str| form.value(name).unwrap_or_default().trim().to_owned();
    let typed = Typed { username: text("username"), level: text("access_level"), expires_at: text("expires_at") };
    if let MembersPage::Change(user) | MembersPage::Remove(user) = page {
        find(visitor, &group, user)?;
    }
    if let MembersPage::Change(_) = page {
        // An empty field means no end, one that is missing does not.
        form.present("expires_at").map_err(|error| visitor.refused(&error))?;
    }
    let changed = match page {
        MembersPage::List => typed.add(visitor, &group).await,
        MembersPage::Change(user) => typed.change(visitor, &group, user, seen::of(form)).await,
        MembersPage::Remove(user) => remove(visitor, &group, user).await,
    };
    let done = match page {
        MembersPage::List => "The member was added.",
        MembersPage::Change(_) => "The role was saved.",
        MembersPage::Remove(_) => "The member was removed.",
    };
    let Err(error) = changed else { return Ok(visitor.done(done, &address_of(&group)).await) };
    let problem = Problem::of(&error).ok_or_else(|| visitor.refused(&error))?;
    let content = match page {
        MembersPage::List | MembersPage::Remove(_) => {
            list(visitor, &group, &Part::default(), &typed, Some(&problem)).await
        }
        MembersPage::Change(user) => {
            // As it is now: somebody else may have changed it since the head of the request arrived.
            let directory = visitor.caller.state.identities.directory();
            let present = directory.membership(group.id, user).ok_or_else(|| visitor.fault(Kind::NoPage))?;
            change_form(visitor, &group, present, &typed, Some(&problem))
        }
    };
    Ok(page::respond(problem.status(), &visitor.frame(), &format!("Members of {}", group.path), &content))
}

impl Typed {
    async fn add(&self, visitor: &Visitor, group: &Group) -> Result<(), ApiError> {
        let known = visitor.caller.directory.user_named(&self.username).map(|user| user.id);
        let reason = || "belongs to nobody here. An administrator creates users".to_owned();
        let mut faults = Faults::default();
        let user = faults.take(known.ok_or_else(|| ApiError::Invalid { field: "username", reason: reason() }));
        let (level, expires_at) = (faults.take(roles::chosen(&self.level)), faults.take(self.end()));
        let (Some(user), Some(level), Some(expires_at)) = (user, level, expires_at) else { return Err(faults.into()) };
        let add = move |caller: &Authority<'_>, group| {
            edit::add(caller.directory, NewMember { group, user, level, expires_at }, &caller.terms())
        };
        let own = visitor.caller.may(owner_of(group.id))?;
        visitor.caller.change("member added", own, add).await.map(drop)
    }

    async fn change(&self, visitor: &Visitor, group: &Group, user: UserId, seen: Seen) -> Result<(), ApiError> {
        let mut faults = Faults::default();
        let change =
            MemberChange { level: faults.take(roles::chosen(&self.level)), expires_at: faults.take(self.end()) };
        faults.none()?;
        let update = move |caller: &Authority<'_>, group| {
            let present = caller.directory.membership(group, user).map(|member| values(member)).unwrap_or_default();
            let updated = edit::update(caller.directory, group, user, change, &caller.terms());
            seen.unchanged(present, updated, values)
        };
        let own = visitor.caller.may(owner_of(group.id))?;
        visitor.caller.change("member changed", own, update).await.map(drop)
    }

    fn end(&self) -> Result<Option<jiff::Timestamp>, ApiError> {
        let invalid = |reason: String| ApiError::Invalid { field: "expires_at", reason };
        let end = parsed_day(&self.expires_at).map_err(|error| invalid(error.to_string()))?;
        if end.is_some_and(|end| end <= jiff::Timestamp::now()) {
            return Err(invalid("must be a day after today, by UTC".to_owned()));
        }
        Ok(end)
    }
}

/// Returns what the form of a membership shows of it.
fn values(member: &Membership) -> Vec<SeenValue> {
    let end = member.expires_at.map(day_text).unwrap_or_default();
    vec![SeenValue::of("access_level", member.level.name()), SeenValue::of("expires_at", end)]
}

async fn remove(visitor: &Visitor, group: &Group, user: UserId) -> Result<(), ApiError> {
    let remove = move |caller: &Authority<'_>, group| edit::remove(caller.directory, group, user, caller.now);
    let own = visitor.caller.may(owner_of(group.id))?;
    visitor.caller.change("member removed", own, remove).await
}

fn find(visitor: &Visitor, group: &Group, user: UserId) -> Result<Arc<Membership>, Fault> {
    let directory = &visitor.caller.directory;
    // Bots come and go with their tokens.
    let is_person = directory.user(user).is_some_and(|user| user.bot_of.is_none());
    let found = directory.membership(group.id, user).filter(|_| is_person).cloned();
    found.ok_or_else(|| visitor.fault(Kind::NoPage))
}

fn address_of(group: &Group) -> String {
    format!("{}/members", address::of_group(group.path.as_str()))
}

fn name_of(visitor: &Visitor, member: &Membership) -> String {
    visitor.caller.directory.user(member.user).map(|user| user.username.to_string()).unwrap_or_default()
}

fn change_form(
    visitor: &Visitor,
    group: &Group,
    member: &Membership,
    typed: &Typed,
    problem: Option<&Problem>,
) -> Markup {
    let name = name_of(visitor, member);
    html! {
        (crumbs_below(visitor, group, Some(("Members", &address_of(group))), Some(&name)))
        h1 { "Role of " (name) " in " (group.path) }
        @if let Some(problem) = problem { (problem.note()) }
        form.stack method="post" action={ (address_of(group)) "/" (member.user.0) "/change" } {
            (typed_form(visitor))
            (seen::field(&values(member)))
            (role_field(typed, problem))
            (end_field(typed, problem))
            div.actions { button.primary { "Save the role" } a href=(address_of(group)) { "Cancel" } }
        }
    }
}

fn removal(visitor: &Visitor, group: &Group, member: &Membership) -> Markup {
    let name = name_of(visitor, member);
    html! {
        (crumbs_below(visitor, group, Some(("Members", &address_of(group))), Some(&name)))
        h1 { "Remove " (name) " from " (group.path) "?" }
        section aria-labelledby="then" {
            h2.unseen #then { "What happens" }
            dl.facts {
                dt { "At once" }
                dd {
                    (name) " can pull neither from " (group.path) " nor from the groups below it, also with tokens,
                    unless a membership in another of these groups allows it."
                }
                dt { "Stays" } dd { "The user, the tokens of the group, and what is cached" }
            }
            form method="post" action={ (address_of(group)) "/" (member.user.0) "/remove" } {
                (token_field(visitor))
                div.actions { button.danger { "Remove " (name) } a href=(address_of(group)) { "Keep " (name) } }
            }
        }
    }
}
