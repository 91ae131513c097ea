//! The log line of a refusal.

use std::borrow::Cow;
use std::net::IpAddr;

use actix_web::http::StatusCode;

use super::place::Place;
use super::subject::Subject;
use super::{FailedPull, Refused};
use crate::auth::secret::redacted;

/// The content of a line. Texts that a client chose are shortened and their tokens redacted when it is written.
pub(super) struct Line<'a> {
    pub(super) method: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    pub(super) status: StatusCode,
    pub(super) refused: &'a Refused,
    pub(super) subject: &'a Subject,
    pub(super) place: &'a Place,
    /// The pull of a manifest that failed.
    pub(super) pull: Option<FailedPull>,
    pub(super) address: IpAddr,
    pub(super) user_agent: Option<&'a str>,
    /// Number of earlier lines of the same source that were left out.
    pub(super) left_out: u64,
}

/// Longest text that is logged from a request, in characters.
pub(super) const MAX_TEXT_CHARS: usize = 200;

impl Line<'_> {
    /// Writes the line.
    pub(super) fn write(&self) {
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    method = self.method,
                    path = self.path.map(shown).as_deref(),
                    status = self.status.as_u16(),
                    reason = self.refused.reason,
                    sentence = &*redacted(&self.refused.sentence),
                    details = self.refused.details,
                    principal = self.subject.principal,
                    principal_name = self.subject.principal_name,
                    credential = self.subject.credential.map(tracing::field::display),
                    credential_name = self.subject.credential_name,
                    token = self.subject.token.map(|token| token.0),
                    group = self.place.group,
                    image = self.place.image,
                    upstream_calls = self.pull.map(|pull| pull.upstream_calls),
                    ms = self.pull.map(|pull| pull.ms),
                    address = %self.address,
                    user_agent = self.user_agent.map(shown).as_deref(),
                    left_out = (self.left_out > 0).then_some(self.left_out),
                    $message
                )
            };
        }
        if self.status.is_server_error() || self.refused.warns {
            line!(warn, "a request failed");
        } else {
            line!(info, "a request was refused");
        }
    }
}

/// Returns the beginning of a text that a client chose, with tokens redacted. Redaction comes before the cut, which
/// could otherwise leave a part of a token that is no longer recognized.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    let mut text = redacted(text);
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT_CHARS) {
        text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
            Cow::Owned(text) => Cow::Owned(text[..end].to_owned()),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_token_is_shown_wherever_a_long_text_is_cut() {
        let token = format!("dpd-{}", "a".repeat(50));
        for before in 140..=200 {
            let text = format!("/{} {token} {}", "x".repeat(before), "y".repeat(100));
            assert!(!shown(&text).contains("dpd-a"), "{before}");
            assert!(shown(&text).chars().count() <= MAX_TEXT_CHARS);
        }
    }
}
