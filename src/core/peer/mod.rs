//! One remote party as a state machine: ICE-lite, DTLS, SRTP, and the guard before them. It hides the rtc crates
//! from everything else.
//!
//! A [`Peer`] takes datagrams, the time, and few commands; after each of these the caller drains
//! [`Peer::poll_transmit`] and [`Peer::poll_event`], and calls [`Peer::handle_timeout`] no earlier than
//! [`Peer::poll_timeout`] says. Media comes out of [`Peer::handle_datagram`] directly; the sending half is taken
//! out once with [`Peer::take_sender`].
//!
//! - `identity`: our certificate and what DTLS is configured with.
//! - `stun`, `ice`: connectivity checks, and where media goes.
//! - `guard`: what a peer may cost in DTLS.
//! - `client_hello`, `cookie`, `dtls`: the handshake.
//! - `srtp`, `srtp_keys`, `replay`: packets sealed and opened in place.
//! - `counters`: what was dropped, by reason.
//! - `testing`: a client for tests.

mod client_hello;
mod cookie;
mod counters;
mod dtls;
mod guard;
mod ice;
mod identity;
mod replay;
mod srtp;
mod srtp_keys;
mod stun;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::core::media::{IceCredentials, TransportSpec};

pub use counters::PeerCounters;
pub use identity::{Identity, IdentityError};
pub use srtp::{SealError, SrtpSender};
pub use stun::{stun_authentic, stun_username};

use dtls::{Dtls, Progress};
use ice::{Ice, Moved};
use srtp::{OpenError, SrtpReceiver};

/// A session without ICE and DTLS this long after its offer is given up.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(15);
/// A connected peer from whom nothing authentic came this long is gone. Browsers check consent every 2.5 s.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

pub use crate::core::machine::Path;

