//! Classification of IP addresses that an upstream refers to (IANA special-purpose address registries, RFC 6890).
//! Does not resolve names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns true if the address belongs to the public internet: neither loopback, private, shared (RFC 6598),
/// link-local, multicast, unspecified, reserved, for documentation or benchmarks, nor an IPv6 address that embeds
/// an IPv4 one.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NOT_PUBLIC_V4.iter().any(|(net, bits)| v4_within(v4, *net, *bits)),
        IpAddr::V6(v6) => v6_within(v6, GLOBAL_UNICAST) && !NOT_PUBLIC_V6.iter().any(|net| v6_within(v6, *net)),
    }
}

/// Returns true if the address is link-local, also when embedded in an IPv6 address. Cloud machines offer their
/// credentials at link-local addresses.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6_within(v6, ([0xfe80, 0], 10)) || embedded_v4(v6).is_some_and(|v4| v4.is_link_local()),
    }
}

/// IPv4 networks that are not public, with their prefix lengths.
const NOT_PUBLIC_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// The first 32 bits of an IPv6 network, and its prefix length.
type V6Net = ([u16; 2], u32);

/// The range from which IANA assigns global unicast addresses. Loopback, mapped, NAT64, unique local, link-local
/// and multicast addresses are outside.
const GLOBAL_UNICAST: V6Net = ([0x2000, 0], 3);

/// Networks within that range that are not public: protocol assignments (including Teredo), two for documentation,
/// and 6to4.
const NOT_PUBLIC_V6: [V6Net; 4] = [([0x2001, 0], 23), ([0x2001, 0x0db8], 32), ([0x2002, 0], 16), ([0x3fff, 0], 20)];

fn v4_within(address: Ipv4Addr, net: [u8; 4], bits: u32) -> bool {
    (address.to_bits() ^ u32::from_be_bytes(net)) >> (32 - bits) == 0
}

fn v6_within(address: Ipv6Addr, (net, bits): V6Net) -> bool {
    let [first, second, ..] = address.segments();
    let joined = |first: u16, second: u16| u32::from(first) << 16 | u32::from(second);
    (joined(first, second) ^ joined(net[0], net[1])) >> (32 - bits) == 0
}

/// Returns the IPv4 address that is embedded in a mapped, compatible, NAT64 or 6to4 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let joined = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(joined(high, low)),
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(joined(high, low)),
        [0x64, 0xff9b, _, _, _, _, high, low] => Some(joined(high, low)),
        [0x2002, high, low, ..] => Some(joined(high, low)),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_public() {
        for public in ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "192.0.1.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for public in ["2606:4700::1", "2a00:1450::1", "2001:4860:4860::8888", "2001:200::1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn what_is_not() {
        let v4 = "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.0.1 169.254.169.254 172.16.0.1 \
                  172.31.255.255 192.0.0.8 192.0.2.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 \
                  239.1.1.1 240.0.0.1 255.255.255.255";
        let v6 = ":: ::1 ::ffff:8.8.8.8 ::ffff:10.0.0.1 ::8.8.8.8 64:ff9b::8.8.8.8 64:ff9b::a00:1 64:ff9b:1::1 100::1 fc00::1 \
                  fd00:ec2::254 fe80::1 fec0::1 ff02::1 2001::1 2001:db8::1 2002:a00:1::1 3fff::1 5f00::1";
        for address in v4.split_whitespace().chain(v6.split_whitespace()) {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn link_local_is_seen_through_every_disguise() {
        for address in [
            "169.254.169.254",
            "fe80::1",
            "febf::1",
            "::ffff:169.254.169.254",
            "::169.254.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::ffff:0:169.254.1.1",
        ] {
            assert!(is_link_local(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.1", "fc00::1", "::1", "1.1.1.1", "::ffff:127.0.0.1"] {
            assert!(!is_link_local(address.parse().unwrap()), "{address}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_public_and_link_local(bits: u128, v4: u32) {
            for address in [IpAddr::V6(Ipv6Addr::from_bits(bits)), IpAddr::V4(Ipv4Addr::from_bits(v4))] {
                prop_assert!(!(is_public(address) && is_link_local(address)));
            }
        }

        #[test]
        fn no_private_address_gets_through_inside_an_ipv6_one(host: u32) {
            for private in [0x0a00_0000 | (host & 0xff_ffff), 0x7f00_0000 | (host & 0xff_ffff)] {
                let [a, b] = [(private >> 16) as u16, private as u16];
                for address in [
                    Ipv4Addr::from_bits(private).to_ipv6_mapped(),
                    Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
                    Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),
                ] {
                    prop_assert!(!is_public(address.into()), "{}", address);
                }
            }
        }
    }
}
