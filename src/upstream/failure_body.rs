//! What a registry says in the body of a failing response (OCI distribution specification, "Error codes"), shortened and made
//! harmless: it reaches users and the log.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::error::HttpFailure;

const MAX_BODY_BYTES: usize = 16 << 10;
const MAX_MESSAGE_CHARS: usize = 200;
const MAX_CODE_BYTES: usize = 40;
const BODY_TIMEOUT: Duration = Duration::from_millis(500);

/// Reads the status, and what the body says as far as it is short and arrives soon. `shown` is the `Authorization` that the
/// request carried: a sentence that repeats its secret, or one of these passwords, is dropped.
pub(super) async fn read(response: Response, shown: Option<&HeaderValue>, passwords: &[SecretString]) -> HttpFailure {
    let status = response.status().as_u16();
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (is_json, is_text) = (kind.contains("json"), kind.starts_with("text/plain") || kind.is_empty());
    if !is_json && !is_text {
        return HttpFailure { status, code: None, message: None };
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, beginning(response)).await.unwrap_or_default();
    let (code, message) = meaning(&body, is_text);
    let secrets = secrets(shown);
    let passwords =
        || passwords.iter().map(|password| password.expose_secret()).filter(|password| !password.is_empty());
    let repeats = |text: &String| {
        secrets.iter().any(|secret| text.contains(secret)) || passwords().any(|password| text.contains(password))
    };
    let message = message.filter(|text| !repeats(text)).map(|text| shortened(&text));
    HttpFailure { status, code: code.filter(|code| is_code(code)), message: message.filter(|text| !text.is_empty()) }
}

async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() >= MAX_BODY_BYTES {
            return Vec::new();
        }
    }
    body
}

/// What a sentence must not repeat: the token, or the user name and password in both of their forms.
fn secrets(shown: Option<&HeaderValue>) -> Vec<String> {
    let value = shown.and_then(|shown| shown.to_str().ok()).and_then(|shown| shown.split_once(' '));
    let Some((_, value)) = value else { return Vec::new() };
    let decoded = BASE64_STANDARD.decode(value).ok().and_then(|pair| String::from_utf8(pair).ok());
    let password = decoded.and_then(|pair| pair.split_once(':').map(|(_, password)| password.to_owned()));
    let all = [Some(value.to_owned()), password].into_iter().flatten();
    all.filter(|secret| !secret.is_empty()).collect()
}

/// The code and the sentence, in the forms of registries (`errors`), of cloud providers (`error`, `message`) and of Docker Hub's
/// realm (`details`). Text that is no JSON is a sentence itself where that is its type.
fn meaning(body: &[u8], is_text: bool) -> (Option<String>, Option<String>) {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        let text = std::str::from_utf8(body).ok().filter(|_| is_text);
        return (None, text.map(str::to_owned));
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let entries = [&body["errors"][0], &body["error"], &body];
    let code = text(&entries[0]["code"]);
    let sentence = entries.iter().find_map(|entry| text(&entry["message"]).or_else(|| text(&entry["details"])));
    (code, sentence.or_else(|| text(&body["error"])))
}

/// One line without control characters, cut at a length that fits a line of a terminal or two.
fn shortened(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

fn is_code(code: &str) -> bool {
    let well_formed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=MAX_CODE_BYTES).contains(&code.len()) && code.bytes().all(well_formed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_found_in_every_form() {
        let said = |body: &str, is_text| meaning(body.as_bytes(), is_text);
        let pair = |code: Option<&str>, text: &str| (code.map(str::to_owned), Some(text.to_owned()));
        let registry = r#"{"errors":[{"code":"UNSUPPORTED","message":"Invalid parameter","detail":{}},{"code":"X"}]}"#;
        assert_eq!(said(registry, false), pair(Some("UNSUPPORTED"), "Invalid parameter"));
        assert_eq!(said(r#"{"details":"incorrect username"}"#, false), pair(None, "incorrect username"));
        assert_eq!(said(r#"{"message":"gone"}"#, true), pair(None, "gone"));
        assert_eq!(said("404 page not found\n", true), pair(None, "404 page not found\n"));
        assert_eq!(said(r#"{"errors":[{"code":405,"message":"no"}],"details":{"x":1}}"#, false), pair(None, "no"));
        assert_eq!(
            said(r#"{"error":{"code":403,"message":"denied by policy"}}"#, false),
            pair(None, "denied by policy")
        );
        assert_eq!(said(r#"{"error":"invalid_scope"}"#, false), pair(None, "invalid_scope"));
        assert_eq!(said("<html>", false), (None, None));
    }

    #[test]
    fn a_password_is_a_secret_in_both_of_its_forms() {
        let basic = HeaderValue::from_static("Basic dTpzZWNyZXQ=");
        assert_eq!(secrets(Some(&basic)), ["dTpzZWNyZXQ=", "secret"]);
        assert_eq!(secrets(Some(&HeaderValue::from_static("Bearer t.o.k"))), ["t.o.k"]);
        assert!(secrets(None).is_empty());
    }

    #[test]
    fn a_sentence_is_one_short_line() {
        assert_eq!(shortened(" two\r\n lines\u{1b}[31m\t"), "two lines [31m");
        let long = shortened(&"ä".repeat(500));
        assert_eq!((long.chars().count(), long.ends_with("...")), (MAX_MESSAGE_CHARS + 3, true));
    }

    #[test]
    fn only_a_code_is_a_code() {
        assert!(is_code("NAME_INVALID") && is_code("TOOMANYREQUESTS"));
        assert!(!is_code("") && !is_code("Name invalid") && !is_code(&"A".repeat(41)));
    }
}
