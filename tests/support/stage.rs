//! An innocent publisher and its viewers, on a server that is under attack: every packet must arrive, in order.

use std::net::UdpSocket;
use std::time::Duration;

use super::client::{self, Client};
use super::server::{Process, Usage};
use super::{DEADLINE, now};

/// So many that both workers have some.
const VIEWERS: usize = 3;
const VIDEO: u32 = 2_985_326_069;
/// Datagrams of an attack between two packets of the innocents: the socket's buffer holds them all, so that
/// nothing is lost for lack of room.
const BITE: usize = 40;

pub struct Stage {
    pub server: Process,
    pub publisher: Client,
    pub viewers: Vec<Client>,
    sent: u64,
    /// RTP packets that the viewers got besides the video.
    pub others: usize,
    before: Usage,
    /// Of the attack.
    datagrams: usize,
    bytes: usize,
}

/// Somebody who sends what is not good for the server.
pub trait Attacker {
    fn send(&mut self, datagram: &[u8]);
    /// After a bite; may wait until the server has digested it.
    fn settle(&mut self);
}

/// An address that no session is at.
pub struct Outsider {
    pub socket: UdpSocket,
    /// Bytes that came back, and how many of them were media.
    pub back: usize,
    pub media: usize,
}

impl Attacker for Outsider {
    fn send(&mut self, datagram: &[u8]) {
        client::send(&self.socket, datagram);
    }

    fn settle(&mut self) {
        let mut buffer = [0; 2048];
        while let Some(len) = client::receive(&self.socket, &mut buffer) {
            self.back += len;
            self.media += if matches!(buffer[0], 128..=191) { len } else { 0 };
        }
    }
}

impl Attacker for Client {
    fn send(&mut self, datagram: &[u8]) {
        Client::send(self, datagram);
    }

    fn settle(&mut self) {
        Client::settle(self);
    }
}

impl Stage {
    pub fn new() -> Self {
        Self::on(Process::start())
    }

    /// A publisher and viewers who get its media.
    pub fn on(server: Process) -> Self {
        let mut publisher = Client::publish(server.at, "innocent");
        publisher.connect();
        let mut viewers: Vec<Client> = (0..VIEWERS)
            .map(|_| Client::watch(server.at, "innocent"))
            .collect();
        viewers.iter_mut().for_each(Client::connect);
        let before = server.usage();
        let mut stage = Self {
            server,
            publisher,
            viewers,
            sent: 0,
            others: 0,
            before,
            datagrams: 0,
            bytes: 0,
        };
        stage.begin();
        stage.before = stage.server.usage();
        stage
    }

    pub fn outsider(&self) -> Outsider {
        Outsider {
            socket: client::outside(self.server.at.media),
            back: 0,
            media: 0,
        }
    }

    /// Keyframes until every viewer has seen the latest.
    fn begin(&mut self) {
        let end = now() + DEADLINE;
        loop {
            self.send_video(true);
            let again = now() + Duration::from_millis(200);
            while now() < again {
                self.pump();
                if self
                    .viewers
                    .iter()
                    .all(|viewer| newest(viewer) == Some(self.sent))
                {
                    self.viewers.iter_mut().for_each(|viewer| viewer.rtp.clear());
                    // Goes through without a keyframe: the viewers have all caught up.
                    self.exchange();
                    return;
                }
            }
            assert!(now() < end, "the viewers see nothing");
        }
    }

    /// One packet from the publisher, and everybody gets it, next in order.
    #[track_caller]
    pub fn exchange(&mut self) {
        self.exchange_without(0);
    }

