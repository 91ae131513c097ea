//! The form for a new group: administrators make groups at the top, owners of a group those below it.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use super::fault::Fault;
use super::fields::{Choice, Field, FieldKind};
use super::form::Form;
use super::group_choice::{self, parents};
use super::parts::typed_form;
use super::problem::Problem;
use super::visitor::Visitor;
use super::{address, page};
use crate::domain::commands::group::NewGroup;
use crate::domain::group::{Group, Visibility};
use crate::http::api::{ApiError, Faults, groups};
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

/// The choices of who can pull.
const VISIBILITIES: [&str; 2] = ["private", "public"];

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
    // Without the field, nobody else can pull.
    let visibility = form.value("visibility").map_or(Ok("private"), |_| form.choice("visibility", &VISIBILITIES));
    let public = visibility.as_ref().is_ok_and(|chosen| *chosen == "public");
    let (parent, path) = (text("parent"), text("path"));
    let typed = Typed { parent, path, name: text("name"), description: text("description"), public };
    match typed.create(visitor, visibility.map(drop)).await {
        Ok(group) => Ok(visitor.done("The group was created.", &address::of_group(group.path.as_str())).await),
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

impl Typed {
    async fn create(&self, visitor: &Visitor, visibility: Result<(), ApiError>) -> Result<Group, ApiError> {
        let invalid = |field, reason: &str| ApiError::Invalid { field, reason: reason.to_owned() };
        let mut faults = Faults::default();
        let above = faults.take(group_choice::chosen(visitor, &self.parent)).flatten();
        if self.path.is_empty() {
            faults.take::<()>(Err(invalid("path", "is missing")));
        }
        faults.take(visibility);
        faults.none()?;
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
        p.soft {
            "A group caches for itself. Its path is a part of the names by which its members pull."
        }
        @if let Some(problem) = problem { (problem.note()) }
        form.stack method="post" action=(ADDRESS) {
            (typed_form(visitor))
            (group_choice::field(visitor, &typed.parent, None, problem))
            (Field::new("path", "Path").kind(FieldKind::Identifier).required().value(&typed.path)
                .hint("Small letters and digits, between them “.”, “_” or “-”").show(problem))
            (Field::new("name", "Name").hint("Empty: the path").value(&typed.name).show(problem))
            (Field::new("description", "Description").value(&typed.description).show(problem))
            (visibility(typed))
            div.actions { button.primary { "Create the group" } a href="/" { "Cancel" } }
        }
    }
}

fn visibility(typed: &Typed) -> Markup {
    let choice = |value, label| Choice::radio("visibility", value, label).chosen(typed.public == (value == "public"));
    html! {
        fieldset {
            legend { "Who can pull" }
            (choice("private", "Members").show("Others cannot see that the group exists."))
            (choice("public", "Also others")
                .show("Those that the service admits to public groups (auth.public_groups)."))
        }
    }
}
