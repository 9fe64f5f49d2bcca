//! One UDP port shared by all workers, and one worker's end of it.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use super::outbox::{SendError, Wire};
use super::source::SourceAddresses;
use crate::core::machine::Path;

/// What is asked of the kernel for each socket and direction. A keyframe to hundreds of viewers, or 100 ms of
/// publishers' media while a worker is busy, fits.
const BUFFER_BYTES: usize = 4 << 20;

/// Binds `count` UDP sockets to one address and port; the kernel spreads remote addresses over them.
///
/// `[::]` takes IPv4 as well, and becomes `0.0.0.0` where the host has no IPv6. With port 0 all get the same free
/// port. A port that any other program holds is an error of kind `AddrInUse`: the first socket binds alone, and
/// only then is the port opened to the others (`SO_REUSEPORT` alone would silently share it with a second server).
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<UdpSocket>> {
    let first = match bind_first(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && no_ipv6(&error) => {
            bind_first((Ipv4Addr::UNSPECIFIED, address.port()).into())?
        }
        other => other?,
    };
    let bound = UdpSocket::from(first.try_clone()?).local_addr()?;
    let mut sockets = vec![first.into()];
    for _ in 1..count {
        let socket = unbound(bound)?;
        share_port(&socket)?;
        socket.bind(&bound.into())?;
        sockets.push(socket.into());
    }
    Ok(sockets)
}

fn bind_first(address: SocketAddr) -> io::Result<Socket> {
    let socket = unbound(address)?;
    socket.bind(&address.into())?;
    share_port(&socket)?;
    let granted = socket.recv_buffer_size()?.min(socket.send_buffer_size()?);
    // Linux reports twice what it granted, the half being for its own bookkeeping.
    if granted < BUFFER_BYTES {
        tracing::info!(
            wanted = BUFFER_BYTES,
            granted,
            "the kernel limits socket buffers; raise net.core.rmem_max and net.core.wmem_max for many viewers"
        );
    }
    Ok(socket)
}

/// The smaller of a socket's buffers as the kernel grants them, and what is asked for, in bytes.
pub fn granted_buffers() -> io::Result<(usize, usize)> {
    let socket = unbound((Ipv4Addr::LOCALHOST, 0).into())?;
    let granted = socket.recv_buffer_size()?.min(socket.send_buffer_size()?);
    Ok((granted, BUFFER_BYTES))
}

/// How many datagrams one system call can send by GSO; 1 where the kernel has none.
pub fn max_segments() -> io::Result<usize> {
    let socket: UdpSocket = unbound((Ipv4Addr::LOCALHOST, 0).into())?.into();
    let state = UdpSocketState::new((&socket).into())?;
    Ok(state.max_gso_segments())
}

fn unbound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    Ok(socket)
}

#[cfg(unix)]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(unix))]
fn share_port(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable
    ) || error.raw_os_error() == Some(EAFNOSUPPORT)
}

// std has no name for this kind of error.
const EAFNOSUPPORT: i32 = if cfg!(target_os = "linux") { 97 } else { 47 };

/// How long GSO stays off after a device refused it (a tunnel without checksum offload, say): routes change.
const GSO_OFF: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq, Eq)]
enum Gso {
    On,
    /// A batch was refused with EINVAL or EIO: the device cannot do GSO, or the path is wrong. The next single
    /// datagram tells.
    Suspect,
    Off {
        until: Instant,
    },
}

/// A worker's socket with what its driver needs to know about it.
///
/// quinn-udp gives up GSO for the whole socket at the first EINVAL, which a single bad path provokes just as well
/// (a local address that is gone, a reply to port 0). Anyone could slow a worker down for good with that, so the
/// two are told apart here: see [`Gso`].
pub(super) struct Link {
    pub(super) socket: mio::net::UdpSocket,
    state: UdpSocketState,
    is_ipv6: bool,
    gso: Gso,
    sources: SourceAddresses,
    now: Instant,
}