    /// The same, whatever becomes of the first few viewers.
    #[track_caller]
    pub fn exchange_without(&mut self, first: usize) {
        self.send_video(false);
        let end = now() + DEADLINE;
        let sent = self.sent;
        let has = |viewer: &Client| viewer.rtp.iter().any(|packet| number(packet) == Some(sent));
        loop {
            self.publisher.pump();
            self.viewers.iter_mut().for_each(Client::pump);
            match self.viewers[first..].iter().find(|viewer| !has(viewer)) {
                Some(late) => late.wait(),
                None => break,
            }
            if now() > end {
                self.server.is_sound();
                let seen: Vec<Vec<_>> = self
                    .viewers
                    .iter()
                    .map(|viewer| viewer.rtp.iter().map(|packet| number(packet)).collect())
                    .collect();
                panic!(
                    "packet {sent} has not reached every viewer, who saw {seen:?}; {}",
                    self.server.log()
                );
            }
        }
        for viewer in &mut self.viewers[first..] {
            let (video, others): (Vec<_>, Vec<_>) = viewer
                .rtp
                .drain(..)
                .map(|packet| number(&packet))
                .partition(Option::is_some);
            assert_eq!(video, [Some(sent)], "every packet arrives, once and in order");
            self.others += others.len();
            assert!(!viewer.core.is_closed());
        }
    }

    /// Sends what the publisher sealed, from its own address.
    #[track_caller]
    pub fn send_as_publisher(&mut self, datagrams: &[Vec<u8>]) {
        for bite in datagrams.chunks(BITE) {
            bite.iter().for_each(|datagram| self.publisher.send(datagram));
            self.publisher.settle();
            self.exchange();
        }
    }

    /// Sends an attack, while the innocents go on.
    #[track_caller]
    pub fn attack(&mut self, attacker: &mut impl Attacker, datagrams: impl Iterator<Item = Vec<u8>>) {
        let mut datagrams = datagrams.peekable();
        while datagrams.peek().is_some() {
            for datagram in datagrams.by_ref().take(BITE) {
                self.datagrams += 1;
                self.bytes += datagram.len();
                attacker.send(&datagram);
            }
            attacker.settle();
            self.exchange();
        }
    }

    /// What the server spent since the stage was set, with the innocents' media: at most `grown` bytes more held,
    /// and `cpu` of processor time for each datagram of the attack.
    #[track_caller]
    pub fn has_spent_at_most(&mut self, grown: usize, cpu: Duration) {
        self.server.is_sound();
        let after = self.server.usage();
        let growth = after.resident.saturating_sub(self.before.resident);
        let spent = after.cpu.saturating_sub(self.before.cpu);
        let each = spent / u32::try_from(self.datagrams.max(1)).unwrap();
        println!(
            "{} datagrams, {} bytes: {growth} bytes held, {spent:?} of processor, {each:?} for each",
            self.datagrams, self.bytes
        );
        assert!(
            growth <= grown,
            "{growth} bytes more held after {} bytes of attack",
            self.bytes
        );
        assert!(each <= cpu, "{each:?} for each of {} datagrams", self.datagrams);
    }

    pub fn pump(&mut self) {
        self.publisher.pump();
        self.viewers.iter_mut().for_each(Client::pump);
        if let Some(viewer) = self.viewers.first() {
            viewer.wait();
        }
    }

    fn send_video(&mut self, keyframe: bool) {
        self.sent += 1;
        let mut payload = if keyframe {
            // An aggregate: SPS, PPS, a slice of an IDR picture.
            let mut aggregate = vec![0x78];
            for unit in [&SPS[..], &[0x68, 0xCE, 0x3C, 0x80], &[0x65; 400]] {
                aggregate.extend_from_slice(&(unit.len() as u16).to_be_bytes());
                aggregate.extend_from_slice(unit);
            }
            aggregate
        } else {
            vec![0x41; 400]
        };
        payload.extend_from_slice(&self.sent.to_be_bytes());
        let packet = super::forge::rtp(96, self.sent as u16, self.sent as u32 * 3000, VIDEO, &payload);
        let sealed = self.publisher.core.seal_rtp(&packet).unwrap();
        self.publisher.send(&sealed);
    }
}

/// Baseline, 640 × 360.
const SPS: [u8; 10] = [0x67, 0x42, 0xC0, 0x1E, 0xD9, 0x00, 0xA0, 0x2F, 0xF9, 0x50];

/// The number at the end of a video packet's payload; `None` for anything else.
pub fn number(packet: &[u8]) -> Option<u64> {
    (packet.len() > 400).then(|| u64::from_be_bytes(*packet.last_chunk().unwrap()))
}

fn newest(viewer: &Client) -> Option<u64> {
    viewer.rtp.iter().rev().find_map(|packet| number(packet))
}
