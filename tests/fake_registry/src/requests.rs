//! Requests that the fake registry received: their kinds, credentials and parts.

use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;

/// The listener that received a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// The registry.
    Registry,
    /// The token server, which challenges name as their realm.
    Realm,
    /// The storage of blobs, to which the registry redirects.
    Storage,
}

/// Kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/v2/`
    Ping,
    /// `GET` of a token.
    Token,
    /// `HEAD` of a manifest.
    ManifestHead,
    /// `GET` of a manifest.
    ManifestGet,
    /// `HEAD` of a blob, at the registry or, redirected, at the storage.
    BlobHead,
    /// `GET` of a blob at the registry, which responds with a redirect.
    BlobRedirect,
    /// `GET` of a blob's bytes: at the storage, or at the registry where that serves them itself.
    BlobDownload,
    /// List of tags.
    Tags,
    /// List of referrers.
    Referrers,
    /// Anything else.
    Other,
}

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::Ping,
        Self::Token,
        Self::ManifestHead,
        Self::ManifestGet,
        Self::BlobHead,
        Self::BlobRedirect,
        Self::BlobDownload,
        Self::Tags,
        Self::Referrers,
        Self::Other,
    ];

    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Token => "token",
            Self::ManifestHead => "manifest HEAD",
            Self::ManifestGet => "manifest GET",
            Self::BlobHead => "blob HEAD",
            Self::BlobRedirect => "blob redirect",
            Self::BlobDownload => "blob GET",
            Self::Tags => "tags",
            Self::Referrers => "referrers",
            Self::Other => "other",
        }
    }
}

/// Credentials of a request, as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// `Basic`, decoded.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: String,
    },
    /// `Bearer`, the token.
    Bearer(String),
    /// The whole value of another scheme, or of one that could not be decoded.
    Other(String),
}

/// A received request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Listener that received it.
    pub listener: Listener,
    /// Kind.
    pub kind: Kind,
    /// Method, in upper case.
    pub method: String,
    /// Query string, byte for byte.
    pub query_string: String,
    /// Decoded query parameters, in the order received.
    pub query: Vec<(String, String)>,
    /// Headers with names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// Credentials, if it has any.
    pub authorization: Option<Authorization>,
    /// Value of `Range`.
    pub range: Option<String>,
    /// Repository in a registry path.
    pub repository: Option<String>,
    /// Tag or digest in the path.
    pub reference: Option<String>,
    /// True where the request was refused for want of a valid token, or at the storage of a valid signature.
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
        Listener::Storage => {
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
