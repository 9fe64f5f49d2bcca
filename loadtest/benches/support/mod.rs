//! The server's engine in this process, with a publisher and viewers in front of it and no sockets between: what it
//! costs is its own work and nothing of the kernel's.
#![allow(dead_code, reason = "each bench uses a part of it")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use shibuki::core::directory::Directory;
use shibuki::core::engine::{Engine, EngineConfig};
use shibuki::core::ids::{Mid, PayloadType, SessionId, Ssrc, StreamName, WorkerId};
use shibuki::core::machine::{Effect, Machine, Outbox, Path};
use shibuki::core::media::{
    Codec, ExtensionIds, Feedback, MediaKind, NegotiatedCodec, PublisherMedia, PublisherTrack, RoleSpec,
    SessionSpec, ViewerMedia, ViewerTrack,
};
use shibuki::core::peer::Identity;
use shibuki::core::peer::testing::{ClientOptions, TestClient, random_credentials};
use shibuki::core::route::{EndReason, Message, Notice, Source};
use shibuki_loadtest::client::offer::VideoCodec;
use shibuki_loadtest::client::rtp::{FIXED_HEADER, Header};
use shibuki_loadtest::source::synthetic::{self, Frame};

const WORKER: WorkerId = WorkerId(0);
const PUBLISHER_SSRC: u32 = 1;
/// A frame of ten packets, about what 2.5 Mbit/s at 30 frames a second come to.
const FRAME_SIZE: usize = 11_000;
/// Frames from keyframe to keyframe.
const KEYFRAME_EVERY: u32 = 60;
/// The engine's time goes on by this much with a frame: slowly, so that no session falls silent during a bench.
const FRAME_STEP: Duration = Duration::from_micros(20);
/// Larger than any datagram the engine writes.
const MAX_DATAGRAM: usize = 2048;

pub struct Stage {
    engine: Engine,
    directory: Arc<Directory>,
    identity: Arc<Identity>,
    pub now: Instant,
    pub sink: Sink,
    stream: StreamName,
    publisher: Option<Remote>,
    pub viewers: Vec<Remote>,
    clients: u32,
    frame: u32,
    seq: u16,
    /// Time spent inside the engine.
    pub spent: Duration,
}

pub struct Remote {
    pub client: TestClient,
    pub session: SessionId,
    pub path: Path,
}

/// Takes what the engine sends.
pub struct Sink {
    buffer: Vec<u8>,
    pub datagrams: u64,
    /// Copies are kept while this is set.
    pub keep: bool,
    pub kept: Vec<(SocketAddr, Vec<u8>)>,
}

impl Outbox for Sink {
    fn datagram(&mut self, path: &Path, max_len: usize, fill: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let room = self.buffer.get_mut(..max_len).expect("datagrams fit");
        let Some(len) = fill(room) else { return };
        self.datagrams += 1;
        if self.keep {
            self.kept.push((path.remote, room[..len].to_vec()));
        }
    }
}

impl Stage {
    /// A stream with its publisher connected.
    pub fn new() -> Self {
        let now = Instant::now();
        let directory = Arc::new(Directory::default());
        let identity = Arc::new(Identity::generate().expect("a certificate"));
        let engine = Engine::new(
            WORKER,
            EngineConfig::default(),
            identity.clone(),
            directory.clone(),
            now,
            SystemTime::now(),
        );
        let mut stage = Self {
            engine,
            directory,
            identity,
            now,
            sink: Sink {
                buffer: vec![0; MAX_DATAGRAM],
                datagrams: 0,
                keep: false,
                kept: Vec::new(),
            },
            stream: "bench".parse().expect("a name"),
            publisher: None,
            viewers: Vec::new(),
            clients: 0,
            frame: 0,
            seq: 0,
            spent: Duration::ZERO,
        };
        let publisher = stage.connect(RoleSpec::Publisher(PublisherMedia {
            tracks: vec![published()],
        }));
        stage.publisher = Some(publisher);
        stage.forward_frame();
        stage
    }

    pub fn with_viewers(count: usize) -> Self {
        let mut stage = Self::new();
        for _ in 0..count {
            stage.join();
        }
        // Until everybody is past the stored packets and live.
        for _ in 0..u32::try_from(count).unwrap_or(0) + 2 * KEYFRAME_EVERY {
            stage.now += Duration::from_millis(1);
            stage.forward_frame();
        }
        let before = stage.sink.datagrams;
        let packets = stage.forward_frame();
        let sent = stage.sink.datagrams - before;
        assert!(
            sent >= (packets * count) as u64,
            "{sent} datagrams of {packets} packets to {count} viewers"
        );
        stage
    }

    /// One more viewer, up to its first media.
    pub fn join(&mut self) {
        self.clients += 1;
        let track = watched(Ssrc(1000 + self.clients), Ssrc(1_000_000 + self.clients));
        let viewer = self.connect(RoleSpec::Viewer(ViewerMedia {
            tracks: vec![track],
            ..ViewerMedia::default()
        }));
        self.viewers.push(viewer);
    }

    pub fn dismiss_viewers(&mut self) {
        for viewer in std::mem::take(&mut self.viewers) {
            let message = Message::End {
                session: viewer.session,
                reason: EndReason::Deleted,
            };
            self.engine.handle_message(self.now, message);
        }
        self.turn();
    }

