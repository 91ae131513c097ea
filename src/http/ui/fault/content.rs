//! The content of the pages of failures: what is wrong, and what to do.

use maud::{Markup, html};

use super::Kind;
use crate::http::ui::address;

/// Returns what the page says; nothing without a session, because the browser is sent to another page.
pub(super) fn content(kind: &Kind) -> Markup {
    match kind {
        Kind::SignedOut { .. } => html! {},
        Kind::NoGroup { path, username } => no_group(path, username),
        Kind::OwnersOnly { path, owners, username } => owners_only(path, owners, username),
        Kind::AdministratorsOnly { username } => administrators_only(username),
        Kind::NoImage { path, image } => no_image(path, image),
        Kind::NoToken { list } => no_token(list),
        Kind::NoPage => {
            let look = html! { "Look whether it is spelled right, or begin with your groups." };
            sentence("There is no page with this address", &look)
        }
        Kind::WrongMethod(methods) => {
            let sent = html! { "A browser does not send it of its own accord. It is for " (methods) "." };
            sentence("This address is not for such a request", &sent)
        }
        Kind::Forged => {
            let again = html! {
                "You may have signed out and in again since the page was opened. Open the page again, and repeat "
                "it there."
            };
            sentence("Nothing was changed: this form is not from your present session", &again)
        }
        Kind::Outdated { kept, token, back } => kept.reopen_of_other(token, back),
        Kind::InvalidAddress(reason) => {
            sentence("This page cannot be shown", &html! { (reason) " Look at the end of its address." })
        }
        Kind::Invalid(reason) => sentence("Nothing was changed", &html! { (reason) " Go back, and try it again." }),
        Kind::Refused { heading, sentence: text, .. } => sentence(heading, &html! { (text) }),
    }
}

fn no_group(path: &str, username: &str) -> Markup {
    html! {
        h1 { "There is no group " (path) ", or you are not a member of it" }
        p {
            "Look whether its path is spelled right: it is what stands before " code { "/-/dependency_proxy" }
            " in the address."
        }
        p { "If the group exists, one of its owners can add you. Tell them your user name: " (username) "." }
        (your_groups())
    }
}

fn owners_only(path: &str, owners: &[String], username: &str) -> Markup {
    html! {
        h1 { "This page of " (path) " is for its owners" }
        p { "You are signed in as " (username) ", a member of it: you can see its images and pull them." }
        @if owners.is_empty() {
            p { "It has no owner. An administrator can change it, or make you an owner." }
        } @else {
            p { "Its owners can change it, or make you an owner: " b { (owners.join(", ")) } "." }
        }
        p.actions { a.button href=(address::of_group(path)) { "Images of " (path) } a href="/" { "Your groups" } }
    }
}

fn administrators_only(username: &str) -> Markup {
    let who = html! {
        "You are signed in as " (username) ". An administrator of this service can see it, or make you one."
    };
    sentence("This page is for administrators", &who)
}

fn no_image(path: &str, image: &str) -> Markup {
    html! {
        h1 { "The cache of " (path) " has no image " (image) }
        p { "It was deleted, or nobody has pulled it through this group yet. A pull brings it." }
        p.actions { a.button href=(address::of_group(path)) { "Images of " (path) } }
    }
}

fn no_token(list: &str) -> Markup {
    html! {
        h1 { "There is no such token, or not any more" }
        p { "Somebody may have revoked it." }
        p.actions { a.button href=(list) { "Tokens" } }
    }
}

/// Returns a heading and a sentence, with the way to the groups of the visitor.
fn sentence(heading: &str, text: &Markup) -> Markup {
    html! {
        h1 { (heading) }
        p { (text) }
        (your_groups())
    }
}

fn your_groups() -> Markup {
    html! { p.actions { a.button href="/" { "Your groups" } } }
}
