//! A WebRTC client over UDP: [`TestClient`] with a socket and a clock.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use shibuki::core::media::{DtlsRole, Fingerprint, HashAlgorithm, IceCredentials};
use shibuki::core::peer::testing::{ClientOptions, ClientReceived, TestClient};

use super::http;
use super::server::Addresses;
use super::{DEADLINE, now};

pub struct Client {
    pub core: TestClient,
    socket: UdpSocket,
    /// The session's path.
    pub location: String,
    http: SocketAddr,
    /// Packets in plain text, in the order they came.
    pub rtp: Vec<Vec<u8>>,
    pub rtcp: Vec<Vec<u8>>,
    /// What the server sent, by kind.
    pub back: Back,
    /// What this client sent last of a kind, as it was on the wire.
    pub last_check: Vec<u8>,
    pub last_dtls: Vec<u8>,
    /// Checks sent.
    pub checks: usize,
    /// DTLS is kept back: ICE connects, and nothing more.
    pub holds_dtls: bool,
}

/// Datagrams from the server, and bytes of some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Back {
    pub stun: usize,
    pub dtls: usize,
    pub media: usize,
    pub stun_bytes: usize,
    pub dtls_bytes: usize,
}

impl Client {
    pub fn publish(to: Addresses, stream: &str) -> Self {
        Self::offer(
            to,
            &format!("/whip/{stream}"),
            super::PUBLISH,
            ClientOptions::default(),
        )
    }

    pub fn watch(to: Addresses, stream: &str) -> Self {
        Self::offer(
            to,
            &format!("/whep/{stream}"),
            super::WATCH,
            ClientOptions::default(),
        )
    }

    /// Makes a session with this offer, its credentials and fingerprint replaced by the client's.
    pub fn offer(to: Addresses, path: &str, offer: &str, options: ClientOptions) -> Self {
        Self::offer_with(to, path, offer, options, |sdp| sdp)
    }

    pub fn offer_with(
        to: Addresses,
        path: &str,
        offer: &str,
        options: ClientOptions,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let mut core = TestClient::new(options);
        let offer = change(own_offer(&core, offer));
        let reply = http::post(to.http, path, &offer);
        assert_eq!(reply.status, 201, "{reply:?}");
        let socket = outside(to.media);
        let (ice, fingerprint) = answered(&reply.body);
        core.start(now(), &ice, &fingerprint);
        Self {
            core,
            socket,
            location: reply.header("location").unwrap().to_owned(),
            http: to.http,
            rtp: Vec::new(),
            rtcp: Vec::new(),
            back: Back::default(),
            last_check: Vec::new(),
            last_dtls: Vec::new(),
            checks: 0,
            holds_dtls: false,
        }
    }

    /// Takes in what came, and sends what is due.
    pub fn pump(&mut self) {
        let mut buffer = [0; 2048];
        while let Some(len) = receive(&self.socket, &mut buffer) {
            let datagram = &buffer[..len];
            match datagram.first() {
                Some(0..=3) => {
                    self.back.stun += 1;
                    self.back.stun_bytes += len;
                }
                Some(20..=63) => {
                    self.back.dtls += 1;
                    self.back.dtls_bytes += len;
                }
                _ => self.back.media += 1,
            }
            match self.core.handle_datagram(now(), datagram) {
                ClientReceived::Nothing => {}
                ClientReceived::Rtp(packet) => self.rtp.push(packet),
                ClientReceived::Rtcp(packet) => self.rtcp.push(packet),
            }
        }
        self.core.handle_timeout(now());
        while let Some(datagram) = self.core.poll_transmit() {
            if datagram[0] <= 3 {
                self.checks += 1;
                self.last_check.clone_from(&datagram);
            } else {
                self.last_dtls.clone_from(&datagram);
                if self.holds_dtls {
                    continue;
                }
            }
            self.send(&datagram);
        }
    }

