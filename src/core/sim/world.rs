//! Everything together in virtual time: workers, the control plane, the network, clients.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::network::{Conditions, Link, Rng};
use super::offers::{self, Offered};
use super::publisher::{Publisher, PublisherSpec};
use super::viewer::{Viewer, ViewerSpec};
use super::wiretap::Wiretap;
use crate::control::{Accepted, Clock, Control, ControlConfig, Refused, WorkerLink};
use crate::core::directory::Directory;
use crate::core::engine::{Engine, EngineConfig};
use crate::core::ids::{SessionId, StreamName, WorkerId};
use crate::core::machine::Path;
use crate::core::media::{IceCredentials, LayerChoice, ViewerWishes};
use crate::core::peer::testing::{ClientOptions, TestClient};
use crate::core::peer::{Identity, SrtpProfile};
use crate::core::route::Message;
use crate::core::time::Epoch;
use crate::sdp::Offer;

pub(super) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

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
    pub(super) epoch: Epoch,
    identity: Arc<Identity>,
    pub(super) posted: Arc<Mutex<Vec<(WorkerId, Message)>>>,
    /// The client at an address.
    pub(super) addresses: HashMap<SocketAddr, usize>,
    pub(super) events: BTreeMap<(Instant, u64), Event>,
    pub(super) count: u64,
    pub(super) last_sweep: Instant,
    /// What the control plane takes for the time of day.
    pub(super) clock: Arc<Mutex<SystemTime>>,
}

pub struct Client {
    pub test: TestClient,
    pub session: SessionId,
    pub etag: String,
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
    pub(super) gcm: bool,
    pub(super) wake: Option<Instant>,
}

pub enum Role {
    Publisher(Box<Publisher>),
    Viewer(Box<Viewer>),
}

pub(super) enum Event {
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

impl World {
    pub fn new(seed: u64, workers: u16) -> Self {
        Self::with_config(seed, workers, EngineConfig::default())
    }

    pub fn with_config(seed: u64, workers: u16, config: EngineConfig) -> Self {
        let start = any_instant();
        let wall = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let identity = Arc::new(Identity::generate().unwrap());
        let directory = Arc::new(Directory::default());
        let clock = Arc::new(Mutex::new(UNIX_EPOCH));
        let read = clock.clone();
        let config_of_control = ControlConfig {
            clock: Clock::new(move || *read.lock().unwrap()),
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
            clock,
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

    /// A viewer that says at once which layers it wants.
    pub fn watch_layer(&mut self, stream: &str, spec: ViewerSpec, worker: usize, layers: LayerChoice) -> Id {
        let way = Conditions::delay(10);
        self.watch_with(stream, spec, worker, (way, way), layers).unwrap()
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
        self.watch_with(stream, spec, worker, (up, down), LayerChoice::default())
    }

    pub fn watch_with(
        &mut self,
        stream: &str,
        spec: ViewerSpec,
        worker: usize,
        (up, down): (Conditions, Conditions),
        layers: LayerChoice,
    ) -> Result<Id, Refused> {
        let (test, offer) = self.offer(&spec.offer);
        let offered = Offer::parse(&offer).unwrap();
        let wishes = ViewerWishes {
            layers,
            latency: spec.latency,
            ..ViewerWishes::default()
        };
        let accepted = self.control.watch(&name(stream), &offered, wishes)?;
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

    /// A message as the control plane sends them.
    pub fn post(&mut self, worker: WorkerId, message: Message) {
        self.posted.lock().unwrap().push((worker, message));
        self.take_posted();
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
        self.client_sends(id.0, data.to_vec());
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
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, at {:?} of virtual time", self.seed, self.elapsed());
        }
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