/// What a datagram held for the media path.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    Nothing,
    /// An authenticated RTP packet in plain text.
    Rtp(&'a mut [u8]),
    /// An authenticated compound RTCP packet in plain text.
    Rtcp(&'a [u8]),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// The first check passed: there is a path.
    IceConnected,
    /// Media goes elsewhere from now on.
    PathChanged(Path),
    /// The handshake is through; [`Peer::take_sender`] has the sending half.
    Connected { profile: SrtpProfile },
    /// Nothing more will come or go, except what [`Peer::poll_transmit`] still holds. Comes once.
    Closed(CloseReason),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer sent close_notify.
    PeerClosed,
    /// No ICE and DTLS within 15 s.
    HandshakeTimeout,
    /// Nothing authentic for 30 s.
    Silent,
    /// The peer's certificate is not the one its offer promised.
    FingerprintMismatch,
    DtlsFailed(String),
    /// [`Peer::close`] was called.
    LocalClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpProfile {
    AeadAes128Gcm,
    Aes128CmHmacSha1_80,
}

/// One remote party. See the [module](self).
pub struct Peer {
    ice: Ice,
    dtls: Dtls,
    receiver: Option<SrtpReceiver>,
    sender: Option<SrtpSender>,
    state: State,
    /// Where DTLS is spoken while the handshake runs: it may not be the path ICE prefers yet.
    dtls_path: Option<Path>,
    round_trip: Option<Duration>,
    handshake_deadline: Instant,
    last_heard: Instant,
    /// The last time anyone told: commands that come without one are as of then.
    now: Instant,
    transmits: VecDeque<(Path, Bytes)>,
    events: VecDeque<PeerEvent>,
    counters: PeerCounters,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    Closed,
}

impl Peer {
    pub fn new(identity: &Arc<Identity>, spec: &TransportSpec, now: Instant) -> Self {
        Self {
            ice: Ice::new(&spec.local_ice, &spec.remote_ice),
            dtls: Dtls::new(identity, spec.dtls_role, &spec.remote_fingerprints, now),
            receiver: None,
            sender: None,
            state: State::Connecting,
            dtls_path: None,
            round_trip: None,
            handshake_deadline: now + HANDSHAKE_DEADLINE,
            last_heard: now,
            now,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: PeerCounters::default(),
        }
    }

    /// Takes one datagram, decrypting in place. Replies are queued for [`Self::poll_transmit`].
    pub fn handle_datagram<'a>(&mut self, now: Instant, path: Path, data: &'a mut [u8]) -> Received<'a> {
        self.now = now;
        if self.state == State::Closed {
            return Received::Nothing;
        }
        // RFC 7983 §7.
        match data.first() {
            Some(0..=3) => self.handle_stun(now, path, data),
            Some(20..=63) if self.admits(path) => self.handle_dtls(now, path, data),
            Some(128..=191) if self.admits(path) => return self.handle_media(now, path, data),
            Some(20..=63 | 128..=191) => {}
            _ => self.counters.malformed += 1,
        }
        Received::Nothing
    }

    /// Retransmission, liveness, the handshake's deadline.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        let progress = self.dtls.handle_timeout(now);
        self.follow(now, progress);
        match self.state {
            State::Connecting if now >= self.handshake_deadline => self.end(CloseReason::HandshakeTimeout),
            State::Connected if now >= self.last_heard + SILENCE_LIMIT => {
                self.dtls.close(now);
                self.end(CloseReason::Silent);
            }
            _ => {}
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = match self.state {
            State::Connecting => self.handshake_deadline,
            State::Connected => self.last_heard + SILENCE_LIMIT,
            State::Closed => return None,
        };
        Some(
            self.dtls
                .poll_timeout()
                .map_or(deadline, |timer| timer.min(deadline)),
        )
    }

    pub fn poll_transmit(&mut self) -> Option<(Path, Bytes)> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    /// Where media goes; only authenticated STUN moves it.
    pub fn path(&self) -> Option<Path> {
        self.ice.selected()
    }

    pub fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    /// Takes new credentials (RFC 8445 §9). DTLS, SRTP and the path go on; the old credentials are answered until
    /// a check with the new ones came, 10 s at most.
    pub fn restart_ice(&mut self, local: IceCredentials, remote: IceCredentials) {
        self.ice.restart(self.now, &local, &remote);
    }

    /// Ends the session from our side; queues a close_notify if there is a DTLS association.
    pub fn close(&mut self) {
        if self.state != State::Closed {
            self.dtls.close(self.now);
            self.end(CloseReason::LocalClose);
        }
    }

    /// The time to the peer and back as the handshake took it, computing included; `None` if something was lost.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The sealing half, once, after [`PeerEvent::Connected`].
    pub fn take_sender(&mut self) -> Option<SrtpSender> {
        self.sender.take()
    }

    /// Whether something authentic came over `path` in the last seconds.
    pub fn is_heard(&self, now: Instant, path: Path) -> bool {
        self.ice.is_heard(now, path)
    }

    pub fn local_ufrag(&self) -> &str {
        self.ice.local_ufrag()
    }

    /// What was dropped, by reason.
    pub fn counters(&self) -> &PeerCounters {
        &self.counters
    }

    fn admits(&mut self, path: Path) -> bool {
        let validated = self.ice.is_validated(path);
        self.counters.unvalidated_path += u64::from(!validated);
        validated
    }

    fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let Some(checked) = self.ice.handle_stun(now, path, datagram, &mut self.counters) else {
            return;
        };
        self.last_heard = now;
        self.transmits.push_back((path, checked.response.into()));
        match checked.moved {
            Some(Moved::First) => {
                self.events.push_back(PeerEvent::IceConnected);
                let progress = self.dtls.start(now);
                self.follow(now, progress);
            }
            Some(Moved::Elsewhere) => self.events.push_back(PeerEvent::PathChanged(path)),
            None => {}
        }
    }

    fn handle_dtls(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.dtls_path = Some(path);
        let progress = self.dtls.handle(now, datagram, &mut self.counters);
        self.follow(now, progress);
    }

    fn handle_media<'a>(&mut self, now: Instant, path: Path, data: &'a mut [u8]) -> Received<'a> {
        let Some(receiver) = &mut self.receiver else {
            self.counters.media_before_keys += 1;
            return Received::Nothing;
        };
        // RFC 5761 §4.
        let is_rtcp = matches!(data.get(1), Some(192..=223));
        let opened = if is_rtcp {
            receiver.open_rtcp(now, data)
        } else {
            receiver.open_rtp(now, data)
        };
        match opened {
            Ok(len) => {
                self.last_heard = now;
                self.ice.heard(now, path);
                let plain = &mut data[..len];
                return if is_rtcp {
                    Received::Rtcp(plain)
                } else {
                    Received::Rtp(plain)
                };
            }
            Err(OpenError::Malformed) => self.counters.malformed += 1,
            Err(OpenError::Replayed) => self.counters.media_replayed += 1,
            Err(OpenError::Unauthenticated) => self.counters.media_unauthenticated += 1,
            Err(OpenError::TooManySsrcs) => self.counters.ssrc_over_limit += 1,
        }
        Received::Nothing
    }

    /// Acts on what DTLS came to, and takes what it wants sent.
    fn follow(&mut self, now: Instant, progress: Progress) {
        match progress {
            Progress::None => self.collect(),
            Progress::Connected(secured) => {
                self.collect();
                self.state = State::Connected;
                self.last_heard = now;
                self.receiver = Some(secured.receiver);
                self.round_trip = secured.round_trip;
                self.sender = Some(secured.sender);
                self.events.push_back(PeerEvent::Connected {
                    profile: secured.profile,
                });
            }
            Progress::Ended(reason) => self.end(reason),
        }
    }

    fn collect(&mut self) {
        let path = match self.state {
            State::Connecting => self.dtls_path.or(self.ice.selected()),
            _ => self.ice.selected(),
        };
        while let Some(datagram) = self.dtls.poll_transmit() {
            if let Some(path) = path {
                self.transmits.push_back((path, datagram));
            }
        }
    }

    fn end(&mut self, reason: CloseReason) {
        self.collect();
        self.state = State::Closed;
        self.receiver = None;
        self.sender = None;
        self.events.push_back(PeerEvent::Closed(reason));
    }
}
