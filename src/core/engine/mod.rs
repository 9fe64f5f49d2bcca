//! One worker's share of the server: its sessions, and the streams they publish and watch.
//!
//! - `mod.rs`: the state, and the driver's contract ([`Machine`]).
//! - `demux.rs`: which session a datagram belongs to.
//! - `pictures.rs`: what pictures of a stream are made from.
//! - `session.rs`: a session from its first check to its end.
//! - `flush.rs`: the end of a turn: what goes to viewers.
//! - `statistics.rs`: what the control plane is told once a second.
//! - `streams.rs`: hubs, sources, and what crosses to other workers; `viewers.rs`: the viewers, by key.
//! - `timers.rs`: what of sessions and viewers is due when.

mod demux;
mod flush;
mod pictures;
mod session;
mod statistics;
mod streams;
mod timers;
mod viewers;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use slab::Slab;

use super::directory::Directory;
use super::egress::{AdaptationLimits, RunUpLimits};
use super::ids::{SessionId, StreamName, WorkerId};
use super::machine::{Effect, Machine, Outbox, Path};
use super::peer::Identity;
use super::route::{BufferLimits, Hub, Message, Notice, RoutedPacket, Source};
use super::time::Epoch;
use demux::Elsewhere;
use session::{Role, Session};
use timers::{Task, Timers};
use viewers::Viewers;

/// The grain of everything that is not a packet: retransmission timers, reports, requests. Publishers and streams that
/// are published are looked at in each; all else has an entry of its own among the [`Timers`].
const TICK: Duration = Duration::from_millis(20);
/// What arrives while all sessions are viewers of nothing is consent checks and reports: nobody notices that an answer
/// takes this much longer, and a thousand such viewers are answered with a fifth of the wake-ups.
const IDLE_PATIENCE: Duration = Duration::from_millis(10);
/// Where nobody publishes here, datagrams are viewers' reports, some ten a second of each: taken in together they cost a
/// fraction of the wake-ups. What other workers hand on is not delayed; a request for a lost packet is by this much.
const VIEWERS_PATIENCE: Duration = Duration::from_millis(1);
/// A tick waits this much longer for a turn that takes place anyway, where nobody needs it on time.
const TICK_SLACK: Duration = Duration::from_millis(15);
/// While a viewer runs up from stored packets.
const RUN_UP_TICK: Duration = Duration::from_millis(4);

#[derive(Clone, Copy, Debug, Default)]
pub struct EngineConfig {
    pub buffer: BufferLimits,
    pub run_up: RunUpLimits,
    pub adaptation: AdaptationLimits,
}

pub struct Engine {
    id: WorkerId,
    config: EngineConfig,
    identity: Arc<Identity>,
    directory: Arc<Directory>,
    epoch: Epoch,
    sessions: Slab<Session>,
    viewers: Viewers,
    by_address: HashMap<SocketAddr, Owner>,
    elsewhere: Elsewhere,
    by_id: HashMap<SessionId, usize>,
    /// Keys of the sessions that publish.
    publishers: Vec<usize>,
    /// Sessions that are not connected yet.
    connecting: usize,
    hubs: Slab<Hub>,
    by_stream: HashMap<StreamName, usize>,
    /// Who publishes what, at whichever worker; told by the control plane.
    sources: HashMap<StreamName, Source>,
    /// Hubs with packets to forward.
    fresh: Vec<usize>,
    /// Sessions whose peer may have something to transmit.
    transmitting: Vec<usize>,
    /// Viewers with NACKs to answer.
    nacked: Vec<usize>,
    /// Viewers that run up from stored packets.
    running_up: Vec<usize>,
    /// Packets for other workers, batched per hub until the flush.
    outbound: HashMap<usize, Vec<RoutedPacket>>,
    /// The hubs of these.
    to_hand_on: Vec<usize>,
    effects: VecDeque<Effect<Message, Notice>>,
    timers: Timers,
    /// Viewers whose report is due.
    reporting: Vec<usize>,
    /// `None` while nothing is published or runs up.
    next_tick: Option<Instant>,
    /// A tick that is needed on time.
    wake_at: Option<Instant>,
    next_statistics: Instant,
    /// The control plane has not heard yet what changed last.
    report_owed: bool,
    shutting_down: bool,
    counters: EngineCounters,
}

/// What was dropped before it reached a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineCounters {
    /// From an address that no session is known at, and no valid check.
    pub unknown_address: u64,
    /// A check whose user fragment or integrity does not fit any session.
    pub unknown_check: u64,
    /// Handed to the worker that owns the session.
    pub handed_over: u64,
}

/// Whose an address is: proven by an authenticated check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Session(usize),
    Worker(WorkerId),
}