impl Link {
    pub(super) fn new(socket: UdpSocket, now: Instant) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let is_ipv6 = socket.local_addr()?.is_ipv6();
        Ok(Self {
            socket: mio::net::UdpSocket::from_std(socket),
            state,
            is_ipv6,
            gso: Gso::On,
            sources: SourceAddresses::default(),
            now,
        })
    }

    /// Once a turn.
    pub(super) fn set_now(&mut self, now: Instant) {
        self.now = now;
        if matches!(self.gso, Gso::Off { until } if now >= until) {
            self.renew();
        }
    }

    /// Forgets what quinn-udp believes about the socket.
    fn renew(&mut self) {
        if let Ok(state) = UdpSocketState::new((&self.socket).into()) {
            self.state = state;
            self.gso = Gso::On;
        }
    }

    fn destination(&self, path: &Path) -> Option<(SocketAddr, Option<IpAddr>)> {
        if path.remote.port() == 0 {
            return None;
        }
        match (self.is_ipv6, path.remote) {
            (true, SocketAddr::V4(remote)) => {
                let remote = SocketAddrV6::new(remote.ip().to_ipv6_mapped(), remote.port(), 0, 0);
                let local = path.local.map(|ip| match ip {
                    IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
                    IpAddr::V6(_) => ip,
                });
                Some((remote.into(), local))
            }
            (false, SocketAddr::V6(_)) => None,
            _ => Some((path.remote, path.local)),
        }
    }
}

impl Wire for Link {
    fn max_segments(&self) -> usize {
        if self.gso == Gso::On {
            self.state.max_gso_segments()
        } else {
            1
        }
    }

    fn send(&mut self, path: &Path, contents: &[u8], segment: Option<usize>) -> Result<(), SendError> {
        let local = self.sources.name(path.remote.ip(), path.local, self.now);
        let path = &Path { local, ..*path };
        let (destination, src_ip) = self.destination(path).ok_or(SendError::Address)?;
        let transmit = Transmit {
            destination,
            ecn: None,
            contents,
            segment_size: segment,
            src_ip,
        };
        let sent = self
            .socket
            .try_io(|| self.state.try_send((&self.socket).into(), &transmit));
        let error = match sent {
            Ok(()) => {
                if self.gso == Gso::Suspect {
                    tracing::info!("the network device refuses segmentation offload; sending one by one");
                    self.gso = Gso::Off {
                        until: self.now + GSO_OFF,
                    };
                }
                return Ok(());
            }
            Err(error) => SendError::from(&error),
        };
        if error == SendError::Invalid {
            match (&self.gso, segment) {
                (_, Some(_)) => {
                    self.gso = Gso::Suspect;
                    return Err(SendError::Segmentation);
                }
                (Gso::On | Gso::Suspect, None) => self.renew(),
                (Gso::Off { .. }, None) => {}
            }
        }
        Err(error)
    }
}

/// Room for what one `recvmmsg` may bring: 32 messages of up to 64 datagrams each (GRO).
pub(super) struct Receiver {
    buffers: Box<[u8]>,
    metas: [RecvMeta; BATCH_SIZE],
}

/// The largest UDP datagram, and the largest that GRO makes of many.
const MESSAGE_BYTES: usize = 65_536;

/// What one system call brought.
pub(super) struct Received {
    /// Nothing is left in the socket.
    pub(super) drained: bool,
    pub(super) datagrams: u64,
    pub(super) bytes: u64,
    pub(super) refused: u64,
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self {
            buffers: vec![0; BATCH_SIZE * MESSAGE_BYTES].into_boxed_slice(),
            metas: [RecvMeta::default(); BATCH_SIZE],
        }
    }

    /// One system call; `handle` gets each datagram. `WouldBlock` when there was nothing.
    pub(super) fn receive(
        &mut self,
        link: &Link,
        mut handle: impl FnMut(Path, &mut [u8]),
    ) -> io::Result<Received> {
        let mut chunks = self.buffers.chunks_exact_mut(MESSAGE_BYTES);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let state = &link.state;
        let messages = link
            .socket
            .try_io(|| state.recv((&link.socket).into(), &mut slices, &mut self.metas))?;

        // Whatever comes after a call that found fewer than it had room for raises a new event.
        let mut received = Received {
            drained: messages < BATCH_SIZE,
            datagrams: 0,
            bytes: 0,
            refused: 0,
        };
        for (slice, meta) in slices.iter_mut().zip(&self.metas).take(messages) {
            let data = slice.get_mut(..meta.len).unwrap_or_default();
            let datagrams = data.len().div_ceil(meta.stride.max(1)) as u64;
            let Some(path) = path_of(meta) else {
                received.refused += datagrams;
                continue;
            };
            received.datagrams += datagrams;
            received.bytes += data.len() as u64;
            for datagram in data.chunks_mut(meta.stride.max(1)) {
                handle(path, datagram);
            }
        }
        Ok(received)
    }
}

/// `None` if an answer could not be sent: to port 0, or from an address that isn't ours alone.
fn path_of(meta: &RecvMeta) -> Option<Path> {
    let remote = match meta.addr {
        SocketAddr::V4(_) => meta.addr,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => (v4, v6.port()).into(),
            // The flow label varies from packet to packet; it is no part of the address.
            None => SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into(),
        },
    };
    let local = meta.dst_ip.map(|ip| ip.to_canonical());
    let answerable = remote.port() != 0 && is_unicast(remote.ip()) && local.is_none_or(is_unicast);
    answerable.then_some(Path { remote, local })
}

