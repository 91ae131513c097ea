//! The overview for administrators: what needs attention, traffic, the store, downloads in flight, registries
//! and the queues to them.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use maud::{Markup, html};

use super::{downloads, queues, registries};
use crate::actors::images::StoreSizes;
use crate::actors::upstream_fetcher::AccountState;
use crate::domain::traffic::{Hour, TRAFFIC_HOURS, Traffic};
use crate::http::query::value_in;
use crate::http::ui::address::RELOAD;
use crate::http::ui::chart::{hit_ratio, saved};
use crate::http::ui::expiring;
use crate::http::ui::fault::Fault;
use crate::http::ui::formatting::{first_upper, number, share, size};
use crate::http::ui::icons::icon;
use crate::http::ui::page;
use crate::http::ui::parts::admin_tabs;
use crate::http::ui::visitor::Visitor;

/// Seconds between two loads of a page that reloads itself.
const RELOAD_SECONDS: &str = "5";

/// Shows the page. With `reload=5` in the query it loads itself again, so that progress is seen without a script.
pub(super) async fn show(visitor: &Visitor, query: &str) -> Result<HttpResponse, Fault> {
    let (images, reloads) = (&visitor.caller.state.images, value_in(query, RELOAD).is_some());
    let traffic = images.traffic(None, TRAFFIC_HOURS, visitor.caller.now).await.unwrap_or_default();
    let sizes = images.sizes().await.map_err(|error| visitor.refused(&error.into()))?;
    let (mut problems, running) = (images.problems().await, images.downloads().await);
    problems.extend(visitor.caller.state.accounts.problems());
    let accounts = visitor.caller.state.upstream.states().await;
    let content = html! {
        div.head { h1 { "Administration" } }
        (admin_tabs(visitor, ""))
        (attention(visitor, &problems, &accounts))
        (figures(visitor, &traffic))
        (store(&sizes))
        (downloads::section(&running, reloads))
        (registries::section(&visitor.caller, &accounts))
        (queues::section(&visitor.caller.state.upstream.queues()))
    };
    let mut response = page::show(&visitor.frame(), "Administration", &content);
    if reloads {
        let refresh = (HeaderName::from_static("refresh"), HeaderValue::from_static(RELOAD_SECONDS));
        response.headers_mut().insert(refresh.0, refresh.1);
    }
    Ok(response)
}

fn attention(visitor: &Visitor, problems: &[String], accounts: &[AccountState]) -> Markup {
    let failing: Vec<String> = accounts.iter().filter_map(registries::problem).collect();
    let is_on = visitor.caller.state.is_switched_on(&visitor.caller.directory);
    let expiring = expiring::soon(visitor, |_| true);
    html! {
        section aria-labelledby="attention" {
            h2 #attention { "Needs attention" }
            @if problems.is_empty() && failing.is_empty() && is_on && expiring.is_empty() {
                p { "Nothing needs attention." }
            } @else {
                ul.watch {
                    @if !is_on {
                        li {
                            (icon("off"))
                            p { "Pulls are switched off for the whole service: every one is refused. What is cached stays." }
                        }
                    }
                    @for problem in problems {
                        li { svg.icon.bad aria-hidden="true" { use href="#i-bad" {} } p { (first_upper(problem)) "." } }
                    }
                    @for problem in &failing {
                        li {
                            (icon("stale")) p { (problem) }
                            div.actions { a href="#registries" { "Registries" } }
                        }
                    }
                    @if !expiring.is_empty() { li { (icon("stale")) (expiring::summary(visitor, &expiring)) } }
                }
            }
        }
    }
}

fn figures(visitor: &Visitor, traffic: &[(Hour, Traffic)]) -> Markup {
    let sum = Traffic::of_all(traffic);
    html! {
        section aria-labelledby="figures" {
            h2.unseen #figures { "In figures" }
            dl.tiles {
                div { dt { "Pulls, 30 days" } dd { span.figure { (number(sum.pulls())) } " of manifests" } }
                div { dt { "Saved in 30 days" } dd { (saved(traffic)) } }
                div {
                    dt { "Groups" }
                    dd {
                        span.figure { (number(visitor.caller.directory.groups().count() as u64)) } " a "
                        a href="/-/admin/groups" { "cache" } " each"
                    }
                }
                div.wide { dt { "Hit ratio, 24 hours" } (hit_ratio(traffic, visitor.caller.now)) }
            }
        }
    }
}

fn store(sizes: &StoreSizes) -> Markup {
    let StoreSizes { stored, max_bytes, free_bytes } = sizes;
    let used = max_bytes.map(|max| share(stored.bytes, max));
    html! {
        section aria-labelledby="store" {
            div.head {
                h2 #store { "Store" }
                span.soft {
                    (size(stored.bytes))
                    @if let (Some(max), Some(used)) = (max_bytes, used) { " of " (size(*max)) ", " (used) " %" }
                }
            }
            @if let Some(used) = used {
                svg.share.thick aria-hidden="true" { rect x="0%" width={ (used) "%" } height="100%" {} }
            }
            p.hint {
                (number(stored.blobs)) " blobs and " (number(stored.manifests)) " manifests, each once, whoever pulled
                it. A full store is its normal state: what was read longest ago and is cheapest to fetch again makes
                room. " (size(*free_bytes)) " are free on its file system."
            }
        }
    }
}
