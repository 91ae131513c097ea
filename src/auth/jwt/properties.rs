//! Properties of login tokens, for whatever bytes a client sends. Shared by the tests and `tests/fuzz`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto::sign;

use super::claims::LEEWAY_SECS;
use super::{ISSUER, KeySet, Signer};

/// A signer with a key that everybody knows, and a token that it has signed.
pub(crate) struct Known {
    signer: Signer,
    token: String,
}

const AUDIENCE: &str = "dependency_proxy";
const KID: &str = "0badcafe";

impl Known {
    /// Creates both; `None` if this key is none.
    pub(crate) fn new() -> Option<Self> {
        let keys = format!(r#"{{"keys":[{{"kid":"{KID}","secret":"{}"}}]}}"#, "5a".repeat(32));
        let signer = Signer::new(&KeySet::from_json(&keys).ok()?, AUDIENCE, 3600).ok()?;
        let token = signer.sign("user:7".to_owned(), Some("0".repeat(32).parse().ok()?), at(0)).ok()?;
        Some(Self { signer, token })
    }

    /// Asserts that these bytes are no token, whether alone or in the place of any part of a genuine one, and that
    /// claims are accepted only from this issuer, for this audience and in their time, even if they are signed.
    pub(crate) fn hold(&self, bytes: &[u8]) {
        assert!(self.signer.credential_of(&self.token).is_some(), "the genuine token is refused");
        if let Ok(text) = str::from_utf8(bytes) {
            self.is_refused(text);
            let parts: Vec<&str> = self.token.split('.').collect();
            for changed in 0..parts.len() {
                let mut parts = parts.clone();
                parts[changed] = text;
                self.is_refused(&parts.join("."));
            }
        }
        if let [high, low, other, ..] = bytes {
            self.holds_without_byte(usize::from(u16::from_be_bytes([*high, *low])), *other);
        }
        self.claims_are_checked(bytes);
    }

    /// Asserts that a genuine token is refused if the byte at this place, modulo the length, is replaced by another
    /// one.
    pub(crate) fn holds_without_byte(&self, place: usize, other: u8) {
        let mut bytes = self.token.clone().into_bytes();
        let place = place % bytes.len();
        bytes[place] = other;
        if let Ok(changed) = String::from_utf8(bytes) {
            self.is_refused(&changed);
        }
    }

    fn is_refused(&self, text: &str) {
        if text != self.token {
            assert!(self.signer.credential_of(text).is_none(), "{text:?}");
            assert!(self.signer.verify(text, at(0)).is_err(), "{text:?}");
        }
    }

    fn claims_are_checked(&self, payload: &[u8]) {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{KID}"}}"#));
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
        let Ok(signature) = sign(message.as_bytes(), &self.signer.keys[0].encoding, Algorithm::HS256) else { return };
        let token = format!("{message}.{signature}");
        for now in [at(0), at(4_000_000_000), Timestamp::MIN, Timestamp::MAX] {
            let Ok(claims) = self.signer.verify(&token, now) else { continue };
            let (now, leeway) = (i128::from(now.as_second()), i128::from(LEEWAY_SECS));
            assert_eq!((claims.iss.as_str(), claims.aud.as_str()), (ISSUER, AUDIENCE));
            assert!(i128::from(claims.nbf) - leeway <= now && now <= i128::from(claims.exp) + leeway, "{claims:?}");
        }
    }
}

/// Returns the time this many seconds after one in November 2026.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
