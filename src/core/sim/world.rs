//! Everything together in virtual time: workers, the control plane, the network, clients.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::network::{Conditions, Link, Rng};
use super::offers::{self, Offered};
use super::publisher::{Outgoing, Publisher, PublisherSpec};
use super::viewer::{Viewer, ViewerSpec};
use super::wiretap::Wiretap;
use crate::control::{Accepted, Control, ControlConfig, Refused, WorkerLink};
use crate::core::directory::Directory;
use crate::core::engine::{Engine, EngineConfig};
use crate::core::ids::{SessionId, StreamName, WorkerId};
use crate::core::machine::{Effect, Machine, Outbox, Path};
use crate::core::media::IceCredentials;
use crate::core::peer::testing::{ClientOptions, ClientReceived, TestClient};
use crate::core::peer::{Identity, SrtpProfile};
use crate::core::route::Message;
use crate::core::time::Epoch;
use crate::sdp::Offer;

/// Messages between workers, and to and from the control plane, take this long.
const MESSAGE_DELAY: Duration = Duration::from_micros(50);
/// The control plane tells one worker after the other: one may have answered the news before the next hears it.
const CONTROL_PACE: Duration = Duration::from_micros(60);
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// A client of the world, by the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub usize);

pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub control: Control,
    pub clients: Vec<Client>,
    pub engines: Vec<Engine>,
    pub wiretap: Wiretap,
    /// Messages from worker to worker, by name and sender.
    pub messages: HashMap<(u16, &'static str), u64>,
    seed: u64,
    epoch: Epoch,
    identity: Arc<Identity>,
    posted: Arc<Mutex<Vec<(WorkerId, Message)>>>,
    /// The client at an address.
    addresses: HashMap<SocketAddr, usize>,
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
    last_sweep: Instant,
}

pub struct Client {
    pub test: TestClient,
    pub session: SessionId,
    pub etag: String,
    pub answer: String,
    pub address: SocketAddr,
    /// The worker that the kernel's hash of the address chooses.
    pub worker: usize,
    pub up: Link,
    pub down: Link,
    pub role: Role,
    pub connected_at: Option<Instant>,
    /// Sends nothing and hears nothing.
    pub vanished: bool,
    /// It offered AES-GCM, so that is what is spoken.
    gcm: bool,
    wake: Option<Instant>,
}

pub enum Role {
    Publisher(Box<Publisher>),
    Viewer(Box<Viewer>),
}

enum Event {
    Datagram {
        worker: usize,
        path: Path,
        data: Vec<u8>,
    },
    Message {
        worker: usize,
        message: Message,
    },
    ToClient {
        client: usize,
        data: Vec<u8>,
    },
    FromClient {
        client: usize,
        data: Vec<u8>,
    },
}

struct Posts {
    posted: Arc<Mutex<Vec<(WorkerId, Message)>>>,
    workers: u16,
}

impl WorkerLink for Posts {
    fn send(&self, worker: WorkerId, message: Message) {
        self.posted.lock().unwrap().push((worker, message));
    }

    fn workers(&self) -> Vec<WorkerId> {
        (0..self.workers).map(WorkerId).collect()
    }
}

#[derive(Default)]
struct Collected(Vec<(Path, Vec<u8>)>);

impl Outbox for Collected {
    fn datagram(&mut self, path: &Path, max_len: usize, fill: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let mut buffer = vec![0; max_len];
        if let Some(len) = fill(&mut buffer) {
            buffer.truncate(len);
            self.0.push((*path, buffer));
        }
    }
}

impl World {
    pub fn new(seed: u64, workers: u16) -> Self {
        Self::with_config(seed, workers, EngineConfig::default())
    }

