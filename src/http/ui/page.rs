//! The frame of every page: head, bar with the user's menu, content, foot; and the headers of its response.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::address::NavItem;
use super::assets::{ICON, SCRIPT, STYLE};
use super::icons::{ICONS, icon};

/// The frame of a page: what is around its content.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The host and port of this service.
    pub(super) host: String,
    /// The time of the request.
    pub(super) at: Timestamp,
    /// The user; `None`: nobody is signed in.
    pub(super) user: Option<SignedIn>,
    /// The result of the form before this page, as a sentence.
    pub(super) done: Option<String>,
}

impl Frame {
    /// Returns the frame of a page for nobody in particular.
    pub(super) fn of_nobody(host: String) -> Self {
        Self { host, at: Timestamp::now(), user: None, done: None }
    }
}

/// The user of a page.
#[derive(Clone, Debug)]
pub(super) struct SignedIn {
    /// The user name.
    pub(super) username: String,
    /// True for an administrator.
    pub(super) admin: bool,
    /// A token for the form that signs out.
    pub(super) form_token: String,
    /// The item of the navigation to which the page belongs, if it belongs to one.
    pub(super) present: Option<NavItem>,
}

/// The policy for what a page may load: the console's own files, and nothing inline (Content Security Policy Level 3).
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// Name of the field with the session's token, which every form of a session has.
pub(super) const TOKEN_FIELD: &str = "csrf";

/// Returns a page with this title and content.
pub(super) fn show(frame: &Frame, title: &str, content: &Markup) -> HttpResponse {
    respond(StatusCode::OK, frame, title, content)
}

/// Works as [`show`], with another status.
pub(super) fn respond(status: StatusCode, frame: &Frame, title: &str, content: &Markup) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((X_FRAME_OPTIONS, "DENY"))
        .insert_header((REFERRER_POLICY, "same-origin"))
        // Pages show what only their user may see.
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(whole(frame, title, content).into_string())
}

fn whole(frame: &Frame, title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) @if !frame.host.is_empty() { " · " (frame.host) } }
                link rel="icon" href=(ICON.address);
                link rel="stylesheet" href=(STYLE.address);
                script src=(SCRIPT.address) defer {}
            }
            body {
                (PreEscaped(ICONS))
                a.skip href="#main" { "Skip to the content" }
                (bar(frame))
                main #main {
                    @if let Some(done) = &frame.done {
                        div.note.good role="status" { (icon("fresh")) div { p { b { (done) } } } }
                    }
                    (content)
                }
                (foot(frame))
                p.unseen #said role="status" {}
            }
        }
    }
}

fn bar(frame: &Frame) -> Markup {
    html! {
        header.bar {
            div.top {
                a.mark href="/" {
                    svg aria-hidden="true" { use href="#i-mark" {} }
                    // The text is hidden in a narrow window, so the link has a name of its own.
                    @if frame.user.is_some() {
                        span.word { (frame.host) } span.unseen { ", your groups" }
                    } @else {
                        // A page that fails before the host is known has a name, too.
                        span { @if frame.host.is_empty() { "dependency-proxy" } @else { (frame.host) } }
                    }
                }
                @if let Some(SignedIn { username, admin, form_token, present }) = &frame.user {
                    nav aria-label="Main" {
                        (item(NavItem::Groups, *present))
                        @if *admin { (item(NavItem::Admin, *present)) }
                    }
                    button.plain type="button" popovertarget="menu-you" { (username) " " (icon("down")) }
                    div.menu #menu-you popover {
                        p { "Signed in as " (username) }
                        a href="/-/account" { "Your tokens and password" }
                        form method="post" action="/-/sign-out" {
                            input type="hidden" name=(TOKEN_FIELD) value=(form_token);
                            button { "Sign out" }
                        }
                    }
                }
            }
        }
    }
}

fn item(item: NavItem, present: Option<NavItem>) -> Markup {
    html! { a href=(item.address()) aria-current=[(present == Some(item)).then_some("true")] { (item.label()) } }
}

fn foot(frame: &Frame) -> Markup {
    html! {
        footer {
            div.foot {
                span { "dependency-proxy " (env!("CARGO_PKG_VERSION")) " · " a href="/-/api" { "API" } }
                span { "As of " (frame.at.strftime("%H:%M:%S UTC on %-d %B %Y")) }
            }
        }
    }
}
