//! Email addresses of users, with the rules of GitLab: one `@` with something on both sides, and no space. Nothing is
//! sent to them; the rules keep a name or a telephone number out of the field.

use std::fmt;
use std::str::FromStr;

use super::limits::MAX_NAME_CHARS;
use super::visible_text::is_invisible;

/// An email address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

/// The reason why a text is no email address, as the rest of a sentence that begins with "email".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// It does not have exactly one `@` with something on both sides, or it has spaces or invisible characters.
    #[error("is invalid: it must be like ann@example.com")]
    Malformed,
    /// It has more than [`MAX_NAME_CHARS`] characters.
    #[error("is too long (maximum is {MAX_NAME_CHARS} characters)")]
    TooLong,
}

impl Email {
    /// Returns the address as it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        let is_part = |part: &str| !part.is_empty() && !part.contains('@');
        let has_parts = text.split_once('@').is_some_and(|(name, host)| is_part(name) && is_part(host));
        if !has_parts || text.contains(|char: char| char.is_whitespace() || is_invisible(char)) {
            return Err(EmailError::Malformed);
        }
        if text.chars().count() > MAX_NAME_CHARS {
            return Err(EmailError::TooLong);
        }
        Ok(Self(text.to_owned()))
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_at_sign_between_two_parts_and_nothing_invisible() {
        for good in ["ann@example.com", "root@localhost", "a+b@x", "ä@ö.example", "ann@[::1]"] {
            assert_eq!(good.parse::<Email>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "notmail", "@x", "a@", "a@b@c", "a b@c", "a@b c", " a@b", "a@b\n", "a@b\u{202e}", "a\u{a0}@b"] {
            assert_eq!(bad.parse::<Email>(), Err(EmailError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn an_address_has_a_maximum_length() {
        let of_length = |length: usize| format!("{}@b", "ä".repeat(length - 2));
        assert!(of_length(MAX_NAME_CHARS).parse::<Email>().is_ok());
        assert_eq!(of_length(MAX_NAME_CHARS + 1).parse::<Email>(), Err(EmailError::TooLong));
    }
}
