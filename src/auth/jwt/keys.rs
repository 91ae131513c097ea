//! The signing keys: as the key file has them, and as a signer uses them. The keys of accounts (`auth::sealing`) are in
//! a file of the same form.

use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};

use crate::auth::random;

/// The signing keys in the form of the key file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySet {
    /// The keys; the first one signs.
    pub(super) keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredKey {
    pub(super) kid: String,
    /// At least 32 bytes, in hexadecimal digits.
    secret: String,
}

pub(super) struct SigningKey {
    pub(super) kid: String,
    pub(super) encoding: EncodingKey,
    pub(super) decoding: DecodingKey,
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

impl KeySet {
    /// Generates a set with one new key.
    pub fn generate() -> Self {
        let key = StoredKey { kid: hex::encode(random::bytes::<4>()), secret: hex::encode(random::bytes::<32>()) };
        Self { keys: vec![key] }
    }

    /// Returns the set of these keys: ids and secrets.
    pub(in crate::auth) fn of(keys: impl Iterator<Item = (String, [u8; 32])>) -> Self {
        Self { keys: keys.map(|(kid, secret)| StoredKey { kid, secret: hex::encode(secret) }).collect() }
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

    /// Returns a set whose first key is new, followed by those keys of this set that are `wanted`.
    #[must_use]
    pub fn rotated_with(self, wanted: impl Fn(&str) -> bool) -> Self {
        let kept = self.keys.into_iter().filter(|key| wanted(&key.kid));
        Self { keys: Self::generate().keys.into_iter().chain(kept).collect() }
    }

    /// Returns the id of the first key.
    pub fn first_key(&self) -> Option<&str> {
        self.keys.first().map(|key| key.kid.as_str())
    }

    /// Returns the number of keys.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Returns these keys, followed by those of the other set whose ids are not among them.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for key in other.keys {
            if self.keys.iter().all(|known| known.kid != key.kid) {
                self.keys.push(key);
            }
        }
        self
    }

    /// Returns the ids and secrets of all keys.
    ///
    /// # Errors
    /// Fails as [`Self::check`] does.
    pub(in crate::auth) fn secrets(&self) -> Result<Vec<(String, Vec<u8>)>, KeyError> {
        if self.keys.is_empty() {
            return Err(KeyError::Empty);
        }
        self.keys.iter().map(|key| Ok((key.kid.clone(), key.bytes()?))).collect()
    }

    /// Returns the JSON of a key file, which contains the secrets.
    ///
    /// # Errors
    /// Fails if the set cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, KeyError> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

impl StoredKey {
    fn bytes(&self) -> Result<Vec<u8>, KeyError> {
        let secret = hex::decode(&self.secret).ok().filter(|secret| secret.len() >= 32);
        secret.ok_or_else(|| KeyError::Secret(self.kid.clone()))
    }
}

impl SigningKey {
    pub(super) fn new(key: &StoredKey) -> Result<Self, KeyError> {
        let secret = key.bytes()?;
        Ok(Self {
            kid: key.kid.clone(),
            encoding: EncodingKey::from_secret(&secret),
            decoding: DecodingKey::from_secret(&secret),
        })
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The keys are secrets.
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish()
    }
}
