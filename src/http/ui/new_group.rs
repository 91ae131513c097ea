//! The form for a new group: administrators make groups at the top, owners of a group those below it.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use super::fault::Fault;
use super::form::Form;
use super::parts::token_field;
use super::problem::Problem;
use super::visitor::Visitor;
use super::{address, page};
use crate::domain::access::AccessLevel;
use crate::domain::commands::group::NewGroup;
use crate::domain::group::{Group, Visibility};
use crate::http::api::{ApiError, groups};
use crate::http::query::value_in;

/// The fields of the form, as they were typed.
#[derive(Default)]
struct Typed {
    parent: String,
    path: String,
    name: String,
    description: String,
    public: bool,
}

/// Address of the form.
pub(super) const ADDRESS: &str = "/-/groups/new";

/// Handles `GET /-/groups/new`. `parent` in the query is the path of the group above.
pub(super) async fn show(request: HttpRequest, visitor: Visitor) -> Result<HttpResponse, Fault> {
    if !may_make(&visitor) {
        return Err(visitor.no_such_page());
    }
    let typed = Typed { parent: value_in(request.query_string(), "parent").unwrap_or_default(), ..Typed::default() };
    Ok(page::show(&visitor.frame(), "New group", &content(&visitor, &typed, None)))
}

/// Handles `POST /-/groups/new`.
pub(super) async fn create(form: Form) -> Result<HttpResponse, Fault> {
    let visitor = &form.visitor;
    if !may_make(visitor) {
        return Err(visitor.no_such_page());
    }
    let text = |name: &str| form.value(name).unwrap_or_default().trim().to_owned();
    let public = form.value("visibility") == Some("public");
    let (parent, path) = (text("parent"), text("path"));
    let typed = Typed { parent, path, name: text("name"), description: text("description"), public };
    match typed.create(visitor).await {
        Ok(group) => Ok(visitor.done("The group was created.", &address::of_group(group.path.as_str()))),
        Err(error) => {
            let problem = Problem::of(&error).ok_or_else(|| visitor.refused(&error))?;
            let content = content(visitor, &typed, Some(&problem));
            Ok(page::respond(StatusCode::BAD_REQUEST, &visitor.frame(), "New group", &content))
        }
    }
}

/// Returns true if there is a place at which this visitor may make a group.
pub(super) fn may_make(visitor: &Visitor) -> bool {
    visitor.caller.user.admin || parents(visitor).next().is_some()
}

/// Returns the groups below which the visitor may make one.
fn parents(visitor: &Visitor) -> impl Iterator<Item = &Group> {
    let groups = visitor.caller.directory.groups();
    groups.filter(|group| visitor.authority().level(group.id) >= Some(AccessLevel::Owner)).map(AsRef::as_ref)
}

impl Typed {
    async fn create(&self, visitor: &Visitor) -> Result<Group, ApiError> {
        let invalid = |field, reason: &str| ApiError::Invalid { field, reason: reason.to_owned() };
        let above = parents(visitor).find(|group| group.path.as_str() == self.parent).map(|group| group.id);
        if above.is_none() && !self.parent.is_empty() {
            return Err(invalid("parent", "is no group that you own"));
        }
        if self.path.is_empty() {
            return Err(invalid("path", "is missing"));
        }
        let new = NewGroup {
            name: if self.name.is_empty() { self.path.clone() } else { self.name.clone() },
            path: self.path.clone(),
            description: self.description.clone(),
            parent: above,
            visibility: Some(if self.public { Visibility::Public } else { Visibility::Private }),
            creator: visitor.caller.user.id,
        };
        groups::make(&visitor.caller, new).await
    }
}

fn content(visitor: &Visitor, typed: &Typed, problem: Option<&Problem>) -> Markup {
    html! {
        h1 { "New group" }
        p.soft { "A group caches for itself. Its path is a part of the names by which its members pull, and can be changed later." }
        @if let Some(problem) = problem { (problem.note()) }
        form.stack method="post" action=(ADDRESS) {
            (token_field(visitor))
            (place(visitor, typed, problem))
            div.field {
                label for="path" { "Path" }
                p.hint #path-is { "Small letters and digits, between them “.”, “_” or “-”" }
                (Problem::at(problem, "path"))
                input #path name="path" autocomplete="off" autocapitalize="none" spellcheck="false" required value=(typed.path)
                    aria-invalid=[Problem::invalid(problem, "path")] aria-describedby=[Problem::description(problem, "path", "path-is")];
            }
            div.field {
                label for="name" { "Name" }
                p.hint #name-is { "Empty: the path" }
                (Problem::at(problem, "name"))
                input #name name="name" autocomplete="off" value=(typed.name)
                    aria-invalid=[Problem::invalid(problem, "name")] aria-describedby=[Problem::description(problem, "name", "name-is")];
            }
            div.field {
                label for="description" { "Description" }
                (Problem::at(problem, "description"))
                input #description name="description" autocomplete="off" value=(typed.description)
                    aria-invalid=[Problem::invalid(problem, "description")] aria-describedby=[Problem::description(problem, "description", "")];
            }
            (visibility(typed))
            div.actions { button.primary { "Create the group" } a href="/" { "Cancel" } }
        }
    }
}

fn place(visitor: &Visitor, typed: &Typed, problem: Option<&Problem>) -> Markup {
    html! {
        div.field {
            label for="parent" { "Below" }
            p.hint #parent-is { "Members of a group above are members of this one, too" }
            (Problem::at(problem, "parent"))
            select #parent name="parent" aria-invalid=[Problem::invalid(problem, "parent")]
                aria-describedby=[Problem::description(problem, "parent", "parent-is")] {
                @if visitor.caller.user.admin { option value="" { "No other group" } }
                @for group in parents(visitor) {
                    option value=(group.path) selected[group.path.as_str() == typed.parent] { (group.path) }
                }
            }
        }
    }
}

fn visibility(typed: &Typed) -> Markup {
    let choice = |value: &str, is_chosen: bool, label: &str, meaning: &str| {
        html! {
            div.choice {
                input type="radio" name="visibility" id={ "visibility-" (value) } value=(value) checked[is_chosen]
                    aria-describedby={ "visibility-" (value) "-is" };
                div { label for={ "visibility-" (value) } { (label) } p.hint id={ "visibility-" (value) "-is" } { (meaning) } }
            }
        }
    };
    html! {
        fieldset {
            legend { "Who can pull" }
            (choice("private", !typed.public, "Members", "Others cannot see that the group exists."))
            (choice("public", typed.public, "Also others", "Those that the service admits to public groups (auth.public_groups)."))
        }
    }
}
