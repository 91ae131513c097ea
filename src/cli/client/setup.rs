//! Setup of the HTTP clients of all subcommands, and the text of their errors.

use std::error::Error;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, redirect};
use url::Url;

use crate::cli::failure::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns a builder of a client for this URL, which follows no redirect. `authorities` (PEM) are trusted in
/// addition to those of the operating system. Fails where they are no certificates.
pub(in crate::cli) fn builder(base: &Url, authorities: Option<&[u8]>) -> Result<ClientBuilder, Failure> {
    let mut builder = Client::builder()
        .user_agent(concat!("dependency-proxy/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT);
    if is_this_machine(base) {
        // A proxy in the environment could not reach this machine's loopback address.
        builder = builder.no_proxy();
    }
    if let Some(pem) = authorities {
        builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(unusable)?);
    }
    Ok(builder)
}

/// Builds the client. Fails where TLS cannot be set up.
pub(in crate::cli) fn built(builder: ClientBuilder) -> Result<Client, Failure> {
    builder.build().map_err(unusable)
}

fn unusable(error: reqwest::Error) -> Failure {
    Failure::Input(format!("the client cannot be set up: {}", causes(&error)))
}

/// Formats the causes of an error, without the URL, which may contain a secret.
pub(in crate::cli) fn causes(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    if texts.is_empty() { "no response".to_owned() } else { texts.join(": ") }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
