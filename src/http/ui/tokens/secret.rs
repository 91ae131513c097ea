//! The page with the secret of a new or rotated token: the only one that ever shows it.

use actix_web::HttpResponse;
use maud::{Markup, html};
use secrecy::{ExposeSecret, SecretString};

use super::Owner;
use super::list::may;
use crate::domain::token::{Token, TokenOwner};
use crate::http::api::losses::Lost;
use crate::http::ui::formatting::{day, minute};
use crate::http::ui::icons::icon;
use crate::http::ui::losses;
use crate::http::ui::page;
use crate::http::ui::parts::code;
use crate::http::ui::visitor::Visitor;

/// Shows the secret; `what` is a sentence about what happened to the token, and `others` are the objects whose ends
/// that brought forward.
pub(super) fn show(
    visitor: &Visitor,
    owner: &Owner,
    token: &Token,
    (secret, others): (&SecretString, Option<&Lost>),
    what: &str,
) -> HttpResponse {
    let username = username(visitor, token);
    let content = html! {
        (owner.crumbs(visitor, &token.name))
        h1 { "The token " (token.name) " " (what) }
        (of_secret(visitor, token, &username, (secret, others)))
        (of_use(visitor, owner, token, &username))
    };
    page::show(&visitor.frame(), &format!("Secret of {}", token.name), &content)
}

/// Returns the user name that a client sends with the secret.
fn username(visitor: &Visitor, token: &Token) -> String {
    match &token.owner {
        TokenOwner::Deploy { username, .. } => username.to_string(),
        TokenOwner::Personal { .. } => visitor.username().to_owned(),
        // Such a token is accepted with any user name. Its name was typed by somebody, so it is not put into commands.
        TokenOwner::Group { .. } => "token".to_owned(),
    }
}

fn of_secret(
    visitor: &Visitor,
    token: &Token,
    username: &str,
    (secret, others): (&SecretString, Option<&Lost>),
) -> Markup {
    let secret = secret.expose_secret();
    html! {
        section aria-labelledby="secret" {
            h2 #secret { "Copy its secret now" }
            p { "It is shown this once. Only its SHA-256 is stored, so nobody can show it again." }
            div.prefix {
                code #secret-text { (secret) }
                button.copy.primary type="button" data-copy=(secret) { (icon("copy")) span { "Copy secret" } }
            }
            dl.facts {
                dt { "User name" }
                dd {
                    code #secret-username { (username) }
                    @if token.owner.username().is_none() { ", or any other" }
                }
                dt { "May" } dd { (may(&token.scopes)) }
                dt { "Expires" } dd { @match token.expires_at { Some(at) => (day(at)), None => "never" } }
                @if let Some(at) = token.old_secret_end(visitor.caller.now) {
                    dt { "The old secret" } dd { "is valid until " (minute(at)) " UTC" }
                }
            }
            @if let Some(others) = others.filter(|others| !others.is_empty()) {
                h3 { "These now expire with it" }
                p.soft { "They were made with this token, whose end is earlier than before." }
                dl.facts { (losses::facts(others)) }
            }
        }
    }
}

fn of_use(visitor: &Visitor, owner: &Owner, token: &Token, username: &str) -> Markup {
    let url = &visitor.caller.base_url;
    html! {
        section aria-labelledby="use" {
            h2 #use { "Use it" }
            @if token.may_pull() {
                (code("login", "Docker, once on each machine. Paste the secret when asked",
                    &format!("docker login {} -u '{username}'", visitor.host)))
            } @else {
                (code("api", "The API. It cannot pull",
                    &format!("curl --header 'PRIVATE-TOKEN: <the secret>' {url}/api/v4/groups")))
            }
            @if let (Owner::Group(group), true) = (owner, token.may_pull()) {
                (code("check", "Does it work? Says at which step if not. Paste the secret, then press Ctrl+D",
                    &format!("dependency-proxy check --url {url} --group {} --username '{username}' --secret-stdin",
                        group.path)))
            }
            p { a.button href=(owner.address()) { "I have stored the secret" } }
        }
    }
}
