//! What a registry says in the body of a failing response (OCI distribution specification, "Error codes"), shortened and made
//! harmless: it reaches users and the log.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;

use super::error::HttpFailure;

const MAX_BODY_BYTES: usize = 16 << 10;
const MAX_MESSAGE_CHARS: usize = 200;
const MAX_CODE_BYTES: usize = 40;
const BODY_TIMEOUT: Duration = Duration::from_millis(500);

/// The body of an error. Registries use the first form, Docker Hub's realm and cloud providers the others.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<Entry>,
    message: Option<String>,
    details: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    code: Option<String>,
    message: Option<String>,
}

/// Reads the status, and what the body says as far as it is short and arrives soon. `shown` is the `Authorization` that the
/// request carried: a sentence that repeats its secret is dropped.
pub(super) async fn read(response: Response, shown: Option<&HeaderValue>) -> HttpFailure {
    let status = response.status().as_u16();
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (is_json, is_text) = (kind.contains("json"), kind.starts_with("text/plain") || kind.is_empty());
    if !is_json && !is_text {
        return HttpFailure { status, code: None, message: None };
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, beginning(response)).await.unwrap_or_default();
    let (code, message) = meaning(&body, is_text);
    let secret = shown.and_then(|shown| shown.to_str().ok()).and_then(|shown| shown.split_once(' '));
    let repeats = |text: &String| secret.is_some_and(|(_, secret)| text.contains(secret));
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

/// The code and the sentence. Text that is no JSON is a sentence itself where that is its type.
fn meaning(body: &[u8], is_text: bool) -> (Option<String>, Option<String>) {
    match serde_json::from_slice::<Body>(body) {
        Ok(Body { errors, message, details }) => match errors.into_iter().next() {
            Some(entry) => (entry.code, entry.message.or(message)),
            None => (None, message.or(details)),
        },
        Err(_) if is_text => (None, std::str::from_utf8(body).ok().map(str::to_owned)),
        Err(_) => (None, None),
    }
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
        assert_eq!(said("<html>", false), (None, None));
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
