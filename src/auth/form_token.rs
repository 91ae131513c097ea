//! Tokens in forms, which prove that a form comes from a page of its session (protection against cross-site request
//! forgery). Each page has another token for the same secret, so that the secret cannot be found from the lengths of
//! compressed pages (<https://www.breachattack.com/>).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::random;

/// Length of a secret, in bytes.
pub const SECRET_BYTES: usize = 32;

/// Returns the secret of the forms of a session, which follows from that of its cookie: it need not be stored.
pub fn secret_of(session: &str) -> [u8; SECRET_BYTES] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, session.as_bytes());
    let mut secret = [0; SECRET_BYTES];
    secret.copy_from_slice(hmac::sign(&key, b"forms").as_ref());
    secret
}

/// Returns a token for this secret: a random mask, and the secret under it.
pub fn issue(secret: &[u8; SECRET_BYTES]) -> String {
    let mask = random::bytes::<SECRET_BYTES>();
    hex::encode([mask, under(&mask, secret)].concat())
}

/// Returns true if the token was issued for this secret.
pub fn is_of(token: &str, secret: &[u8; SECRET_BYTES]) -> bool {
    let mut bytes = [0; 2 * SECRET_BYTES];
    if hex::decode_to_slice(token, &mut bytes).is_err() {
        return false;
    }
    let (mask, masked) = bytes.split_at(SECRET_BYTES);
    let shown: Vec<u8> = mask.iter().zip(masked).map(|(mask, masked)| mask ^ masked).collect();
    verify_slices_are_equal(&shown, secret).is_ok()
}

fn under(mask: &[u8; SECRET_BYTES], secret: &[u8; SECRET_BYTES]) -> [u8; SECRET_BYTES] {
    std::array::from_fn(|index| mask[index] ^ secret[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_has_a_secret_of_its_own() {
        assert_eq!(secret_of("one"), secret_of("one"));
        assert_ne!(secret_of("one"), secret_of("other"));
    }

    #[test]
    fn a_token_is_of_its_secret_alone_and_differs_each_time() {
        let (secret, other) = (random::bytes(), random::bytes());
        let tokens = [issue(&secret), issue(&secret)];
        assert!(tokens.iter().all(|token| is_of(token, &secret) && !is_of(token, &other)));
        assert_ne!(tokens[0], tokens[1]);
        for token in ["", "00", &"0".repeat(128), &tokens[0][2..], &format!("{}é", tokens[0])] {
            assert!(!is_of(token, &secret), "{token}");
        }
    }
}
