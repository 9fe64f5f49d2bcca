//! A session from its first check to its end.

use std::net::SocketAddr;
use std::time::Instant;

use super::timers::Task;
use super::{Engine, Owner, TICK};
use crate::core::egress::Viewer;
use crate::core::ids::{SessionId, StreamName};
use crate::core::ingest::{Publisher, PublisherOutput};
use crate::core::machine::{Outbox, Path};
use crate::core::media::{IceCredentials, RoleSpec, SessionSpec, StreamCodecs, ViewerMedia};
use crate::core::peer::{CloseReason, Peer, PeerEvent, Received, SrtpProfile, SrtpSender};
use crate::core::route::{EndReason, Notice};

/// Addresses a session is reached at; the oldest goes when there are more.
pub(super) const MAX_ADDRESSES: usize = 8;

pub(super) struct Session {
    pub id: SessionId,
    pub stream: StreamName,
    pub peer: Peer,
    pub role: Role,
    /// Our user fragments: the current one, and during a restart the one before.
    ufrags: Vec<String>,
    addresses: Vec<SocketAddr>,
    /// A publisher's, from before the control plane presented it: FFmpeg's first keyframe comes with the end of
    /// its handshake.
    pub early: Vec<PublisherOutput>,
    /// For RTCP to a publisher.
    sender: Option<SrtpSender>,
    codecs: StreamCodecs,
    ending: Option<EndReason>,
    connected: bool,
    /// When the peer's timer is set to go off.
    timer: Option<Instant>,
    pub claimed: Instant,
    pub srtp: Option<SrtpProfile>,
}

pub(super) enum Role {
    Publisher(Box<Publisher>),
    Viewer(ViewerMedia),
}

impl Session {
    pub fn answers_to(&self, ufrag: &str) -> bool {
        self.ufrags.iter().any(|known| known == ufrag)
    }
}

impl Engine {
    /// A session's first valid check landed here: it is this worker's from now on.
    pub(super) fn adopt(&mut self, now: Instant, spec: &SessionSpec) -> usize {
        let role = match &spec.role {
            RoleSpec::Publisher(media) => {
                Role::Publisher(Box::new(Publisher::new(media.clone(), self.epoch)))
            }
            RoleSpec::Viewer(media) => Role::Viewer(media.clone()),
        };
        let key = self.sessions.insert(Session {
            id: spec.id,
            stream: spec.stream.clone(),
            peer: Peer::new(&self.identity, &spec.transport, now),
            role,
            ufrags: vec![spec.transport.local_ice.ufrag.clone()],
            addresses: Vec::new(),
            early: Vec::new(),
            sender: None,
            codecs: StreamCodecs::default(),
            ending: None,
            connected: false,
            timer: None,
            claimed: now,
            srtp: None,
        });
        self.connecting += 1;
        self.by_id.insert(spec.id, key);
        self.tell(Notice::Claimed { session: spec.id });
        self.report_owed = true;
        if let RoleSpec::Publisher(_) = spec.role {
            self.publishers.push(key);
            self.wake_by(now + TICK);
        }
        self.set_peer_timer(now, key);
        key
    }

