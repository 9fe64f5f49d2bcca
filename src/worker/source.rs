//! Which source address the kernel chooses by itself. Naming one for every datagram costs the kernel an eighth of
//! what forwarding it costs altogether; it is needed only where the two differ.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

/// Routes change: after this the kernel is asked again. Three system calls per address and half minute.
const VALID_FOR: Duration = Duration::from_secs(30);

/// Addresses remembered; beyond it all are asked for again.
const MAX_KNOWN: usize = 16_384;

#[derive(Default)]
pub(super) struct SourceAddresses {
    /// Keyed by the remote address. `None`: the kernel has no route there, or would not say.
    known: HashMap<IpAddr, (Instant, Option<IpAddr>)>,
}

impl SourceAddresses {
    /// The source to name on a datagram from `local` to `remote`: none where the kernel takes `local` anyway.
    pub(super) fn name(&mut self, remote: IpAddr, local: Option<IpAddr>, now: Instant) -> Option<IpAddr> {
        let local = local?;
        let chosen = match self.known.get(&remote) {
            Some((asked, chosen)) if now.saturating_duration_since(*asked) < VALID_FOR => *chosen,
            _ => self.ask(remote, now),
        };
        (chosen != Some(local)).then_some(local)
    }

    fn ask(&mut self, remote: IpAddr, now: Instant) -> Option<IpAddr> {
        let chosen = chosen_by_kernel(remote);
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(remote, (now, chosen));
        chosen
    }
}

/// Connecting a UDP socket sends nothing; it only fixes the route.
fn chosen_by_kernel(remote: IpAddr) -> Option<IpAddr> {
    let any = match remote {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        // A link-local address needs its interface named, which an address alone does not do.
        IpAddr::V6(v6) if v6.is_unicast_link_local() => return None,
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let probe = UdpSocket::bind((any, 0)).ok()?;
    // Any port will do.
    probe.connect((remote, 9)).ok()?;
    Some(probe.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's driver")]
    fn a_source_is_named_only_where_the_kernel_would_take_another() {
        let now = Instant::now();
        let mut sources = SourceAddresses::default();
        let local = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(sources.name(loopback, local("127.0.0.1"), now), None);
        assert_eq!(
            sources.name(loopback, local("127.0.0.2"), now),
            local("127.0.0.2")
        );
        assert_eq!(sources.name(loopback, None, now), None);
        let link_local = "fe80::1".parse().unwrap();
        assert_eq!(sources.name(link_local, local("fe80::2"), now), local("fe80::2"));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's driver")]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut sources = SourceAddresses::default();
        for n in 0..MAX_KNOWN as u32 + 10 {
            sources.known.insert(Ipv4Addr::from(n).into(), (now, None));
        }
        sources.name(
            "127.0.0.1".parse().unwrap(),
            Some("127.0.0.1".parse().unwrap()),
            now,
        );
        assert_eq!(sources.known.len(), 1);
    }
}
