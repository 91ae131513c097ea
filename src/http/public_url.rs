//! The URL by which clients reach this service: the configured one, or else the one that the request names. Headers of
//! a trusted proxy take precedence over the request's own. Where several proxies have added values, the first is that
//! of the proxy that the client sees. If a proxy passes on the value of a client, that client changes the URL in its
//! own response only.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::HttpRequest;
use actix_web::http::header::HOST;
use actix_web::http::uri::Authority;
use ipnet::IpNet;
use url::Url;

/// Source of the public URL and of the client's address. Clones share the record of warnings.
#[derive(Clone, Debug)]
pub(crate) struct PublicUrl {
    configured: Option<String>,
    trusted_proxies: Vec<IpNet>,
    tls: bool,
    /// Peers about which the operator was warned, at most [`MAX_WARNED_PEERS`].
    warned: Arc<Mutex<HashSet<IpAddr>>>,
}

/// Maximum number of peers that are warned about. A larger number of peers are clients, not proxies that the settings
/// lack.
const MAX_WARNED_PEERS: usize = 100;

impl PublicUrl {
    /// Creates it. `configured` overrides the headers of requests; `tls` states whether this service itself speaks
    /// TLS.
    pub(crate) fn new(configured: Option<&Url>, trusted_proxies: Vec<IpNet>, tls: bool) -> Self {
        let configured = configured.map(|url| url.as_str().trim_end_matches('/').to_owned());
        Self { configured, trusted_proxies, tls, warned: Arc::default() }
    }

    /// Returns scheme and host, without a trailing `/`.
    pub(crate) fn base(&self, request: &HttpRequest) -> String {
        self.warn_of_untrusted_proxy(request);
        if let Some(configured) = &self.configured {
            return configured.clone();
        }
        let forwarded = |name: &str| self.behind_proxy(request).then(|| first_value(request, name)).flatten();
        let scheme = match forwarded("x-forwarded-proto") {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => "http",
            _ if self.tls => "https",
            _ => "http",
        };
        let host = forwarded("x-forwarded-host").or_else(|| header(request, HOST.as_str()));
        // The host becomes part of a challenge, so anything that is not a valid host is dropped.
        let host = host.and_then(|host| host.parse::<Authority>().ok()).filter(is_host_of_url);
        format!("{scheme}://{}", host.as_ref().map_or("localhost", Authority::as_str))
    }

    /// Returns the host, with its port, as users write it in an image name.
    pub(crate) fn host(&self, request: &HttpRequest) -> String {
        let base = self.base(request);
        base.split_once("://").map_or(base.clone(), |(_, host)| host.to_owned())
    }

