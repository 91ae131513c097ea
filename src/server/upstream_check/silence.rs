//! Search for the step at which a registry stops responding: it does not accept a connection, is silent in the TLS
//! handshake, or sends no response. The client of the service only reports that there was none in time.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::host;
use crate::upstream::RegistryClient;

/// Returns the steps up to the one that timed out.
pub(super) async fn find(
    registry: &RegistryClient,
    connect_timeout: Duration,
) -> Vec<(&'static str, Result<String, String>)> {
    let url = registry.url();
    let (host, port) = (host(url), url.port_or_known_default().unwrap_or(443));
    let connect = timeout(connect_timeout, TcpStream::connect((host, port))).await;
    let tcp = match connect {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) => return vec![("connect", Err(format!("{host}:{port} cannot be reached: {error}")))],
        Err(_) => {
            return vec![("connect", Err(late(host, port, "accepted no connection", connect_timeout)))];
        }
    };
    let mut steps = vec![("connect", Ok(format!("{host}:{port} accepts connections")))];
    if url.scheme() == "https" && !speaks_tls(tcp, host, connect_timeout).await {
        steps.push(("TLS", Err(late(host, port, "sent nothing in the TLS handshake", connect_timeout))));
    } else {
        steps.push(("challenge", Err(late(host, port, "sent no response", registry.header_timeout()))));
    }
    steps
}

fn late(host: &str, port: u16, what: &str, limit: Duration) -> String {
    format!("{host}:{port} {what} within {} s", limit.as_secs_f32())
}

/// Returns true if the peer responds to the beginning of a TLS handshake. No certificate is trusted: a refused one is a
/// response, too.
async fn speaks_tls(tcp: TcpStream, host: &str, limit: Duration) -> bool {
    let Ok(name) = ServerName::try_from(host.to_owned()) else { return true };
    let config =
        ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let Ok(config) = config else { return true };
    let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    timeout(limit, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.is_ok()
}