    /// Runs until `done`.
    #[track_caller]
    pub fn run_until(&mut self, what: &str, done: impl FnMut(&Self) -> bool) {
        assert!(self.runs_to(DEADLINE, done), "{what} does not come about");
    }

    /// Runs until `done`; false if it is not after `limit`.
    pub fn runs_to(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = now() + limit;
        loop {
            self.pump();
            if done(self) {
                return true;
            }
            if now() > end {
                return false;
            }
            self.wait();
        }
    }

    #[track_caller]
    pub fn connect(&mut self) {
        self.run_until("a connection", |client| client.core.is_connected());
    }

    /// ICE only: a session that stays in handshake.
    pub fn connect_ice(&mut self) {
        self.holds_dtls = true;
        self.run_until("an answer to a check", |client| client.back.stun > 0);
    }

    /// Waits until the server has taken in everything this client sent: its worker answers a check after that.
    #[track_caller]
    pub fn settle(&mut self) {
        self.pump();
        let before = self.back.stun;
        // The check may get lost like anything else if the server's socket is full.
        for _ in 0..50 {
            self.checks += 1;
            self.send(&self.core.check().encode());
            if self.runs_to(Duration::from_millis(400), |client| client.back.stun > before) {
                return;
            }
        }
        panic!("checks are not answered any more");
    }

    /// Waits for the next datagram, a moment at most.
    pub fn wait(&self) {
        self.socket.set_nonblocking(false).unwrap();
        self.socket
            .set_read_timeout(Some(Duration::from_millis(2)))
            .unwrap();
        let _ = self.socket.peek(&mut [0; 1]);
    }

    pub fn send(&self, datagram: &[u8]) {
        send(&self.socket, datagram);
    }

    /// Whether the server knows the session.
    pub fn exists(&self) -> bool {
        http::request(self.http, "GET", &self.location, "", b"").status == 204
    }
}

/// `offer` with this client's credentials and fingerprint.
pub fn own_offer(client: &TestClient, offer: &str) -> String {
    let ice = client.local_ice();
    let hex: Vec<String> = client
        .fingerprint()
        .digest
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let line = |line: &str| {
        for (name, value) in [
            ("a=ice-ufrag:", ice.ufrag.clone()),
            ("a=ice-pwd:", ice.pwd.clone()),
            ("a=fingerprint:", format!("sha-256 {}", hex.join(":"))),
        ] {
            if line.starts_with(name) {
                return format!("{name}{value}\r\n");
            }
        }
        format!("{line}\r\n")
    };
    offer.lines().map(line).collect()
}

/// Credentials and fingerprint of an answer.
fn answered(answer: &str) -> (IceCredentials, Fingerprint) {
    let attribute = |name: &str| {
        let found = answer.lines().find_map(|line| line.strip_prefix(name));
        found
            .unwrap_or_else(|| panic!("no {name} in {answer}"))
            .to_owned()
    };
    let hex = attribute("a=fingerprint:sha-256 ");
    let digest = hex
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    (
        IceCredentials {
            ufrag: attribute("a=ice-ufrag:"),
            pwd: attribute("a=ice-pwd:"),
        },
        Fingerprint {
            algorithm: HashAlgorithm::Sha256,
            digest,
        },
    )
}

/// As FFmpeg: the server sends the ClientHello.
pub fn dtls_server() -> ClientOptions {
    ClientOptions {
        dtls_role: DtlsRole::Server,
        ..ClientOptions::default()
    }
}

/// A socket nobody knows.
pub fn outside(media: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(media).unwrap();
    socket
}

/// What is there, without waiting.
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<usize> {
    socket.set_nonblocking(true).unwrap();
    socket.recv(buffer).ok()
}

/// A refusal is an older datagram's: the server has ended, and that shows elsewhere.
pub fn send(socket: &UdpSocket, datagram: &[u8]) {
    loop {
        match socket.send(datagram) {
            Ok(_) => return,
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
            Err(error) => panic!("{error}"),
        }
    }
}
