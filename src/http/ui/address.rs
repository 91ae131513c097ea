//! Addresses of pages, as far as several pages know them.

use actix_web::HttpRequest;

use crate::http::query::query_value;

/// The part of an address between the path of a group and its page.
pub(super) const PAGES: &str = "/-/dependency_proxy";

/// Address of the first page for administrators.
pub(super) const ADMIN: &str = "/-/admin";

/// Name of the parameter with which the page loads itself again.
pub(super) const RELOAD: &str = "reload";

/// Address of the form that signs out.
pub(super) const SIGN_OUT: &str = "/-/sign-out";

/// An item of the navigation on top of every page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NavItem {
    /// The user's groups.
    Groups,
    /// The pages for administrators.
    Admin,
}

/// Reason to sign in again, by its word in the address of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The session ended before a form was sent, which was not carried out.
    FormNotSaved,
    /// The session ended before a form was sent. What was typed into it follows.
    FormKept,
    /// The user has changed the password.
    NewPassword,
}

/// Returns the address of a group's first page.
pub(super) fn of_group(path: &str) -> String {
    format!("/groups/{path}{PAGES}")
}

/// Returns the address of an image's page.
pub(super) fn of_image(path: &str, image: &str) -> String {
    format!("{}/images/{image}", of_group(path))
}

/// Returns the address of the form that signs in and leads to the address `back`.
pub(super) fn sign_in(back: &str, why: Option<Why>) -> String {
    let pairs = [("return", back)].into_iter().chain(why.map(|why| ("why", why.word())));
    let query = serde_urlencoded::to_string(pairs.collect::<Vec<_>>()).unwrap_or_default();
    format!("/-/sign-in?{query}")
}

/// Returns true for a request that a page repeats by itself, so that it does not prove that a person is there.
pub(super) fn reloads_itself(request: &HttpRequest) -> bool {
    request.path().trim_end_matches('/') == ADMIN && query_value(request, RELOAD).is_some()
}

impl NavItem {
    /// Returns the item to which the page at this path belongs; `None` for pages of the user's own account.
    pub(super) fn of(path: &str) -> Option<Self> {
        if path.starts_with(ADMIN) {
            Some(Self::Admin)
        } else {
            (!path.starts_with("/-/") || path.starts_with("/-/groups")).then_some(Self::Groups)
        }
    }

    /// Returns the address to which it leads.
    pub(super) fn address(self) -> &'static str {
        match self {
            Self::Groups => "/",
            Self::Admin => ADMIN,
        }
    }

    /// Returns its label.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Groups => "Groups",
            Self::Admin => "Admin",
        }
    }
}

impl Why {
    /// Returns the reason with this word.
    pub(super) fn parse(word: &str) -> Option<Self> {
        [Self::FormNotSaved, Self::FormKept, Self::NewPassword].into_iter().find(|why| why.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            Self::FormNotSaved => "form",
            Self::FormKept => "kept",
            Self::NewPassword => "password",
        }
    }

    /// Returns the reason, for people.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::FormNotSaved => {
                "Your session has ended, so nothing was saved. Sign in again: the page with the form follows."
            }
            Self::FormKept => {
                "Your session has ended, so nothing was saved. Sign in again: the form follows with what you typed, \
                 except passwords."
            }
            Self::NewPassword => {
                "Your password was changed. All your sessions have ended with the old one: sign in with the new one."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_belongs_to_an_item_of_the_navigation_or_is_about_the_users_own_account() {
        for (path, item) in [
            ("/", Some(NavItem::Groups)),
            ("/groups/team/-/dependency_proxy", Some(NavItem::Groups)),
            ("/-/groups/new", Some(NavItem::Groups)),
            ("/-/admin/users", Some(NavItem::Admin)),
            ("/-/account", None),
        ] {
            assert_eq!(NavItem::of(path), item, "{path}");
        }
    }
}
