//! Hosts of an upstream: those that may have any address, and those to which its credentials may be sent. Does not
//! resolve names.

use url::Url;

/// A host, with the port if it is not the default of the scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: Option<u16>,
}

/// Scheme, host and port: the scope within which an `Authorization` may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place(String);

/// Permission for the next hop of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The same place: the same `Authorization` may be sent.
    Same,
    /// Another place: the `Authorization` must not be sent.
    Elsewhere,
    /// A redirect from https to http at a host that is not listed: it must not be followed.
    Refused,
}

/// The hosts in the configuration of an upstream.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    base: Url,
    /// The address whose site may have the credentials.
    home: Url,
    auth: Vec<HostPort>,
    redirect: Vec<HostPort>,
}

impl Hosts {
    /// Creates the hosts of an upstream. `base` is its own address.
    pub(super) fn new(base: Url, auth: Vec<HostPort>, redirect: Vec<HostPort>) -> Self {
        Self { home: base.clone(), base, auth, redirect }
    }

    /// Creates the hosts of a mirror of the upstream at `home`: the credentials are still those of that upstream.
    pub(super) fn of_mirror(mirror: Url, home: Url, auth: Vec<HostPort>, redirect: Vec<HostPort>) -> Self {
        Self { home, ..Self::new(mirror, auth, redirect) }
    }

    /// Returns the address of the registry.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Returns true if host and port are the upstream's own.
    pub(super) fn is_base(&self, target: &Url) -> bool {
        is_same_place(&self.base, target)
    }

    /// Returns true if host and port are the upstream's own or listed for it. Such a host need not have a public
    /// address.
    pub(super) fn lists(&self, target: &Url) -> bool {
        self.is_base(target) || self.auth.iter().chain(&self.redirect).any(|listed| listed.matches(target))
    }

    /// Returns what may be sent when a redirect from one address to another is followed.
    pub(super) fn step(&self, from: &Url, to: &Url) -> Step {
        if is_downgrade(from, to) && !self.lists(to) {
            Step::Refused
        } else if is_same_place(from, to) && from.scheme() == to.scheme() {
            Step::Same
        } else {
            Step::Elsewhere
        }
    }

    /// Returns true if the configured credentials may be sent to this address: to the upstream's host, its
    /// registrable domain or a host in `auth_hosts`, but never unencrypted if the upstream itself uses https.
    pub(super) fn may_have_credentials(&self, target: &Url) -> bool {
        if is_downgrade(&self.home, target) {
            return false;
        }
        self.home.host() == target.host()
            || is_same_site(&self.home, target)
            || self.auth.iter().any(|listed| listed.matches(target))
    }
}

impl Place {
    /// Returns the place of an address.
    pub(super) fn of(url: &Url) -> Self {
        Self(url.origin().ascii_serialization())
    }
}

impl HostPort {
    /// Parses `host` or `host:port`; an IPv6 address needs brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let has_port = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
        let (host, port) = match text.rsplit_once(':') {
            Some((host, rest)) if has_port(rest) => (host, Some(rest.parse().ok()?)),
            Some(_) | None => (text, None),
        };
        let url = Url::parse(&format!("https://{host}/")).ok()?;
        let plain = url.port().is_none() && url.path() == "/" && !has_userinfo(&url) && url.query().is_none();
        let host = url.host_str().filter(|_| plain && url.fragment().is_none())?;
        Some(Self { host: host.to_owned(), port })
    }

    fn matches(&self, target: &Url) -> bool {
        let port_matches = match self.port {
            Some(port) => target.port_or_known_default() == Some(port),
            None => target.port().is_none(),
        };
        port_matches && target.host_str() == Some(&self.host)
    }
}

/// Returns true if both addresses have the same host and port.
fn is_same_place(one: &Url, other: &Url) -> bool {
    one.host() == other.host() && one.port_or_known_default() == other.port_or_known_default()
}

/// Returns true if a redirect from one address to the other leaves encryption.
fn is_downgrade(from: &Url, to: &Url) -> bool {
    from.scheme() == "https" && to.scheme() != "https"
}

