//! The log line of a refusal.

use std::net::IpAddr;

use actix_web::http::StatusCode;

use crate::auth::secret::redacted;
use crate::http::refusals::{FailedPull, Place, Refused, Subject, shown};

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

impl Line<'_> {
    /// Writes the line.
    pub(super) fn write(&self) {
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    method = self.method,
                    path = self.path.map(shown).as_deref(),
                    status = self.status.as_u16(),
                    reason = self.refused.reason.label(),
                    sentence = &*redacted(&self.refused.sentence),
                    details = self.refused.details,
                    principal = self.subject.principal.map(tracing::field::display),
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