    pub fn with_config(seed: u64, workers: u16, config: EngineConfig) -> Self {
        let start = any_instant();
        let wall = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let identity = Arc::new(Identity::generate().unwrap());
        let directory = Arc::new(Directory::default());
        let config_of_control = ControlConfig {
            candidates: vec![SocketAddr::new(SERVER, 8000)],
            ..ControlConfig::default()
        };
        let control = Control::new(
            config_of_control,
            identity.fingerprint().clone(),
            directory.clone(),
        );
        let posted = Arc::new(Mutex::new(Vec::new()));
        control.attach(Box::new(Posts {
            posted: posted.clone(),
            workers,
        }));
        let engine = |id| {
            Engine::new(
                WorkerId(id),
                config,
                identity.clone(),
                directory.clone(),
                start,
                wall,
            )
        };
        Self {
            now: start,
            start,
            control,
            clients: Vec::new(),
            engines: (0..workers).map(engine).collect(),
            wiretap: Wiretap::default(),
            messages: HashMap::new(),
            seed,
            epoch: Epoch::new(start, wall),
            identity,
            posted,
            addresses: HashMap::new(),
            events: BTreeMap::new(),
            count: 0,
            last_sweep: start,
        }
    }

    /// A publisher whose datagrams reach this worker, 10 ms away.
    pub fn publish(&mut self, stream: &str, spec: PublisherSpec, worker: usize) -> Id {
        self.publish_over(stream, spec, worker, Conditions::delay(10), Conditions::delay(10))
    }

    pub fn publish_over(
        &mut self,
        stream: &str,
        spec: PublisherSpec,
        worker: usize,
        up: Conditions,
        down: Conditions,
    ) -> Id {
        let (test, offer) = self.offer(&spec.offer);
        let accepted = self
            .control
            .publish(&name(stream), &Offer::parse(&offer).unwrap())
            .unwrap();
        let source = self.clients.len() as u16;
        let publisher = Publisher::new(spec, &Offered::read(&offer), source, self.start);
        self.add(
            test,
            accepted,
            worker,
            up,
            down,
            Role::Publisher(Box::new(publisher)),
        )
    }

    /// A viewer whose datagrams reach this worker, 10 ms away.
    pub fn watch(&mut self, stream: &str, spec: ViewerSpec, worker: usize) -> Id {
        self.watch_over(stream, spec, worker, Conditions::delay(10), Conditions::delay(10))
    }

    pub fn watch_over(
        &mut self,
        stream: &str,
        spec: ViewerSpec,
        worker: usize,
        up: Conditions,
        down: Conditions,
    ) -> Id {
        self.try_watch(stream, spec, worker, up, down).unwrap()
    }

    pub fn try_watch(
        &mut self,
        stream: &str,
        spec: ViewerSpec,
        worker: usize,
        up: Conditions,
        down: Conditions,
    ) -> Result<Id, Refused> {
        let (test, offer) = self.offer(&spec.offer);
        let accepted = self
            .control
            .watch(&name(stream), &Offer::parse(&offer).unwrap())?;
        let viewer = Viewer::new(spec, Offered::read(&offer));
        Ok(self.add(test, accepted, worker, up, down, Role::Viewer(Box::new(viewer))))
    }

    /// Ten seconds at most until the client is connected.
    pub fn connect(&mut self, id: Id) -> Id {
        self.run_until(Duration::from_secs(10), |world| {
            world.client(id).test.is_connected()
        });
        id
    }

    pub fn client(&self, id: Id) -> &Client {
        &self.clients[id.0]
    }

    pub fn client_mut(&mut self, id: Id) -> &mut Client {
        let client = &mut self.clients[id.0];
        client.wake = Some(self.now);
        client
    }

    pub fn publisher(&self, id: Id) -> &Publisher {
        match &self.clients[id.0].role {
            Role::Publisher(publisher) => publisher,
            Role::Viewer(_) => panic!("client {} watches", id.0),
        }
    }

    pub fn publisher_mut(&mut self, id: Id) -> &mut Publisher {
        match &mut self.client_mut(id).role {
            Role::Publisher(publisher) => publisher,
            Role::Viewer(_) => panic!("client {} watches", id.0),
        }
    }

    pub fn viewer(&self, id: Id) -> &Viewer {
        match &self.clients[id.0].role {
            Role::Viewer(viewer) => viewer,
            Role::Publisher(_) => panic!("client {} publishes", id.0),
        }
    }

