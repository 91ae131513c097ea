//! The section `[server]`: where and how the service listens.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use super::{Impossible, quantity, written};

/// Where and how the service listens.
#[derive(Clone, Debug)]
pub struct Server {
    /// The address for clients.
    pub listen: SocketAddr,
    /// The address for Prometheus; `None`: no metrics.
    pub metrics_listen: Option<SocketAddr>,
    /// What clients call this service: scheme, host and port, with the path `/`; `None`: as each request says.
    pub external_url: Option<Url>,
    /// The networks whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Threads that serve requests; 0: as many as there are processors.
    pub workers: usize,
    /// Connections of clients at the same time; more wait to be accepted.
    pub max_connections: NonZeroUsize,
    /// What one client's address may have of them, unless it is a trusted proxy's.
    pub max_connections_per_address: NonZeroUsize,
    /// Bytes of memory for what clients have sent of long requests whose responses have not begun, over all connections.
    pub request_memory: u64,
    /// How long a client may take for sending a request, for taking no bytes of an answer, and for asking for nothing, before it is cut off.
    pub client_timeout: Duration,
    /// How long running transfers may take once the service is told to stop.
    pub shutdown_timeout: Duration,
    /// How TCP decides how fast to send to clients (tcp(7), `TCP_CONGESTION`); `None`: as the system does.
    pub tcp_congestion_control: Option<String>,
    /// The files to serve TLS with; `None`: plain HTTP.
    pub tls: Option<Tls>,
}

/// The files that TLS needs, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, then those that lead from it to a known authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Server {
    /// Whether other machines can connect and, as far as the settings tell, nothing encrypts what they send.
    pub fn is_in_the_clear(&self) -> bool {
        let encrypted_elsewhere = self.external_url.as_ref().is_some_and(|url| url.scheme() == "https");
        let encrypted = self.tls.is_some() || encrypted_elsewhere || !self.trusted_proxies.is_empty();
        !self.listen.ip().is_loopback() && !encrypted
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenServer {
    #[serde(deserialize_with = "written::address")]
    listen: SocketAddr,
    #[serde(deserialize_with = "written::optional_address")]
    metrics_listen: Option<SocketAddr>,
    #[serde(deserialize_with = "written::optional_url")]
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
    #[serde(deserialize_with = "written::text")]
    tcp_congestion_control: Option<String>,
    #[serde(deserialize_with = "written::path")]
    tls_certificate: Option<PathBuf>,
    #[serde(deserialize_with = "written::path")]
    tls_key: Option<PathBuf>,
}

impl WrittenServer {
    pub(super) fn check(self) -> Result<Server, Impossible> {
        let refused = |key, problem: &str| Err(Impossible::new(["server", key], problem));
        if self.external_url.as_ref().is_some_and(|url| url.path() != "/") {
            return refused("external_url", "has a path; clients look for /v2/ at the root of a host");
        }
        if self.metrics_listen.is_some_and(|metrics| metrics == self.listen && metrics.port() != 0) {
            return refused("metrics_listen", "is the address of listen; metrics are not on the public port");
        }
        let tls = match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return refused("tls_certificate", "is given without tls_key"),
            (None, Some(_)) => return refused("tls_key", "is given without tls_certificate"),
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

/// A network, or a single address.
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
