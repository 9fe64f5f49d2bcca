//! The addresses at which sessions are told to find us.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// Answers stay small, and a client tries every address it is given.
const MAX_ADDRESSES: usize = 16;

/// Every address of this machine's interfaces that are up.
pub fn of_interfaces() -> io::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs()?;
    // Some virtual interfaces do not know their state; only those that are surely down are left out.
    let down = |status: &if_addrs::IfOperStatus| {
        use if_addrs::IfOperStatus as Status;
        matches!(status, Status::Down | Status::NotPresent | Status::LowerLayerDown)
    };
    Ok(interfaces
        .into_iter()
        .filter(|i| i.is_loopback() || !down(&i.oper_status))
        .map(|i| i.ip())
        .collect())
}

/// What to announce for a socket bound to `media`, best first: `public_ips` in their order, then of `interfaces`
/// the public addresses, the private ones, and loopback last (a browser on this machine, a test; alone it would
/// serve neither Firefox nor GStreamer).
pub fn candidates(media: SocketAddr, public_ips: &[IpAddr], interfaces: &[IpAddr]) -> Vec<SocketAddr> {
    let bound = media.ip();
    let mut own: Vec<IpAddr> = if bound.is_unspecified() {
        interfaces
            .iter()
            .map(IpAddr::to_canonical)
            .filter(|ip| bound.is_ipv6() || ip.is_ipv4())
            .collect()
    } else {
        vec![bound]
    };
    own.retain(|ip| is_usable(*ip));
    // Stable: beyond this the system's order holds.
    own.sort_by_key(|ip| (Reach::of(*ip), ip.is_ipv6()));

    let mut addresses: Vec<IpAddr> = Vec::new();
    for ip in public_ips.iter().chain(&own) {
        if !addresses.contains(ip) {
            addresses.push(*ip);
        }
    }
    // A machine with that many still serves clients on itself.
    let last = addresses.iter().rposition(|ip| ip.is_loopback() && ip.is_ipv4());
    if let Some(loopback) = last.filter(|index| *index >= MAX_ADDRESSES) {
        addresses.swap(loopback, MAX_ADDRESSES - 1);
    }
    addresses.truncate(MAX_ADDRESSES);
    addresses
        .into_iter()
        .map(|ip| SocketAddr::new(ip, media.port()))
        .collect()
}

/// IPv6 link-local addresses need a zone, which a candidate cannot carry.
fn is_usable(ip: IpAddr) -> bool {
    let link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !ip.is_unspecified() && !ip.is_multicast() && !link_local
}

/// From how far away an address can be used, farthest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Public,
    Private,
    /// IPv4 without a DHCP server (169.254/16).
    Link,
    Machine,
}

impl Reach {
    fn of(ip: IpAddr) -> Self {
        match ip {
            _ if ip.is_loopback() => Self::Machine,
            IpAddr::V4(v4) if v4.is_link_local() => Self::Link,
            // 100.64/10 is shared between a provider's customers (RFC 6598); Tailscale uses it too.
            IpAddr::V4(v4) if v4.is_private() || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64 => {
                Self::Private
            }
            IpAddr::V6(v6) if v6.is_unique_local() => Self::Private,
            _ => Self::Public,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: [&str; 10] = [
        "127.0.0.1",
        "::1",
        "172.17.0.1",
        "fe80::1",
        "169.254.7.7",
        "2001:db8::5",
        "100.100.1.1",
        "198.51.100.7",
        "fd00::1",
        "192.168.1.2",
    ];

    #[test]
    fn public_then_private_then_loopback_ipv4_before_ipv6() {
        assert_eq!(
            announced("[::]:8080", &[], &MACHINE),
            [
                "198.51.100.7:8080",
                "[2001:db8::5]:8080",
                "172.17.0.1:8080",
                "100.100.1.1:8080",
                "192.168.1.2:8080",
                "[fd00::1]:8080",
                "169.254.7.7:8080",
                "127.0.0.1:8080",
                "[::1]:8080",
            ]
        );
    }

    #[test]
    fn given_addresses_come_first_in_their_order_and_once() {
        let public = ["203.0.113.9", "198.51.100.7"];
        assert_eq!(
            announced("[::]:1", &public, &["192.168.1.2", "198.51.100.7", "127.0.0.1"]),
            ["203.0.113.9:1", "198.51.100.7:1", "192.168.1.2:1", "127.0.0.1:1"]
        );
    }

    #[test]
    fn a_socket_for_one_address_or_family_is_announced_as_that() {
        assert_eq!(announced("192.168.1.2:1", &[], &MACHINE), ["192.168.1.2:1"]);
        assert_eq!(
            announced("192.168.1.2:1", &["203.0.113.9"], &MACHINE),
            ["203.0.113.9:1", "192.168.1.2:1"]
        );
        let v4_only = announced("0.0.0.0:1", &[], &MACHINE);
        assert!(
            v4_only.len() == 6 && v4_only.iter().all(|address| !address.contains('[')),
            "{v4_only:?}"
        );
    }

    #[test]
    fn a_machine_with_very_many_addresses_announces_some_and_loopback() {
        let mut many: Vec<String> = (1..100).map(|i| format!("198.51.100.{i}")).collect();
        many.insert(0, "127.0.0.1".into());
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let announced = announced("[::]:1", &[], &many);
        assert_eq!(
            (announced.len(), announced.first(), announced.last()),
            (
                MAX_ADDRESSES,
                Some(&"198.51.100.1:1".to_owned()),
                Some(&"127.0.0.1:1".to_owned())
            )
        );
    }

    #[test]
    fn this_machine_has_a_loopback_address() {
        assert!(of_interfaces().unwrap().iter().any(IpAddr::is_loopback));
    }

    fn announced(media: &str, public: &[&str], interfaces: &[&str]) -> Vec<String> {
        let parse = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<IpAddr>>()
        };
        let found = candidates(media.parse().unwrap(), &parse(public), &parse(interfaces));
        found.iter().map(SocketAddr::to_string).collect()
    }
}
