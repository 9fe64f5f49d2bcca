//! Workers with a toy machine on loopback sockets.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::counters::Drop;
use super::{Failure, Settings, Workers, bind, start};
use crate::core::ids::WorkerId;
use crate::core::machine::{Effect, Machine, Outbox, Path};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn echoes_a_hundred_thousand_datagrams_over_ipv4() {
    echo_many("127.0.0.1:0", 100_000);
}

#[test]
fn echoes_over_ipv6() {
    echo_many("[::1]:0", 10_000);
}

fn echo_many(address: &str, total: u32) {
    let rig = Rig::start(address, 1);
    let client = rig.client();
    // So many are under way that batches form, and so few that no socket buffer overflows.
    let window = 64;
    let (mut sent, mut received) = (0_u32, 0_u32);
    let mut buffer = [0; 2000];
    while received < total {
        while sent < total && sent - received < window {
            let mut data = [0xab; 1200];
            data[..4].copy_from_slice(&sent.to_be_bytes());
            client.send(&data).unwrap();
            sent += 1;
        }
        let len = client.recv(&mut buffer).expect("every datagram comes back");
        assert_eq!(len, 1200);
        assert_eq!(buffer[..4], received.to_be_bytes(), "in order");
        received += 1;
    }
    let counters = rig.workers.counters()[0].clone();
    rig.stop();
    let counts = counters.snapshot();
    assert_eq!(
        (counts.datagrams_in, counts.datagrams_out),
        (u64::from(total), u64::from(total))
    );
    assert_eq!(
        (counts.bytes_in, counts.bytes_out),
        (u64::from(total) * 1200, u64::from(total) * 1200)
    );
    assert!(
        Drop::ALL.iter().all(|reason| counts.drops(*reason) == 0),
        "{counts:?}"
    );
    assert!(counts.longest_turn > Duration::ZERO);
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    let rig = Rig::start("[::]:0", 1);
    for local in ["127.0.0.1", "127.0.0.2", "::1"] {
        let local: IpAddr = local.parse().unwrap();
        let client = client_to((local, rig.address.port()).into());
        let bind: SocketAddr = client.local_addr().unwrap();
        client.send(b"hello").unwrap();
        // A connected socket takes datagrams from that one address only.
        let mut buffer = [0; 100];
        assert_eq!(client.recv(&mut buffer).unwrap(), 5);
        let seen = rig.notices.recv_timeout(PATIENCE).unwrap();
        assert_eq!(
            seen,
            (
                WorkerId(0),
                Notice::From(Path {
                    remote: bind,
                    local: Some(local)
                })
            )
        );
    }
    rig.stop();
}

#[test]
fn a_burst_to_one_path_takes_few_system_calls() {
    let rig = Rig::start("127.0.0.1:0", 1);
    let client = rig.client();
    client.send(b"burst").unwrap();
    let mut buffer = [0; 2000];
    for _ in 0..BURST {
        assert_eq!(client.recv(&mut buffer).unwrap(), 1000);
    }
    assert_eq!(client.recv(&mut buffer).unwrap(), 10, "the tail");
    let counters = rig.workers.counters()[0].clone();
    rig.stop();
    let counts = counters.snapshot();
    assert_eq!(counts.datagrams_out, BURST as u64 + 1);
    if cfg!(target_os = "linux") {
        assert_eq!(counts.send_calls, 1);
    }
}

#[test]
fn messages_go_from_worker_to_worker_in_order() {
    let rig = Rig::start("127.0.0.1:0", 3);
    for number in 0..1000 {
        rig.workers.inboxes()[0].send_control(Message::Pass {
            number,
            via: vec![WorkerId(2), WorkerId(1)],
        });
    }
    for number in 0..1000 {
        assert_eq!(
            rig.notices.recv_timeout(PATIENCE).unwrap(),
            (WorkerId(1), Notice::Arrived(number))
        );
    }
    rig.stop();
}

#[test]
fn a_worker_may_send_to_itself() {
    let rig = Rig::start("127.0.0.1:0", 1);
    rig.workers.inboxes()[0].send_control(Message::Pass {
        number: 7,
        via: vec![WorkerId(0), WorkerId(0)],
    });
    assert_eq!(
        rig.notices.recv_timeout(PATIENCE).unwrap(),
        (WorkerId(0), Notice::Arrived(7))
    );
    rig.stop();
}

#[test]
fn a_worker_that_is_behind_loses_media_but_no_control() {
    let rig = Rig::start("127.0.0.1:0", 2);
    let (release, held) = unbounded();
    rig.workers.inboxes()[1].send_control(Message::Hold(held));
    assert_eq!(
        rig.notices.recv_timeout(PATIENCE).unwrap(),
        (WorkerId(1), Notice::Holding)
    );

    rig.workers.inboxes()[0].send_control(Message::Flood {
        to: WorkerId(1),
        media: 100,
    });
    assert_eq!(
        rig.notices.recv_timeout(PATIENCE).unwrap(),
        (WorkerId(0), Notice::Flooded)
    );
    release.send(()).unwrap();
    for number in (0..INBOX_BOUND as u32).chain([CONTROL_AFTER_FLOOD]) {
        assert_eq!(
            rig.notices.recv_timeout(PATIENCE).unwrap(),
            (WorkerId(1), Notice::Arrived(number))
        );
    }
    let counters = rig.workers.counters()[0].clone();
    rig.stop();
    assert_eq!(counters.snapshot().drops(Drop::Message), 100 - INBOX_BOUND as u64);
}

