//! The loop of one driver thread: many clients, a socket each, batched in both directions.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use slab::Slab;

use super::clock;
use super::http::{Http, Posted, Request};
use super::plan::{Command, Plan, Snapshot};
use crate::client::answer::Answer;
use crate::client::peer::{Peer, PeerState};
use crate::client::publisher::Publisher;
use crate::client::viewer::{self, Now, Viewer};
use crate::measure::own::{self, OwnUse};

pub const WAKE: Token = Token(usize::MAX);
/// Messages per receive call; with GRO each holds up to 64 KB of one peer's datagrams.
const BATCH: usize = 16;
const BUFFER: usize = 65_536;
/// A keyframe for a slow turn must fit; the kernel caps it at `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 4 << 20;

pub enum Client {
    Publisher(Box<Publisher>),
    Viewer(Box<Viewer>),
}

struct Session {
    client: Client,
    socket: Option<Socket>,
    url: String,
    token: Option<String>,
    session_url: Option<String>,
    /// The earliest entry in the timer heap that counts.
    scheduled: Option<Instant>,
}

struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    ipv4: bool,
}

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
    own: OwnUse,
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
            own: OwnUse::start(),
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
        let session = self.sessions.insert(Session {
            client: plan.client,
            socket: None,
            url: plan.url.clone(),
            token: plan.token.clone(),
            session_url: None,
            scheduled: None,
        });
        let opened = self.open_socket(&plan.url, session);
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        match opened {
            Ok((socket, candidate)) => {
                entry.socket = Some(socket);
                let offer = match &mut entry.client {
                    Client::Publisher(publisher) => publisher.offer(now, Some(candidate)),
                    Client::Viewer(viewer) => viewer.offer(now, Some(candidate)),
                };
                self.http.send(Request::Post {
                    session,
                    url: plan.url,
                    token: plan.token,
                    offer,
                });
            }
            Err(reason) => entry.client.peer_mut().fail(reason),
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
                    let ipv4 = session.socket.as_ref().is_none_or(|socket| socket.ipv4);
                    match (Answer::parse(&accepted.answer), &mut session.client) {
                        (Ok(answer), Client::Publisher(publisher)) => {
                            publisher.handle_answer(now, &answer, ipv4);
                        }
                        (Ok(answer), Client::Viewer(viewer)) => viewer.handle_answer(now, &answer, ipv4),
                        (Err(error), client) => client.peer_mut().fail(error.to_string()),
                    }
                }
                Err(reason) => session.client.peer_mut().fail(reason),
            }
            self.settle(posted.session);
        }
    }

    fn receive(&mut self, token: usize) {
        let mut metas = [RecvMeta::default(); BATCH];
        loop {
            let Some(session) = self.sessions.get_mut(token) else {
                return;
            };
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
                self.own
                    .receive_delay
                    .saturating_record(now.wall.saturating_sub(stamped));
                let Some(bytes) = buffer.get_mut(..meta.len) else {
                    continue;
                };
                for datagram in bytes.chunks_mut(meta.stride.max(1)) {
                    self.own.datagrams += 1;
                    match &mut session.client {
                        Client::Publisher(publisher) => publisher.handle(now, meta.addr, datagram),
                        Client::Viewer(viewer) => {
                            viewer.handle(now, stamped, meta.addr, datagram, &mut self.latency);
                        }
                    }
                }
            }
            // Fewer than asked for: the socket is empty, and the next datagram raises a new event.
            if received < BATCH {
                break;
            }
        }
        self.settle(token);
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
        if let Some(due) = session.client.deadline().filter(|due| *due <= now.instant) {
            let late = now.instant.saturating_duration_since(due).as_micros() as u64;
            self.own.timer_delay.saturating_record(late);
        }
        match &mut session.client {
            Client::Publisher(publisher) => publisher.handle_timeout(now),
            Client::Viewer(viewer) => viewer.handle_timeout(now),
        }
        self.settle(token);
    }

    /// Sends what a client has to send and sets its timer.
    fn settle(&mut self, token: usize) {
        let Some(session) = self.sessions.get_mut(token) else {
            return;
        };
        session.flush(&mut self.own);
        if let Some(due) = session.client.deadline()
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
            own: self.own.clone(),
        };
        for (_, session) in &self.sessions {
            match &session.client {
                Client::Publisher(publisher) => snapshot.publishers.push(publisher.stats()),
                Client::Viewer(viewer) => snapshot.viewers.push(viewer.stats(now.instant)),
            }
        }
        let ports = self.sessions.iter().filter_map(|(_, session)| {
            session
                .socket
                .as_ref()?
                .io
                .local_addr()
                .ok()
                .map(|address| address.port())
        });
        snapshot.own.socket_drops = own::socket_drops(&ports.collect());
        snapshot.own.sample();
        snapshot
    }

    fn say_goodbye(&mut self) {
        let now = clock::now().instant;
        for (_, session) in &mut self.sessions {
            session.client.peer_mut().close(now);
            session.flush(&mut self.own);
            if let Some(url) = session.session_url.take() {
                self.http.send(Request::Delete {
                    url,
                    token: session.token.clone(),
                });
            }
            tracing::debug!(url = session.url, "closed");
        }
    }
}

impl Session {
    fn flush(&mut self, own: &mut OwnUse) {
        let Some(socket) = &self.socket else { return };
        let outbox = &mut self.client.peer_mut().outbox;
        if outbox.is_empty() {
            return;
        }
        for send in outbox.sends(socket.state.max_gso_segments()) {
            let transmit = Transmit {
                destination: send.to,
                ecn: None,
                contents: send.contents,
                segment_size: Some(send.segment),
                src_ip: None,
            };
            if let Err(error) = socket.state.try_send((&socket.io).into(), &transmit) {
                tracing::debug!(%error, "sending failed");
                own.send_failures += send.contents.len().div_ceil(send.segment) as u64;
            }
        }
        outbox.clear();
    }
}

impl Client {
    fn peer_mut(&mut self) -> &mut Peer {
        match self {
            Client::Publisher(publisher) => &mut publisher.peer,
            Client::Viewer(viewer) => &mut viewer.peer,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Client::Publisher(publisher) => publisher.deadline(),
            Client::Viewer(viewer) => viewer.deadline(),
        }
    }

    pub fn state(&self) -> &PeerState {
        match self {
            Client::Publisher(publisher) => publisher.peer.state(),
            Client::Viewer(viewer) => viewer.peer.state(),
        }
    }
}

fn bind(ipv4: bool) -> std::io::Result<(Socket, u16)> {
    use socket2::{Domain, Protocol, Type};
    let domain = if ipv4 { Domain::IPV4 } else { Domain::IPV6 };
    let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    let any: IpAddr = if ipv4 {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    socket.bind(&SocketAddr::new(any, 0).into())?;
    socket.set_nonblocking(true)?;
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let io = UdpSocket::from_std(socket.into());
    let state = UdpSocketState::new((&io).into())?;
    let port = io.local_addr()?.port();
    Ok((Socket { io, state, ipv4 }, port))
}

/// The address from which the URL's host is reached: what a client offers as its candidate.
fn local_address(url: &str) -> Result<IpAddr, String> {
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
    let any: IpAddr = if server.is_ipv4() {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    // Connecting a UDP socket sends nothing; it only asks the routing table.
    let probe = std::net::UdpSocket::bind(SocketAddr::new(any, 0)).and_then(|probe| {
        probe.connect(server)?;
        probe.local_addr()
    });
    probe
        .map(|address| address.ip())
        .map_err(|error| format!("no route to {host}: {error}"))
}
