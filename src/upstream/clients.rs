//! HTTP clients: for each set of connection options, one for public addresses only and one for listed hosts, each
//! also in a variant that makes a new connection for every request. They follow no redirects, decompress nothing
//! and know no credentials.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, ClientBuilder, Proxy, redirect};
use url::Url;

use super::address;
use super::connection_error::{NameError, innermost};
use super::options::{ConnectionOptions, HttpProxy, SetupError, UpstreamOptions};

/// The clients for one set of connection options.
pub(super) struct Clients {
    /// Client for listed hosts: connects to any address except link-local ones.
    pub(super) listed: ClientPair,
    /// Client for other hosts: connects to public addresses only.
    pub(super) strict: ClientPair,
    /// Host names of HTTP proxies. Only the connection to the proxy itself may use them.
    pub(super) proxy_hosts: Vec<String>,
}

/// Two clients that may connect to the same addresses.
pub(super) struct ClientPair {
    /// Keeps connections open for later requests.
    pub(super) pooled: Client,
    /// Opens a new connection for each request: for retries after a kept connection was dead.
    pub(super) fresh: Client,
}

/// Pool of clients. Upstreams with the same connection options share clients, and with them connections and trusted
/// authorities.
#[derive(Default)]
pub(super) struct ClientPool(HashMap<(HttpProxy, Option<PathBuf>, Duration), Arc<Clients>>);

/// Error: a name resolves only to addresses to which no connection is allowed.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to an address that is not public")]
pub(super) struct ForbiddenName;

impl ClientPool {
    /// Returns the clients for this upstream. Fails if its options cannot be used.
    pub(super) fn clients(&mut self, options: &UpstreamOptions) -> Result<Arc<Clients>, SetupError> {
        let ConnectionOptions { proxy, ca_file, connect_timeout, .. } = options.connection.clone();
        let key = (proxy, ca_file, connect_timeout);
        if let Some(known) = self.0.get(&key) {
            return Ok(known.clone());
        }
        let clients = Arc::new(build(options)?);
        self.0.insert(key, clients.clone());
        Ok(clients)
    }
}

fn build(options: &UpstreamOptions) -> Result<Clients, SetupError> {
    let proxy_hosts = proxy_hosts(&options.connection.proxy);
    let client = |public_only, idle_connections| {
        let resolver = CheckedResolver { public_only, exempt: proxy_hosts.clone() };
        let setup = builder(options, resolver).pool_max_idle_per_host(idle_connections);
        let setup = with_authorities(with_proxy(setup, options)?, options)?;
        setup.build().map_err(|error| fault(options, "ca_file", &error.without_url()))
    };
    let pair =
        |public_only| Ok(ClientPair { pooled: client(public_only, usize::MAX)?, fresh: client(public_only, 0)? });
    Ok(Clients { listed: pair(false)?, strict: pair(true)?, proxy_hosts })
}

fn builder(options: &UpstreamOptions, resolver: CheckedResolver) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("dependency-proxy/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .dns_resolver(resolver)
        .connect_timeout(options.connection.connect_timeout)
        .pool_idle_timeout(Duration::from_secs(30))
        .tcp_keepalive(Duration::from_secs(30))
}

fn with_proxy(builder: ClientBuilder, options: &UpstreamOptions) -> Result<ClientBuilder, SetupError> {
    match &options.connection.proxy {
        HttpProxy::Environment => Ok(builder),
        HttpProxy::None => Ok(builder.no_proxy()),
        HttpProxy::At(url) => {
            // reqwest's error would contain the address, which may have a password.
            let wrong = |_| SetupError { reason: "not a valid proxy address".to_owned(), ..empty(options, "proxy") };
            Ok(builder.proxy(Proxy::all(url.clone()).map_err(wrong)?))
        }
    }
}

fn with_authorities(builder: ClientBuilder, options: &UpstreamOptions) -> Result<ClientBuilder, SetupError> {
    let Some(path) = &options.connection.ca_file else { return Ok(builder) };
    let wrong =
        |problem: String| SetupError { reason: format!("{} {problem}", path.display()), ..empty(options, "ca_file") };
    let pem = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(innermost(&error)))?;
    if authorities.is_empty() {
        return Err(wrong("holds no certificate".to_owned()));
    }
    Ok(builder.tls_certs_merge(authorities))
}

fn fault(options: &UpstreamOptions, key: &'static str, error: &(dyn Error + 'static)) -> SetupError {
    SetupError { reason: innermost(error), ..empty(options, key) }
}

fn empty(options: &UpstreamOptions, key: &'static str) -> SetupError {
    SetupError { upstream: options.name.clone(), key, reason: String::new() }
}

/// Returns the host names of the proxies that may be used. The operator has chosen them, so they need not be public.
fn proxy_hosts(configured: &HttpProxy) -> Vec<String> {
    const VARIABLES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let urls = match configured {
        HttpProxy::At(url) => vec![url.to_string()],
        HttpProxy::None => Vec::new(),
        HttpProxy::Environment => VARIABLES.iter().filter_map(|name| std::env::var(name).ok()).collect(),
    };
    urls.iter().filter_map(|url| proxy_host(url)).collect()
}

fn proxy_host(url: &str) -> Option<String> {
    let parsed = if url.contains("://") { Url::parse(url) } else { Url::parse(&format!("http://{url}")) };
    parsed.ok()?.host_str().map(str::to_owned)
}

/// Resolver of the operating system that leaves out forbidden addresses.
struct CheckedResolver {
    public_only: bool,
    exempt: Vec<String>,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let public_only = self.public_only && !self.exempt.iter().any(|host| host == name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(NameError)?;
            let found: Vec<SocketAddr> = found.collect();
            let allowed = |address: &SocketAddr| {
                !address::is_link_local(address.ip()) && (!public_only || address::is_public(address.ip()))
            };
            let kept: Vec<SocketAddr> = found.iter().copied().filter(allowed).collect();
            if kept.is_empty() && !found.is_empty() {
                return Err(ForbiddenName.into());
            }
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_unless_it_is_listed() {
        let resolve = |public_only, exempt: &[&str]| {
            let exempt = exempt.iter().map(|host| (*host).to_owned()).collect();
            CheckedResolver { public_only, exempt }.resolve("localhost".parse().unwrap())
        };
        assert!(resolve(true, &[]).await.is_err_and(|error| error.is::<ForbiddenName>()));
        assert!(resolve(false, &[]).await.unwrap().all(|address| address.ip().is_loopback()));
        assert!(resolve(true, &["localhost"]).await.is_ok());
    }

    #[test]
    fn the_host_of_a_proxy_is_found_however_it_is_written() {
        assert_eq!(proxy_host("http://u:p@Proxy.corp:3128").as_deref(), Some("proxy.corp"));
        assert_eq!(proxy_host("proxy:3128").as_deref(), Some("proxy"));
        assert_eq!(proxy_hosts(&HttpProxy::At("http://Proxy.corp:3128".parse().unwrap())), ["proxy.corp"]);
        assert_eq!(proxy_hosts(&HttpProxy::None), [""; 0]);
    }
}
