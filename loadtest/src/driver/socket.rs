//! Sockets of clients, and the address they are offered under.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use mio::net::UdpSocket;
use quinn_udp::UdpSocketState;

use super::session::Socket;

/// A keyframe for a slow turn must fit; the kernel caps it at `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 4 << 20;

pub fn bind(ipv4: bool) -> std::io::Result<(Socket, u16)> {
    use socket2::{Domain, Protocol, Type};
    let domain = if ipv4 { Domain::IPV4 } else { Domain::IPV6 };
    let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&SocketAddr::new(any(ipv4), 0).into())?;
    socket.set_nonblocking(true)?;
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let io = UdpSocket::from_std(socket.into());
    let state = UdpSocketState::new((&io).into())?;
    let port = io.local_addr()?.port();
    Ok((Socket { io, state, ipv4 }, port))
}

/// The address from which the URL's host is reached: what a client offers as its candidate.
pub fn local_address(url: &str) -> Result<IpAddr, String> {
    let parsed = reqwest::Url::parse(url).map_err(|error| format!("{url} is no URL: {error}"))?;
    let host = parsed.host_str().ok_or_else(|| format!("{url} names no host"))?;
    let port = parsed.port_or_known_default().unwrap_or(80);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("cannot resolve {host}: {error}"))?
        .collect();
    let server = addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or(addresses.first());
    let server = server.ok_or_else(|| format!("{host} has no address"))?;
    // Connecting a UDP socket sends nothing; it only asks the routing table.
    let probe = std::net::UdpSocket::bind(SocketAddr::new(any(server.is_ipv4()), 0)).and_then(|probe| {
        probe.connect(server)?;
        probe.local_addr()
    });
    probe
        .map(|address| address.ip())
        .map_err(|error| format!("no route to {host}: {error}"))
}

fn any(ipv4: bool) -> IpAddr {
    if ipv4 {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    }
}
