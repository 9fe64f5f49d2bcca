//! One bundled transport: ICE, then DTLS, then SRTP, as the viewer and the publisher share it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::dtls::{Dtls, DtlsError, DtlsEvent, Identity, Keys};
use super::ice::{Credentials, Ice, IceEvent};
use super::outbox::Outbox;
use super::srtp::{Profile, SrtpError};
use super::stun;

/// From the answer to keys; a server that needs longer is counted as not connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Where a connection stands, or why it ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// The offer is out.
    Offered,
    /// No candidate has answered a check yet.
    Checking,
    /// A path works; DTLS is under way.
    Handshaking,
    Connected,
    /// We closed it.
    Closed,
    /// The server closed it, with close_notify.
    ClosedByServer,
    Failed(String),
}

pub struct Peer {
    pub outbox: Outbox,
    identity: Arc<Identity>,
    credentials: Credentials,
    state: PeerState,
    connect_by: Option<Instant>,
    ice: Option<Ice>,
    dtls: Option<Dtls>,
    server_is_dtls_client: bool,
    fingerprints: Vec<(String, Vec<u8>)>,
    keys: Option<Box<Keys>>,
    rtcp_index: u32,
    early: u64,
}

/// What a datagram was, after the transport took its own part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Nothing,
    /// Keys are there as of this datagram.
    Connected,
    /// Still sealed; open it with [`Peer::keys`].
    Rtp,
    /// Opened in place: this many plain bytes.
    Rtcp(usize),
}

impl Peer {
    pub fn new(identity: Arc<Identity>) -> Self {
        Self {
            outbox: Outbox::default(),
            identity,
            credentials: Credentials::random(),
            state: PeerState::Offered,
            connect_by: None,
            ice: None,
            dtls: None,
            server_is_dtls_client: false,
            fingerprints: Vec::new(),
            keys: None,
            rtcp_index: 0,
            early: 0,
        }
    }

    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub fn fingerprint(&self) -> &str {
        &self.identity.fingerprint
    }

    pub fn state(&self) -> &PeerState {
        &self.state
    }

    pub fn is_over(&self) -> bool {
        matches!(
            self.state,
            PeerState::Closed | PeerState::ClosedByServer | PeerState::Failed(_)
        )
    }

    pub fn profile(&self) -> Option<Profile> {
        self.keys.as_ref().map(|keys| keys.profile)
    }

    pub fn keys(&self) -> Option<&Keys> {
        self.keys.as_deref()
    }

    pub fn remote(&self) -> Option<SocketAddr> {
        self.ice.as_ref().and_then(Ice::selected)
    }

    /// Media that came before the handshake gave us keys, and was dropped as browsers drop it.
    pub fn early(&self) -> u64 {
        self.early
    }

    /// Of the last consent check.
    pub fn round_trip(&self) -> Option<Duration> {
        self.ice.as_ref().and_then(Ice::round_trip)
    }

    pub fn fail(&mut self, reason: impl Into<String>) {
        self.state = PeerState::Failed(reason.into());
    }

    /// Begins to connect; `ipv4` says which candidates the socket can reach.
    pub fn connect(&mut self, now: Instant, answer: &Answer, ipv4: bool) {
        let remote = Credentials {
            ufrag: answer.ufrag.clone(),
            pwd: answer.pwd.clone(),
        };
        let reachable: Vec<SocketAddr> = answer
            .candidates
            .iter()
            .copied()
            .filter(|to| to.is_ipv4() == ipv4)
            .collect();
        if reachable.is_empty() {
            self.fail("the answer names no candidate of the socket's address family");
            return;
        }
        self.server_is_dtls_client = answer.server_is_dtls_client;
        self.fingerprints = answer.fingerprints.clone();
        self.ice = Some(Ice::new(now, &self.credentials, &remote, reachable.into_iter()));
        self.state = PeerState::Checking;
        self.connect_by = Some(now + CONNECT_TIMEOUT);
        self.handle_timeout(now);
    }

