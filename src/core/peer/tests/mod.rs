//! A [`Peer`] and a [`TestClient`] over a virtual network, in virtual time.
//!
//! - [`handshake`]: both roles, both profiles, lost flights, wrong certificates.
//! - [`ice`]: checks, nominations, restarts.
//! - [`media`]: SRTP both ways against rtc-srtp.
//! - [`attacks`]: what the guard bounds, and that rtc-dtls alone does not.

mod attacks;
mod handshake;
mod ice;
mod media;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::testing::{ClientOptions, ClientReceived, TestClient, random_credentials};
use super::*;

const ONE_WAY: Duration = Duration::from_millis(10);

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToPeer,
    ToClient,
}

/// One peer, one client, and a network that delays by [`ONE_WAY`] and loses what it is told to.
struct Net {
    now: Instant,
    start: Instant,
    peer: Peer,
    client: TestClient,
    path: Path,
    server_ice: IceCredentials,
    in_flight: BTreeMap<(Instant, u64), (Way, Vec<u8>)>,
    sent: u64,
    /// Whether to lose the n-th (from 0) DTLS datagram of a direction.
    lose: Box<dyn FnMut(Way, usize) -> bool>,
    dtls_sent: [usize; 2],
    events: Vec<PeerEvent>,
    received: Vec<Vec<u8>>,
    client_received: Vec<ClientReceived>,
}

impl Net {
    fn new(options: ClientOptions) -> Self {
        Self::with_spec(options, |spec| spec)
    }

    fn with_spec(options: ClientOptions, change: impl FnOnce(TransportSpec) -> TransportSpec) -> Self {
        let now = any_instant();
        let identity = Arc::new(Identity::generate().unwrap());
        let mut client = TestClient::new(options);
        let server_ice = random_credentials();
        let spec = change(client.transport_spec(&server_ice));
        let peer = Peer::new(&identity, &spec, now);
        client.start(now, &server_ice, identity.fingerprint());
        Self {
            now,
            start: now,
            peer,
            client,
            path: path("192.0.2.1:4000"),
            server_ice,
            in_flight: BTreeMap::new(),
            sent: 0,
            lose: Box::new(|_, _| false),
            dtls_sent: [0; 2],
            events: Vec::new(),
            received: Vec::new(),
            client_received: Vec::new(),
        }
    }

    fn connected(options: ClientOptions) -> Self {
        let mut net = Self::new(options);
        net.run_until(|net| net.peer.is_connected() && net.client.is_connected());
        assert!(
            net.peer.is_connected() && net.client.is_connected(),
            "{:?}",
            net.events
        );
        net
    }

    /// Runs until `done`, or 40 s have passed, or nothing is left to happen.
    fn run_until(&mut self, mut done: impl FnMut(&Net) -> bool) {
        let limit = self.now + Duration::from_secs(40);
        while !done(self) && self.now < limit && self.step() {}
    }

    fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            self.collect();
            if self.next_event().is_none_or(|at| at > until) {
                break;
            }
            self.step();
        }
        self.now = until;
    }

    /// Goes to the next thing that happens; false when nothing will.
    fn step(&mut self) -> bool {
        self.collect();
        let Some(at) = self.next_event() else { return false };
        self.now = self.now.max(at);
        while let Some(entry) = self.in_flight.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (way, mut datagram) = entry.remove();
            match way {
                Way::ToPeer => self.deliver(&mut datagram),
                Way::ToClient => {
                    let received = self.client.handle_datagram(self.now, &datagram);
                    if received != ClientReceived::Nothing {
                        self.client_received.push(received);
                    }
                }
            }
        }
        if self.peer.poll_timeout().is_some_and(|at| at <= self.now) {
            self.peer.handle_timeout(self.now);
        }
        if self.client.poll_timeout().is_some_and(|at| at <= self.now) {
            self.client.handle_timeout(self.now);
        }
        self.collect();
        true
    }

    fn deliver(&mut self, datagram: &mut [u8]) {
        match self.peer.handle_datagram(self.now, self.path, datagram) {
            Received::Rtp(packet) => self.received.push(packet.to_vec()),
            Received::Rtcp(packet) => self.received.push(packet.to_vec()),
            Received::Nothing => {}
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let network = self.in_flight.keys().next().map(|(at, _)| *at);
        [network, self.peer.poll_timeout(), self.client.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn collect(&mut self) {
        while let Some(event) = self.peer.poll_event() {
            self.events.push(event);
        }
        while let Some((_, datagram)) = self.peer.poll_transmit() {
            self.send(Way::ToClient, datagram.to_vec());
        }
        while let Some(datagram) = self.client.poll_transmit() {
            self.send(Way::ToPeer, datagram);
        }
    }

    fn send(&mut self, way: Way, datagram: Vec<u8>) {
        if matches!(datagram.first(), Some(20..=63)) {
            let nth = self.dtls_sent[way as usize];
            self.dtls_sent[way as usize] += 1;
            if (self.lose)(way, nth) {
                return;
            }
        }
        self.sent += 1;
        self.in_flight
            .insert((self.now + ONE_WAY, self.sent), (way, datagram));
    }

    fn closed(&self) -> Option<&CloseReason> {
        self.events.iter().find_map(|event| match event {
            PeerEvent::Closed(reason) => Some(reason),
            _ => None,
        })
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}

fn path(remote: &str) -> Path {
    Path {
        remote: remote.parse().unwrap(),
        local: None,
    }
}

#[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
fn any_instant() -> Instant {
    Instant::now()
}

/// A minimal RTP packet.
fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 1]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}
