//! A memory cache of bearer tokens whose signature was verified: a client sends the same token with every request of
//! a pull, for up to an hour. Does not check whether a token is still accepted.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Claims;

/// Initial capacity hint, in tokens; the cache is bounded by bytes.
const TOKENS_HINT: usize = 4096;
/// Maximum size of the cache, in bytes.
const MAX_CACHE_BYTES: u64 = 4 << 20;

/// The claims of verified tokens.
pub(super) struct TokenCache(Cache<Box<str>, Arc<Claims>, ByLength>);

#[derive(Clone)]
struct ByLength;

impl Weighter<Box<str>, Arc<Claims>> for ByLength {
    fn weight(&self, token: &Box<str>, _: &Arc<Claims>) -> u64 {
        // The claims take about as much memory as the token once more.
        2 * token.len() as u64 + 256
    }
}

impl Default for TokenCache {
    fn default() -> Self {
        Self(Cache::with_weighter(TOKENS_HINT, MAX_CACHE_BYTES, ByLength))
    }
}

impl TokenCache {
    /// Returns the cached claims of exactly this token, or those that `verify` returns. Only accepted tokens are
    /// cached.
    ///
    /// # Errors
    /// Fails if the token is not cached and `verify` fails.
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
        let verified = TokenCache::default();
        assert_eq!(verified.claims("a.b.c", || Err("no")).map(|claims| claims.sub.clone()), Err("no"));
        for verify in [Ok(claims()), Err("not verified again")] {
            assert_eq!(verified.claims("a.b.c", || verify).map(|claims| claims.sub.clone()), Ok("user:7".to_owned()));
        }
        assert_eq!(verified.claims("a.b.d", || Err("another")).map(|claims| claims.sub.clone()), Err("another"));
    }
}
