//! Refusals of requests that end their connection before a route gets them: the head or the framing is malformed or too
//! long, or there is no memory for the request. As every other refusal they have an id, a body in the protocol's
//! shape, a count and a log line. Only the first bytes of such a request are known.

use std::net::IpAddr;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde_json::json;

use super::count;
use super::line::Line;
use crate::http::refusals::{Place, Reason, Refused, Subject};
use crate::http::registry::error::error_body;
use crate::http::registry::state::RegistryState;
use crate::http::request_id::next_request_id;
use crate::http::request_metrics;
use crate::telemetry::RequestId;

/// Reason why a request ends its connection before a route gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlyFault {
    /// The memory for long requests is in use.
    NoMemory,
    /// The name of a header is too long.
    LongName,
    /// Trailers and chunk extensions are too long.
    LongFraming,
    /// A chunk size or a trailer is malformed.
    MalformedFraming,
    /// The head cannot be parsed.
    MalformedHead,
    /// The head is longer than the parser accepts.
    LongHead,
}

/// Responds to such requests.
#[derive(Clone)]
pub(crate) struct EarlyRefusals(Data<RegistryState>);

/// Number of bytes at the beginning of a request from which its method and path are read.
pub(crate) const EXAMINED_BYTES: usize = 256;

impl EarlyFault {
    fn status(self) -> StatusCode {
        match self {
            Self::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
            Self::LongHead => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::LongName | Self::LongFraming | Self::MalformedFraming | Self::MalformedHead => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    /// Returns the reason under which it is counted.
    fn reason(self) -> Reason {
        if self == Self::NoMemory { Reason::NoMemory } else { Reason::Malformed }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::NoMemory => "Too much memory is taken by long requests of this client or of all. Try again later",
            Self::LongName => "The name of a header is too long",
            Self::LongFraming => "The trailers and chunk extensions of a request are too long",
            Self::MalformedFraming => "A chunk size or a trailer of the request is malformed",
            Self::MalformedHead => "The request line or a header of the request is malformed",
            Self::LongHead => "The headers of the request are too long",
        }
    }

    /// Returns the HTTP reason phrase. Docker, podman and ctr show nothing else of a 5xx.
    fn phrase(self) -> &'static str {
        if self == Self::NoMemory {
            return "Too much memory is taken by long requests - try again later";
        }
        self.status().canonical_reason().unwrap_or_default()
    }
}

impl EarlyRefusals {
    /// Creates it for the routes with this state.
    pub(crate) fn new(state: Data<RegistryState>) -> Self {
        Self(state)
    }

    /// Counts and logs the refusal of a request that begins with these bytes, at most [`EXAMINED_BYTES`] of it. Returns
    /// the response, after which the connection closes. `peer` is the other end of the connection: the head, in which a
    /// proxy would name its client, was not read.
    pub(crate) fn respond(&self, fault: EarlyFault, start: &[u8], peer: IpAddr) -> Vec<u8> {
        let (id, start, status) = (next_request_id(), Start::parse(start), fault.status());
        let sentence = match status.is_server_error() {
            true => format!("{} [{id}]", fault.sentence()),
            false => fault.sentence().to_owned(),
        };
        let body = if start.method == Some("HEAD") { String::new() } else { start.body(status, &sentence) };
        let response = start.response(fault, id, &body);
        self.record(fault, &start, Refused::new(fault.reason(), sentence), id, peer.to_canonical());
        response.into_bytes()
    }

    fn record(&self, fault: EarlyFault, start: &Start<'_>, refused: Refused, id: RequestId, address: IpAddr) {
        let (state, status) = (&self.0, fault.status());
        request_metrics::count(start.path.unwrap_or_default(), status.as_u16());
        count(&refused);
        let subject = Subject::default();
        let Some(left_out) = state.refusals.admit(address, &subject, &refused) else { return };
        let place = start
            .path
            .filter(|_| start.complete)
            .map(|path| Place::at(path, start.query, &state.upstreams.load(), &state.policy.directory()));
        let _entered = id.enter();
        Line {
            method: start.method,
            path: start.path,
            status,
            refused: &refused,
            subject: &subject,
            place: &place.unwrap_or_default(),
            pull: None,
            address,
            user_agent: start.user_agent,
            left_out,
        }
        .write();
    }
}