fn is_unicast(ip: IpAddr) -> bool {
    !ip.is_multicast() && !ip.is_unspecified() && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(addr: &str, dst_ip: &str) -> RecvMeta {
        let mut meta = RecvMeta::default();
        meta.addr = addr.parse().unwrap();
        meta.dst_ip = Some(dst_ip.parse().unwrap());
        meta
    }

    #[test]
    fn mapped_addresses_become_plain_ipv4_and_back() {
        let path = path_of(&meta("[::ffff:192.0.2.7]:5000", "::ffff:198.51.100.1")).unwrap();
        assert_eq!(path.remote.to_string(), "192.0.2.7:5000");
        assert_eq!(path.local.unwrap().to_string(), "198.51.100.1");

        let link = Link::new(UdpSocket::bind("[::1]:0").unwrap(), now()).unwrap();
        let (remote, local) = link.destination(&path).unwrap();
        assert_eq!(remote.to_string(), "[::ffff:192.0.2.7]:5000");
        assert_eq!(local.unwrap().to_string(), "::ffff:198.51.100.1");

        let link = Link::new(UdpSocket::bind("127.0.0.1:0").unwrap(), now()).unwrap();
        assert_eq!(link.destination(&path), Some((path.remote, path.local)));
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        assert_eq!(path_of(&meta("192.0.2.7:0", "198.51.100.1")), None);
        assert_eq!(path_of(&meta("192.0.2.7:9", "255.255.255.255")), None);
        assert_eq!(path_of(&meta("[2001:db8::1]:9", "ff02::1")), None);
        assert_eq!(path_of(&meta("[ff02::1]:9", "::1")), None);
        assert!(path_of(&meta("[2001:db8::1]:9", "2001:db8::2")).is_some());
    }

    #[test]
    fn a_port_in_use_is_an_error_even_between_servers_that_share_ports() {
        let own = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let address = own[0].local_addr().unwrap();
        assert!(own.iter().all(|socket| socket.local_addr().unwrap() == address));
        assert_eq!(bind(address, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(own);
        bind(address, 2).unwrap();
    }

    #[test]
    fn the_unspecified_address_takes_both_families() {
        let sockets = bind("[::]:0".parse().unwrap(), 1).unwrap();
        let port = sockets[0].local_addr().unwrap().port();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"v4", ("127.0.0.1", port)).unwrap();
        sockets[0].set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (_, from) = sockets[0].recv_from(&mut [0; 8]).unwrap();
        assert_eq!(from.ip().to_canonical(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    }

    /// A path from a foreign source address fails with EINVAL; that must cost nobody else the offload.
    #[test]
    fn a_bad_path_does_not_switch_segmentation_off() {
        let mut link = Link::new(UdpSocket::bind("0.0.0.0:0").unwrap(), now()).unwrap();
        let offload = link.max_segments();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let bad = Path {
            remote: receiver.local_addr().unwrap(),
            local: Some("203.0.113.9".parse().unwrap()),
        };
        let good = Path { local: None, ..bad };

        let refused = link.send(&bad, &[0; 300], Some(100)).unwrap_err();
        assert!(
            matches!(refused, SendError::Segmentation | SendError::Unreachable),
            "{refused:?}"
        );
        assert!(link.send(&bad, &[0; 100], None).is_err());
        assert_eq!(link.max_segments(), offload);
        link.send(&good, &[0; 300], (offload > 1).then_some(100)).unwrap();
        assert_eq!(link.max_segments(), offload);
    }

    #[test]
    fn a_device_that_refuses_segmentation_is_tried_again_after_a_while() {
        let mut link = Link::new(UdpSocket::bind("127.0.0.1:0").unwrap(), now()).unwrap();
        let offload = link.max_segments();
        let start = link.now;
        // What a refused batch leaves behind; no device here refuses.
        link.gso = Gso::Suspect;
        let to_itself = Path {
            remote: link.socket.local_addr().unwrap(),
            local: None,
        };
        link.send(&to_itself, &[0; 100], None).unwrap();
        assert_eq!(link.max_segments(), 1);
        link.set_now(start + GSO_OFF / 2);
        assert_eq!(link.max_segments(), 1);
        link.set_now(start + GSO_OFF);
        assert_eq!(link.max_segments(), offload);
    }

    #[expect(clippy::disallowed_methods, reason = "a test's driver")]
    fn now() -> Instant {
        Instant::now()
    }
}
