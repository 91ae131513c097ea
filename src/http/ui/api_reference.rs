//! `/-/api`: the endpoints of the API, for people. Everyone may read it: it shows nothing of this service but its
//! version.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use super::page::{self, Frame};
use super::table::{self, Column};
use super::visitor::Visitor;
use crate::http::api::ApiState;
use crate::http::api::reference::{ListedEndpoint, ListedParameter, ListedSection, sections};

/// Address of the page.
pub(super) const ADDRESS: &str = "/-/api";

/// Handles `GET /-/api`.
pub(super) async fn show(request: HttpRequest, state: Data<ApiState>) -> HttpResponse {
    let frame = match Visitor::of(&request).await {
        Ok(visitor) => visitor.frame(),
        Err(_) => Frame::of_nobody(state.public_url.host(&request)),
    };
    let sections = sections();
    let content = html! {
        h1 { "API" }
        p.soft {
            "The calls are those of GitLab's REST API, as far as this service has them, so that its clients work. Send a token "
            "in the header " code { "PRIVATE-TOKEN" } ". Parameters are in the query of GET and DELETE, and in a form or a "
            "JSON object in the body of POST and PUT. " a href="/api/openapi.json" { "The description for programs" }
            " is OpenAPI 3.1."
        }
        nav aria-label="Subjects" {
            p {
                @for (number, section) in sections.iter().enumerate() {
                    @if number > 0 { " · " }
                    a href={ "#" (id(section)) } { (section.title) }
                }
            }
        }
        @for one in sections { (section(one)) }
    };
    page::show(&frame, "API", &content)
}

fn section(section: &ListedSection) -> Markup {
    html! {
        section aria-labelledby=(id(section)) {
            h2 #(id(section)) { (section.title) }
            @for one in &section.endpoints { (endpoint(one)) }
        }
    }
}

fn endpoint(endpoint: &ListedEndpoint) -> Markup {
    let statuses: Vec<String> = endpoint.statuses.iter().map(u16::to_string).collect();
    html! {
        details.fold {
            summary { code { b { (endpoint.method) } " " (endpoint.path) } " " span.soft { (endpoint.summary) } }
            p { "For " (endpoint.access) ". Responds with " (statuses.join(", ")) "." }
            @if !endpoint.parameters.is_empty() { (parameters(&endpoint.parameters)) }
        }
    }
}

fn parameters(parameters: &[ListedParameter]) -> Markup {
    html! {
        (table::show("Parameters", &["Parameter", "Contains", "Meaning"].map(Column::new), html! {
            @for one in parameters {
                tr role="row" {
                    th role="rowheader" scope="row" {
                        code { (one.name) } @if one.required { span.under { "required" } }
                    }
                    td role="cell" data-label="Contains" { (one.kind) }
                    td.across role="cell" data-label="Meaning" { (one.meaning) }
                }
            }
        }))
    }
}

/// Returns the identifier of a section within the page.
fn id(section: &ListedSection) -> String {
    section.title.to_ascii_lowercase().replace(' ', "-")
}
