//! Error bodies of registries (OCI distribution specification, "Error Codes") and of token servers.

use serde_json::Value;

/// The first error in the body of a response.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    /// Error code such as `DENIED`; empty where there is none.
    pub(super) code: String,
    /// Message for people.
    pub(super) message: String,
}

impl Refusal {
    /// Parses an error body; `None` where the body is something else.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let first = &body["errors"][0];
        // Docker Hub's token server sends `details` only.
        let message = text(&first["message"]).or_else(|| text(&body["details"]))?;
        Some(Self { code: text(&first["code"]).unwrap_or_default(), message })
    }

    /// Returns the message in the body of a response with this status, or a text that states that there is none.
    pub(super) fn sentence(status: u16, body: &[u8]) -> String {
        Self::read(body).map_or_else(|| format!("status {status} without an explanation"), |refusal| refusal.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_and_token_servers_are_understood() {
        let refusal = |code: &str, message: &str| Some(Refusal { code: code.to_owned(), message: message.to_owned() });
        let registry = br#"{"errors":[{"code":"DENIED","message":"No"},{"code":"X"}]}"#;
        assert_eq!(Refusal::read(registry), refusal("DENIED", "No"));
        let hub = br#"{"details":"incorrect username or password"}"#;
        assert_eq!(Refusal::read(hub), refusal("", "incorrect username or password"));
    }

    #[test]
    fn a_page_is_no_refusal() {
        for page in ["", "<html>", "{}", r#"{"errors":[]}"#, r#"{"errors":"x"}"#] {
            assert_eq!(Refusal::sentence(502, page.as_bytes()), "status 502 without an explanation", "{page}");
        }
    }
}