/// The beginning of a request, as far as it is a request line (RFC 9112, section 3).
#[derive(Debug, Default, PartialEq, Eq)]
struct Start<'a> {
    method: Option<&'a str>,
    path: Option<&'a str>,
    query: &'a str,
    /// True if the path and the query are known to their ends.
    complete: bool,
    /// The `User-Agent`, if it is among the first bytes.
    user_agent: Option<&'a str>,
}

impl<'a> Start<'a> {
    fn parse(start: &'a [u8]) -> Self {
        let line = start.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        // A path without percent-encoding is not shown: characters of several bytes would be cut in their middle.
        let mut words = str::from_utf8(line).ok().filter(|line| line.is_ascii()).unwrap_or_default().split(' ');
        let method = words.next().filter(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()));
        let (Some(method), Some(target)) = (method, words.next()) else { return Self::default() };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = Some(path).filter(|path| path.starts_with('/'));
        Self { method: Some(method), path, query, complete: words.next().is_some(), user_agent: user_agent(start) }
    }

    fn is_below(&self, prefix: &str) -> bool {
        self.path
            .and_then(|path| path.strip_prefix(prefix))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn is_registry(&self) -> bool {
        self.is_below("/v2") || self.is_below("/jwt")
    }

    fn is_api(&self) -> bool {
        self.is_below("/api")
    }

    /// Returns the body in the shape of the protocol that the path belongs to.
    fn body(&self, status: StatusCode, sentence: &str) -> String {
        if self.is_registry() {
            let code = if status.is_server_error() { "UNAVAILABLE" } else { "UNSUPPORTED" };
            return error_body(code, sentence).to_string();
        }
        match self.is_api() {
            true if status.is_server_error() => json!({"message": format!("{status} - {sentence}")}).to_string(),
            true => json!({"error": sentence}).to_string(),
            false => format!("{sentence}.\n"),
        }
    }

    fn response(&self, fault: EarlyFault, id: RequestId, body: &str) -> String {
        let (status, phrase, length) = (fault.status().as_u16(), fault.phrase(), body.len());
        let is_json = self.is_registry() || self.is_api();
        let media_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
        let retry = if fault == EarlyFault::NoMemory { "retry-after: 5\r\n" } else { "" };
        let version = if self.is_registry() { "docker-distribution-api-version: registry/2.0\r\n" } else { "" };
        format!(
            "HTTP/1.1 {status} {phrase}\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n{version}{retry}\
             x-request-id: {id}\r\nconnection: close\r\n\r\n{body}"
        )
    }
}

