//! Requests that the fake hub received, and the counts that tests assert on. Requests are kept until they are reset.

use std::ops::Deref;

use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;

/// The listener that received a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    Registry,
    Realm,
    Cdn,
}

/// Kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/v2/`
    Ping,
    Token,
    ManifestHead,
    ManifestGet,
    /// `HEAD` of a blob, at the registry or, redirected, at the cdn.
    BlobHead,
    /// `GET` of a blob at the registry, which responds with a redirect.
    BlobRedirect,
    /// `GET` of a blob's bytes: at the cdn, or at the registry where that serves them itself.
    BlobDownload,
    Tags,
    Referrers,
    Other,
}

/// Credentials of a request, as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    Basic { username: String, password: String },
    Bearer(String),
    Other(String),
}

/// A received request.
#[derive(Debug, Clone)]
pub struct Request {
    pub listener: Listener,
    pub kind: Kind,
    pub method: String,
    /// Query string, byte for byte.
    pub query_string: String,
    pub query: Vec<(String, String)>,
    /// Headers with names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    pub authorization: Option<Authorization>,
    pub range: Option<String>,
    /// Repository in a registry path.
    pub repository: Option<String>,
    /// Tag or digest in the path.
    pub reference: Option<String>,
    /// True where the request was refused for want of a valid token, or at the cdn of a valid signature.
    pub refused: bool,
}

impl Request {
    pub(super) fn parse(listener: Listener, head: &httparse::Request<'_, '_>) -> Self {
        let method = head.method.unwrap_or_default().to_owned();
        let target = head.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = percent_decode_str(path).decode_utf8_lossy().into_owned();
        let headers: Vec<_> = head
            .headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value).into_owned();
                (header.name.to_ascii_lowercase(), value)
            })
            .collect();
        let (kind, repository, reference) = meaning(listener, &method, &path);
        let header = |name| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        Self {
            authorization: header("authorization").map(Authorization::parse),
            range: header("range"),
            query_string: query.to_owned(),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            refused: false,
            listener,
            kind,
            method,
            headers,
            repository,
            reference,
        }
    }

    /// Returns the value of a header (name in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Authorization {
    fn parse(value: String) -> Self {
        if let Some(token) = value.strip_prefix("Bearer ") {
            return Self::Bearer(token.to_owned());
        }
        value
            .strip_prefix("Basic ")
            .and_then(|encoded| BASE64_STANDARD.decode(encoded).ok())
            .and_then(|pair| String::from_utf8(pair).ok())
            .and_then(|pair| {
                let (username, password) = pair.split_once(':')?;
                Some(Self::Basic { username: username.to_owned(), password: password.to_owned() })
            })
            .unwrap_or(Self::Other(value))
    }
}

fn meaning(listener: Listener, method: &str, path: &str) -> (Kind, Option<String>, Option<String>) {
    let head = method == "HEAD";
    if !head && method != "GET" {
        return (Kind::Other, None, None);
    }
    match listener {
        Listener::Realm if path == "/token" => (Kind::Token, None, None),
        Listener::Realm => (Kind::Other, None, None),
        Listener::Cdn => {
            let digest = path.strip_prefix("/data/").map(str::to_owned);
            (if head { Kind::BlobHead } else { Kind::BlobDownload }, None, digest)
        }
        Listener::Registry if path == "/v2/" || path == "/v2" => (Kind::Ping, None, None),
        Listener::Registry => {
            let routes = [
                ("/manifests/", if head { Kind::ManifestHead } else { Kind::ManifestGet }),
                ("/blobs/", if head { Kind::BlobHead } else { Kind::BlobRedirect }),
                ("/tags/", Kind::Tags),
                ("/referrers/", Kind::Referrers),
            ];
            let rest = path.strip_prefix("/v2/").unwrap_or_default();
            let found = routes.iter().find_map(|(mark, kind)| {
                let (repository, reference) = rest.rsplit_once(mark)?;
                Some((*kind, Some(repository.to_owned()), Some(reference.to_owned())))
            });
            found.unwrap_or((Kind::Other, None, None))
        }
    }
}

/// The requests since the start or the last reset, oldest first, as a slice.
///
/// Requests that were refused for want of a token or signature are included. Of the counts, only
/// [`Requests::total`], [`Requests::at`] and [`Requests::refusals`] include them.
#[derive(Debug, Clone)]
pub struct Requests(pub(super) Vec<Request>);

impl Requests {
    /// Counts all requests.
    pub fn total(&self) -> usize {
        self.0.len()
    }

    /// Counts the requests at this listener.
    pub fn at(&self, listener: Listener) -> usize {
        self.0.iter().filter(|request| request.listener == listener).count()
    }

    /// Counts the requests without a valid token (at the cdn: signature), with which each login begins.
    pub fn refusals(&self) -> usize {
        self.0.iter().filter(|request| request.refused).count()
    }

    pub fn of(&self, kind: Kind) -> usize {
        self.0.iter().filter(|request| request.kind == kind && !request.refused).count()
    }

    pub fn token_requests(&self) -> usize {
        self.of(Kind::Token)
    }

    /// Counts the `GET`s of this manifest by exactly this tag or digest.
    pub fn manifest_gets(&self, repository: &str, reference: &str) -> usize {
        self.named(&[Kind::ManifestGet], repository, reference)
    }

    /// Counts the `HEAD`s of this manifest by exactly this tag or digest.
    pub fn manifest_heads(&self, repository: &str, reference: &str) -> usize {
        self.named(&[Kind::ManifestHead], repository, reference)
    }

    /// Counts the `GET`s of this blob at the registry, redirected or served.
    pub fn blob_gets(&self, repository: &str, digest: &str) -> usize {
        self.named(&[Kind::BlobRedirect, Kind::BlobDownload], repository, digest)
    }

    /// Counts the `HEAD`s of this blob at the registry.
    pub fn blob_heads(&self, repository: &str, digest: &str) -> usize {
        self.named(&[Kind::BlobHead], repository, digest)
    }

    /// Counts the `GET`s of this blob's bytes, at the cdn or at a registry that serves blobs itself.
    pub fn blob_downloads(&self, digest: &str) -> usize {
        let matches = |request: &&Request| {
            request.kind == Kind::BlobDownload && request.reference.as_deref() == Some(digest) && !request.refused
        };
        self.0.iter().filter(matches).count()
    }

    fn named(&self, kinds: &[Kind], repository: &str, reference: &str) -> usize {
        let matches = |request: &&Request| {
            kinds.contains(&request.kind)
                && request.repository.as_deref() == Some(repository)
                && request.reference.as_deref() == Some(reference)
                && !request.refused
        };
        self.0.iter().filter(matches).count()
    }
}

impl Deref for Requests {
    type Target = [Request];

    fn deref(&self) -> &[Request] {
        &self.0
    }
}
