//! Tokens: those that pull for a group, for its owners, and the personal ones of the visitor. Lists, and the ways to
//! make, rotate, extend and revoke one.

mod creation;
mod extension;
mod list;
mod once;
mod revocation;
mod rotation;
mod secret;

use std::sync::Arc;

use actix_web::HttpResponse;
use maud::{Markup, html};

pub(super) use self::list::table;
use super::address;
use super::fault::{Fault, Kind};
use super::form::Form;
use super::pages::Part;
use super::parts::crumbs_below;
use super::visitor::Visitor;
use crate::domain::group::Group;
use crate::domain::id::{TokenId, UserId};
use crate::domain::token::{Token, TokenOwner};
use crate::http::api::{ApiError, Authority, Right};

/// The owner of the tokens of a page.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    /// This group. The group is found once, by its path: a path may be that of another group at the change.
    Group(Arc<Group>),
    /// The visitor.
    Visitor,
}

/// A page about tokens, by the rest of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokensPage {
    /// The list.
    List,
    /// The form for a new one.
    New,
    /// The form that rotates one.
    Rotate(TokenId),
    /// The form that changes the end of one.
    Extend(TokenId),
    /// The confirmation before one is revoked.
    Revoke(TokenId),
}

/// Shows a page.
pub(super) async fn show(
    visitor: &Visitor,
    owner: &Owner,
    page: TokensPage,
    query: &str,
) -> Result<HttpResponse, Fault> {
    match page {
        TokensPage::List => Ok(list::list(visitor, owner, &Part::of(query)).await),
        TokensPage::New => Ok(creation::show(visitor, owner)),
        TokensPage::Rotate(id) => rotation::show(visitor, owner, id),
        TokensPage::Extend(id) => extension::show(visitor, owner, id),
        TokensPage::Revoke(id) => revocation::show(visitor, owner, id),
    }
}

/// Carries out what the form of a page wants.
pub(super) async fn change(form: &Form, owner: &Owner, page: TokensPage) -> Result<HttpResponse, Fault> {
    match page {
        TokensPage::List => Err(form.visitor.no_such_page()),
        TokensPage::New => creation::create(form, owner).await,
        TokensPage::Rotate(id) => rotation::rotate(form, owner, id).await,
        TokensPage::Extend(id) => extension::extend(form, owner, id).await,
        TokensPage::Revoke(id) => revocation::revoke(form, owner, id).await,
    }
}

impl TokensPage {
    /// Returns the page with this rest of an address, such as `/12/revoke`.
    pub(super) fn parse(rest: &str) -> Option<Self> {
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.get(1..)? {
            _ if !parts[0].is_empty() => None,
            [] => Some(Self::List),
            ["new"] => Some(Self::New),
            [id, "rotate"] => Some(Self::Rotate(TokenId(id.parse().ok()?))),
            [id, "extend"] => Some(Self::Extend(TokenId(id.parse().ok()?))),
            [id, "revoke"] => Some(Self::Revoke(TokenId(id.parse().ok()?))),
            _ => None,
        }
    }
}

impl Owner {
    /// Returns the group at this path as the owner.
    ///
    /// # Errors
    ///
    /// Fails unless the visitor may see and change the tokens of this group.
    pub(super) fn of_group(visitor: &Visitor, path: &str) -> Result<Self, Fault> {
        visitor.own_group(path).map(Self::Group)
    }

    /// Returns the address of the list.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Group(group) => format!("{}/tokens", address::of_group(group.path.as_str())),
            Self::Visitor => "/-/account/tokens".to_owned(),
        }
    }

    /// Returns the token with this number, if it is one of these and the caller may change it: the rule that is decided
    /// again at each change.
    fn find(&self, caller: &Authority<'_>, id: TokenId) -> Result<Arc<Token>, ApiError> {
        self.check(caller)?;
        let token = caller.directory.token(id).filter(|token| self.has(token, caller.user.id));
        token.cloned().ok_or(ApiError::NotFound("Token"))
    }

    /// Fails if the caller may not change these tokens.
    fn check(&self, caller: &Authority<'_>) -> Result<(), ApiError> {
        match self {
            Self::Group(group) => caller.group_with(group.id, Right::Own).map(drop),
            Self::Visitor => Ok(()),
        }
    }

    /// Returns true for one of these tokens, where `visitor` is who looks at them.
    fn has(&self, token: &Token, visitor: UserId) -> bool {
        match (&token.owner, self) {
            (TokenOwner::Personal { user }, Self::Visitor) => *user == visitor,
            (TokenOwner::Group { group: of, .. } | TokenOwner::Deploy { group: of, .. }, Self::Group(group)) => {
                *of == group.id
            }
            (TokenOwner::Personal { .. }, Self::Group(_))
            | (TokenOwner::Group { .. } | TokenOwner::Deploy { .. }, Self::Visitor) => false,
        }
    }

    /// Returns the token with this number for a page.
    fn token(&self, visitor: &Visitor, id: TokenId) -> Result<Arc<Token>, Fault> {
        self.find(&visitor.authority(), id).map_err(|_| visitor.fault(Kind::NoToken { list: self.address() }))
    }

    /// Shows the way to a page about these tokens.
    fn crumbs(&self, visitor: &Visitor, page: &str) -> Markup {
        match self {
            Self::Group(group) => crumbs_below(visitor, group, Some(("Tokens", &self.address())), Some(page)),
            Self::Visitor => html! {
                nav.crumbs aria-label="You are here" { a href="/-/account" { (visitor.username()) } span { (page) } }
            },
        }
    }
}