    pub fn viewer_mut(&mut self, id: Id) -> &mut Viewer {
        match &mut self.client_mut(id).role {
            Role::Viewer(viewer) => viewer,
            Role::Publisher(_) => panic!("client {} publishes", id.0),
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The client seals and sends a plain RTP or RTCP packet now; one that cannot be sealed is not sent.
    pub fn send(&mut self, id: Id, plain: &[u8], rtcp: bool) {
        let client = &mut self.clients[id.0];
        let sealed = if rtcp {
            client.test.seal_rtcp(plain)
        } else {
            client.test.seal_rtp(plain)
        };
        assert!(client.test.is_connected());
        if let Some(sealed) = sealed {
            self.send_raw(id, &sealed);
        }
    }

    /// The client sends these very bytes now.
    pub fn send_raw(&mut self, id: Id, data: &[u8]) {
        self.from_client(id.0, data.to_vec());
    }

    /// From now on the client's datagrams come from another address, which the kernel hashes to `worker`. What is
    /// sent to the old one is lost.
    pub fn move_client(&mut self, id: Id, worker: usize) -> SocketAddr {
        let address = SocketAddr::from(([192, 0, 2, 99], 20_000 + self.count as u16 % 10_000));
        let client = &mut self.clients[id.0];
        self.addresses.remove(&client.address);
        client.address = address;
        client.worker = worker;
        self.addresses.insert(address, id.0);
        address
    }

    /// The client is at an address again that it had.
    pub fn move_back(&mut self, id: Id, address: SocketAddr) {
        let client = &mut self.clients[id.0];
        self.addresses.remove(&client.address);
        client.address = address;
        self.addresses.insert(address, id.0);
    }

    /// The client's ICE restart, by PATCH as HTTP has it done. Takes one round trip.
    pub fn restart_ice(&mut self, id: Id) {
        let session = self.clients[id.0].session;
        // The client makes its new credentials before it hears of ours.
        let known = IceCredentials {
            ufrag: "none".to_owned(),
            pwd: "0123456789012345678901".to_owned(),
        };
        let local = self.clients[id.0].test.restart_ice(self.now, &known);
        let restart = self
            .control
            .restart_ice(&session, local.clone())
            .expect("the session lives");
        let client = &mut self.clients[id.0];
        client.etag = restart.etag;
        client.test.answer_restart(self.now, &restart.local_ice);
        client.wake = Some(self.now);
        self.take_posted();
    }

    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.next_event().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
    }

    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&World) -> bool) {
        let until = self.now + limit;
        while !done(self) {
            assert!(
                self.next_event().is_some_and(|at| at <= until),
                "not within {limit:?}"
            );
            self.step();
        }
    }

    fn offer(&mut self, template: &str) -> (TestClient, String) {
        let mut profiles = vec![SrtpProfile::Aes128CmHmacSha1_80];
        if speaks_gcm(self.clients.len()) {
            profiles.push(SrtpProfile::AeadAes128Gcm);
        }
        let options = ClientOptions {
            dtls_role: offers::dtls_role(template),
            profiles,
            ..ClientOptions::default()
        };
        let test = TestClient::new(options);
        let salt = (self.clients.len() as u32).wrapping_mul(0x0101_0101);
        let offer = offers::adapt(template, &test, salt);
        (test, offer)
    }

    fn add(
        &mut self,
        mut test: TestClient,
        accepted: Accepted,
        worker: usize,
        up: Conditions,
        down: Conditions,
        role: Role,
    ) -> Id {
        let index = self.clients.len();
        let line = |key: &str| {
            let found = accepted
                .answer
                .lines()
                .find_map(|line| line.trim().strip_prefix(key));
            found.expect("the answer has it").to_owned()
        };
        let ice = IceCredentials {
            ufrag: line("a=ice-ufrag:"),
            pwd: line("a=ice-pwd:"),
        };
        test.start(self.now, &ice, self.identity.fingerprint());
        let address = SocketAddr::from(([192, 0, 2, 1 + (index / 250) as u8], 1000 + index as u16));
        self.addresses.insert(address, index);
        let mut seeds = Rng::new(self.seed ^ (index as u64) << 32);
        self.clients.push(Client {
            test,
            session: accepted.id,
            etag: accepted.etag,
            answer: accepted.answer,
            address,
            worker,
            up: Link::new(up, seeds.next()),
            down: Link::new(down, seeds.next()),
            role,
            connected_at: None,
            vanished: false,
            gcm: speaks_gcm(index),
            wake: Some(self.now),
        });
        Id(index)
    }

    fn next_event(&mut self) -> Option<Instant> {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let clients = self
            .clients
            .iter()
            .filter(|client| !client.vanished)
            .filter_map(|client| client.wake);
        let sweep = self.last_sweep + Duration::from_secs(1);
        let engines = self.engines.iter_mut().filter_map(Engine::poll_timeout);
        clients.chain(event).chain([sweep]).chain(engines).min()
    }

    /// Goes to the next thing that happens, and through it.
    fn step(&mut self) {
        let Some(at) = self.next_event() else { return };
        self.now = self.now.max(at);
        let now = self.now;
        let mut touched = vec![false; self.engines.len()];
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > now {
                break;
            }
            match entry.remove() {
                Event::Datagram {
                    worker,
                    path,
                    mut data,
                } => {
                    self.engines[worker].handle_datagram(now, path, &mut data);
                    touched[worker] = true;
                }
                Event::Message { worker, message } => {
                    self.engines[worker].handle_message(now, message);
                    touched[worker] = true;
                }
                Event::ToClient { client, data } => self.to_client(client, &data),
                Event::FromClient { client, data } => self.from_client(client, data),
            }
        }
        for (worker, touched) in touched.into_iter().enumerate() {
            let engine = &mut self.engines[worker];
            let due = engine.poll_timeout().is_some_and(|at| at <= now);
            if due {
                engine.handle_timeout(now);
            }
            if due || touched {
                self.flush(worker);
            }
        }
        for client in 0..self.clients.len() {
            if self.clients[client].wake.is_some_and(|at| at <= now) && !self.clients[client].vanished {
                self.wake_client(client);
            }
        }
        if now >= self.last_sweep + Duration::from_secs(1) {
            self.last_sweep = now;
            self.control.sweep(now);
        }
        self.take_posted();
    }

    fn flush(&mut self, worker: usize) {
        let mut out = Collected::default();
        self.engines[worker].flush(self.now, &mut out);
        for (path, data) in out.0 {
            let Some(index) = self.addresses.get(&path.remote).copied() else {
                continue;
            };
            let client = &mut self.clients[index];
            self.wiretap.listen(index, client.gcm, &data);
            if client.vanished {
                continue;
            }
            if let Some(at) = client.down.carry(self.now, data.len()) {
                self.push(at, Event::ToClient { client: index, data });
            }
        }
        while let Some(effect) = self.engines[worker].poll_effect() {
            match effect {
                Effect::ToWorker(to, message) => {
                    *self
                        .messages
                        .entry((worker as u16, message_name(&message)))
                        .or_default() += 1;
                    let at = self.now + MESSAGE_DELAY;
                    self.push(
                        at,
                        Event::Message {
                            worker: usize::from(to.0),
                            message,
                        },
                    );
                }
                Effect::ToControl(notice) => {
                    let wall = SystemTime::UNIX_EPOCH + self.elapsed();
                    self.control.notice(WorkerId(worker as u16), notice, wall);
                }
            }
        }
        self.take_posted();
    }

    /// What the control plane sent to workers.
    pub fn take_posted(&mut self) {
        let posted = std::mem::take(&mut *self.posted.lock().unwrap());
        let mut at = self.now + MESSAGE_DELAY;
        for (worker, message) in posted {
            at += CONTROL_PACE;
            self.push(
                at,
                Event::Message {
                    worker: usize::from(worker.0),
                    message,
                },
            );
        }
    }

    fn to_client(&mut self, index: usize, data: &[u8]) {
        let now = self.now;
        let client = &mut self.clients[index];
        if client.vanished {
            return;
        }
        let received = client.test.handle_datagram(now, data);
        client.wake = Some(now);
        let mut out = Vec::new();
        match (&mut client.role, received) {
            (Role::Viewer(viewer), ClientReceived::Rtp(packet)) => viewer.rtp(now, &packet),
            (Role::Viewer(viewer), ClientReceived::Rtcp(compound)) => viewer.rtcp(now, &compound),
            (Role::Publisher(publisher), ClientReceived::Rtcp(compound)) => {
                publisher.rtcp(now, &compound, &mut out);
            }
            (Role::Publisher(_), ClientReceived::Rtp(_)) => panic!("a publisher was sent media"),
            (_, ClientReceived::Nothing) => {}
        }
        self.send_out(index, out);
    }

    fn wake_client(&mut self, index: usize) {
        let now = self.now;
        let client = &mut self.clients[index];
        if client.test.poll_timeout().is_some_and(|at| at <= now) {
            client.test.handle_timeout(now);
        }
        let mut datagrams = Vec::new();
        while let Some(datagram) = client.test.poll_transmit() {
            datagrams.push(datagram);
        }
        let mut out = Vec::new();
        if client.test.is_connected() {
            client.connected_at.get_or_insert(now);
            match &mut client.role {
                Role::Publisher(publisher) => {
                    if !publisher.has_begun() {
                        publisher.begin(now);
                    }
                    publisher.handle_timeout(now, &self.epoch, &mut out);
                }
                Role::Viewer(viewer) => {
                    let mut compounds = Vec::new();
                    viewer.handle_timeout(now, &mut compounds);
                    let rtcp = |plain| Outgoing {
                        plain,
                        rtcp: true,
                        extra: Duration::ZERO,
                    };
                    out.extend(compounds.into_iter().map(rtcp));
                }
            }
        }
        let media = match &client.role {
            Role::Publisher(publisher) => publisher.poll_timeout(),
            Role::Viewer(viewer) => viewer.poll_timeout(),
        };
        client.wake = [client.test.poll_timeout(), media].into_iter().flatten().min();
        for datagram in datagrams {
            self.from_client(index, datagram);
        }
        self.send_out(index, out);
    }

    fn send_out(&mut self, index: usize, out: Vec<Outgoing>) {
        for Outgoing { plain, rtcp, extra } in out {
            let client = &mut self.clients[index];
            let sealed = if rtcp {
                client.test.seal_rtcp(&plain)
            } else {
                client.test.seal_rtp(&plain)
            };
            let data = sealed.expect("only connected clients send media");
            if extra.is_zero() {
                self.from_client(index, data);
            } else {
                let at = self.now + extra;
                self.push(at, Event::FromClient { client: index, data });
            }
        }
    }

    fn from_client(&mut self, index: usize, data: Vec<u8>) {
        let client = &mut self.clients[index];
        if client.vanished {
            return;
        }
        let path = Path {
            remote: client.address,
            local: Some(SERVER),
        };
        let worker = client.worker;
        if let Some(at) = client.up.carry(self.now, data.len()) {
            self.push(at, Event::Datagram { worker, path, data });
        }
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, at {:?} of virtual time", self.seed, self.elapsed());
        }
    }
}

fn message_name(message: &Message) -> &'static str {
    match message {
        Message::Datagram { .. } => "Datagram",
        Message::Subscribe { .. } => "Subscribe",
        Message::Unsubscribe { .. } => "Unsubscribe",
        Message::Media { .. } => "Media",
        Message::RequestKeyframe { .. } => "RequestKeyframe",
        _ => "other",
    }
}

/// Each fourth client has only the older SRTP profile.
fn speaks_gcm(client: usize) -> bool {
    client % 4 != 3
}

pub fn name(stream: &str) -> StreamName {
    stream.parse().expect("a stream's name")
}

pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
fn any_instant() -> Instant {
    Instant::now()
}
