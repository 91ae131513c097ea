//! The form for signing in, as its own page shows it, and as the response to a form whose session has ended.

use maud::{Markup, html};

use super::address::Why;
use super::fields::{Field, FieldKind};
use super::icons::icon;
use super::kept_form::KeptForm;

/// Content of the form.
#[derive(Default)]
pub(super) struct SignInForm<'a> {
    /// The user name as it was typed.
    pub(super) username: &'a str,
    /// The address to show afterwards.
    pub(super) back: &'a str,
    /// Reason why nobody was signed in.
    pub(super) error: Option<&'a str>,
    /// Reason to sign in again.
    pub(super) why: Option<Why>,
    /// The form that opens again afterwards.
    pub(super) kept: Option<&'a KeptForm>,
}

impl SignInForm<'_> {
    /// Returns the content of the page.
    pub(super) fn show(&self) -> Markup {
        html! {
            div.alone.flow {
                h1 { "Sign in" }
                @if let Some(why) = self.why {
                    div.note.warn role="status" { (icon("stale")) div { p { b { (why.sentence()) } } } }
                }
                @if let Some(error) = self.error {
                    div.note.bad role="alert" #wrong { (icon("bad")) div { p { b { (error) } } } }
                }
                (self.fields())
                p.hint {
                    "Tokens are for machines and do not open this page. If you forgot your password, an administrator can "
                    "set a new one."
                }
            }
        }
    }

    fn fields(&self) -> Markup {
        let (username, wrong) = (Field::new("username", "User name").value(self.username), self.error.map(|_| "wrong"));
        html! {
            form.stack method="post" action="/-/sign-in" {
                input type="hidden" name="return" value=(self.back);
                @if let Some(kept) = self.kept { (kept.carry()) }
                (username.kind(FieldKind::Username).required().show(None))
                (Field::new("password", "Password").kind(FieldKind::Password).required().wrong(wrong).show(None))
                button.primary { "Sign in" }
            }
        }
    }
}