    /// Takes one datagram (RFC 7983 tells whose it is).
    pub fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8]) -> Input {
        match datagram.first() {
            Some(128..=191) => self.handle_media(datagram),
            Some(20..=63) if !self.is_over() => self.handle_dtls(now, datagram),
            Some(first) if stun::is_stun(*first) && !self.is_over() => {
                self.handle_stun(now, from, datagram);
                Input::Nothing
            }
            _ => Input::Nothing,
        }
    }

    fn handle_media(&mut self, datagram: &mut [u8]) -> Input {
        let Some(keys) = &self.keys else {
            self.early += 1;
            return Input::Nothing;
        };
        // RFC 5761 §4: payload types 64–95 are RTCP's.
        if datagram.get(1).is_some_and(|kind| (192..=223).contains(kind)) {
            return keys
                .theirs
                .open_rtcp(datagram)
                .map_or(Input::Nothing, Input::Rtcp);
        }
        Input::Rtp
    }

    fn handle_stun(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let Some(ice) = &mut self.ice else { return };
        if let IceEvent::Selected(_) = ice.handle(now, from, datagram, &mut self.outbox) {
            self.state = PeerState::Handshaking;
            let client = !self.server_is_dtls_client;
            match Dtls::start(
                now,
                &self.identity,
                client,
                std::mem::take(&mut self.fingerprints),
            ) {
                Ok(dtls) => self.dtls = Some(dtls),
                Err(error) => self.fail(error.to_string()),
            }
            self.drain_dtls();
        }
    }

    fn handle_dtls(&mut self, now: Instant, datagram: &[u8]) -> Input {
        let Some(dtls) = &mut self.dtls else {
            return Input::Nothing;
        };
        let result = dtls.handle(now, datagram);
        self.drain_dtls();
        match result {
            Ok(Some(DtlsEvent::Connected(keys))) => {
                self.keys = Some(keys);
                self.state = PeerState::Connected;
                Input::Connected
            }
            Ok(Some(DtlsEvent::PeerClosed)) => {
                self.state = PeerState::ClosedByServer;
                Input::Nothing
            }
            Err(error @ (DtlsError::Fingerprint | DtlsError::Profile | DtlsError::Srtp(_))) => {
                self.fail(error.to_string());
                Input::Nothing
            }
            // A record that makes no sense is dropped; a handshake that cannot go on times out with this reason.
            Ok(None) | Err(DtlsError::Protocol(_)) => Input::Nothing,
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_over() {
            return;
        }
        if let Some(ice) = &mut self.ice {
            ice.handle_timeout(now, &mut self.outbox);
            if ice.consent_expired(now) {
                self.fail("the server stopped answering consent checks");
            }
        }
        if self.keys.is_none() {
            if let Some(Err(error)) = self.dtls.as_mut().map(|dtls| dtls.handle_timeout(now)) {
                self.fail(error.to_string());
            }
            self.drain_dtls();
            if self.connect_by.is_some_and(|by| now >= by) && !self.is_over() {
                let stage = if self.state == PeerState::Checking {
                    "ICE"
                } else {
                    "DTLS"
                };
                self.fail(format!(
                    "{stage} did not finish within {} s",
                    CONNECT_TIMEOUT.as_secs()
                ));
            }
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let waiting = self.keys.is_none();
        let dtls = self.dtls.as_ref().filter(|_| waiting).and_then(Dtls::deadline);
        let connect_by = self.connect_by.filter(|_| waiting);
        [self.ice.as_ref().and_then(Ice::deadline), dtls, connect_by]
            .into_iter()
            .flatten()
            .min()
    }

    fn drain_dtls(&mut self) {
        let (Some(dtls), Some(to)) = (&mut self.dtls, self.ice.as_ref().and_then(Ice::selected)) else {
            return;
        };
        while let Some(record) = dtls.poll_transmit() {
            self.outbox.push(to, &record);
        }
    }

    /// Seals a compound RTCP packet and queues it; dropped while there are no keys.
    pub fn send_rtcp(&mut self, mut plain: Vec<u8>) {
        let Some(to) = self.remote() else { return };
        let Some(keys) = &self.keys else { return };
        self.rtcp_index = (self.rtcp_index + 1) & 0x7fff_ffff;
        if keys.ours.seal_rtcp(&mut plain, self.rtcp_index).is_ok() {
            self.outbox.push(to, &plain);
        }
    }

    /// Queues an RTP packet, written and sealed straight into the send buffer.
    pub fn send_rtp(&mut self, header_len: usize, roc: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(to) = self.remote() else { return };
        let Some(keys) = &self.keys else { return };
        let _: Result<(), SrtpError> = self.outbox.push_with(to, |bytes, start| {
            write(bytes);
            keys.ours.seal_rtp(bytes, start, header_len, roc)
        });
    }

    /// Falls silent without a goodbye.
    pub fn vanish(&mut self) {
        self.outbox.clear();
        self.state = PeerState::Closed;
    }

    /// Says goodbye with close_notify.
    pub fn close(&mut self, now: Instant) {
        if self.is_over() {
            return;
        }
        if let Some(dtls) = &mut self.dtls {
            dtls.close(now);
        }
        self.drain_dtls();
        self.state = PeerState::Closed;
    }
}
