//! The claims of a token, and the time in which they are accepted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::CredentialId;

/// The claims of a verified token (RFC 7519, section 4.1, and `cred`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer.
    pub iss: String,
    /// The audience: the service that the token is for.
    pub aud: String,
    /// The subject: the principal, such as `user:7`.
    pub sub: String,
    /// The id of the credential for which the token was issued; `None` for an anonymous caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cred: Option<CredentialId>,
    /// The unique id of the token, for logs.
    pub jti: String,
    /// The time of issue, in seconds since 1970.
    pub iat: i64,
    /// The time from which the token is accepted, in seconds since 1970.
    pub nbf: i64,
    /// The time until which the token is accepted, in seconds since 1970.
    pub exp: i64,
}

/// The tolerance for clock differences when `nbf` and `exp` are checked, in seconds. GitLab uses the same value.
pub(super) const LEEWAY_SECS: u64 = 60;

impl Claims {
    pub(super) fn accepted_at(&self, now: Timestamp) -> bool {
        let (now, leeway) = (now.as_second(), LEEWAY_SECS.cast_signed());
        self.nbf <= now.saturating_add(leeway) && now <= self.exp.saturating_add(leeway)
    }
}
