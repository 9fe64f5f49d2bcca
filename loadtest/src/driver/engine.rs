//! The loop of one driver thread: many clients, a socket each, batched in both directions.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::RecvMeta;
use slab::Slab;

use super::clock;
use super::http::{Http, Posted, Request};
use super::plan::{Command, Plan, Snapshot};
use super::session::{Client, Session, Socket};
use super::socket::{bind, local_address};
use crate::client::answer::Answer;
use crate::client::behaviour::Kind;
use crate::client::viewer::{self, Now};
use crate::measure::own::{self, OwnUse};

pub const WAKE: Token = Token(usize::MAX);
/// Messages per receive call; with GRO each holds up to 64 KB of one peer's datagrams.
const BATCH: usize = 16;
const BUFFER: usize = 65_536;

pub struct Engine {
    poll: Poll,
    http: Http,
    posted: mpsc::Receiver<Posted>,
    commands: mpsc::Receiver<Command>,
    plans: std::vec::IntoIter<Plan>,
    next_plan: Option<Plan>,
    started: Instant,
    sessions: Slab<Session>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    buffers: Vec<Vec<u8>>,
    latency: Histogram<u64>,
    impaired_latency: Histogram<u64>,
    own: OwnUse,
    /// Sessions that left; their sockets live until the kernel's drops at them have been counted.
    left: Vec<usize>,
    drops_before: u64,
    /// Where sockets towards a host are bound and seen from, by host and port.
    local: HashMap<String, Result<IpAddr, String>>,
}

impl Engine {
    pub fn new(
        poll: Poll,
        http: Http,
        posted: mpsc::Receiver<Posted>,
        commands: mpsc::Receiver<Command>,
        mut plans: Vec<Plan>,
    ) -> Self {
        plans.sort_by_key(|plan| plan.at);
        let mut plans = plans.into_iter();
        Self {
            poll,
            http,
            posted,
            commands,
            next_plan: plans.next(),
            plans,
            started: clock::now().instant,
            sessions: Slab::new(),
            timers: BinaryHeap::new(),
            buffers: vec![vec![0; BUFFER]; BATCH],
            latency: viewer::new_histogram(3),
            impaired_latency: viewer::new_histogram(3),
            own: OwnUse::start(),
            left: Vec::new(),
            drops_before: 0,
            local: HashMap::new(),
        }
    }

