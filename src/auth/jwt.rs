//! The bearer tokens of the registry: JWTs (RFC 7519) signed with HS256 (RFC 7518, section 3.2) that name a principal
//! and the id of its credential. They contain no secret and grant no right: every request is authorized anew.

use std::sync::Arc;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use super::random;
use super::token_cache::TokenCache;
use crate::domain::id::CredentialId;

/// A signer and verifier of tokens. The first key signs and each key verifies, so that keys can be rotated.
pub struct Signer {
    keys: Vec<SigningKey>,
    audience: String,
    lifetime_secs: i64,
    verified: TokenCache,
}

struct SigningKey {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// The signing keys in the form of the key file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySet {
    /// The keys; the first one signs.
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    kid: String,
    /// At least 32 bytes, in hexadecimal digits.
    secret: String,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The keys are secrets.
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish()
    }
}

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

/// The reason why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is not the JSON of a key set.
    #[error("not a key set: {0}")]
    Json(#[from] serde_json::Error),
    /// A secret is not in hexadecimal digits, or is too short.
    #[error("the secret of key '{0}' must be 64 hexadecimal digits or more")]
    Secret(String),
    /// The set contains no key.
    #[error("there must be at least one key")]
    Empty,
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
/// The tolerance for clock differences when `nbf` and `exp` are checked, in seconds. GitLab uses the same value.
const LEEWAY_SECS: u64 = 60;

impl KeySet {
    /// Generates a set with one new key.
    pub fn generate() -> Self {
        let key = StoredKey { kid: hex::encode(random::bytes::<4>()), secret: hex::encode(random::bytes::<32>()) };
        Self { keys: vec![key] }
    }

    /// Returns a set whose first key is new, followed by the first one of this set.
    #[must_use]
    pub fn rotated(self) -> Self {
        Self { keys: Self::generate().keys.into_iter().chain(self.keys.into_iter().take(1)).collect() }
    }

    /// Parses the JSON of a key file.
    ///
    /// # Errors
    /// Fails if the text is not the JSON of a key set.
    pub fn from_json(json: &str) -> Result<Self, KeyError> {
        Ok(serde_json::from_str(json)?)
    }

    /// Checks that a signer can use the keys.
    ///
    /// # Errors
    /// Fails if there is no key, or if a key is malformed or has fewer than 32 bytes.
    pub fn check(&self) -> Result<(), KeyError> {
        if self.keys.is_empty() {
            return Err(KeyError::Empty);
        }
        self.keys.iter().try_for_each(|key| SigningKey::new(key).map(drop))
    }

    /// Returns the JSON of a key file, which contains the secrets.
    ///
    /// # Errors
    /// Fails if the set cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, KeyError> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

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

impl Claims {
    fn accepted_at(&self, now: Timestamp) -> bool {
        let (now, leeway) = (now.as_second(), LEEWAY_SECS.cast_signed());
        self.nbf <= now.saturating_add(leeway) && now <= self.exp.saturating_add(leeway)
    }
}

impl SigningKey {
    fn new(key: &StoredKey) -> Result<Self, KeyError> {
        let secret = hex::decode(&key.secret).ok().filter(|secret| secret.len() >= 32);
        let secret = secret.ok_or_else(|| KeyError::Secret(key.kid.clone()))?;
        Ok(Self {
            kid: key.kid.clone(),
            encoding: EncodingKey::from_secret(&secret),
            decoding: DecodingKey::from_secret(&secret),
        })
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jiff::ToSpan;
    use proptest::prelude::*;

    fn signer(keys: &KeySet) -> Signer {
        Signer::new(keys, "dependency_proxy", 3600).unwrap()
    }

    #[test]
    fn a_signed_token_says_who_and_by_which_credential() {
        let signer = signer(&KeySet::generate());
        let credential = random::credential_id();
        let token = signer.sign("user:7".to_owned(), Some(credential), Timestamp::now()).unwrap();
        let claims = signer.verify(&token, Timestamp::now()).unwrap();
        assert_eq!((claims.sub.as_str(), claims.cred), ("user:7", Some(credential)));
        assert_eq!(claims.nbf, claims.iat - 5);
    }

    #[test]
    fn tokens_of_other_keys_and_other_times_are_refused() {
        let (keys, now) = (KeySet::generate(), Timestamp::now());
        let (signer, stranger) = (signer(&keys), signer(&KeySet::generate()));
        let foreign = stranger.sign("user:7".to_owned(), None, now).unwrap();
        let expired = signer.sign("user:7".to_owned(), None, now - 2.hours()).unwrap();
        let early = signer.sign("user:7".to_owned(), None, now + 1.hours()).unwrap();
        for token in [&foreign, &expired, &early, "", "a.b.c"] {
            assert!(signer.verify(token, now).is_err());
        }
        let other_audience = Signer::new(&keys, "another", 3600).unwrap();
        assert!(other_audience.verify(&signer.sign("user:7".to_owned(), None, now).unwrap(), now).is_err());
    }

    #[test]
    fn a_token_that_was_verified_before_is_over_in_its_time() {
        let (signer, now) = (signer(&KeySet::generate()), Timestamp::now());
        let token = signer.sign("user:7".to_owned(), None, now).unwrap();
        assert!(signer.verify(&token, now).is_ok());
        assert!(signer.verify(&token, now + 3660.seconds()).is_ok(), "clocks may differ by a minute");
        assert!(signer.verify(&token, now + 3661.seconds()).is_err());
        assert!(signer.verify(&token, now - 66.seconds()).is_err());
        assert!(signer.verify(&token, now).is_ok());
    }

    #[test]
    fn the_header_cannot_choose_the_algorithm() {
        let signer = signer(&KeySet::generate());
        let token = signer.sign("user:7".to_owned(), None, Timestamp::now()).unwrap();
        let kid = &signer.keys[0].kid;
        let claims = token.split('.').nth(1).unwrap();
        let none = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"none","typ":"JWT","kid":"{kid}"}}"#));
        let hs512 = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS512","typ":"JWT","kid":"{kid}"}}"#));
        let signature = token.rsplit('.').next().unwrap();
        for forged in [format!("{none}.{claims}."), format!("{hs512}.{claims}.{signature}")] {
            assert!(signer.verify(&forged, Timestamp::now()).is_err());
        }
    }

    #[test]
    fn an_older_key_still_verifies_and_only_the_first_signs() {
        let old = KeySet::generate();
        let token = signer(&old).sign("user:7".to_owned(), None, Timestamp::now()).unwrap();
        let both = old.rotated();
        let rotated = signer(&KeySet::from_json(&both.to_json().unwrap()).unwrap());
        assert!(rotated.verify(&token, Timestamp::now()).is_ok());
        let new = rotated.sign("user:7".to_owned(), None, Timestamp::now()).unwrap();
        assert_eq!(decode_header(new).unwrap().kid.as_ref(), Some(&both.keys[0].kid));
    }

    #[test]
    fn a_token_with_any_changed_byte_is_refused() {
        let known = properties::Known::new().unwrap();
        for place in 0..600 {
            for other in *b"Ab0-_.=/ " {
                known.holds_without_byte(place, other);
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_is_a_token_that_was_not_signed(
            bytes: Vec<u8>, text in "[A-Za-z0-9_.-]{0,60}", place: usize, other: u8,
        ) {
            let known = properties::Known::new().unwrap();
            known.hold(&bytes);
            known.hold(text.as_bytes());
            known.holds_without_byte(place, other);
        }

        #[test]
        fn signed_claims_count_only_from_this_service_and_in_their_time(
            iss in "dependency-proxy|x", aud in "dependency_proxy|x", cred in "0{32}|x|", nbf in seconds(),
            exp in seconds(),
        ) {
            let cred = if cred.is_empty() { String::new() } else { format!(r#""cred":"{cred}","#) };
            let claims = format!(
                r#"{{"iss":"{iss}","aud":"{aud}","sub":"user:7",{cred}"jti":"","iat":0,"nbf":{nbf},"exp":{exp}}}"#
            );
            properties::Known::new().unwrap().hold(claims.as_bytes());
        }
    }

    /// Returns times of every kind, as they may stand in claims.
    fn seconds() -> impl Strategy<Value = String> {
        let times =
            ["0", "1795000000", "4000000000", "-1", "1.5", "null", "9223372036854775807", "-9223372036854775808"];
        prop_oneof![
            prop::sample::select(times.to_vec()).prop_map(str::to_owned),
            any::<i64>().prop_map(|at| at.to_string())
        ]
    }
}