/// Returns true if the address contains a user name or password.
pub(super) fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn is_same_site(one: &Url, other: &Url) -> bool {
    let (Some(one), Some(other)) = (one.domain(), other.domain()) else { return false };
    matches!((psl::domain_str(one), psl::domain_str(other)), (Some(one), Some(other)) if one == other)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hosts(base: &str, auth: &[&str], redirect: &[&str]) -> Hosts {
        let parse = |texts: &[&str]| texts.iter().map(|text| HostPort::parse(text).unwrap()).collect();
        Hosts::new(url(base), parse(auth), parse(redirect))
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn credentials_stay_at_the_upstreams_site() {
        let hub =
            hosts("https://registry-1.docker.io", &["login.example.com", "sso.example.org:8443"], &["cdn.example.net"]);
        for good in [
            "https://registry-1.docker.io/token",
            "https://auth.docker.io/token",
            "https://registry-1.docker.io:5000/",
            "https://login.example.com/t",
            "https://sso.example.org:8443/t",
        ] {
            assert!(hub.may_have_credentials(&url(good)), "{good}");
        }
        for bad in [
            "http://auth.docker.io/token",
            "http://registry-1.docker.io/token",
            "https://docker.io.evil.example/token",
            "https://evil-docker.io/",
            "https://sso.example.org/t",
            "https://login.example.com:444/t",
            "http://login.example.com/t",
            "https://cdn.example.net/",
            "https://other.example.com/",
        ] {
            assert!(!hub.may_have_credentials(&url(bad)), "{bad}");
        }
    }

    #[test]
    fn a_public_suffix_is_not_a_site_and_addresses_have_none() {
        assert!(!hosts("https://a.github.io", &[], &[]).may_have_credentials(&url("https://b.github.io/")));
        assert!(!hosts("https://a.co.uk", &[], &[]).may_have_credentials(&url("https://b.co.uk/")));
        let numeric = hosts("http://10.0.0.1:5000", &[], &[]);
        assert!(!numeric.may_have_credentials(&url("http://11.0.0.1:5000/")));
        assert!(numeric.may_have_credentials(&url("http://10.0.0.1:5001/")));
        assert!(!hosts("http://localhost:1", &[], &[]).may_have_credentials(&url("http://127.0.0.1:1/")));
    }

    #[test]
    fn a_mirror_has_the_credentials_only_where_the_upstream_allows_it() {
        let of = |mirror: &str| Hosts::of_mirror(url(mirror), url("https://hub.example.com"), listed(), Vec::new());
        fn listed() -> Vec<HostPort> {
            vec![HostPort::parse("mirror.other.org:5000").unwrap()]
        }
        for (mirror, may) in [
            ("https://mirror.example.com", true),
            ("https://mirror.other.org:5000", true),
            ("http://mirror.example.com", false),
            ("https://mirror.other.org", false),
            ("https://elsewhere.net", false),
        ] {
            assert_eq!(of(mirror).may_have_credentials(&url(mirror)), may, "{mirror}");
            assert!(of(mirror).lists(&url(mirror)), "it may be inside");
        }
        let realm = url("https://login.other.org");
        assert!(
            !of("https://mirror.other.org:5000").may_have_credentials(&realm),
            "the site of a mirror is not listed"
        );
    }

    #[test]
    fn only_listed_ports_of_listed_hosts_are_listed() {
        let mirror = hosts("http://mirror:5000", &["auth"], &["cdn:8080", "[fd00::1]:9000"]);
        for good in
            ["http://mirror:5000/x", "http://auth/", "https://auth/", "http://cdn:8080/", "http://[fd00::1]:9000/"]
        {
            assert!(mirror.lists(&url(good)), "{good}");
        }
        for bad in
            ["http://mirror/x", "http://auth:8080/", "https://cdn/", "http://[fd00::1]/", "http://[fd00::2]:9000/"]
        {
            assert!(!mirror.lists(&url(bad)), "{bad}");
        }
    }

    #[test]
    fn authorization_stays_at_its_place_and_encryption_is_not_left() {
        let hub = hosts("https://hub.example", &[], &["mirror:5000"]);
        let step = |from, to| hub.step(&url(from), &url(to));
        assert_eq!(step("https://hub.example/a", "https://hub.example:443/b"), Step::Same);
        for elsewhere in ["https://hub.example:444/", "https://cdn.hub.example/", "http://mirror:5000/"] {
            assert_eq!(step("https://hub.example/a", elsewhere), Step::Elsewhere, "{elsewhere}");
        }
        assert_eq!(step("https://hub.example/a", "http://hub.example:443/"), Step::Elsewhere);
        assert_eq!(step("http://hub.example/a", "https://hub.example/"), Step::Elsewhere);
        for refused in ["http://hub.example/", "http://cdn.hub.example/", "http://mirror/"] {
            assert_eq!(step("https://hub.example/a", refused), Step::Refused, "{refused}");
        }
    }

    #[test]
    fn hosts_are_read_and_normalised() {
        assert_eq!(HostPort::parse("Auth.Example.COM:443"), HostPort::parse("auth.example.com:443"));
        for bad in ["", ":80", "a/b", "a:b", "u@h", "a:99999", "https://a", "a?b", "::1"] {
            assert_eq!(HostPort::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_host_that_is_read_is_one_of_a_url_and_matches_it_alone(
            any_text in "\\PC*", near_miss in "[a-zA-Z0-9.:@/?#%\\[\\]-]{0,20}(:[0-9]{0,6})?",
        ) {
            for text in [any_text, near_miss] {
                let Some(listed) = HostPort::parse(&text) else { continue };
                let port = listed.port.map(|port| format!(":{port}")).unwrap_or_default();
                let address = format!("{}{port}", listed.host);
                prop_assert_eq!(HostPort::parse(&address), Some(listed.clone()), "{}", text);
                prop_assert!(listed.matches(&url(&format!("https://{address}/v2/x"))), "{}", text);
                for other in [format!("https://x.{address}/"), format!("https://{address}@other.test/")] {
                    prop_assert!(!Url::parse(&other).is_ok_and(|other| listed.matches(&other)), "{}", other);
                }
            }
        }
    }
}
