//! Properties of digests, for whatever bytes stand in their place. Shared by the tests and `tests/fuzz`.

use super::Digest;

/// Asserts that exactly `sha256:` with 64 lower-case hexadecimal digits is accepted, and is printed as it was written.
pub(crate) fn hold(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64 && digits.bytes().all(is_digit));
    let parsed = text.parse::<Digest>();
    assert_eq!(parsed.is_ok(), digits.is_some(), "{text:?}");
    if let (Ok(digest), Some(digits)) = (parsed, digits) {
        assert_eq!((digest.to_string().as_str(), digest.hex().as_str()), (text, digits));
        assert_eq!(Digest::from_bytes(*digest.as_bytes()), digest);
    }
}
