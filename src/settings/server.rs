//! The section `[server]`: listeners, connections and TLS.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use super::ValidationError;
use crate::formats::{self, quantity};

/// Listeners, connections and TLS.
#[derive(Clone, Debug)]
pub struct Server {
    /// Address that clients connect to.
    pub listen: SocketAddr,
    /// Address that Prometheus reads `/metrics` from; `None`: no metrics.
    pub metrics_listen: Option<SocketAddr>,
    /// Public URL of this service: scheme, host and port, with the path `/`; `None`: taken from each request's `Host`.
    pub external_url: Option<Url>,
    /// Networks of proxies whose `X-Forwarded-*` headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Number of worker threads; 0: one for each processor.
    pub workers: usize,
    /// Maximum number of open client connections; further ones wait to be accepted.
    pub max_connections: NonZeroUsize,
    /// Maximum number of open connections of one client address; trusted proxies are exempt.
    pub max_connections_per_address: NonZeroUsize,
    /// Maximum memory, in bytes and over all connections, for received parts of long requests whose
    /// responses have not begun.
    pub request_memory: u64,
    /// Inactivity timeout: closes a connection on which the client neither acknowledges bytes of a response,
    /// completes a request, nor sends a new one for this long.
    pub client_timeout: Duration,
    /// Maximum time that running transfers may take to finish during shutdown.
    pub shutdown_timeout: Duration,
    /// TCP congestion control algorithm for clients (tcp(7), `TCP_CONGESTION`); `None`: the kernel's default.
    pub tcp_congestion_control: Option<String>,
    /// Certificate and key for TLS; `None`: plain HTTP.
    pub tls: Option<Tls>,
}

/// The files for TLS, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, followed by its intermediate certificates.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
}

impl Server {
    /// Returns true where other machines can connect and, according to the settings, neither this service nor a
    /// proxy in front of it encrypts.
    pub fn is_in_the_clear(&self) -> bool {
        let encrypted_elsewhere = self.external_url.as_ref().is_some_and(|url| url.scheme() == "https");
        let encrypted = self.tls.is_some() || encrypted_elsewhere || !self.trusted_proxies.is_empty();
        !self.listen.ip().is_loopback() && !encrypted
    }
}

#[derive(Deserialize)]
pub(super) struct RawServer {
    #[serde(deserialize_with = "formats::address")]
    listen: SocketAddr,
    #[serde(deserialize_with = "formats::optional_address")]
    metrics_listen: Option<SocketAddr>,
    #[serde(deserialize_with = "formats::optional_url")]
    external_url: Option<Url>,
    trusted_proxies: Vec<Network>,
    workers: usize,
    max_connections: NonZeroUsize,
    max_connections_per_address: NonZeroUsize,
    #[serde(deserialize_with = "quantity::size")]
    request_memory: u64,
    #[serde(deserialize_with = "quantity::timeout")]
    client_timeout: Duration,
    #[serde(deserialize_with = "quantity::timeout")]
    shutdown_timeout: Duration,
    #[serde(deserialize_with = "formats::text")]
    tcp_congestion_control: Option<String>,
    #[serde(deserialize_with = "formats::path")]
    tls_certificate: Option<PathBuf>,
    #[serde(deserialize_with = "formats::path")]
    tls_key: Option<PathBuf>,
}

impl RawServer {
    pub(super) fn check(self) -> Result<Server, ValidationError> {
        let refused = |key, problem: &str| Err(ValidationError::new(["server", key], problem));
        let lacks =
            |key, other| Err(ValidationError::lacks(["server", key], other, format!("is given without {other}")));
        if self.external_url.as_ref().is_some_and(|url| url.path() != "/") {
            return refused("external_url", "has a path; clients look for /v2/ at the root of a host");
        }
        if self.metrics_listen.is_some_and(|metrics| metrics == self.listen && metrics.port() != 0) {
            return refused("metrics_listen", "is the address of listen; metrics are not on the public port");
        }
        let tls = match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return lacks("tls_certificate", "tls_key"),
            (None, Some(_)) => return lacks("tls_key", "tls_certificate"),
        };
        Ok(Server {
            listen: self.listen,
            metrics_listen: self.metrics_listen,
            external_url: self.external_url,
            trusted_proxies: self.trusted_proxies.into_iter().map(|network| network.0).collect(),
            workers: self.workers,
            max_connections: self.max_connections,
            max_connections_per_address: self.max_connections_per_address,
            request_memory: self.request_memory,
            client_timeout: self.client_timeout,
            shutdown_timeout: self.shutdown_timeout,
            tcp_congestion_control: self.tcp_congestion_control,
            tls,
        })
    }
}

/// A network, or a single address, which is read as a network of one.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = text.parse().or_else(|_| text.parse().map(|address: std::net::IpAddr| address.into()));
        network.map(Self).map_err(|_| format!("'{text}' is not a network such as 10.0.0.0/8 or an address"))
    }
}