impl Engine {
    pub fn new(
        id: WorkerId,
        config: EngineConfig,
        identity: Arc<Identity>,
        directory: Arc<Directory>,
        now: Instant,
        wall: SystemTime,
    ) -> Self {
        Self {
            id,
            config,
            identity,
            directory,
            epoch: Epoch::new(now, wall),
            sessions: Slab::new(),
            viewers: Viewers::default(),
            by_address: HashMap::new(),
            elsewhere: Elsewhere::default(),
            by_id: HashMap::new(),
            publishers: Vec::new(),
            connecting: 0,
            hubs: Slab::new(),
            by_stream: HashMap::new(),
            sources: HashMap::new(),
            fresh: Vec::new(),
            transmitting: Vec::new(),
            nacked: Vec::new(),
            running_up: Vec::new(),
            outbound: HashMap::new(),
            to_hand_on: Vec::new(),
            effects: VecDeque::new(),
            timers: Timers::new(now),
            reporting: Vec::new(),
            next_tick: None,
            wake_at: None,
            next_statistics: now,
            report_owed: false,
            shutting_down: false,
            counters: EngineCounters::default(),
        }
    }

    pub fn counters(&self) -> EngineCounters {
        self.counters
    }

    /// Payload bytes of packets kept for retransmission and instant start.
    pub fn stored_bytes(&self) -> usize {
        self.hubs.iter().map(|(_, hub)| hub.stored_bytes()).sum()
    }

    /// Sessions at this worker, connected or not.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    fn tell(&mut self, notice: Notice) {
        self.effects.push_back(Effect::ToControl(notice));
    }

    fn send_to(&mut self, worker: WorkerId, message: Message) {
        self.effects.push_back(Effect::ToWorker(worker, message));
    }
}

impl Machine for Engine {
    type Message = Message;
    type Notice = Notice;

    fn handle_datagram(&mut self, now: Instant, path: Path, data: &mut [u8]) {
        self.demultiplex(now, path, data);
    }

    fn handle_message(&mut self, now: Instant, message: Message) {
        match message {
            Message::Datagram { path, mut data } => self.demultiplex_forwarded(now, path, &mut data),
            Message::End { session, reason } => self.end_session(session, reason),
            Message::RestartIce {
                session,
                local,
                remote,
            } => self.restart_ice(session, local, remote),
            Message::ChooseLayer { session, choice } => self.choose_layer(now, session, choice),
            Message::Mute { session, muted } => {
                if let Some(key) = self.by_id.get(&session).copied()
                    && let Some(publisher) = self.publisher_mut(key)
                {
                    publisher.mute(muted);
                    self.transmitting.push(key);
                }
            }
            Message::ReadKeyframe { stream, request } => self.read_keyframe(now, &stream, request),
            Message::Shutdown => self.shut_down(),
            other => self.stream_message(now, other),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, task)) = self.timers.pop(now) {
            match task {
                Task::Peer(key) => self.peer_timeout(now, key, at),
                Task::Report(key) => self.report_timeout(key, at),
            }
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.next_tick) || due(self.wake_at) {
            self.tick_publishers(now);
            self.wake_at = (!self.running_up.is_empty()).then_some(now + RUN_UP_TICK);
            let published = self.tick_streams(now);
            self.next_tick = (published || !self.publishers.is_empty()).then_some(now + TICK);
        }
        self.tick_statistics(now);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let tick = self.next_tick.map(|at| at + TICK_SLACK);
        let statistics = self.reports().then_some(self.next_statistics);
        [tick, self.wake_at, self.timers.next(), statistics]
            .into_iter()
            .flatten()
            .min()
    }

    fn patience(&self) -> Duration {
        if self.connecting > 0 || self.directory.has_unclaimed() {
            Duration::ZERO
        } else if self.next_tick.is_none() && self.wake_at.is_none() {
            IDLE_PATIENCE
        } else if self.publishers.is_empty() && self.elsewhere.is_empty() {
            VIEWERS_PATIENCE
        } else {
            Duration::ZERO
        }
    }

    fn flush(&mut self, now: Instant, out: &mut impl Outbox) {
        // First the peers: a viewer that just connected needs our last handshake flight before it can read media.
        self.flush_peers(now, out);
        self.flush_streams(now, out);
    }

    fn poll_effect(&mut self) -> Option<Effect<Message, Notice>> {
        if !self.to_hand_on.is_empty() {
            self.flush_outbound();
        }
        self.effects.pop_front()
    }
}

impl Engine {
    /// Something needs a timer soon.
    fn wake_by(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }

    fn publisher_mut(&mut self, key: usize) -> Option<&mut super::ingest::Publisher> {
        match &mut self.sessions.get_mut(key)?.role {
            Role::Publisher(publisher) => Some(publisher),
            Role::Viewer(_) => None,
        }
    }
}
