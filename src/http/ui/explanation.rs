//! The page that explains whether somebody may pull an image through a group, and why: for its owners, about its
//! members and tokens; for administrators, about anybody.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, html};

use super::address;
use super::fault::Fault;
use super::fields::{Field, FieldKind};
use super::icons::icon;
use super::image_row::state;
use super::page;
use super::parts::crumbs;
use super::problem::Problem;
use super::visitor::Visitor;
use crate::domain::group::Group;
use crate::http::api::ApiError;
use crate::http::api::explanation::{self, ExplainedImage, Explanation, Revalidation};
use crate::http::query::value_in;

/// Shows the page: the form, and the explanation if the query of the address names somebody.
pub(super) async fn show(visitor: &Visitor, path: &str, query: &str) -> Result<HttpResponse, Fault> {
    let group = visitor.own_group(path)?;
    let value = |name: &str| value_in(query, name).unwrap_or_default().trim().to_owned();
    let (user, image) = (value("user"), value("image"));
    let asked = if user.is_empty() {
        None
    } else {
        Some(explanation::of(&visitor.caller, group.id, &user, Some(&image)).await)
    };
    let (status, problem, answer) = match asked {
        None => (StatusCode::OK, None, None),
        Some(Ok(found)) => (StatusCode::OK, None, Some(found)),
        Some(Err(error)) => (StatusCode::BAD_REQUEST, Some(problem(visitor, &error)?), None),
    };
    let content = html! {
        (crumbs(visitor, &group, Some("Explain")))
        h1 { "Who may pull from " (group.path) "?" }
        @if let Some(problem) = &problem { (problem.note()) }
        (form(&group, (&user, &image), problem.as_ref()))
        @if let Some(answer) = &answer { (shown(visitor, &group, &user, answer)) }
    };
    Ok(page::respond(status, &visitor.frame(), &format!("Who may pull from {}", group.path), &content))
}

fn problem(visitor: &Visitor, error: &ApiError) -> Result<Problem, Fault> {
    if let ApiError::NotFound(_) = error {
        let reason = if visitor.caller.user.admin {
            "belongs to nobody here"
        } else {
            "belongs neither to a member nor to a token of this group"
        };
        return Ok(Problem::at_field("user", reason));
    }
    Problem::of(error).ok_or_else(|| visitor.refused(error))
}

fn form(group: &Group, (user, image): (&str, &str), problem: Option<&Problem>) -> Markup {
    html! {
        form.inline action={ (address::of_group(group.path.as_str())) "/explain" } {
            (Field::new("user", "User name").kind(FieldKind::Identifier).required().value(user)
                .hint("Of a person, or of a deploy token").show(problem))
            (Field::new("image", "Image").kind(FieldKind::Identifier).value(image).class("grow")
                .hint("Such as postgres:17. May be left empty").show(problem))
            button.primary { "Explain" }
        }
    }
}

fn shown(visitor: &Visitor, group: &Group, user: &str, answer: &Explanation) -> Markup {
    let verdict = if answer.allowed { "may pull" } else { "may not pull" };
    html! {
        section aria-labelledby="answer" {
            h2 #answer { (user) " " (verdict) " from " (group.path) }
            ul.watch {
                @for step in &answer.steps {
                    li {
                        @if step.holds {
                            svg.icon.good aria-hidden="true" { use href="#i-fresh" {} }
                        } @else {
                            (icon("bad"))
                        }
                        p { span.unseen { @if step.holds { "Allowed: " } @else { "Refused: " } } (step.sentence) "." }
                    }
                }
            }
        }
        @if let Some(image) = &answer.image { (of_image(visitor, group, image)) }
    }
}

fn of_image(visitor: &Visitor, group: &Group, image: &ExplainedImage) -> Markup {
    let account = image.origin.account.username();
    html! {
        section aria-labelledby="image-title" {
            h2 #image-title { (image.name) }
            dl.facts {
                dt { "Registry" } dd { (image.origin.upstream) }
                dt { "Fetched as" }
                dd {
                    @if account.is_empty() { "nobody: without an account" } @else { (account) }
                    @match &image.account_group {
                        Some(holder) if *holder == group.path.as_str() => ", the account of this group",
                        Some(holder) => { ", the account of " (holder) ", which this group inherits" }
                        None => { @if !account.is_empty() { ", an account of the service" } }
                    }
                }
                dt { "Confirmed by the registry" }
                dd { (of_revalidation(image)) }
                dt { "Cached" }
                dd {
                    @match &image.cached {
                        Some(cached) => {
                            (state(visitor, group, cached))
                            @if let Some(tag) = image.tag_of_digest() { span.under { "by the tag " (tag) } }
                        }
                        None => "no: a pull needs the registry",
                    }
                }
            }
        }
    }
}

fn of_revalidation(image: &ExplainedImage) -> Markup {
    html! {
        @match image.revalidation {
            Revalidation::Offline => "never again: the service is offline",
            Revalidation::After(seconds) => {
                "again at "
                @if seconds == 0 { "every pull" }
                @else { "the first pull that is " (seconds) " s after the last confirmation" }
                @if let Some(chooser) = &image.fresh_group { ", as " (chooser) " has chosen" }
            },
            Revalidation::Needless => "never again: a digest always refers to the same content",
        }
    }
}
