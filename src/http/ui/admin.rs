//! The pages for administrators, below `/-/admin`: overview, groups by size, users, and the audit log.

mod downloads;
mod groups;
mod overview;
mod queues;
mod registries;
mod user_changes;
mod users;

use actix_web::{HttpRequest, HttpResponse, web};

use super::audit;
use super::fault::{Fault, Kind};
use super::form::Form;
use super::pages;
use super::visitor::Visitor;
use crate::domain::id::UserId;

/// A page, by the rest of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AdminPage {
    Overview,
    Groups,
    Users,
    Audit,
    NewUser,
    /// The confirmation before a user is blocked.
    Block(UserId),
    /// The action that ends a block; it has no page of its own.
    Unblock(UserId),
    /// The confirmation before a user is deleted.
    Delete(UserId),
    /// The sessions of a user.
    Sessions(UserId),
}

/// Handles `GET /-/admin...`.
pub(super) async fn show(
    request: HttpRequest,
    visitor: Visitor,
    rest: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let query = request.query_string();
    visitor.valid(pages::check(query))?;
    match page(&visitor, &rest)? {
        AdminPage::Overview => overview::show(&visitor, query).await,
        AdminPage::Groups => groups::show(&visitor, query).await,
        AdminPage::Users => Ok(users::show(&visitor, query)),
        AdminPage::Audit => audit::of_service(&visitor, query).await,
        AdminPage::NewUser => Ok(user_changes::new(&visitor)),
        AdminPage::Block(user) => user_changes::confirm_block(&visitor, user),
        AdminPage::Delete(user) => user_changes::confirm_deletion(&visitor, user),
        AdminPage::Sessions(user) => user_changes::sessions(&visitor, user).await,
        AdminPage::Unblock(_) => Err(visitor.no_such_page()),
    }
}

/// Handles `POST /-/admin...`.
pub(super) async fn change(form: Form, rest: web::Path<String>) -> Result<HttpResponse, Fault> {
    match page(&form.visitor, &rest)? {
        AdminPage::NewUser => user_changes::create(&form).await,
        AdminPage::Block(user) => user_changes::block(&form, user).await,
        AdminPage::Unblock(user) => user_changes::unblock(&form, user).await,
        AdminPage::Delete(user) => user_changes::delete(&form, user).await,
        AdminPage::Sessions(user) => user_changes::end_sessions(&form, user).await,
        AdminPage::Overview | AdminPage::Groups | AdminPage::Users | AdminPage::Audit => {
            Err(form.visitor.no_such_page())
        }
    }
}

fn page(visitor: &Visitor, rest: &str) -> Result<AdminPage, Fault> {
    if !visitor.caller.user.admin {
        return Err(visitor.fault(Kind::AdministratorsOnly { username: visitor.username().to_owned() }));
    }
    AdminPage::parse(rest).ok_or_else(|| visitor.no_such_page())
}

impl AdminPage {
    /// Returns the page with this rest of an address, such as `/users/12/block`.
    fn parse(rest: &str) -> Option<Self> {
        let user = |id: &str| id.parse().ok().map(UserId);
        let parts: Vec<&str> = rest.split('/').skip(1).filter(|part| !part.is_empty()).collect();
        match parts[..] {
            [] => Some(Self::Overview),
            ["groups"] => Some(Self::Groups),
            ["users"] => Some(Self::Users),
            ["audit"] => Some(Self::Audit),
            ["users", "new"] => Some(Self::NewUser),
            ["users", id, "block"] => user(id).map(Self::Block),
            ["users", id, "unblock"] => user(id).map(Self::Unblock),
            ["users", id, "delete"] => user(id).map(Self::Delete),
            ["users", id, "sessions"] => user(id).map(Self::Sessions),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_pages_and_others_to_none() {
        for (rest, page) in [
            ("", Some(AdminPage::Overview)),
            ("/", Some(AdminPage::Overview)),
            ("/groups", Some(AdminPage::Groups)),
            ("/users/new", Some(AdminPage::NewUser)),
            ("/users/7/block", Some(AdminPage::Block(UserId(7)))),
            ("/users/x/block", None),
            ("/users/7", None),
            ("/other", None),
        ] {
            assert_eq!(AdminPage::parse(rest), page, "{rest}");
        }
    }
}
