//! Properties of forwarded headers, for whatever bytes a client or a proxy sends. Shared by the tests and `tests/fuzz`.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::test::TestRequest;
use ipnet::{IpNet, Ipv4Net};
use url::Url;

use super::PublicUrl;

/// Asserts that the headers on these lines, `name: value` each, make no public URL but one of a scheme, a host and a
/// port, which can stand in a challenge, and that only a trusted proxy's name the client.
pub(crate) fn hold(bytes: &[u8]) {
    let Ok(network) = Ipv4Net::new(Ipv4Addr::new(10, 0, 0, 0), 8) else { return };
    let public_url = PublicUrl::new(None, vec![IpNet::V4(network)], false);
    for peer in [Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::new(192, 0, 2, 1)] {
        let request = request(bytes, peer);
        let base = public_url.base(&request);
        let (scheme, host) = base.split_once("://").unwrap_or_default();
        assert!(matches!(scheme, "http" | "https") && public_url.host(&request) == host, "{base:?}");
        let is_special = |byte: u8| b"\"\\<>@/?# ".contains(&byte) || !byte.is_ascii_graphic();
        assert!(!host.is_empty() && !host.bytes().any(is_special), "{base:?}");
        let url = Url::parse(&base).ok();
        assert!(url.is_some_and(|url| url.has_host() && url.path() == "/" && url.username().is_empty()), "{base:?}");
        let client = public_url.client(&request);
        if network.contains(&peer) {
            assert!(client == IpAddr::V4(peer) || !IpNet::V4(network).contains(&client), "{client}");
        } else {
            assert_eq!((client, scheme), (IpAddr::V4(peer), "http"));
        }
    }
}

fn request(bytes: &[u8], peer: Ipv4Addr) -> HttpRequest {
    let header = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        Some((name, HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok()?))
    };
    let headers = bytes.split(|byte| *byte == b'\n').filter_map(header);
    let request = TestRequest::default().peer_addr((peer, 999).into());
    headers.fold(request, TestRequest::append_header).to_http_request()
}
