//! The DTLS 1.2 association (RFC 6347, RFC 5764), with rtc-dtls doing the handshake behind the [guard](super::guard).
//!
//! Ours to decide are the SRTP profile (rtc-dtls as server follows the client's order, which puts the slower
//! profile first), when a flight is repeated, and what rtc-dtls gets to see.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::dtls::state::State;
use rtc::shared::TransportProtocol;
use rtc::shared::error::Error as RtcError;

use crate::core::media::{DtlsRole, Fingerprint};

use super::client_hello::ClientHello;
use super::cookie::Cookie;
use super::counters::PeerCounters;
use super::guard::{DtlsGuard, Records};
use super::identity::{Identity, certificate_matches};
use super::srtp::{SrtpReceiver, SrtpSender};
use super::srtp_keys::Keys;
use super::{CloseReason, SrtpProfile};

/// rtc-dtls keys its associations by address. Ours has one, over whatever path ICE chose.
pub(super) const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// How long to wait for an answer before the n-th repetition of a flight. A quarter second is above the round
/// trip of nearly everyone, and a lost flight then costs little. rtc-dtls gives up at the eighth, which would be
/// past the handshake's deadline of 15 s.
const BACKOFF: [Duration; 7] = [
    Duration::from_millis(250),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_millis(3000),
    Duration::from_millis(4000),
    Duration::from_millis(4000),
];

/// When a client is told its cookie ahead, after the answer to its first check: Chromium begins its handshake within some
/// milliseconds, and drops what comes before.
const TELL_AFTER: Duration = Duration::from_millis(10);
/// Who was told gets this long for the second ClientHello after the first, then is told again. Not at once: rtc-dtls as a
/// client stops repeating what was lost when it is told twice (version 0.21.1).
const PATIENCE: Duration = Duration::from_millis(100);

/// RFC 5764 §4.2.
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";
const MASTER_KEY_LEN: usize = 16;

const SERVER_HELLO: u8 = 2;

pub(super) struct Dtls {
    identity: Arc<Identity>,
    fingerprints: Arc<[Fingerprint]>,
    role: DtlsRole,
    guard: DtlsGuard,
    /// As server: what came, until a ClientHello is whole and the profile can be chosen.
    held: Vec<Vec<u8>>,
    endpoint: Option<Endpoint>,
    /// As server, until the handshake begins.
    ahead: Option<Ahead>,
    /// Our last flight, for when rtc-dtls will not repeat it itself.
    flight: Vec<Vec<u8>>,
    flight_sent: Instant,
    /// When to repeat it, and how often that was done.
    timer: Option<Instant>,
    retransmissions: usize,
    /// One past the highest handshake message of the peer's that rtc-dtls was given, and one past the highest it
    /// has answered with a flight.
    received_messages: u16,
    answered_messages: u16,
    server_hello_sent: bool,
    connected: bool,
    /// The sequence number of our next record of epoch 0.
    next_record: u64,
    out: VecDeque<Bytes>,
}

/// A cookie that is told ahead.
struct Ahead {
    cookie: Cookie,
    /// `None` once it was told.
    tell_at: Option<Instant>,
    /// The first ClientHello is there, and this is how long the second is waited for.
    ask_at: Option<Instant>,
}

/// What a datagram or the passing of time led to.
pub(super) enum Progress {
    None,
    Connected(Box<Secured>),
    Ended(CloseReason),
}

/// The outcome of a handshake.
pub(super) struct Secured {
    pub profile: SrtpProfile,
    pub sender: SrtpSender,
    pub receiver: SrtpReceiver,
    /// From our last flight to its answer, where none had to be repeated.
    pub round_trip: Option<Duration>,
}

impl Dtls {
    pub fn new(identity: &Arc<Identity>, role: DtlsRole, fingerprints: &[Fingerprint], now: Instant) -> Self {
        Self {
            identity: identity.clone(),
            fingerprints: fingerprints.into(),
            role,
            guard: DtlsGuard::default(),
            held: Vec::new(),
            endpoint: None,
            ahead: None,
            flight: Vec::new(),
            flight_sent: now,
            timer: None,
            retransmissions: 0,
            received_messages: 0,
            answered_messages: 0,
            server_hello_sent: false,
            connected: false,
            next_record: 0,
            out: VecDeque::new(),
        }
    }

