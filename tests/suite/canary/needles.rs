//! Secrets in all encodings in which they could appear, and a search for all of them at once.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

/// Minimum length of a searched string; a shorter one could occur by chance.
pub(super) const MIN_SECRET_BYTES: usize = 12;

const KEY_BYTES: usize = 8;

/// The searched strings, by their first bytes.
#[derive(Default)]
pub(super) struct Needles(HashMap<[u8; KEY_BYTES], Vec<Needle>>);

struct Needle {
    bytes: Vec<u8>,
    /// The secret and the encoding.
    name: String,
}

impl Needles {
    pub(super) fn add(&mut self, kind: &str, secret: &[u8]) {
        assert!(secret.len() >= MIN_SECRET_BYTES, "{kind} is too short to be told from chance");
        for (form, bytes) in forms(secret) {
            let key = bytes[..KEY_BYTES].try_into().unwrap();
            let needles = self.0.entry(key).or_default();
            if !needles.iter().any(|needle| needle.bytes == bytes) {
                needles.push(Needle { bytes, name: format!("{kind}, {form}") });
            }
        }
    }

    /// Returns a sentence for each occurrence, without the secret itself.
    pub(super) fn found_in(&self, place: &str, text: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (at, window) in text.windows(KEY_BYTES).enumerate() {
            let key: &[u8; KEY_BYTES] = window.try_into().unwrap();
            for needle in self.0.get(key).into_iter().flatten() {
                if text[at..].starts_with(&needle.bytes) {
                    let before = String::from_utf8_lossy(&text[at.saturating_sub(120)..at]).into_owned();
                    found.push(format!("{} in {place}, after: {before}", needle.name));
                }
            }
        }
        found
    }
}

fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = vec![
        ("plain", secret.to_vec()),
        ("in hexadecimal", hex::encode(secret).into_bytes()),
        ("in upper hexadecimal", hex::encode_upper(secret).into_bytes()),
        ("percent-encoded", percent_encode(secret, NON_ALPHANUMERIC).to_string().into_bytes()),
        ("in a form", url::form_urlencoded::byte_serialize(secret).collect::<String>().into_bytes()),
        ("escaped", format!("{:?}", String::from_utf8_lossy(secret)).trim_matches('"').as_bytes().to_vec()),
    ];
    for before in 0..3 {
        forms.push(("in base64", inner_base64(&STANDARD_NO_PAD, secret, before)));
        forms.push(("in base64 for URLs", inner_base64(&URL_SAFE_NO_PAD, secret, before)));
    }
    // A key that is not text has no text encodings: matches of those would be chance.
    let text = std::str::from_utf8(secret).is_ok();
    forms.retain(|(form, _)| text || !matches!(*form, "escaped" | "percent-encoded" | "in a form"));
    forms
}

/// Returns the base64 characters that depend only on this secret, wherever it starts in a longer text.
fn inner_base64(engine: &impl Engine, secret: &[u8], before: usize) -> Vec<u8> {
    let padded = [vec![0; before], secret.to_vec()].concat();
    let encoded = engine.encode(&padded);
    let (first, last) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    encoded.as_bytes()[first..last].to_vec()
}

#[test]
fn every_form_of_a_secret_is_found() {
    use base64::engine::general_purpose::STANDARD;
    let secret = "canary+with/odd&chars=1";
    let mut needles = Needles::default();
    needles.add("it", secret.as_bytes());
    let texts = [
        format!("x{secret}y"),
        STANDARD.encode(secret),
        STANDARD.encode(format!("user:{secret}")),
        STANDARD.encode(format!("{{\"a\":\"{secret}\"}}")),
        URL_SAFE_NO_PAD.encode(format!("somebody:{secret}")),
        hex::encode(format!("a{secret}b")),
        format!("?password={}", url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>()),
    ];
    for text in texts {
        assert!(!needles.found_in("a test", text.as_bytes()).is_empty(), "not found in {text}");
    }
    assert!(needles.found_in("a test", b"canary+with/odd&chars=2").is_empty());
}
