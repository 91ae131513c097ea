//! The section `[server]`: listeners, connections and TLS.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::ValidationError;
use crate::formats::{self, quantity};

/// Listeners, connections and TLS.
#[derive(Clone, Debug, Deserialize)]
pub struct Server {
    /// Address that clients connect to.
    #[serde(deserialize_with = "formats::address")]
    pub listen: SocketAddr,
    /// Address that Prometheus reads `/metrics` from; `None`: no metrics.
    #[serde(deserialize_with = "formats::optional_address")]
    pub metrics_listen: Option<SocketAddr>,
    /// Public URL of this service: scheme, host and port, with the path `/`; `None`: taken from each request's `Host`.
    #[serde(deserialize_with = "formats::optional_url")]
    pub external_url: Option<Url>,
    /// Networks of proxies whose `X-Forwarded-*` headers are trusted.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Number of worker threads; 0: one for each processor.
    pub workers: usize,
    /// Maximum number of open client connections; further ones wait to be accepted.
    pub max_connections: NonZeroUsize,
    /// Maximum number of open connections of one client address; trusted proxies are exempt.
    pub max_connections_per_address: NonZeroUsize,
    /// Maximum memory, in bytes and over all connections, for received parts of long requests whose
    /// responses have not begun.
    #[serde(deserialize_with = "quantity::size")]
    pub request_memory: u64,
    /// Inactivity timeout: closes a connection on which the client neither acknowledges bytes of a response,
    /// completes a request, nor sends a new one for this long.
    #[serde(deserialize_with = "quantity::timeout")]
    pub client_timeout: Duration,
    /// Maximum time that running transfers may take to finish during shutdown.
    #[serde(deserialize_with = "quantity::timeout")]
    pub shutdown_timeout: Duration,
    /// TCP congestion control algorithm for clients (tcp(7), `TCP_CONGESTION`); `None`: the kernel's default.
    #[serde(deserialize_with = "formats::text")]
    pub tcp_congestion_control: Option<String>,
    // Both or neither, see `tls`.
    #[serde(deserialize_with = "formats::path")]
    tls_certificate: Option<PathBuf>,
    #[serde(deserialize_with = "formats::path")]
    tls_key: Option<PathBuf>,
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
    /// Returns the certificate and key for TLS; `None`: plain HTTP.
    pub fn tls(&self) -> Option<Tls> {
        let (certificate, key) = self.tls_certificate.clone().zip(self.tls_key.clone())?;
        Some(Tls { certificate, key })
    }

    /// Returns true where other machines can connect and, according to the settings, neither this service nor a
    /// proxy in front of it encrypts.
    pub fn is_in_the_clear(&self) -> bool {
        let encrypted_elsewhere = self.external_url.as_ref().is_some_and(|url| url.scheme() == "https");
        let encrypted = self.tls().is_some() || encrypted_elsewhere || !self.trusted_proxies.is_empty();
        !self.listen.ip().is_loopback() && !encrypted
    }

    pub(super) fn check(&self) -> Result<(), ValidationError> {
        let refused = |key, problem: &str| Err(ValidationError::new(["server", key], problem));
        let lacks =
            |key, other| Err(ValidationError::lacks(["server", key], other, format!("is given without {other}")));
        if self.external_url.as_ref().is_some_and(|url| url.path() != "/") {
            return refused("external_url", "has a path; clients look for /v2/ at the root of a host");
        }
        if self.metrics_listen.is_some_and(|metrics| metrics == self.listen && metrics.port() != 0) {
            return refused("metrics_listen", "is the address of listen; metrics are not on the public port");
        }
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => lacks("tls_certificate", "tls_key"),
            (None, Some(_)) => lacks("tls_key", "tls_certificate"),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }
}

/// Reads a list of networks.
pub(super) fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let networks: Vec<Network> = Deserialize::deserialize(from)?;
    Ok(networks.into_iter().map(|network| network.0).collect())
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