    /// Runs until a `Stop` arrives or every handle is gone.
    pub fn run(&mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = self.until_next(clock::now().instant);
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "waiting for sockets failed");
                return;
            }
            let mut ready = Vec::with_capacity(events.iter().count());
            ready.extend(
                events
                    .iter()
                    .map(|event| event.token())
                    .filter(|token| *token != WAKE),
            );
            for token in ready {
                self.receive(token.0);
            }
            self.take_answers();
            self.begin_planned();
            self.fire_timers();
            if !self.obey() {
                self.say_goodbye();
                return;
            }
        }
    }

    fn until_next(&self, now: Instant) -> Option<Duration> {
        let timer = self.timers.peek().map(|Reverse((due, _))| *due);
        let plan = self.next_plan.as_ref().map(|plan| self.started + plan.at);
        timer
            .into_iter()
            .chain(plan)
            .min()
            .map(|due| due.saturating_duration_since(now))
    }

    fn begin_planned(&mut self) {
        let now = clock::now();
        while self
            .next_plan
            .as_ref()
            .is_some_and(|plan| self.started + plan.at <= now.instant)
        {
            let Some(plan) = std::mem::replace(&mut self.next_plan, self.plans.next()) else {
                return;
            };
            self.begin(now.instant, plan);
        }
    }

    fn begin(&mut self, now: Instant, plan: Plan) {
        let session = Session::new(now, plan.make, plan.url, plan.token, plan.leave, plan.retry);
        let token = self.sessions.insert(session);
        self.post(now, token);
        self.settle(now, token);
    }

    /// Opens a socket for a new client and POSTs its offer.
    fn post(&mut self, now: Instant, token: usize) {
        let Some(url) = self.sessions.get(token).map(|session| session.url.clone()) else {
            return;
        };
        let opened = self.open_socket(&url, token);
        let Some(session) = self.sessions.get_mut(token) else {
            return;
        };
        match opened {
            Ok((socket, candidate)) => {
                session.socket = Some(socket);
                let offer = match &mut session.client {
                    Client::Publisher(publisher) => publisher.offer(now, Some(candidate)),
                    Client::Viewer(viewer) => viewer.offer(now, Some(candidate)),
                };
                self.http.send(Request::Post {
                    session: token,
                    url,
                    token: session.token.clone(),
                    offer,
                });
            }
            Err(reason) => session.client.peer_mut().fail(reason),
        }
    }

    fn open_socket(&mut self, url: &str, session: usize) -> Result<(Socket, SocketAddr), String> {
        let local = match self.local.get(url) {
            Some(known) => known.clone(),
            None => {
                let found = local_address(url);
                self.local.insert(url.to_owned(), found.clone());
                found
            }
        }?;
        let (mut socket, port) = bind(local.is_ipv4()).map_err(|error| format!("no UDP socket: {error}"))?;
        self.poll
            .registry()
            .register(&mut socket.io, Token(session), Interest::READABLE)
            .map_err(|error| format!("no UDP socket: {error}"))?;
        Ok((socket, SocketAddr::new(local, port)))
    }

    fn take_answers(&mut self) {
        while let Ok(posted) = self.posted.try_recv() {
            let now = clock::now().instant;
            let Some(session) = self.sessions.get_mut(posted.session) else {
                continue;
            };
            match posted.result {
                Ok(accepted) => {
                    session.session_url = accepted.session_url;
                    if session.client.peer_mut().is_over() {
                        // It left before the answer came.
                        self.http
                            .delete(session.session_url.take(), session.token.clone());
                        continue;
                    }
                    let ipv4 = session.socket.as_ref().is_none_or(|socket| socket.ipv4);
                    match (Answer::parse(&accepted.answer), &mut session.client) {
                        (Ok(answer), Client::Publisher(publisher)) => {
                            publisher.handle_answer(now, &answer, ipv4);
                        }
                        (Ok(answer), Client::Viewer(viewer)) => viewer.handle_answer(now, &answer, ipv4),
                        (Err(error), client) => client.peer_mut().fail(error.to_string()),
                    }
                }
                Err(_) if session.client.peer_mut().is_over() => {}
                Err(reason) => session.client.peer_mut().fail(reason),
            }
            self.settle(now, posted.session);
        }
    }

    fn receive(&mut self, token: usize) {
        let mut metas = [RecvMeta::default(); BATCH];
        loop {
            let Some(session) = self.sessions.get_mut(token) else {
                return;
            };
            let now = clock::now();
            if !session.may_read(now.instant) {
                break;
            }
            let impaired = session.client.kind() != Kind::Well;
            let Some(socket) = &session.socket else { return };
            let mut slices: [IoSliceMut<'_>; BATCH] = {
                let mut buffers = self.buffers.iter_mut();
                std::array::from_fn(|_| {
                    IoSliceMut::new(buffers.next().map_or(&mut [], |buffer| &mut buffer[..]))
                })
            };
            let received = match socket.state.recv((&socket.io).into(), &mut slices, &mut metas) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            let now = clock::now();
            self.own.receive_calls += 1;
            for (meta, buffer) in metas.iter().zip(&mut self.buffers).take(received) {
                let stamped = meta.timestamp.map_or(now.wall, |at| at.as_micros() as u64);
                if !impaired {
                    let delay = now.wall.saturating_sub(stamped);
                    self.own.receive_delay.saturating_record(delay);
                }
                let Some(bytes) = buffer.get_mut(..meta.len) else {
                    continue;
                };
                for datagram in bytes.chunks_mut(meta.stride.max(1)) {
                    self.own.datagrams += 1;
                    match &mut session.client {
                        Client::Publisher(publisher) => publisher.handle(now, meta.addr, datagram),
                        Client::Viewer(viewer) => {
                            let latency = match impaired {
                                true => &mut self.impaired_latency,
                                false => &mut self.latency,
                            };
                            viewer.handle(now, stamped, meta.addr, datagram, latency);
                        }
                    }
                }
            }
            // Fewer than asked for: the socket is empty, and the next datagram raises a new event.
            if received < BATCH {
                break;
            }
        }
        self.settle(clock::now().instant, token);
    }

    fn fire_timers(&mut self) {
        loop {
            let now = clock::now();
            let Some(Reverse((due, token))) = self.timers.peek().copied() else {
                return;
            };
            if due > now.instant {
                return;
            }
            self.timers.pop();
            let Some(session) = self.sessions.get_mut(token) else {
                continue;
            };
            if session.scheduled != Some(due) {
                continue;
            }
            session.scheduled = None;
            self.fire(now, token);
        }
    }

    fn fire(&mut self, now: Now, token: usize) {
        let Some(session) = self.sessions.get_mut(token) else {
            return;
        };
        if let Some((_, leave)) = session.leave.filter(|(at, _)| *at <= now.instant) {
            session.leave = None;
            self.depart(now.instant, token, leave.goodbye);
            return;
        }
        if session.begin_again(now.instant) {
            self.post(now.instant, token);
            self.settle(now.instant, token);
            return;
        }
        if session.read_at.is_some_and(|at| at <= now.instant) {
            self.receive(token);
        }
        let Some(session) = self
            .sessions
            .get_mut(token)
            .filter(|session| !session.is_stalled())
        else {
            return;
        };
        if let Some(due) = session.client.deadline().filter(|due| *due <= now.instant) {
            let late = now.instant.saturating_duration_since(due).as_micros() as u64;
            self.own.timer_delay.saturating_record(late);
            match &mut session.client {
                Client::Publisher(publisher) => publisher.handle_timeout(now),
                Client::Viewer(viewer) => {
                    // Only lines hold anything back, and who has one is not among the well-behaved.
                    viewer.deliver(now.instant, &mut self.impaired_latency);
                    viewer.handle_timeout(now);
                }
            }
        }
        self.settle(now.instant, token);
    }

    /// Ends a session before the driver's own end.
    fn depart(&mut self, now: Instant, token: usize, goodbye: bool) {
        let Some(session) = self.sessions.get_mut(token) else {
            return;
        };
        session.try_no_more();
        session.client.leave(now, goodbye);
        session.flush(&mut self.own);
        let url = session.session_url.take();
        if goodbye {
            self.http.delete(url, session.token.clone());
        }
        self.left.push(token);
    }

    /// Sends what a client has to send and sets its timer.
    fn settle(&mut self, now: Instant, token: usize) {
        let Some(session) = self.sessions.get_mut(token) else {
            return;
        };
        session.observe(now);
        if !session.is_stalled() {
            session.flush(&mut self.own);
        }
        if let Some(due) = session.deadline()
            && session.scheduled.is_none_or(|scheduled| due < scheduled)
        {
            session.scheduled = Some(due);
            self.timers.push(Reverse((due, token)));
        }
    }

    /// False when it is time to stop.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Snapshot(reply)) => {
                    let _ = reply.send(self.snapshot());
                }
                Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => return false,
                Err(mpsc::TryRecvError::Empty) => return true,
            }
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        let now = clock::now();
        let mut snapshot = Snapshot {
            at: now.instant,
            publishers: Vec::new(),
            viewers: Vec::new(),
            latency: self.latency.clone(),
            impaired_latency: self.impaired_latency.clone(),
            own: self.own.clone(),
        };
        for (_, session) in &self.sessions {
            match &session.client {
                Client::Publisher(publisher) => snapshot.publishers.push(publisher.stats()),
                Client::Viewer(viewer) => snapshot.viewers.push(viewer.stats(now.instant)),
            }
        }
        snapshot.own.socket_drops = self.count_drops();
        snapshot.own.sample();
        snapshot
    }

    /// Datagrams the kernel dropped at sockets that we meant to read in time.
    fn count_drops(&mut self) -> u64 {
        let counted =
            |session: &Session| matches!(session.client.kind(), Kind::Well | Kind::Lossy | Kind::Limited);
        let left: Vec<usize> = self.left.drain(..).collect();
        if !left.is_empty() {
            let sessions = left.iter().filter_map(|token| self.sessions.get(*token));
            let ports = sessions
                .filter(|session| counted(session))
                .filter_map(Session::port);
            self.drops_before += own::socket_drops(&ports.collect());
            for token in left {
                if let Some(session) = self.sessions.get_mut(token) {
                    session.socket = None;
                }
            }
        }
        let sessions = self.sessions.iter().map(|(_, session)| session);
        let ports = sessions
            .filter(|session| counted(session))
            .filter_map(Session::port);
        self.drops_before + own::socket_drops(&ports.collect())
    }

    fn say_goodbye(&mut self) {
        let now = clock::now().instant;
        for (_, session) in &mut self.sessions {
            session.client.peer_mut().close(now);
            session.flush(&mut self.own);
            self.http
                .delete(session.session_url.take(), session.token.clone());
            tracing::debug!(url = session.url, "closed");
        }
    }
}