#[test]
fn timers_fire_without_traffic() {
    let rig = Rig::start("127.0.0.1:0", 1);
    rig.workers.inboxes()[0].send_control(Message::Alarm(Duration::from_millis(30)));
    let (_, notice) = rig.notices.recv_timeout(PATIENCE).unwrap();
    let Notice::Rang { late } = notice else {
        panic!("{notice:?}")
    };
    assert!(late < Duration::from_secs(1), "{late:?}");
    rig.stop();
}

#[test]
fn timers_and_messages_are_not_starved_by_a_flood_of_datagrams() {
    let rig = Rig::start("127.0.0.1:0", 1);
    let client = rig.client();
    client.set_nonblocking(true).unwrap();
    let (done, is_done) = crossbeam_channel::bounded::<()>(0);
    let flood = std::thread::Builder::new().spawn(move || {
        while is_done.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
            let _ = client.send(&[0; 100]);
        }
    });
    for _ in 0..5 {
        rig.workers.inboxes()[0].send_control(Message::Alarm(Duration::from_millis(10)));
        let late = loop {
            match rig.notices.recv_timeout(PATIENCE).unwrap() {
                (_, Notice::Rang { late }) => break late,
                _ => continue,
            }
        };
        assert!(late < Duration::from_secs(1), "{late:?}");
    }
    drop(done);
    flood.unwrap().join().unwrap();
    rig.stop();
}

#[test]
fn a_panic_is_reported_and_the_others_go_on() {
    let rig = Rig::start("127.0.0.1:0", 2);
    rig.workers.inboxes()[0].send_control(Message::Panic);
    let failure = rig.failures.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        failure,
        Failure {
            worker: WorkerId(0),
            reason: "panic: toy panics".into()
        }
    );

    rig.workers.inboxes()[1].send_control(Message::Pass {
        number: 1,
        via: vec![],
    });
    assert_eq!(
        rig.notices.recv_timeout(PATIENCE).unwrap(),
        (WorkerId(1), Notice::Arrived(1))
    );
    rig.stop();
}

#[test]
fn what_was_asked_before_stop_is_still_sent() {
    for _ in 0..20 {
        let rig = Rig::start("127.0.0.1:0", 1);
        let client = rig.client();
        let to = Path {
            remote: client.local_addr().unwrap(),
            local: None,
        };
        for _ in 0..50 {
            rig.workers.inboxes()[0].send_control(Message::SayGoodbye(to));
        }
        rig.stop();
        for _ in 0..50 {
            let mut buffer = [0; 100];
            let len = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], b"goodbye");
        }
    }
}

#[test]
fn errors_of_one_path_are_counted_and_survived() {
    let rig = Rig::start("127.0.0.1:0", 1);
    let nowhere = Path {
        remote: "127.0.0.1:0".parse().unwrap(),
        local: None,
    };
    let foreign = Path {
        remote: "127.0.0.1:9".parse().unwrap(),
        local: Some("203.0.113.1".parse().unwrap()),
    };
    for path in [nowhere, foreign] {
        rig.workers.inboxes()[0].send_control(Message::SayGoodbye(path));
    }
    let client = rig.client();
    client.send(b"hello").unwrap();
    assert_eq!(client.recv(&mut [0; 100]).unwrap(), 5);
    let counters = rig.workers.counters()[0].clone();
    rig.stop();
    let counts = counters.snapshot();
    assert_eq!(counts.drops(Drop::Address), 1);
    assert_eq!(
        counts.drops(Drop::Invalid) + counts.drops(Drop::Unreachable),
        1,
        "{counts:?}"
    );
}

#[test]
fn the_kernel_spreads_clients_over_workers() {
    let rig = Rig::start("127.0.0.1:0", 2);
    let clients: Vec<UdpSocket> = (0..64).map(|_| rig.client()).collect();
    for client in &clients {
        client.send(b"hello").unwrap();
        assert_eq!(client.recv(&mut [0; 100]).unwrap(), 5);
    }
    let counters = rig.workers.counters().to_vec();
    rig.stop();
    let shares: Vec<u64> = counters.iter().map(|c| c.snapshot().datagrams_in).collect();
    assert_eq!(shares.iter().sum::<u64>(), 64);
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
}

const INBOX_BOUND: usize = 10;
const BURST: usize = 40;
const CONTROL_AFTER_FLOOD: u32 = 1_000_000;

