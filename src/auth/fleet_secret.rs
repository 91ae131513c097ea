//! The secret that the replicas of a fleet share. The keys that sign login tokens, those that seal the passwords of
//! groups' accounts and those that authenticate replicas to one another are derived from it (HKDF, RFC 5869), so that
//! neither database nor object store has a key.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;

use super::jwt::KeySet;

/// The secrets; the first one signs and seals, and all verify and open.
pub struct FleetSecret(Vec<Vec<u8>>);

/// A reason why a file is no secret of a fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetSecretError {
    /// There is no line with a secret.
    #[error("it is empty; a secret is a line of at least 32 characters, such as `openssl rand -hex 32` prints")]
    Empty,
    /// A line is too short.
    #[error("line {0} has fewer than 32 characters; a secret is a line such as `openssl rand -hex 32` prints")]
    Short(usize),
}

/// Minimum length of a secret in bytes.
const MIN_SECRET_BYTES: usize = 32;

/// The purpose of derived keys.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// To sign login tokens.
    LoginTokens,
    /// To seal the passwords of groups' accounts.
    Accounts,
}

impl FleetSecret {
    /// Reads the secrets of a file, one in each line.
    ///
    /// # Errors
    /// Fails if there is none, or one is too short.
    pub fn from_lines(text: &str) -> Result<Self, FleetSecretError> {
        let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
        let secret = |(index, line): (usize, &str)| {
            if line.len() < MIN_SECRET_BYTES {
                Err(FleetSecretError::Short(index + 1))
            } else {
                Ok(line.as_bytes().to_vec())
            }
        };
        let secrets = lines.map(secret).collect::<Result<Vec<_>, _>>()?;
        if secrets.is_empty() { Err(FleetSecretError::Empty) } else { Ok(Self(secrets)) }
    }

    /// Returns the keys for a purpose, in the order of the secrets.
    pub fn keys(&self, purpose: Purpose) -> KeySet {
        let label = match purpose {
            Purpose::LoginTokens => "login tokens",
            Purpose::Accounts => "accounts of groups",
        };
        let key =
            |secret: &Vec<u8>| (hex::encode(&derived(secret, &format!("{label}: id"))[..4]), derived(secret, label));
        KeySet::of(self.0.iter().map(key))
    }

    /// Returns the ids by which the secrets are compared with those of other replicas, in their order. Each is as long
    /// as that of a key in a login token, and tells as much of the secret.
    pub fn ids(&self) -> Vec<String> {
        self.0.iter().map(|secret| hex::encode(&derived(secret, "secret: id")[..4])).collect()
    }

    /// Returns the signature of a message between replicas.
    pub fn sign(&self, message: &[u8]) -> String {
        self.0.first().map_or_else(String::new, |secret| hex::encode(hmac::sign(&message_key(secret), message)))
    }

    /// Returns true if a replica with one of the secrets has signed this message.
    pub fn has_signed(&self, message: &[u8], signature: &str) -> bool {
        let Ok(signature) = hex::decode(signature) else { return false };
        self.0.iter().any(|secret| hmac::verify(&message_key(secret), message, &signature).is_ok())
    }
}

fn message_key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &derived(secret, "messages between replicas"))
}

/// The length of a derived key.
struct Bytes32;

impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

fn derived(secret: &[u8], label: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let info = ["dependency-proxy fleet: ".as_bytes(), label.as_bytes()];
    let filled =
        Salt::new(HKDF_SHA256, &[]).extract(secret).expand(&info, Bytes32).and_then(|key_of| key_of.fill(&mut key));
    debug_assert!(filled.is_ok(), "32 bytes can always be derived");
    key
}

impl std::fmt::Debug for FleetSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FleetSecret").field("secrets", &self.0.len()).finish()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    const FIRST: &str = "the first secret, which is long enough";
    const SECOND: &str = "the second secret, also long enough";

    fn secret(lines: &[&str]) -> FleetSecret {
        FleetSecret::from_lines(&lines.join("\n")).unwrap()
    }

    #[test]
    fn the_first_secret_signs_and_every_one_verifies() {
        let (old, both) = (secret(&[FIRST]), secret(&[SECOND, FIRST]));
        assert!(both.has_signed(b"a message", &old.sign(b"a message")));
        assert!(!old.has_signed(b"a message", &both.sign(b"a message")));
        assert!(!both.has_signed(b"another", &old.sign(b"a message")));
        assert!(!both.has_signed(b"a message", "no signature"));
    }

    #[test]
    fn keys_differ_by_secret_and_purpose_and_are_the_same_on_every_replica() {
        let json = |lines: &[&str], purpose| secret(lines).keys(purpose).to_json().unwrap();
        assert_eq!(json(&[FIRST], Purpose::LoginTokens), json(&[FIRST], Purpose::LoginTokens));
        assert_ne!(json(&[FIRST], Purpose::LoginTokens), json(&[FIRST], Purpose::Accounts));
        assert_ne!(json(&[FIRST], Purpose::LoginTokens), json(&[SECOND], Purpose::LoginTokens));
        let both = secret(&[SECOND, FIRST]).keys(Purpose::LoginTokens);
        assert_eq!(both.count(), 2);
        assert_eq!(both.first_key(), secret(&[SECOND]).keys(Purpose::LoginTokens).first_key());
        both.check().unwrap();
    }

    #[test]
    fn each_secret_has_an_id_that_no_key_has() {
        let (first, both) = (secret(&[FIRST]).ids(), secret(&[SECOND, FIRST]).ids());
        assert_eq!((first.len(), both.len()), (1, 2));
        assert!(both[1] == first[0] && both[0] != first[0]);
        for purpose in [Purpose::LoginTokens, Purpose::Accounts] {
            assert!(!secret(&[FIRST]).keys(purpose).to_json().unwrap().contains(&first[0]));
        }
    }

    #[test]
    fn what_is_too_short_to_be_a_secret_is_refused() {
        assert!(matches!(FleetSecret::from_lines("\n \n"), Err(FleetSecretError::Empty)));
        assert!(matches!(FleetSecret::from_lines(&format!("{FIRST}\nshort\n")), Err(FleetSecretError::Short(2))));
    }
}
