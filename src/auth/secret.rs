//! The secrets of tokens: a prefix (`dpp-`, `dpg-` or `dpd-`), 256 random bits, and a checksum that distinguishes a
//! secret of this software from a mistyped or foreign string. Only their SHA-256 is stored.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;

use super::{random, sha256};
use crate::domain::digest::Digest;
use crate::domain::token::{GITLAB_PREFIXES, is_like_gitlabs};

/// The kind of token that a secret is for, which determines its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A personal access token: `dpp-`.
    Personal,
    /// A group access token: `dpg-`.
    Group,
    /// A deploy token: `dpd-`.
    Deploy,
}

/// A newly generated secret.
#[derive(Debug)]
pub struct NewSecret {
    /// The secret, to be shown once.
    pub secret: SecretString,
    /// The digest, to be stored.
    pub digest: Digest,
}

/// The form of a string, which indicates where it was generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The prefix of this service and a correct checksum.
    Ours,
    /// The prefix of a GitLab token.
    Gitlab,
    /// Any other form: a password, or a secret that an administrator supplied.
    Other,
}

const RANDOM_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
/// Minimum number of characters after a prefix that are redacted; fewer are part of a name.
const MIN_REDACTED_CHARS: usize = 16;

/// Generates a secret of this kind.
pub fn generate(kind: Kind) -> NewSecret {
    let random = URL_SAFE_NO_PAD.encode(random::bytes::<32>());
    let body = format!("{}{random}", kind.prefix());
    let secret = format!("{body}{}", checksum(&body));
    NewSecret { digest: digest(&secret), secret: secret.into() }
}

/// Returns the text for the log, with everything that has the form of a token replaced. Clients put tokens into paths
/// and headers where none belongs.
pub fn redacted(text: &str) -> Cow<'_, str> {
    let (mut redacted, mut rest) = (String::new(), text);
    while let Some((prefix_end, length)) = find_token(rest) {
        redacted.push_str(&rest[..prefix_end]);
        let body = &rest[prefix_end..prefix_end + length];
        redacted.push_str(if length < MIN_REDACTED_CHARS { body } else { "..." });
        rest = &rest[prefix_end + length..];
    }
    if redacted.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(redacted + rest) }
}

/// Returns the end of the first prefix of a token, and the number of characters after it that can belong to a token.
fn find_token(text: &str) -> Option<(usize, usize)> {
    let own = Kind::ALL.map(Kind::prefix);
    let prefixes = own.iter().chain(&GITLAB_PREFIXES);
    let (at, prefix) = prefixes.filter_map(|prefix| Some((text.find(prefix)?, prefix))).min()?;
    let end = at + prefix.len();
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    Some((end, text[end..].bytes().take_while(is_of_token).count()))
}

/// Returns the digest by which a secret is looked up.
pub fn digest(secret: &str) -> Digest {
    sha256::digest(secret.as_bytes())
}

/// Returns the form of this string. The form does not show whether the secret is known.
pub fn form(secret: &str) -> Form {
    if is_like_gitlabs(secret) {
        return Form::Gitlab;
    }
    let ours = |prefix: &str| {
        let body_len = prefix.len() + RANDOM_CHARS;
        secret.is_ascii()
            && secret.len() == body_len + CHECKSUM_CHARS
            && secret.starts_with(prefix)
            && checksum(&secret[..body_len]) == secret[body_len..]
    };
    if Kind::ALL.map(Kind::prefix).into_iter().any(ours) { Form::Ours } else { Form::Other }
}

impl Kind {
    /// All kinds: each has a place here, without which its secrets would be neither recognised nor redacted.
    const ALL: [Self; 3] = [Self::Personal, Self::Group, Self::Deploy];

    fn prefix(self) -> &'static str {
        match self {
            Self::Personal => "dpp-",
            Self::Group => "dpg-",
            Self::Deploy => "dpd-",
        }
    }
}

fn checksum(body: &str) -> String {
    let digest = sha256::digest(body.as_bytes());
    let mut text = URL_SAFE_NO_PAD.encode(&digest.as_bytes()[..5]);
    text.truncate(CHECKSUM_CHARS);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn tokens_are_redacted_wherever_they_stand_and_names_are_not() {
        let (one, other) = (generate(Kind::Deploy), generate(Kind::Personal));
        let (one, other) = (one.secret.expose_secret(), other.secret.expose_secret());
        let text = format!("/v2/{one}/x?y={other} curl/{one}");
        assert_eq!(redacted(&text), "/v2/dpd-.../x?y=dpp-... curl/dpd-...");
        assert_eq!(redacted("glpat-abcdefghijklmnopqrst"), "glpat-...");
        for name in ["/v2/team/dpd-tools/x", "dpp-", "", "plain"] {
            assert_eq!(redacted(name), name);
        }
    }

    #[test]
    fn a_generated_secret_is_recognised_and_a_changed_one_is_not() {
        let made = generate(Kind::Deploy);
        let secret = made.secret.expose_secret();
        assert_eq!(form(secret), Form::Ours);
        assert_eq!(digest(secret), made.digest);
        let last = if secret.ends_with('A') { "B" } else { "A" };
        assert_eq!(form(&format!("{}{last}", &secret[..secret.len() - 1])), Form::Other);
    }

    #[test]
    fn tokens_of_gitlab_are_recognised() {
        assert_eq!(form("glpat-abc"), Form::Gitlab);
        assert_eq!(form("hunter2"), Form::Other);
        assert_eq!(form("dpp-ä"), Form::Other);
    }

    #[test]
    fn secrets_of_all_kinds_are_recognised_and_redacted() {
        for kind in Kind::ALL {
            let made = generate(kind);
            let secret = made.secret.expose_secret();
            assert_eq!((form(secret), redacted(secret)), (Form::Ours, format!("{}...", kind.prefix()).into()));
        }
    }

    proptest! {
        #[test]
        fn no_text_in_the_log_has_a_token(
            any_text in "\\PC*", before in "[ -~]{0,10}", prefix in "dpp-|dpg-|dpd-|glpat-",
            body in "[A-Za-z0-9_-]{16,50}", after in "([ /?&=:ä]\\PC{0,10})?",
        ) {
            let text = format!("{before}{prefix}{body}{after}");
            prop_assert!(!redacted(&text).contains(&body), "{}", redacted(&text));
            let once = redacted(&text);
            prop_assert_eq!(redacted(&once), once.clone());
            let plain = any_text.replace('-', "_");
            prop_assert_eq!(redacted(&plain), plain.clone());
            prop_assert_eq!(form(&plain), Form::Other);
        }

        #[test]
        fn a_secret_with_any_changed_byte_has_not_the_form_of_ours(place: usize, other in "[!-~]") {
            let made = generate(Kind::Personal);
            let mut secret = made.secret.expose_secret().to_owned();
            let place = place % secret.len();
            prop_assume!(secret[place..=place] != other);
            secret.replace_range(place..=place, &other);
            // A checksum of 36 bits.
            prop_assert_ne!(form(&secret), Form::Ours);
        }
    }
}
