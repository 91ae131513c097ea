//! Settings of the fake registry.

use std::time::Duration;

use crate::pages::Pages;

/// Latency and rate of responses. The default is as fast as possible.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Delay of each response.
    pub latency: Duration,
    /// Maximum rate of the body of one response, in bytes per second.
    pub bytes_per_second: Option<u64>,
}

/// Need of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Auth {
    /// Every request needs one for its repository.
    Required,
    /// Only `/v2/` is challenged, and everything else is open: clients that can log in do so once.
    Offered,
    /// Nothing is challenged.
    None,
}

/// Settings of the registry; the defaults are Docker Hub's.
pub(super) struct Settings {
    pub(super) auth: Auth,
    /// True where it uses TLS.
    pub(super) tls: bool,
    /// Host name of the registry and the realm.
    pub(super) host: String,
    /// True where responses have an `ETag` and an announced pull limit.
    pub(super) extra_headers: bool,
    pub(super) pace: Pace,
    pub(super) redirects: bool,
    pub(super) ranges: bool,
    pub(super) referrers: bool,
    pub(super) pages: Option<Pages>,
    pub(super) token_lifetime: Duration,
    pub(super) signature_lifetime: Duration,
    pub(super) pulls_left: Option<u64>,
    pub(super) realm: Option<String>,
    pub(super) challenge_scope: Option<String>,
    pub(super) strict_realm: bool,
    pub(super) refuse_scopes: bool,
    pub(super) requests_per_connection: Option<usize>,
    pub(super) storage_host: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth: Auth::Required,
            tls: false,
            host: "127.0.0.1".to_owned(),
            extra_headers: true,
            pace: Pace::default(),
            redirects: true,
            ranges: true,
            referrers: true,
            pages: None,
            token_lifetime: Duration::from_secs(300),
            signature_lifetime: Duration::from_secs(1200),
            pulls_left: None,
            realm: None,
            challenge_scope: None,
            strict_realm: false,
            refuse_scopes: false,
            requests_per_connection: None,
            storage_host: "127.0.0.1".to_owned(),
        }
    }
}

impl Settings {
    /// Returns those of a registry that is as fast as possible: no redirects, no unnecessary headers, and a login that
    /// is offered and not required.
    pub(super) fn fast(tls: bool) -> Self {
        // The certificate is for this name.
        let host = if tls { "localhost" } else { "127.0.0.1" }.to_owned();
        let (auth, storage_host) = (Auth::Offered, host.clone());
        Self { auth, tls, host, storage_host, extra_headers: false, redirects: false, ..Self::default() }
    }
}