/// Returns the value of the header `User-Agent` whose line ends within these bytes.
fn user_agent(start: &[u8]) -> Option<&str> {
    // The last line may go on.
    let end = start.iter().rposition(|byte| *byte == b'\n')?;
    let value = start[..end].split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (name, value) = str::from_utf8(line).ok()?.split_once(':')?;
        name.eq_ignore_ascii_case("user-agent").then(|| value.trim())
    });
    value.filter(|value| !value.is_empty() && !value.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_user_agent_is_known_if_its_line_ends_within_the_bytes() {
        let head = b"GET /v2/ HTTP/1.1\r\nHost: x\r\nuser-agent: docker/27.1 (linux)\r\nx: ";
        assert_eq!(user_agent(head), Some("docker/27.1 (linux)"));
        assert_eq!(Start::parse(head).user_agent, Some("docker/27.1 (linux)"));
        for head in [&head[..50], b"GET /v2/ HTTP/1.1\r\nuser-agent: \x1b[2J\r\n\r\n", b"user-agent: x\r\n", b""] {
            assert_eq!(user_agent(head), None);
        }
    }

    #[test]
    fn the_method_and_the_path_are_found_in_whatever_has_arrived() {
        let known = |start: &'static str| {
            let Start { method, path, complete, .. } = Start::parse(start.as_bytes());
            (method, path, complete)
        };
        assert_eq!(known("GET /v2/?ns=x HTTP/1.1\r\nhost: x"), (Some("GET"), Some("/v2/"), true));
        assert_eq!(known("POST /api/v4/gro"), (Some("POST"), Some("/api/v4/gro"), false));
        assert_eq!(known("GET http://x/y HTTP/1.1\r\n"), (Some("GET"), None, true));
        for garbage in ["", "GET", "\u{16}\u{3}\u{1}", "get / HTTP/1.1", "GET /ä HTTP/1.1"] {
            assert_eq!(known(garbage), (None, None, false), "{garbage}");
        }
    }

    #[test]
    fn a_response_has_the_shape_of_its_protocol_and_an_id() {
        let respond = |line: &str, fault: EarlyFault| {
            let start = Start::parse(line.as_bytes());
            let response = start.response(fault, RequestId::new(1), &start.body(fault.status(), "So it is"));
            assert!(response.contains("\r\nx-request-id: 00000001\r\n"), "{response}");
            response.split_once("\r\n\r\n").map(|(head, body)| (head.to_owned(), body.to_owned())).unwrap_or_default()
        };
        let (head, body) = respond("GET /v2/team HTTP/1.1\r\n", EarlyFault::NoMemory);
        assert!(head.starts_with("HTTP/1.1 503 Too much memory") && head.contains("retry-after: 5"), "{head}");
        assert_eq!(body, r#"{"errors":[{"code":"UNAVAILABLE","detail":null,"message":"So it is"}]}"#);
        let (head, body) = respond("GET /jwt/auth HTTP/1.1\r\n", EarlyFault::LongHead);
        assert!(head.starts_with("HTTP/1.1 431 ") && body.contains("\"UNSUPPORTED\""), "{head} {body}");
        let (_, body) = respond("POST /api/v4/groups HTTP/1.1\r\n", EarlyFault::NoMemory);
        assert_eq!(body, r#"{"message":"503 Service Unavailable - So it is"}"#);
        let (_, body) = respond("POST /api/v4/groups HTTP/1.1\r\n", EarlyFault::MalformedHead);
        assert_eq!(body, r#"{"error":"So it is"}"#);
        let (head, body) = respond("GET /v2x HTTP/1.1\r\n", EarlyFault::MalformedHead);
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain"), "{head}");
        assert_eq!(body, "So it is.\n");
    }

    proptest! {
        #[test]
        fn no_first_bytes_make_a_response_with_a_header_of_their_own(
            bytes: Vec<u8>, line in "([A-Z]{0,5} )?/?(v2|jwt|api)?[ -~\\r\\n]{0,40}",
            rest in "( HTTP/1.1\\r\\n(user-agent: ?\\PC{0,9}\\r\\n)?)?",
        ) {
            for bytes in [bytes.as_slice(), format!("{line}{rest}").as_bytes()] {
                let start = Start::parse(bytes);
                prop_assert!(start.path.is_none_or(|path| path.starts_with('/') && !path.contains(char::is_control)));
                prop_assert!(start.method.is_none_or(|method| method.bytes().all(|byte| byte.is_ascii_uppercase())));
                prop_assert!(!start.user_agent.unwrap_or_default().contains(char::is_control));
                let fault = EarlyFault::MalformedHead;
                let response = start.response(fault, RequestId::new(1), &start.body(fault.status(), fault.sentence()));
                let (head, body) = response.split_once("\r\n\r\n").unwrap_or_default();
                let length = format!("content-length: {}\r\n", body.len());
                prop_assert!(head.contains(&length), "{}", response);
                prop_assert!(head.lines().count() <= 7 && body.contains(fault.sentence()), "{}", response);
            }
        }
    }
}
