//! Remembers, in memory, bearer tokens whose signature was verified: a client sends one token with every request of a pull, and of
//! an hour. Knows nothing of whether a token is still accepted.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::jwt::Claims;

/// A guess, for a start: what bounds them is their length.
const TOKENS: usize = 4096;
/// In bytes.
const MOST: u64 = 4 << 20;

/// What verified tokens say.
pub(super) struct Verified(Cache<Box<str>, Arc<Claims>, ByLength>);

#[derive(Clone)]
struct ByLength;

impl Weighter<Box<str>, Arc<Claims>> for ByLength {
    fn weight(&self, token: &Box<str>, _: &Arc<Claims>) -> u64 {
        // What it says is most of it once more.
        2 * token.len() as u64 + 256
    }
}

impl Default for Verified {
    fn default() -> Self {
        Self(Cache::with_weighter(TOKENS, MOST, ByLength))
    }
}

impl Verified {
    /// What this very token says, if it was verified before; else what `verify` finds. Only what it accepts is remembered.
    pub(super) fn claims<E>(&self, token: &str, verify: impl FnOnce() -> Result<Claims, E>) -> Result<Arc<Claims>, E> {
        if let Some(claims) = self.0.get(token) {
            return Ok(claims);
        }
        let claims = Arc::new(verify()?);
        self.0.insert(token.into(), claims.clone());
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        let text = String::new;
        Claims { iss: text(), aud: text(), sub: "user:7".to_owned(), cred: None, jti: text(), iat: 0, nbf: 0, exp: 0 }
    }

    #[test]
    fn a_token_is_verified_once_and_a_refusal_is_not_remembered() {
        let verified = Verified::default();
        assert_eq!(verified.claims("a.b.c", || Err("no")).map(|claims| claims.sub.clone()), Err("no"));
        for verify in [Ok(claims()), Err("not asked again")] {
            assert_eq!(verified.claims("a.b.c", || verify).map(|claims| claims.sub.clone()), Ok("user:7".to_owned()));
        }
        assert_eq!(verified.claims("a.b.d", || Err("another")).map(|claims| claims.sub.clone()), Err("another"));
    }
}
