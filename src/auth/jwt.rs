//! The bearer tokens of the registry: JWTs (RFC 7519) signed with HS256 (RFC 7518, section 3.2) that name a principal
//! and the id of its credential. They contain no secret and grant no right: every request is authorized anew.

mod claims;
mod keys;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties;
mod token_cache;

use std::sync::Arc;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};

pub use self::claims::Claims;
pub use self::keys::{KeyError, KeySet};

use self::claims::LEEWAY_SECS;
use self::keys::SigningKey;
use self::token_cache::TokenCache;
use super::random;
use crate::domain::id::CredentialId;

/// A signer and verifier of tokens. The first key signs and each key verifies, so that keys can be rotated.
pub struct Signer {
    keys: Vec<SigningKey>,
    audience: String,
    lifetime_secs: i64,
    verified: TokenCache,
}

/// The error for a token that is malformed, expired, or not signed by one of our keys.
#[derive(Debug, thiserror::Error)]
#[error("the token is not valid: {0}")]
pub struct InvalidToken(String);

/// The error for a token that could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the token could not be signed: {0}")]
pub struct SigningError(#[from] jsonwebtoken::errors::Error);

const ISSUER: &str = "dependency-proxy";

/// The time by which `nbf` precedes `iat`, in seconds, so that a verifier whose clock is slightly behind accepts a
/// new token at once. GitLab uses the same value.
const BACKDATED_SECS: i64 = 5;

impl Signer {
    /// Creates a signer with these keys, for tokens with this audience that are accepted for this number of seconds.
    ///
    /// # Errors
    /// Fails if there is no key, or if a key is malformed or has fewer than 32 bytes.
    pub fn new(keys: &KeySet, audience: &str, lifetime_secs: i64) -> Result<Self, KeyError> {
        let keys = keys.keys.iter().map(SigningKey::new).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self { keys, audience: audience.to_owned(), lifetime_secs, verified: TokenCache::default() })
    }

    /// Signs a token for this principal and credential.
    ///
    /// # Errors
    /// Fails if the library cannot sign the token.
    pub fn sign(&self, sub: String, cred: Option<CredentialId>, now: Timestamp) -> Result<String, SigningError> {
        let iat = now.as_second();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: self.audience.clone(),
            sub,
            cred,
            jti: hex::encode(random::bytes::<16>()),
            iat,
            nbf: iat - BACKDATED_SECS,
            exp: iat + self.lifetime_secs,
        };
        let key = &self.keys[0];
        let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::HS256) };
        Ok(encode(&header, &claims, &key.encoding)?)
    }

    /// Returns the claims of this token. The signature of a token is verified once and then cached; its validity
    /// period is checked at every call.
    ///
    /// # Errors
    /// Fails if none of our keys signed the token, or it is not valid at this time.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Claims>, InvalidToken> {
        let claims = self.verified.claims(token, || self.decode(token))?;
        if claims.accepted_at(now) {
            Ok(claims)
        } else {
            Err(InvalidToken("it has expired or is not valid yet".to_owned()))
        }
    }

    /// Returns the credential for which one of our keys signed this token, regardless of the token's validity period.
    pub fn credential_of(&self, token: &str) -> Option<CredentialId> {
        let any_time = Validation { validate_exp: false, validate_nbf: false, ..self.validation() };
        self.decode_by(token, &any_time).ok()?.cred
    }

    fn decode(&self, token: &str) -> Result<Claims, InvalidToken> {
        self.decode_by(token, &self.validation())
    }

    fn decode_by(&self, token: &str, validation: &Validation) -> Result<Claims, InvalidToken> {
        let invalid = |error: jsonwebtoken::errors::Error| InvalidToken(error.to_string());
        let kid = decode_header(token).map_err(invalid)?.kid.unwrap_or_default();
        let key = self.keys.iter().find(|key| key.kid == kid);
        let key = key.ok_or_else(|| InvalidToken("its key id is not one of this service's keys".to_owned()))?;
        decode(token, &key.decoding, validation).map(|token| token.claims).map_err(invalid)
    }

    fn validation(&self) -> Validation {
        // The algorithm is fixed here and never taken from the token's header (RFC 8725, section 3.1).
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECS;
        validation
    }
}

#[cfg(test)]
mod tests;
