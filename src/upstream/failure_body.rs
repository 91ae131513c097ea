//! Error details in the body of a failed response (OCI distribution specification, "Error codes"), shortened and
//! sanitised, because they reach users and the log.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::error::HttpFailure;
use super::rate_limit;

/// Maximum length of a body; longer ones are ignored.
const MAX_BODY_BYTES: usize = 16 << 10;
const MAX_MESSAGE_CHARS: usize = 200;
const MAX_CODE_BYTES: usize = 40;
/// Maximum time to read a body; slower ones are ignored.
const BODY_TIMEOUT: Duration = Duration::from_millis(500);

/// Returns the status, and the details in the body if it is short and arrives soon. `authorization` is the one that
/// the request carried: a message that repeats its secret, or one of `passwords`, is dropped.
pub(super) async fn read(
    response: Response,
    authorization: Option<&HeaderValue>,
    passwords: &[SecretString],
) -> HttpFailure {
    let status = response.status().as_u16();
    let retry_after = rate_limit::retry_after(response.headers(), Timestamp::now());
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (is_json, is_text) = (kind.contains("json"), kind.starts_with("text/plain") || kind.is_empty());
    if !is_json && !is_text {
        return HttpFailure { status, code: None, message: None, retry_after };
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, read_body(response)).await.unwrap_or_default();
    let (code, message) = parse(&body, is_text);
    let secrets = secrets(authorization);
    let passwords =
        || passwords.iter().map(|password| password.expose_secret()).filter(|password| !password.is_empty());
    let repeats = |text: &String| {
        secrets.iter().any(|secret| text.contains(secret)) || passwords().any(|password| text.contains(password))
    };
    let message = message.filter(|text| !repeats(text)).map(|text| shortened(&text));
    let (code, message) = (code.filter(|code| is_code(code)), message.filter(|text| !text.is_empty()));
    HttpFailure { status, code, message, retry_after }
}

async fn read_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() >= MAX_BODY_BYTES {
            return Vec::new();
        }
    }
    body
}

/// Returns the secrets that a message must not repeat: the token; or the encoded user name and password, and the
/// password itself.
fn secrets(authorization: Option<&HeaderValue>) -> Vec<String> {
    let value = authorization.and_then(|header| header.to_str().ok()).and_then(|text| text.split_once(' '));
    let Some((_, value)) = value else { return Vec::new() };
    let decoded = BASE64_STANDARD.decode(value).ok().and_then(|pair| String::from_utf8(pair).ok());
    let password = decoded.and_then(|pair| pair.split_once(':').map(|(_, password)| password.to_owned()));
    let all = [Some(value.to_owned()), password].into_iter().flatten();
    all.filter(|secret| !secret.is_empty()).collect()
}

/// Returns the code and the message, in the formats of registries (`errors`), of cloud providers (`error`,
/// `message`) and of Docker Hub's realm (`details`). A body of plain text is the message itself.
fn parse(body: &[u8], is_text: bool) -> (Option<String>, Option<String>) {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        let text = std::str::from_utf8(body).ok().filter(|_| is_text);
        return (None, text.map(str::to_owned));
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let entries = [&body["errors"][0], &body["error"], &body];
    let code = text(&entries[0]["code"]);
    let message = entries.iter().find_map(|entry| text(&entry["message"]).or_else(|| text(&entry["details"])));
    (code, message.or_else(|| text(&body["error"])))
}

/// Returns the text as one line without control characters, cut after [`MAX_MESSAGE_CHARS`] characters.
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sentence_is_found_in_every_form() {
        let parsed = |body: &str, is_text| parse(body.as_bytes(), is_text);
        let pair = |code: Option<&str>, text: &str| (code.map(str::to_owned), Some(text.to_owned()));
        let registry = r#"{"errors":[{"code":"UNSUPPORTED","message":"Invalid parameter","detail":{}},{"code":"X"}]}"#;
        assert_eq!(parsed(registry, false), pair(Some("UNSUPPORTED"), "Invalid parameter"));
        assert_eq!(parsed(r#"{"details":"incorrect username"}"#, false), pair(None, "incorrect username"));
        assert_eq!(parsed(r#"{"message":"gone"}"#, true), pair(None, "gone"));
        assert_eq!(parsed("404 page not found\n", true), pair(None, "404 page not found\n"));
        assert_eq!(parsed(r#"{"errors":[{"code":405,"message":"no"}],"details":{"x":1}}"#, false), pair(None, "no"));
        assert_eq!(
            parsed(r#"{"error":{"code":403,"message":"denied by policy"}}"#, false),
            pair(None, "denied by policy")
        );
        assert_eq!(parsed(r#"{"error":"invalid_scope"}"#, false), pair(None, "invalid_scope"));
        assert_eq!(parsed("<html>", false), (None, None));
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

    proptest! {
        #[test]
        fn no_body_makes_a_message_of_several_lines_or_of_control_characters(
            bytes: Vec<u8>, text in "(.|\\n|\\x1b){0,300}", is_text: bool,
        ) {
            let json = serde_json::json!({"errors": [{"code": text, "message": text}]}).to_string();
            for body in [bytes.as_slice(), text.as_bytes(), json.as_bytes()] {
                let (_, message) = parse(body, is_text);
                let line = shortened(&message.unwrap_or_default());
                prop_assert!(!line.contains(char::is_control) && line.chars().count() <= MAX_MESSAGE_CHARS + 3);
            }
            prop_assert_eq!(parse(json.as_bytes(), is_text), (Some(text.clone()), Some(text)));
        }

        #[test]
        fn the_password_of_every_authorization_is_a_secret(username in "[^:]{0,9}", password in ".{1,20}") {
            let pair = BASE64_STANDARD.encode(format!("{username}:{password}"));
            let header = HeaderValue::from_str(&format!("Basic {pair}"));
            let found = secrets(header.ok().as_ref());
            prop_assert_eq!(found, [pair, password]);
        }
    }
}