#[derive(Debug)]
enum Message {
    /// Goes to the workers `via`, one after the other; the last reports it.
    Pass {
        number: u32,
        via: Vec<WorkerId>,
    },
    /// Media: reported on arrival.
    Media(u32),
    /// Sends `media` media messages and then a control message.
    Flood {
        to: WorkerId,
        media: u32,
    },
    /// Stands still until something is received.
    Hold(Receiver<()>),
    Alarm(Duration),
    SayGoodbye(Path),
    Panic,
}

#[derive(Debug, PartialEq)]
enum Notice {
    From(Path),
    Arrived(u32),
    Flooded,
    Holding,
    Rang { late: Duration },
}

/// Echoes datagrams; `burst` is answered by many.
#[derive(Default)]
struct Toy {
    echoes: Vec<(Path, Vec<u8>)>,
    effects: std::collections::VecDeque<Effect<Message, Notice>>,
    alarm: Option<Instant>,
    reported: Option<Path>,
    notices: Option<Sender<(WorkerId, Notice)>>,
}

impl Machine for Toy {
    type Message = Message;
    type Notice = Notice;

    fn handle_datagram(&mut self, _now: Instant, path: Path, data: &mut [u8]) {
        if data == b"burst" {
            self.echoes.extend((0..BURST).map(|_| (path, vec![1; 1000])));
            self.echoes.push((path, vec![2; 10]));
        } else {
            if data == b"hello" && self.reported != Some(path) {
                self.reported = Some(path);
                self.effects.push_back(Effect::ToControl(Notice::From(path)));
            }
            self.echoes.push((path, data.to_vec()));
        }
    }

    fn handle_message(&mut self, now: Instant, message: Message) {
        let effect = match message {
            Message::Pass { number, mut via } if !via.is_empty() => {
                let next = via.remove(0);
                Effect::ToWorker(next, Message::Pass { number, via })
            }
            Message::Pass { number, .. } | Message::Media(number) => {
                Effect::ToControl(Notice::Arrived(number))
            }
            Message::Flood { to, media } => {
                self.effects
                    .extend((0..media).map(|i| Effect::ToWorker(to, Message::Media(i))));
                let last = Message::Pass {
                    number: CONTROL_AFTER_FLOOD,
                    via: vec![],
                };
                self.effects.push_back(Effect::ToWorker(to, last));
                Effect::ToControl(Notice::Flooded)
            }
            Message::Hold(held) => {
                // Directly, because effects are performed at the end of the turn that stands still here.
                let _ = self
                    .notices
                    .as_ref()
                    .unwrap()
                    .send((WorkerId(1), Notice::Holding));
                let _ = held.recv_timeout(PATIENCE);
                return;
            }
            Message::Alarm(delay) => return self.alarm = Some(now + delay),
            Message::SayGoodbye(path) => return self.echoes.push((path, b"goodbye".to_vec())),
            Message::Panic => panic!("toy panics"),
        };
        self.effects.push_back(effect);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(late) = self.alarm.take_if(|at| *at <= now).map(|at| now - at) {
            self.effects.push_back(Effect::ToControl(Notice::Rang { late }));
        }
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.alarm
    }

    fn flush(&mut self, _now: Instant, out: &mut impl Outbox) {
        for (path, data) in self.echoes.drain(..) {
            out.datagram(&path, 1500, |room| {
                room[..data.len()].copy_from_slice(&data);
                Some(data.len())
            });
        }
    }

    fn poll_effect(&mut self) -> Option<Effect<Message, Notice>> {
        self.effects.pop_front()
    }
}

/// Running workers, and what they say.
struct Rig {
    workers: Workers<Message>,
    address: SocketAddr,
    notices: Receiver<(WorkerId, Notice)>,
    failures: Receiver<Failure>,
}

impl Rig {
    fn start(address: &str, count: usize) -> Self {
        let sockets = bind(address.parse().unwrap(), count).unwrap();
        let address = sockets[0].local_addr().unwrap();
        let (to_notices, notices) = unbounded();
        let (to_failures, failures) = unbounded();
        let toy = || Toy {
            notices: Some(to_notices.clone()),
            ..Toy::default()
        };
        let machines = (0..count).map(|_| toy()).collect();
        let send_notice = to_notices.clone();
        let settings = Settings {
            inbox_bound: INBOX_BOUND,
            is_media: |message| matches!(message, Message::Media(_)),
            notices: Arc::new(move |worker, notice| drop(send_notice.send((worker, notice)))),
            failures: Arc::new(move |failure| drop(to_failures.send(failure))),
        };
        Self {
            workers: start(sockets, machines, settings).unwrap(),
            address,
            notices,
            failures,
        }
    }

    fn client(&self) -> UdpSocket {
        client_to(self.address)
    }

    fn stop(self) {
        assert!(self.workers.stop(PATIENCE));
    }
}

fn client_to(server: SocketAddr) -> UdpSocket {
    let from = if server.is_ipv6() {
        "[::1]:0"
    } else {
        "127.0.0.1:0"
    };
    let client = UdpSocket::bind(from).unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}