    /// ICE has a path: as client, sends the ClientHello; as server, is to tell the cookie ahead.
    pub fn start(&mut self, now: Instant) -> Progress {
        if self.endpoint.is_some() {
            return Progress::None;
        }
        if self.role != DtlsRole::Client {
            self.ahead = self.identity.draw_cookie().map(|cookie| Ahead {
                cookie,
                tell_at: Some(now + TELL_AFTER),
                ask_at: None,
            });
            return Progress::None;
        }
        let config = match self.identity.client_config(&self.fingerprints) {
            Ok(config) => config,
            Err(error) => return Progress::Ended(CloseReason::DtlsFailed(error.to_string())),
        };
        let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, None);
        let result = endpoint.connect(now, PEER, config, None);
        self.endpoint = Some(endpoint);
        self.drain(now);
        match result {
            Ok(()) => Progress::None,
            Err(error) => Progress::Ended(CloseReason::DtlsFailed(error.to_string())),
        }
    }

    /// Takes a datagram from a validated path.
    pub fn handle(&mut self, now: Instant, datagram: &[u8], counters: &mut PeerCounters) -> Progress {
        let admitted = self.guard.admit(now, datagram, counters);
        if admitted.is_empty() {
            return Progress::None;
        }
        if self.endpoint.is_some() {
            let (fresh, repeated) = self.split_repeated(admitted);
            let progress = if fresh.is_empty() {
                Progress::None
            } else {
                self.read(now, &fresh)
            };
            // The peer repeats what we answered, so the answer was lost, or crossed the repetition.
            if repeated && matches!(progress, Progress::None) && now >= self.flight_sent + BACKOFF[0] {
                return self.retransmit(now);
            }
            return progress;
        }
        if self.role != DtlsRole::Server {
            return Progress::None;
        }
        self.held.push(admitted);
        self.begin(now, false)
    }

    /// As server: sets rtc-dtls up once a ClientHello is whole. `asking`: enough was waited for the second.
    fn begin(&mut self, now: Instant, asking: bool) -> Progress {
        let told = self.ahead.as_ref().is_some_and(|ahead| ahead.tell_at.is_none());
        let second = told.then(|| ClientHello::reassemble(&self.held, 1)).flatten();
        let repeated = second.as_ref().and_then(ClientHello::before_the_cookie);
        let first = ClientHello::reassemble(&self.held, 0);
        let Some(hello) = second.as_ref().filter(|_| repeated.is_some()).or(first.as_ref()) else {
            return Progress::None;
        };
        if let Some(ahead) = self
            .ahead
            .as_mut()
            .filter(|_| told && !asking && repeated.is_none())
        {
            ahead.ask_at.get_or_insert(now + PATIENCE);
            return Progress::None;
        }
        let profile = hello.preferred_profile();
        let cookie = self.ahead.take().map(|ahead| ahead.cookie);
        let config = match self.identity.server_config(profile, &self.fingerprints, cookie) {
            Ok(config) => config,
            Err(error) => return Progress::Ended(CloseReason::DtlsFailed(error.to_string())),
        };
        self.endpoint = Some(Endpoint::new(PEER, TransportProtocol::UDP, Some(config)));
        self.held = Vec::new();
        // Each in one piece, however it came and how often; the answer to the first is not waited for where the second
        // is there.
        let hellos = match (second, repeated) {
            (Some(second), Some(first)) => [Some(first), second.datagram(1)],
            _ => [first.and_then(|first| first.datagram(0)), None],
        };
        for (hello, number) in hellos.into_iter().flatten().zip(1..) {
            self.out.clear();
            self.received_messages = number;
            match self.read(now, &hello) {
                Progress::None => {}
                progress => return progress,
            }
        }
        Progress::None
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Progress {
        if let Some(ahead) = &mut self.ahead {
            if ahead.tell_at.is_some_and(|at| now >= at) {
                ahead.tell_at = None;
                let request = renumbered(&ahead.cookie.request(), &mut self.next_record);
                self.out.push_back(request);
            }
            if ahead.ask_at.is_some_and(|at| now >= at) {
                return self.begin(now, true);
            }
        }
        if self.timer.is_none_or(|at| now < at) {
            return Progress::None;
        }
        self.retransmit(now)
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let ahead = self.ahead.as_ref();
        let times = ahead
            .map(|ahead| [ahead.tell_at, ahead.ask_at])
            .unwrap_or_default();
        times.into_iter().chain([self.timer]).flatten().min()
    }

    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// Queues a close_notify, if there is anyone to tell.
    pub fn close(&mut self, now: Instant) {
        if let Some(endpoint) = &mut self.endpoint {
            // It can fail only in what it sends, and then nothing is sent.
            let _ = endpoint.close(now);
            self.drain(now);
        }
        self.timer = None;
    }

    fn read(&mut self, now: Instant, datagram: &[u8]) -> Progress {
        let Some(endpoint) = &mut self.endpoint else {
            return Progress::None;
        };
        let result = endpoint.read(now, PEER, None, BytesMut::from(datagram));
        let progress = match result {
            Ok(events) => self.take_events(now, events),
            Err(RtcError::ErrNoMatchingCertificateFingerprint) => {
                Progress::Ended(CloseReason::FingerprintMismatch)
            }
            Err(error) if !self.connected => Progress::Ended(CloseReason::DtlsFailed(error.to_string())),
            // Once connected only an authenticated alert ends the association.
            Err(error @ RtcError::ErrAlertFatalOrClose) => {
                Progress::Ended(CloseReason::DtlsFailed(error.to_string()))
            }
            Err(_) => Progress::None,
        };
        self.drain(now);
        progress
    }

    fn take_events(&mut self, now: Instant, events: Vec<EndpointEvent>) -> Progress {
        let mut progress = Progress::None;
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => {
                    progress = match self.secure(now) {
                        Ok(secured) => {
                            self.connected = true;
                            self.guard.connected(now);
                            Progress::Connected(Box::new(secured))
                        }
                        Err(reason) => {
                            self.close(now);
                            return Progress::Ended(reason);
                        }
                    };
                }
                EndpointEvent::PeerClosed => return Progress::Ended(CloseReason::PeerClosed),
                _ => {}
            }
        }
        progress
    }

    fn secure(&self, now: Instant) -> Result<Secured, CloseReason> {
        let failed = |what: &str| CloseReason::DtlsFailed(what.to_owned());
        let state = self
            .endpoint
            .as_ref()
            .and_then(|endpoint| endpoint.get_connection_state(PEER))
            .ok_or_else(|| failed("the association has no state"))?;
        // The handshake checked it already; this makes sure no way through it went around the check.
        if !certificate_matches(&state.peer_certificates, &self.fingerprints) {
            return Err(CloseReason::FingerprintMismatch);
        }
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => SrtpProfile::AeadAes128Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => SrtpProfile::Aes128CmHmacSha1_80,
            _ => return Err(failed("no SRTP profile was negotiated")),
        };
        let (local, remote) =
            export_keys(state, profile).ok_or_else(|| failed("the SRTP keys could not be derived"))?;
        Ok(Secured {
            profile,
            sender: SrtpSender::new(local),
            receiver: SrtpReceiver::new(remote),
            round_trip: (self.retransmissions == 0).then(|| now.saturating_duration_since(self.flight_sent)),
        })
    }

    /// Splits off records that only repeat what rtc-dtls has answered already. It must not see them: it would
    /// stop its retransmission timer for them and then wait for ever (version 0.21.1). As server before our
    /// ServerHello it needs them, to repeat the cookie.
    fn split_repeated(&mut self, admitted: Vec<u8>) -> (Vec<u8>, bool) {
        if self.connected {
            return (admitted, false);
        }
        let filter = self.role == DtlsRole::Client || self.server_hello_sent;
        let mut fresh = Vec::with_capacity(admitted.len());
        let mut repeated = false;
        for record in (Records { rest: &admitted }) {
            let highest = record.messages().map(|message| message.sequence).max();
            match highest {
                Some(sequence) if filter && sequence < self.answered_messages => repeated = true,
                _ => {
                    let received = highest.map_or(0, |sequence| sequence.saturating_add(1));
                    self.received_messages = self.received_messages.max(received);
                    fresh.extend_from_slice(record.whole);
                }
            }
        }
        (fresh, repeated)
    }

    fn retransmit(&mut self, now: Instant) -> Progress {
        let Some(endpoint) = self
            .endpoint
            .as_mut()
            .filter(|_| self.retransmissions < BACKOFF.len())
        else {
            self.timer = None;
            return Progress::None;
        };
        self.retransmissions += 1;
        self.timer = BACKOFF.get(self.retransmissions).map(|wait| now + *wait);
        self.flight_sent = now;
        if endpoint.poll_timeout(&PEER).is_some_and(|at| now >= at) {
            let result = endpoint.handle_timeout(PEER, now);
            while let Some(transmit) = endpoint.poll_transmit() {
                self.out
                    .push_back(renumbered(&transmit.message, &mut self.next_record));
            }
            return match result {
                Ok(()) => Progress::None,
                Err(error) => Progress::Ended(CloseReason::DtlsFailed(error.to_string())),
            };
        }
        // A part of the peer's flight has stopped rtc-dtls's timer. All our records are of epoch 0 then: it keeps
        // its timer while it waits for the peer's Finished, where a repetition needs encrypting anew.
        for datagram in &self.flight {
            self.out.push_back(renumbered(datagram, &mut self.next_record));
        }
        Progress::None
    }

    /// Collects what rtc-dtls wants sent in answer to the peer: a new flight.
    fn drain(&mut self, now: Instant) {
        let Some(endpoint) = &mut self.endpoint else {
            return;
        };
        let mut flight = Vec::new();
        while let Some(transmit) = endpoint.poll_transmit() {
            self.out
                .push_back(renumbered(&transmit.message, &mut self.next_record));
            flight.push(transmit.message.to_vec());
        }
        if self.connected {
            self.timer = None;
            self.flight = Vec::new();
        } else if !flight.is_empty() {
            self.server_hello_sent |= flight.iter().any(|datagram| holds_server_hello(datagram));
            self.answered_messages = self.received_messages;
            self.flight = flight;
            self.flight_sent = now;
            self.retransmissions = 0;
            self.timer = Some(now + BACKOFF[0]);
        }
    }
}

