//! What drives the world: the next thing that happens, and what follows from it.

use std::time::{Duration, Instant, SystemTime};

use super::publisher::Outgoing;
use super::world::{Event, Role, SERVER, World};
use crate::core::engine::Engine;
use crate::core::ids::WorkerId;
use crate::core::machine::{Effect, Machine, Outbox, Path};
use crate::core::peer::testing::ClientReceived;
use crate::core::route::Message;

/// Messages between workers, and to and from the control plane, take this long.
const MESSAGE_DELAY: Duration = Duration::from_micros(50);
/// The control plane tells one worker after the other: one may have answered the news before the next hears it.
const CONTROL_PACE: Duration = Duration::from_micros(60);

impl World {
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.next_event().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
        self.set_clock();
    }

    fn set_clock(&self) {
        *self.clock.lock().unwrap() = SystemTime::UNIX_EPOCH + self.elapsed();
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
        self.set_clock();
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
                Event::ToClient { client, data } => self.client_receives(client, &data),
                Event::FromClient { client, data } => self.client_sends(client, data),
            }
        }
        for (worker, touched) in touched.into_iter().enumerate() {
            let engine = &mut self.engines[worker];
            let due = engine.poll_timeout().is_some_and(|at| at <= now);
            if due || touched {
                engine.handle_timeout(now);
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
        self.perform_effects(worker);
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
        self.perform_effects(worker);
        self.take_posted();
    }

    fn perform_effects(&mut self, worker: usize) {
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

    fn client_receives(&mut self, index: usize, data: &[u8]) {
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
            self.client_sends(index, datagram);
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
                self.client_sends(index, data);
            } else {
                let at = self.now + extra;
                self.push(at, Event::FromClient { client: index, data });
            }
        }
    }

    pub(super) fn client_sends(&mut self, index: usize, data: Vec<u8>) {
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
