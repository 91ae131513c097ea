//! The pages of a group, by their addresses: `/groups/<group path>/-/dependency_proxy/<page>`. The path of a group
//! has slashes, and no part of it is `-`, so the first `/-/` ends it.

use actix_web::{HttpRequest, HttpResponse, web};

use super::address::{PAGES, of_group};
use super::fault::Fault;
use super::form::Form;
use super::members::{self, MembersPage};
use super::pages;
use super::tokens::{self, Owner, TokensPage};
use super::visitor::Visitor;
use super::{audit, clearing, deletion, explanation, group, group_deletion, image, settings};
use super::{see, without_slash};

/// A page of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Page<'a> {
    /// The group itself, without a page.
    Bare,
    /// The list of what it has cached.
    Group,
    /// One image, by the name that follows `images/`.
    Image(&'a str),
    /// The confirmation before images are deleted.
    Deletion,
    /// The confirmation before the cache is cleared.
    Clearing,
    /// A page about its tokens.
    Tokens(TokensPage),
    /// A page about its members.
    Members(MembersPage),
    /// Its settings.
    Settings,
    /// The confirmation before it is deleted.
    Removal,
    /// The audit trail: changes and refusals.
    Audit,
    /// The explanation whether somebody may pull, and why.
    Explanation,
}

/// Shows a page.
pub(super) async fn show(
    request: HttpRequest,
    visitor: Visitor,
    address: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let query = request.query_string();
    if let Some(address) = without_slash(&request) {
        return Ok(see(&address));
    }
    let (path, page) = parse(&address).ok_or_else(|| visitor.no_such_page())?;
    visitor.valid(pages::check(query))?;
    match page {
        Page::Bare => visitor.visible_group(path).map(|group| see(&of_group(group.path.as_str()))),
        Page::Group => group::show(&visitor, path, query).await,
        Page::Image(name) => image::show(&visitor, path, name, query).await,
        Page::Deletion => deletion::show(&visitor, path, query).await,
        Page::Clearing => clearing::show(&visitor, path).await,
        Page::Tokens(page) => tokens::show(&visitor, &Owner::of_group(&visitor, path)?, page, query).await,
        Page::Members(page) => members::show(&visitor, path, page, query).await,
        Page::Settings => settings::show(&visitor, path).await,
        Page::Removal => group_deletion::show(&visitor, path).await,
        Page::Explanation => explanation::show(&visitor, path, query).await,
        Page::Audit => audit::of_group(&visitor, path, query).await,
    }
}

/// Carries out what a form of a page wants.
pub(super) async fn change(form: Form, address: web::Path<String>) -> Result<HttpResponse, Fault> {
    let (path, page) = parse(&address).ok_or_else(|| form.visitor.no_such_page())?;
    match page {
        Page::Image(name) => image::change(&form, path, name).await,
        Page::Deletion => deletion::delete(&form, path).await,
        Page::Clearing => clearing::clear(&form, path).await,
        Page::Tokens(page) => tokens::change(&form, &Owner::of_group(&form.visitor, path)?, page).await,
        Page::Members(page) => members::change(&form, path, page).await,
        Page::Settings => settings::change(&form, path).await,
        Page::Removal => group_deletion::delete(&form, path).await,
        Page::Bare | Page::Group | Page::Explanation | Page::Audit => Err(form.visitor.no_such_page()),
    }
}

/// Returns the path of the group and the page in an address below `/groups/`; `None` if there is no such page.
fn parse(address: &str) -> Option<(&str, Page<'_>)> {
    if address.chars().any(char::is_control) {
        return None;
    }
    let Some((path, page)) = address.split_once(PAGES) else {
        return (!address.split('/').any(|part| part == "-")).then_some((address, Page::Bare));
    };
    let page = match page {
        "" | "/" => Page::Group,
        "/delete" => Page::Deletion,
        "/clear" => Page::Clearing,
        "/settings" => Page::Settings,
        "/settings/delete" => Page::Removal,
        "/explain" => Page::Explanation,
        "/audit" => Page::Audit,
        _ if page.starts_with("/tokens") => Page::Tokens(TokensPage::parse(page.strip_prefix("/tokens")?)?),
        _ if page.starts_with("/members") => Page::Members(MembersPage::parse(page.strip_prefix("/members")?)?),
        _ => Page::Image(page.strip_prefix("/images/")?),
    };
    Some((path, page))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::TokenId;

    #[test]
    fn an_address_is_a_group_and_a_page() {
        for (address, expected) in [
            ("team", Some(("team", Page::Bare))),
            ("team/ci/-/dependency_proxy", Some(("team/ci", Page::Group))),
            ("team/-/dependency_proxy/clear", Some(("team", Page::Clearing))),
            ("team/-/dependency_proxy/images/ghcr.io/a/b:1", Some(("team", Page::Image("ghcr.io/a/b:1")))),
            ("team/-/dependency_proxy/tokens", Some(("team", Page::Tokens(TokensPage::List)))),
            ("team/-/dependency_proxy/tokens/7/revoke", Some(("team", Page::Tokens(TokensPage::Revoke(TokenId(7)))))),
            ("team/-/dependency_proxy/tokensx", None),
            ("team/-/dependency_proxy/tokens/x/revoke", None),
            ("team/-/dependency_proxy/other", None),
            ("team/-/other", None),
        ] {
            assert_eq!(parse(address), expected, "{address}");
        }
    }
}