/// A datagram with its records of epoch 0 numbered by us, so that repeating a record never repeats its number
/// (RFC 6347 §4.2.4), which the peer would take for a replay. These numbers are neither encrypted nor signed.
fn renumbered(datagram: &[u8], next: &mut u64) -> Bytes {
    let mut out = datagram.to_vec();
    let mut at = 0;
    for record in (Records { rest: datagram }) {
        if record.epoch == 0 {
            out[at + 5..at + 11].copy_from_slice(&next.to_be_bytes()[2..]);
            *next += 1;
        }
        at += record.whole.len();
    }
    out.into()
}

fn holds_server_hello(datagram: &[u8]) -> bool {
    Records { rest: datagram }
        .flat_map(|record| record.messages())
        .any(|message| message.kind == SERVER_HELLO)
}

/// Our keys and the peer's (RFC 5764 §4.2: client key, server key, client salt, server salt).
fn export_keys(state: &State, profile: SrtpProfile) -> Option<(Keys, Keys)> {
    let salt_len = profile.salt_len();
    let material = state
        .export_keying_material(EXPORTER_LABEL, &[], 2 * (MASTER_KEY_LEN + salt_len))
        .ok()?;
    let (keys, salts) = material.as_ref().split_at_checked(2 * MASTER_KEY_LEN)?;
    let (client_key, server_key) = keys.split_at_checked(MASTER_KEY_LEN)?;
    let (client_salt, server_salt) = salts.split_at_checked(salt_len)?;
    let client = Keys::derive(profile, client_key.try_into().ok()?, client_salt).ok()?;
    let server = Keys::derive(profile, server_key.try_into().ok()?, server_salt).ok()?;
    Some(if state.is_client() {
        (client, server)
    } else {
        (server, client)
    })
}
