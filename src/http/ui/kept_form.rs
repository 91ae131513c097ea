//! Values of a form that was sent after its session had ended. The page for signing in carries them along, and the form
//! opens again with them afterwards; it is not carried out by itself.
//!
//! They are kept in hidden fields of the pages between, not in the service: nothing has to be stored for somebody who
//! is not signed in, nothing gets into addresses and logs, and all replicas can continue. Passwords are left out. Only
//! a form that has the token of the ended session is kept ([`form`](super::form)), so no other site can have something
//! typed in the name of a person. Where the browser says that a page of this site has sent it, it may be of any
//! session.

use maud::{Markup, html};

use super::page::TOKEN_FIELD;

/// A form that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptForm {
    /// The address to which it was sent.
    address: String,
    /// Its fields, without those that must not be kept.
    fields: Vec<(String, String)>,
}

/// Name of the field of forms that are kept: those with something that was typed.
pub(super) const TYPED_FIELD: &str = "typed";

/// Name of the field with which a form is opened again, and not carried out.
pub(super) const REOPENED_FIELD: &str = "reopened";

/// Names of the fields in which the page for signing in carries it.
const ADDRESS_FIELD: &str = "kept_address";
const FIELDS_FIELD: &str = "kept_fields";

/// Names of the fields that are not kept: passwords, the token of the ended session, and the way to open it again.
const NOT_KEPT: [&str; 5] = ["password", "current_password", "secret", TOKEN_FIELD, REOPENED_FIELD];

/// Maximum length of what is kept, in bytes of an encoded form: it is sent again with the form for signing in, whose
/// length is limited, too, and encoded once more there.
const MAX_KEPT_BYTES: usize = 16 << 10;

/// Maximum length of the address, in bytes.
const MAX_ADDRESS_BYTES: usize = 2048;

impl KeptForm {
    /// Returns the form that was sent to this address with these fields; `None` if nothing was typed into it, or if it
    /// is too long.
    pub(super) fn new<'a>(address: &str, fields: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let fields: Vec<_> = fields.filter(|(name, _)| !NOT_KEPT.contains(name)).map(own).collect();
        let has_typed = fields.iter().any(|(name, _)| name == TYPED_FIELD);
        let kept = Self { address: address.to_owned(), fields };
        (has_typed && kept.encoded().len() <= MAX_KEPT_BYTES && is_local(address)).then_some(kept)
    }

    /// Returns the form that the page for signing in has carried; `value` returns the values of its fields.
    pub(super) fn carried<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let fields: Vec<(String, String)> = serde_urlencoded::from_str(value(FIELDS_FIELD)?).ok()?;
        Self::new(value(ADDRESS_FIELD)?, fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// Returns the hidden fields that carry it through the form for signing in.
    pub(super) fn carry(&self) -> Markup {
        html! {
            input type="hidden" name=(ADDRESS_FIELD) value=(self.address);
            input type="hidden" name=(FIELDS_FIELD) value=(self.encoded());
        }
    }

    /// Returns the content of the page after signing in: its button opens the form again. `token` is one of the new
    /// session, and `back` the address of the page that had the form.
    pub(super) fn reopen(&self, token: &str, back: &str) -> Markup {
        self.reopen_because("Your session had ended before, so nothing was saved.", token, back)
    }

    /// Returns the content of the page for a form of another session of this browser.
    pub(super) fn reopen_of_other(&self, token: &str, back: &str) -> Markup {
        let because = "You have signed out and in again since its page was opened, so nothing was saved.";
        self.reopen_because(because, token, back)
    }

    fn reopen_because(&self, because: &str, token: &str, back: &str) -> Markup {
        html! {
            div.alone.flow {
                h1 { "Your form was not sent yet" }
                p {
                    (because) " The form opens again with what you typed, except passwords. Nothing changes before you "
                    "send it."
                }
                form.stack method="post" action=(self.address) {
                    input type="hidden" name=(TOKEN_FIELD) value=(token);
                    input type="hidden" name=(REOPENED_FIELD) value="yes";
                    @for (name, value) in &self.fields { input type="hidden" name=(name) value=(value); }
                    div.actions { button.primary autofocus { "Open the form again" } a href=(back) { "Leave it" } }
                }
            }
        }
    }

    fn encoded(&self) -> String {
        serde_urlencoded::to_string(&self.fields).unwrap_or_default()
    }
}

/// Returns true for an address of this site. Browsers leave out tabs and line breaks, so that what remains could begin
/// with two slashes.
pub(super) fn is_local(address: &str) -> bool {
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    is_plain && address.starts_with('/') && !address.starts_with("//") && address.len() <= MAX_ADDRESS_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(address: &str, fields: &[(&str, &str)]) -> Option<KeptForm> {
        KeptForm::new(address, fields.iter().copied())
    }

    #[test]
    fn a_form_is_kept_without_passwords_and_without_the_token_of_its_session() {
        let fields =
            [("csrf", "1"), ("typed", "yes"), ("name", "a&b"), ("password", "p"), ("secret", "s"), ("name", "c")];
        let form = kept("/-/admin/users/new", &fields);
        let encoded = form.as_ref().map(KeptForm::encoded);
        assert_eq!(encoded.as_deref(), Some("typed=yes&name=a%26b&name=c"));
        let value = |name: &str| if name == FIELDS_FIELD { encoded.as_deref() } else { Some("/-/admin/users/new") };
        assert_eq!(KeptForm::carried(value), form);
    }

    #[test]
    fn neither_a_long_form_nor_one_without_something_typed_nor_one_of_another_site_is_kept() {
        let long = "x".repeat(MAX_KEPT_BYTES);
        assert_eq!(kept("/a", &[("typed", "yes"), ("name", &long)]), None);
        assert_eq!(kept("/a", &[("name", "a")]), None);
        for address in ["//evil.example/", "https://evil.example/", "/\\evil.example", "/\t/evil.example", ""] {
            assert_eq!(kept(address, &[("typed", "yes")]), None, "{address}");
        }
    }
}
