//! `/-/users/<name>`, the address of a user in the API: redirects to the page about the user that the visitor may see.

use actix_web::{HttpResponse, web};

use super::address::ADMIN;
use super::fault::{Fault, Kind};
use super::pages::query_of;
use super::see;
use super::visitor::Visitor;

/// Handles `GET /-/users/<name>`: leads users to their own account, and administrators to the line of the user in the
/// list.
pub(super) async fn show(visitor: Visitor, name: web::Path<String>) -> Result<HttpResponse, Fault> {
    if visitor.username().eq_ignore_ascii_case(&name) {
        return Ok(see("/-/account"));
    }
    if !visitor.caller.user.admin {
        return Err(visitor.fault(Kind::AdministratorsOnly { username: visitor.username().to_owned() }));
    }
    let user = visitor.caller.directory.user_named(&name).ok_or_else(|| visitor.no_such_page())?;
    let show = if user.bot_of.is_some() { "bots" } else { "" };
    Ok(see(&format!("{ADMIN}/users{}", query_of(&[("q", user.username.as_str()), ("show", show)]))))
}