    pub(super) fn assign_address(&mut self, key: usize, address: SocketAddr) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if !session.addresses.contains(&address) {
            if session.addresses.len() == MAX_ADDRESSES {
                let oldest = session.addresses.remove(0);
                // It may be another session's by now.
                if self.by_address.get(&oldest) == Some(&Owner::Session(key)) {
                    self.by_address.remove(&oldest);
                }
            }
            session.addresses.push(address);
        }
        self.by_address.insert(address, Owner::Session(key));
    }

    pub(super) fn session_datagram(&mut self, now: Instant, key: usize, path: Path, data: &mut [u8]) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        match session.peer.handle_datagram(now, path, data) {
            Received::Rtp(packet) => {
                if let Role::Publisher(publisher) = &mut session.role {
                    let output = publisher.packet(now, packet);
                    let lost = publisher.next_nack();
                    let recovered = publisher.take_recovered();
                    if let Some(at) = lost {
                        self.ask_again(now, key, at);
                    }
                    for output in recovered.into_iter().chain(output) {
                        self.publisher_output(key, output);
                    }
                }
                return;
            }
            Received::Rtcp(compound) => {
                match &mut session.role {
                    Role::Publisher(publisher) => {
                        let mut outputs = Vec::new();
                        publisher.rtcp(now, compound, |output| outputs.push(output));
                        for output in outputs {
                            self.publisher_output(key, output);
                        }
                    }
                    Role::Viewer(_) => self.viewer_rtcp(now, key, compound),
                }
                return;
            }
            Received::Nothing => {}
        }
        self.transmitting.push(key);
        self.peer_events(now, key);
        self.set_peer_timer(now, key);
    }

    /// The publisher is asked for what was lost at the end of this turn, or at `at`.
    fn ask_again(&mut self, now: Instant, key: usize, at: Instant) {
        if at > now {
            self.wake_by(at);
        } else if self.transmitting.last() != Some(&key) {
            self.transmitting.push(key);
        }
    }

    fn viewer_rtcp(&mut self, now: Instant, key: usize, compound: &[u8]) {
        let Some(viewer) = self.viewers.get_mut(key) else {
            return;
        };
        let keyframe = viewer.rtcp(now, self.epoch.ntp(now), compound);
        self.adapt_viewer(now, key);
        let Some(viewer) = self.viewers.get_mut(key) else {
            return;
        };
        if viewer.has_nacks() {
            self.nacked.push(key);
        }
        if keyframe {
            self.viewer_needs_keyframe(now, key);
        }
    }

    fn peer_events(&mut self, now: Instant, key: usize) {
        while let Some(session) = self.sessions.get_mut(key) {
            let Some(event) = session.peer.poll_event() else {
                break;
            };
            match event {
                PeerEvent::IceConnected => {
                    tracing::debug!(session = ?session.id, "first check answered");
                }
                PeerEvent::PathChanged(path) => {
                    if let Some(viewer) = self.viewers.get_mut(key) {
                        viewer.move_to(path);
                    }
                }
                PeerEvent::Connected { profile } => {
                    session.srtp = Some(profile);
                    let (id, stream) = (session.id, session.stream.clone());
                    tracing::info!(session = ?id, %stream, worker = %self.id, srtp = ?profile, "connected");
                    self.connected(now, key);
                }
                PeerEvent::Closed(reason) => {
                    let reason = match reason {
                        CloseReason::PeerClosed => EndReason::PeerClosed,
                        CloseReason::HandshakeTimeout => EndReason::HandshakeTimeout,
                        CloseReason::Silent => EndReason::Silent,
                        CloseReason::FingerprintMismatch => EndReason::FingerprintMismatch,
                        CloseReason::DtlsFailed(why) => EndReason::DtlsFailed(why),
                        CloseReason::LocalClose => EndReason::Deleted,
                    };
                    session.ending.get_or_insert(reason);
                }
            }
        }
    }

    fn connected(&mut self, now: Instant, key: usize) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if !std::mem::replace(&mut session.connected, true) {
            self.connecting -= 1;
        }
        let (id, stream) = (session.id, session.stream.clone());
        let sender = session.peer.take_sender();
        let path = session.peer.path();
        let round_trip = session.peer.round_trip();
        match &session.role {
            Role::Publisher(_) => session.sender = sender,
            Role::Viewer(media) => {
                let media = media.clone();
                if let (Some(sender), Some(path)) = (sender, path) {
                    let hub = self.hub_for(&stream);
                    let mut viewer = Viewer::new(id, hub, &media, path, sender, self.config.adaptation, now);
                    if let Some(round_trip) = round_trip {
                        viewer.round_trip(round_trip, now);
                    }
                    self.viewers.insert(key, viewer);
                    self.viewer_joined(now, key, hub);
                }
            }
        }
        self.tell(Notice::Connected { session: id });
        self.report_owed = true;
    }

    /// New credentials on both sides; DTLS and SRTP go on.
    pub(super) fn restart_ice(&mut self, id: SessionId, local: IceCredentials, remote: IceCredentials) {
        let Some(session) = self.by_id.get(&id).and_then(|key| self.sessions.get_mut(*key)) else {
            return;
        };
        if session.ufrags.len() > 1 {
            let oldest = session.ufrags.remove(0);
            self.directory.remove(&oldest);
        }
        session.ufrags.push(local.ufrag.clone());
        session.peer.restart_ice(local, remote);
    }

    /// Says goodbye and forgets the session at the next flush.
    pub(super) fn end_session(&mut self, id: SessionId, reason: EndReason) {
        let Some(key) = self.by_id.get(&id).copied() else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(key) {
            session.peer.close();
            session.ending.get_or_insert(reason);
            self.transmitting.push(key);
        }
    }

    pub(super) fn shut_down(&mut self) {
        self.shutting_down = true;
        let ids: Vec<SessionId> = self.by_id.keys().copied().collect();
        for id in ids {
            self.end_session(id, EndReason::Shutdown);
        }
    }

    /// Authentic packets only move a peer's deadline away, so this is for what may have brought it nearer.
    fn set_peer_timer(&mut self, now: Instant, key: usize) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let Some(deadline) = session.peer.poll_timeout() else {
            return;
        };
        if session.timer.is_some_and(|timer| timer <= deadline) {
            return;
        }
        let at = self.timers.tick_from(now, deadline);
        if session.timer.is_some_and(|timer| timer <= at) {
            return;
        }
        session.timer = Some(at);
        self.timers.set(at, Task::Peer(key));
    }

    pub(super) fn peer_timeout(&mut self, now: Instant, key: usize, at: Instant) {
        let Some(session) = self.sessions.get_mut(key).filter(|s| s.timer == Some(at)) else {
            return;
        };
        session.timer = None;
        if session.peer.poll_timeout().is_some_and(|at| at <= now) {
            session.peer.handle_timeout(now);
            self.transmitting.push(key);
            self.peer_events(now, key);
        }
        self.set_peer_timer(now, key);
    }

    pub(super) fn tick_publishers(&mut self, now: Instant) {
        for index in 0..self.publishers.len() {
            let Some(key) = self.publishers.get(index).copied() else {
                return;
            };
            if let Some(session) = self.sessions.get_mut(key)
                && let Role::Publisher(publisher) = &mut session.role
            {
                publisher.handle_timeout(now);
                if publisher.codecs() != session.codecs {
                    session.codecs = publisher.codecs();
                    let notice = Notice::Codecs {
                        session: session.id,
                        codecs: session.codecs,
                    };
                    self.tell(notice);
                }
            }
            self.transmitting.push(key);
        }
    }

    /// Sends what the peers have to say; then the sessions that ended are forgotten.
    pub(super) fn flush_peers(&mut self, now: Instant, out: &mut impl Outbox) {
        let mut transmitting = std::mem::take(&mut self.transmitting);
        transmitting.sort_unstable();
        transmitting.dedup();
        for key in transmitting.drain(..) {
            let Some(session) = self.sessions.get_mut(key) else {
                continue;
            };
            if let (Role::Publisher(publisher), Some(sender), Some(path)) =
                (&mut session.role, &mut session.sender, session.peer.path())
                && session.ending.is_none()
            {
                while let Some(compound) = publisher.poll_rtcp(now) {
                    let mut sealed = compound.to_vec();
                    if sender.seal_rtcp(&mut sealed).is_ok() {
                        put(out, &path, &sealed);
                    }
                }
                if let Some(at) = publisher.next_nack() {
                    self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
                }
            }
            while let Some((path, datagram)) = session.peer.poll_transmit() {
                put(out, &path, &datagram);
            }
            if let Some(reason) = session.ending.clone() {
                self.forget(now, key, reason);
            }
        }
        self.transmitting = transmitting;
    }

    fn forget(&mut self, now: Instant, key: usize, reason: EndReason) {
        let Some(session) = self.sessions.try_remove(key) else {
            return;
        };
        self.connecting -= usize::from(!session.connected);
        self.by_id.remove(&session.id);
        for ufrag in &session.ufrags {
            self.directory.remove(ufrag);
        }
        for address in &session.addresses {
            if self.by_address.get(address) == Some(&Owner::Session(key)) {
                self.by_address.remove(address);
            }
        }
        if let Some(viewer) = self.viewers.remove(key) {
            let counters = viewer.counters();
            tracing::info!(
                session = ?session.id, stream = %session.stream, %reason, packets = counters.packets,
                retransmitted = counters.retransmitted, "viewer left"
            );
            self.viewer_left(key, viewer.hub);
        } else if let Role::Publisher(publisher) = &session.role {
            self.publishers.retain(|known| *known != key);
            let counters = publisher.counters();
            tracing::info!(
                session = ?session.id, stream = %session.stream, %reason, packets = counters.packets,
                retransmitted = counters.retransmitted, "publisher left"
            );
            self.publisher_left(now, session.id, &session.stream);
        } else {
            tracing::info!(session = ?session.id, stream = %session.stream, %reason, "gone before it connected");
        }
        self.tell(Notice::Ended {
            session: session.id,
            reason,
        });
    }
}

fn put(out: &mut impl Outbox, path: &Path, datagram: &[u8]) {
    out.datagram(path, datagram.len(), |buf| {
        buf.get_mut(..datagram.len())?.copy_from_slice(datagram);
        Some(datagram.len())
    });
}
