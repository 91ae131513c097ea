//! Sealing of the passwords of groups' accounts at upstreams: AES-256-GCM with a random nonce each. The keys are in a
//! file of their own, outside the store. A sealed secret is bound to its group, upstream, account and user name: copied
//! elsewhere in the store it cannot be opened.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use secrecy::{ExposeSecret, SecretString};

use super::jwt::{KeyError, KeySet};
use crate::domain::upstream_account::{Binding, SealedSecret};

/// The keys that seal and open secrets.
pub struct SealingKeys {
    /// The id and the key; the first one seals.
    keys: Vec<(String, RandomizedNonceKey)>,
}

/// Reason why a sealed secret cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key that sealed it is not in the key file.
    #[error("the key file does not have the key {0}, which sealed it")]
    NoKey(String),
    /// The key does not open it: the key is another one with the same id, or the secret was changed or moved.
    #[error("the key {0} does not open it: that key is another one, or the stored password was changed")]
    WrongKey(String),
    /// It could not be sealed: a fault of this service.
    #[error("it could not be encrypted")]
    NotSealed,
}

/// Purpose of the keys that are derived from those in the file.
const PURPOSE: &[u8] = b"dependency-proxy accounts of groups";

impl SealingKeys {
    /// Creates the keys of this key file.
    ///
    /// # Errors
    /// Fails if there is no key, or if one is malformed or has fewer than 32 bytes.
    pub fn new(keys: &KeySet) -> Result<Self, KeyError> {
        let derived = |(kid, secret): (String, Vec<u8>)| match derived(&secret) {
            Some(key) => Ok((kid, key)),
            None => Err(KeyError::Secret(kid)),
        };
        Ok(Self { keys: keys.secrets()?.into_iter().map(derived).collect::<Result<_, _>>()? })
    }

    /// Returns the id of the key that seals.
    pub fn sealing_key(&self) -> &str {
        self.keys.first().map_or("", |(kid, _)| kid)
    }

    /// Seals a secret for what it belongs to.
    ///
    /// # Errors
    /// Fails if the operating system provides no randomness.
    pub fn seal(&self, secret: &SecretString, binding: Binding<'_>) -> Result<SealedSecret, SealError> {
        let (kid, key) = self.keys.first().ok_or(SealError::NotSealed)?;
        let mut bytes = secret.expose_secret().as_bytes().to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(binding.bytes()), &mut bytes);
        let nonce = nonce.map_err(|_| SealError::NotSealed)?;
        Ok(SealedSecret { key: kid.clone(), nonce: hex::encode(nonce.as_ref()), sealed: hex::encode(bytes) })
    }

    /// Opens a sealed secret for what it belongs to.
    ///
    /// # Errors
    /// Fails if its key is missing or another one, or if it was sealed for something else.
    pub fn open(&self, sealed: &SealedSecret, binding: Binding<'_>) -> Result<SecretString, SealError> {
        let known = self.keys.iter().find(|(kid, _)| *kid == sealed.key);
        let (_, key) = known.ok_or_else(|| SealError::NoKey(sealed.key.clone()))?;
        opened(key, sealed, binding).ok_or_else(|| SealError::WrongKey(sealed.key.clone()))
    }
}

fn opened(key: &RandomizedNonceKey, sealed: &SealedSecret, binding: Binding<'_>) -> Option<SecretString> {
    let nonce = Nonce::try_assume_unique_for_key(&hex::decode(&sealed.nonce).ok()?).ok()?;
    let mut bytes = hex::decode(&sealed.sealed).ok()?;
    let secret = key.open_in_place(nonce, Aad::from(binding.bytes()), &mut bytes).ok()?;
    std::str::from_utf8(secret).ok().map(SecretString::from)
}

/// Returns the key for this purpose: the same key file can be used for another one, too.
fn derived(secret: &[u8]) -> Option<RandomizedNonceKey> {
    let mut bytes = [0; 32];
    let derived = Salt::new(HKDF_SHA256, &[]).extract(secret);
    derived.expand(&[PURPOSE], &AES_256_GCM).ok()?.fill(&mut bytes).ok()?;
    RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok()
}

impl std::fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The keys are secrets.
        f.debug_struct("SealingKeys").field("keys", &self.keys.len()).finish()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::domain::id::{AccountId, GroupId};
    use crate::domain::repository::UpstreamName;

    const PASSWORD: &str = "the-hub-password";

    fn binding(upstream: &UpstreamName) -> Binding<'_> {
        Binding { group: GroupId(7), upstream, id: AccountId::from_random([1; 16]), username: "robot" }
    }

    fn sealed() -> (KeySet, SealingKeys, SealedSecret, UpstreamName) {
        let (set, upstream) = (KeySet::generate(), "docker.io".parse().unwrap());
        let keys = SealingKeys::new(&set).unwrap();
        let sealed = keys.seal(&PASSWORD.into(), binding(&upstream)).unwrap();
        (set, keys, sealed, upstream)
    }

    #[test]
    fn a_secret_is_opened_by_its_key_and_shown_by_nothing() {
        let (_, keys, sealed, upstream) = sealed();
        let text = serde_json::to_string(&sealed).unwrap();
        assert!(!text.contains(PASSWORD) && !text.contains(&hex::encode(PASSWORD)));
        assert_eq!(keys.open(&sealed, binding(&upstream)).unwrap().expose_secret(), PASSWORD);
        let again = keys.seal(&PASSWORD.into(), binding(&upstream)).unwrap();
        assert!(again.nonce != sealed.nonce && again.sealed != sealed.sealed, "each has a nonce of its own");
    }

    #[test]
    fn a_secret_is_opened_for_nothing_else() {
        let (_, keys, sealed, upstream) = sealed();
        let other = "quay.io".parse().unwrap();
        for moved in [
            Binding { group: GroupId(8), ..binding(&upstream) },
            Binding { upstream: &other, ..binding(&upstream) },
            Binding { id: AccountId::from_random([2; 16]), ..binding(&upstream) },
            Binding { username: "root", ..binding(&upstream) },
        ] {
            let refused = keys.open(&sealed, moved).unwrap_err();
            assert_eq!(refused, SealError::WrongKey(sealed.key.clone()), "{moved:?}");
        }
    }

    #[test]
    fn a_rotated_set_seals_with_the_new_key_and_opens_what_the_old_one_sealed() {
        let (set, _, sealed, upstream) = sealed();
        let rotated = SealingKeys::new(&set.rotated_with(|kid| kid == sealed.key)).unwrap();
        assert_ne!(rotated.sealing_key(), sealed.key);
        assert_eq!(rotated.open(&sealed, binding(&upstream)).unwrap().expose_secret(), PASSWORD);
        let other = SealingKeys::new(&KeySet::generate()).unwrap();
        assert_eq!(other.open(&sealed, binding(&upstream)).unwrap_err(), SealError::NoKey(sealed.key.clone()));
    }
}