    /// Returns the client's address: the last one in `X-Forwarded-For` that is not a trusted proxy's, or the
    /// peer's.
    pub(crate) fn client(&self, request: &HttpRequest) -> IpAddr {
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip().to_canonical());
        if !self.is_trusted(peer) {
            return peer;
        }
        // Some proxies add a second header line instead of appending to the existing one.
        let lines: Vec<_> = request.headers().get_all("x-forwarded-for").collect();
        let hops = lines.iter().rev().flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        let hops = hops.map_while(|hop| hop.trim().parse::<IpAddr>().ok());
        hops.map(|hop| hop.to_canonical()).find(|hop| !self.is_trusted(*hop)).unwrap_or(peer)
    }

    fn behind_proxy(&self, request: &HttpRequest) -> bool {
        request.peer_addr().is_some_and(|peer| self.is_trusted(peer.ip().to_canonical()))
    }

    /// Warns once per peer about a forwarded header that is ignored. Without this, a missing setting shows only in
    /// clients that are sent to `http://` URLs.
    fn warn_of_untrusted_proxy(&self, request: &HttpRequest) {
        if header(request, "x-forwarded-proto").is_none() || self.behind_proxy(request) {
            return;
        }
        let Some(peer) = request.peer_addr().map(|peer| peer.ip().to_canonical()) else { return };
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() < MAX_WARNED_PEERS && warned.insert(peer) {
            tracing::warn!(
                %peer,
                "X-Forwarded-Proto is ignored, because it comes from no trusted proxy. If this is your proxy, put its \
                 address into trusted_proxies in [server]"
            );
        }
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// Returns true for a host, with or without a port, that clients can connect to: an authority may have a user name, a
/// port beyond 65535, or a host that is neither a name nor an address.
fn is_host_of_url(authority: &Authority) -> bool {
    !authority.as_str().contains('@') && Url::parse(&format!("http://{authority}/")).is_ok()
}

/// Returns the first value of a list that each proxy may have extended.
fn first_value<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    header(request, name)?.split(',').map(str::trim).find(|value| !value.is_empty())
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    fn request(peer: &str, headers: &[(&'static str, &'static str)]) -> HttpRequest {
        let request = TestRequest::default().peer_addr(format!("{peer}:999").parse().unwrap());
        headers.iter().fold(request, |request, header| request.insert_header(*header)).to_http_request()
    }

    fn behind(proxy: &str) -> PublicUrl {
        PublicUrl::new(None, vec![proxy.parse().unwrap()], false)
    }

    #[test]
    fn forwarded_headers_count_only_from_a_trusted_proxy() {
        let headers = [("host", "inner:5050"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "proxy.example")];
        assert_eq!(behind("10.0.0.0/8").base(&request("10.1.2.3", &headers)), "https://proxy.example");
        assert_eq!(behind("10.0.0.0/8").base(&request("192.0.2.1", &headers)), "http://inner:5050");
    }

    #[test]
    fn of_the_values_of_several_proxies_the_first_counts_which_is_that_of_the_outermost() {
        for (proto, host, url) in [
            ("https, http", "images.example, inner:5050", "https://images.example"),
            ("https,http,http", "images.example:8443,inner", "https://images.example:8443"),
            (" , HTTPS , http", ", images.example", "https://images.example"),
            ("http, https", "images.example", "http://images.example"),
            ("wss, https", "", "http://inner:5050"),
        ] {
            let headers = [("host", "inner:5050"), ("x-forwarded-proto", proto), ("x-forwarded-host", host)];
            assert_eq!(behind("10.0.0.0/8").base(&request("10.1.2.3", &headers)), url, "{proto}");
            assert_eq!(behind("10.0.0.0/8").base(&request("192.0.2.1", &headers)), "http://inner:5050", "{proto}");
        }
    }

    #[test]
    fn the_configured_url_wins_and_what_is_no_host_is_not_repeated() {
        let url: Url = "https://cache.example/".parse().unwrap();
        let configured = PublicUrl::new(Some(&url), Vec::new(), false);
        assert_eq!(configured.base(&request("192.0.2.1", &[("host", "evil")])), "https://cache.example");
        let hostile = request("192.0.2.1", &[("host", "evil\",x=\"y")]);
        assert_eq!(behind("10.0.0.0/8").base(&hostile), "http://localhost");
    }

    #[test]
    fn the_client_is_the_last_hop_that_no_proxy_of_ours_is() {
        let headers = [("x-forwarded-for", "1.1.1.1, 2.2.2.2, 10.0.0.9")];
        let two: IpAddr = "2.2.2.2".parse().unwrap();
        assert_eq!(behind("10.0.0.0/8").client(&request("10.1.2.3", &headers)), two);
        let lines = TestRequest::default().peer_addr("10.1.2.3:999".parse().unwrap());
        let lines = lines.append_header(("x-forwarded-for", "1.1.1.1")).append_header(("x-forwarded-for", "2.2.2.2"));
        assert_eq!(behind("10.0.0.0/8").client(&lines.to_http_request()), two, "the last line is the proxy's");
        let stranger: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(behind("10.0.0.0/8").client(&request("192.0.2.1", &headers)), stranger);
    }

    #[test]
    fn a_host_that_no_url_can_have_is_not_repeated() {
        for host in ["cache.example:99999", "1.2.3.4.5", "a%zz", "[::1", "xn--a.example", ":80"] {
            assert_eq!(
                behind("10.0.0.0/8").base(&request("192.0.2.1", &[("host", host)])),
                "http://localhost",
                "{host}"
            );
        }
        for host in ["cache.example:5050", "[2001:db8::1]:80", "192.0.2.1", "Cache_1.example"] {
            let base = behind("10.0.0.0/8").base(&request("192.0.2.1", &[("host", host)]));
            assert_eq!(base, format!("http://{host}"));
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_another_url_than_one_of_scheme_and_host(
            bytes: Vec<u8>, host in host(), forwarded_host in host(), proto in "https?|ftp|https, http|\\PC{0,5}",
            hops in prop::collection::vec("10\\.0\\.0\\.[0-9]{1,3}|192.0.2.7|::ffff:10.0.0.1|2001:db8::1|x|", 0..5),
        ) {
            properties::hold(&bytes);
            let forwarded = format!("x-forwarded-host: {forwarded_host}\nx-forwarded-proto: {proto}");
            let lines = format!("host: {host}\n{forwarded}\nx-forwarded-for: {}", hops.join(", "));
            properties::hold(lines.as_bytes());
            properties::hold(format!("host: {host}").as_bytes());
        }
    }

    fn host() -> impl Strategy<Value = String> {
        "\\PC{0,20}|[a-z0-9.:@%\\[\\]/\"'\\\\_,;=!$&()*+~-]{0,20}|[a-z]{1,5}(\\.[a-z0-9-]{0,5}){0,3}(:[0-9]{0,6})?"
    }
}