    fn connect(&mut self, role: RoleSpec) -> Remote {
        self.clients += 1;
        let mut client = TestClient::new(ClientOptions::default());
        let server_ice = random_credentials();
        let spec = SessionSpec {
            id: SessionId::random(),
            stream: self.stream.clone(),
            transport: client.transport_spec(&server_ice),
            role,
        };
        let mut remote = Remote {
            session: spec.id,
            path: path(self.clients),
            client,
        };
        let began = Instant::now();
        self.directory.add(Arc::new(spec));
        self.spent += began.elapsed();
        client = remote.client;
        client.start(self.now, &server_ice, self.identity.fingerprint());
        self.sink.keep = true;
        let mut media = false;
        for _ in 0..200 {
            while let Some(mut datagram) = client.poll_transmit() {
                self.deliver(remote.path, &mut datagram);
            }
            self.turn();
            for (to, datagram) in std::mem::take(&mut self.sink.kept) {
                if to == remote.path.remote {
                    client.handle_datagram(self.now, &datagram);
                    media |= matches!(datagram.first(), Some(128..=191));
                }
            }
            if client.is_connected() && (media || self.publisher.is_none()) {
                break;
            }
            self.now += Duration::from_millis(1);
            client.handle_timeout(self.now);
        }
        self.sink.keep = false;
        assert!(client.is_connected(), "{:?}", client.failure());
        remote.client = client;
        remote
    }

    /// Hands a datagram to the engine and measures what it takes.
    pub fn deliver(&mut self, path: Path, datagram: &mut [u8]) {
        let began = Instant::now();
        self.engine.handle_datagram(self.now, path, datagram);
        self.spent += began.elapsed();
    }

    /// The rest of a worker's turn.
    pub fn turn(&mut self) {
        let began = Instant::now();
        self.engine.handle_timeout(self.now);
        self.engine.flush(self.now, &mut self.sink);
        while let Some(effect) = self.engine.poll_effect() {
            if let Effect::ToControl(Notice::Connected { session }) = effect
                && self.publisher.is_none()
            {
                let source = Some(Source {
                    publisher: session,
                    worker: WORKER,
                });
                let stream = self.stream.clone();
                let message = Message::SourceChanged { stream, source };
                self.engine.handle_message(self.now, message);
            }
        }
        self.spent += began.elapsed();
    }

    /// The next frame as the publisher sends it.
    pub fn sealed_frame(&mut self) -> Vec<Vec<u8>> {
        let frame = Frame {
            stream: 0,
            layer: 0,
            number: self.frame,
            keyframe: self.frame.is_multiple_of(KEYFRAME_EVERY),
            since_keyframe: self.frame % KEYFRAME_EVERY,
            captured: 0,
            size: FRAME_SIZE,
        };
        self.frame += 1;
        let mut plain = Vec::new();
        synthetic::packetise(VideoCodec::Vp8, &frame, |payload, marker| {
            let header = Header {
                marker,
                pt: 96,
                seq: self.seq,
                timestamp: frame.number.wrapping_mul(3000),
                ssrc: PUBLISHER_SSRC,
                len: FIXED_HEADER,
                padding: false,
            };
            self.seq = self.seq.wrapping_add(1);
            let mut packet = Vec::new();
            header.write(&mut packet);
            packet.extend_from_slice(payload);
            plain.push(packet);
        });
        let publisher = &mut self.publisher.as_mut().expect("a publisher").client;
        let sealed = plain
            .iter()
            .map(|packet| publisher.seal_rtp(packet).expect("keys"));
        sealed.collect()
    }

    /// One worker's turn with one whole frame; returns its packets.
    pub fn forward(&mut self, mut sealed: Vec<Vec<u8>>) -> usize {
        let path = self.publisher.as_ref().expect("a publisher").path;
        self.now += FRAME_STEP;
        for datagram in &mut sealed {
            self.deliver(path, datagram);
        }
        self.turn();
        sealed.len()
    }

    pub fn forward_frame(&mut self) -> usize {
        let sealed = self.sealed_frame();
        self.forward(sealed)
    }

    /// What viewer `index` was sent last: SSRC and sequence number.
    pub fn last_sent_to(&mut self, index: usize) -> (u32, u16) {
        self.sink.keep = true;
        self.forward_frame();
        self.sink.keep = false;
        let to = self.viewers[index].path.remote;
        let kept = std::mem::take(&mut self.sink.kept);
        let own = kept.iter().rev().filter(|(address, _)| *address == to);
        let header = own
            .filter_map(|(_, datagram)| Header::parse(datagram))
            .find(|header| header.pt == 96)
            .expect("the viewer is sent the frame");
        (header.ssrc, header.seq)
    }
}

pub fn path(client: u32) -> Path {
    let [_, b, c, d] = (client + 1).to_be_bytes();
    Path {
        remote: SocketAddr::from(([10, b, c, d], 5000)),
        local: None,
    }
}

fn codec() -> NegotiatedCodec {
    NegotiatedCodec {
        pt: PayloadType(96),
        codec: Codec::Vp8,
        rtx: Some(PayloadType(97)),
        red: None,
        feedback: Feedback {
            nack: true,
            pli: true,
            ..Feedback::default()
        },
    }
}

fn published() -> PublisherTrack {
    PublisherTrack {
        kind: MediaKind::Video,
        mid: Mid("0".into()),
        codecs: vec![codec()],
        extensions: ExtensionIds::default(),
        ssrcs: vec![Ssrc(PUBLISHER_SSRC)],
        rtx_ssrcs: Vec::new(),
        rids: Vec::new(),
    }
}

fn watched(ssrc: Ssrc, rtx_ssrc: Ssrc) -> ViewerTrack {
    ViewerTrack {
        kind: MediaKind::Video,
        mid: Mid("0".into()),
        codecs: vec![codec()],
        extensions: ExtensionIds::default(),
        ssrc,
        rtx_ssrc: Some(rtx_ssrc),
    }
}
