//! A WHEP viewer: receives, asks again for what is missing, reports, and measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::answer::Answer;
use super::behaviour::{Behaviour, Kind};
use super::dtls::Identity;
use super::keyframe;
use super::offer::{self, LocalTransport, VideoCodec};
use super::peer::{Input, Peer, PeerState};
use super::rtcp::{self, Event, ReportBlock};
use super::rtp::{Header, Unwrapper};
use super::srtp::Profile;
use super::track::{Arrival, Piece, Track, TrackStats};
use crate::source::stamp::Stamp;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Between two requests for a keyframe, as browsers wait.
const PLI_INTERVAL: Duration = Duration::from_millis(500);
/// SSRCs a server may use towards one viewer before further ones are ignored.
const MAX_SOURCES: usize = 16;

/// The time of a turn of the loop, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub instant: Instant,
    /// µs since 1970, the clock of the stamps.
    pub wall: u64,
}

#[derive(Clone, Debug)]
pub struct ViewerMedia {
    /// Offered video codecs; none asks for no video.
    pub video: Vec<VideoCodec>,
    pub audio: bool,
    pub rtx: bool,
}

/// Figures of one viewer, all since its start.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ViewerStats {
    pub stream: String,
    pub kind: Kind,
    pub state: PeerState,
    pub srtp: Option<Profile>,
    /// From the POST to now, or to when it left.
    pub lived_ms: f64,
    /// Milliseconds since the POST was sent.
    pub answered_ms: Option<f64>,
    pub connected_ms: Option<f64>,
    pub first_packet_ms: Option<f64>,
    pub first_keyframe_ms: Option<f64>,
    pub video: TrackStats,
    pub audio: TrackStats,
    /// Packets that came as RTX.
    pub rtx_packets: u64,
    pub unauthentic: u64,
    /// Dropped by a lossy viewer before decryption.
    pub dropped_on_purpose: u64,
    /// Media packets that came before our handshake was done, and were dropped as browsers drop them.
    pub early: u64,
    /// RTCP packets with a NACK, and the numbers in them.
    pub nacks: u64,
    pub nacked: u64,
    pub plis: u64,
    /// µs, of stamped packets captured after this viewer connected; None when there were none.
    pub latency_p50: Option<u64>,
    pub latency_p99: Option<u64>,
    pub round_trip_ms: Option<f64>,
}

impl ViewerStats {
    pub fn packets(&self) -> u64 {
        self.video.packets + self.audio.packets
    }
}

pub struct Viewer {
    pub peer: Peer,
    stream: String,
    media: ViewerMedia,
    behaviour: Behaviour,
    ssrc: u32,
    times: Times,
    sources: Vec<Source>,
    formats: Vec<(u8, Role)>,
    video: Track,
    audio: Track,
    latency: Histogram<u32>,
    report_due: Option<Instant>,
    pli_due: Option<Instant>,
    asked: Vec<u16>,
    rtx_packets: u64,
    unauthentic: u64,
    dropped_on_purpose: u64,
    nacks: u64,
    nacked: u64,
    plis: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    posted: Option<Instant>,
    answered: Option<Instant>,
    connected: Option<Now>,
    first_packet: Option<Instant>,
    first_keyframe: Option<Instant>,
    ended: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Video(VideoCodec),
    /// Retransmission of the codec.
    Rtx(VideoCodec),
    Audio,
}

/// One SSRC the server sends with.
struct Source {
    ssrc: u32,
    role: Role,
    numbers: Unwrapper,
    /// The middle of the last sender report's NTP time, and when it came.
    last_sr: Option<(u32, Instant)>,
    /// Lost and expected at the last report, for the fraction in the next.
    reported: (u64, u64),
    first: u64,
}

impl Viewer {
    pub fn new(identity: Arc<Identity>, stream: String, media: ViewerMedia, behaviour: Behaviour) -> Self {
        Self {
            peer: Peer::new(identity),
            stream,
            media,
            behaviour,
            ssrc: rand::random(),
            times: Times::default(),
            sources: Vec::new(),
            formats: Vec::new(),
            video: Track::new(true),
            audio: Track::new(false),
            // One significant digit keeps a viewer's own histogram at 2 KB; the run's total has three.
            latency: new_histogram(1),
            report_due: None,
            pli_due: None,
            asked: Vec::new(),
            rtx_packets: 0,
            unauthentic: 0,
            dropped_on_purpose: 0,
            nacks: 0,
            nacked: 0,
            plis: 0,
        }
    }

    pub fn behaviour(&self) -> Behaviour {
        self.behaviour
    }

    /// It leaves now.
    pub fn ended(&mut self, now: Instant) {
        self.times.ended = Some(now);
    }

    /// The offer to POST now.
    pub fn offer(&mut self, now: Instant, candidate: Option<SocketAddr>) -> String {
        self.times.posted = Some(now);
        let local = LocalTransport {
            ufrag: self.peer.credentials().ufrag.clone(),
            pwd: self.peer.credentials().pwd.clone(),
            fingerprint: self.peer.fingerprint().to_owned(),
            candidate,
        };
        offer::watch(&local, &self.media.video, self.media.audio, self.media.rtx)
    }

    pub fn handle_answer(&mut self, now: Instant, answer: &Answer, ipv4: bool) {
        self.times.answered = Some(now);
        for media in answer.media.iter().filter(|media| !media.rejected) {
            let named = |pt: u8| {
                media
                    .formats
                    .iter()
                    .find(|format| format.0 == pt)
                    .map(|format| &format.1)
            };
            for (pt, name, _) in &media.formats {
                if let Some(codec) = VideoCodec::from_name(name) {
                    self.formats.push((*pt, Role::Video(codec)));
                } else if name.eq_ignore_ascii_case("opus") {
                    self.formats.push((*pt, Role::Audio));
                }
            }
            for (rtx, apt) in &media.rtx {
                if let Some(codec) = named(*apt).and_then(|name| VideoCodec::from_name(name)) {
                    self.formats.push((*rtx, Role::Rtx(codec)));
                }
            }
        }
        self.peer.connect(now, answer, ipv4);
    }

    /// Takes one datagram, received at `received` µs since 1970; latencies go into `latency` too.
    pub fn handle(
        &mut self,
        now: Now,
        received: u64,
        from: SocketAddr,
        datagram: &mut [u8],
        latency: &mut Histogram<u64>,
    ) {
        if let Behaviour::Lossy { share } = self.behaviour
            && datagram.first().is_some_and(|first| (128..=191).contains(first))
            && rand::random::<f64>() < share
        {
            self.dropped_on_purpose += 1;
            return;
        }
        match self.peer.handle(now.instant, from, datagram) {
            Input::Rtp => self.handle_rtp(now, received, datagram, latency),
            Input::Rtcp(len) => self.handle_rtcp(now, datagram.get(..len).unwrap_or_default()),
            Input::Connected => {
                self.times.connected = Some(now);
                self.report_due = Some(now.instant + REPORT_INTERVAL);
                self.pli_due = Some(now.instant + PLI_INTERVAL);
            }
            Input::Nothing => {}
        }
    }

    fn handle_rtp(&mut self, now: Now, received: u64, datagram: &mut [u8], latency: &mut Histogram<u64>) {
        let Some(mut header) = Header::parse(datagram) else {
            return;
        };
        let Some(keys) = self.peer.keys() else { return };
        let place = self.sources.iter().position(|source| source.ssrc == header.ssrc);
        let known = place.and_then(|place| self.sources.get(place));
        let numbers = known.map_or_else(Unwrapper::default, |source| source.numbers);
        let mut number = numbers.unwrap(header.seq);
        let Ok(len) = keys.theirs.open_rtp(datagram, header.len, (number >> 16) as u32) else {
            self.unauthentic += 1;
            return;
        };
        let role = match place.and_then(|place| self.sources.get_mut(place)) {
            Some(source) => {
                source.numbers.accept(number);
                source.role
            }
            None => match self.add_source(&header, number) {
                Some(role) => role,
                None => return,
            },
        };
        let Some(range) = header.payload(datagram, len) else {
            return;
        };
        let mut payload = datagram.get(range).unwrap_or_default();
        if let Role::Rtx(_) = role {
            // RFC 4588 §4: the original sequence number, then the original payload. Empty ones are probes.
            let Some((original, rest)) = payload.split_first_chunk::<2>() else {
                return;
            };
            header.seq = u16::from_be_bytes(*original);
            payload = rest;
            self.rtx_packets += 1;
            let media = self
                .sources
                .iter()
                .find(|source| matches!(source.role, Role::Video(_)));
            let Some(media) = media else { return };
            number = media.numbers.unwrap(header.seq);
        }
        self.times.first_packet.get_or_insert(now.instant);
        let arrival = self.track(now.instant, role, &header, number, header.len + len, payload);
        if arrival == Arrival::New
            && let Some(stamp) = Stamp::find(payload)
            && self
                .times
                .connected
                .is_some_and(|connected| stamp.captured >= connected.wall)
        {
            let micros = received.saturating_sub(stamp.captured);
            self.latency.saturating_record(micros);
            latency.saturating_record(micros);
        }
    }

    fn add_source(&mut self, header: &Header, number: u64) -> Option<Role> {
        let role = self
            .formats
            .iter()
            .find(|(pt, _)| *pt == header.pt)
            .map(|(_, role)| *role)?;
        // A server may go on under another SSRC when its publisher comes back.
        let same_kind = |other: Role| std::mem::discriminant(&other) == std::mem::discriminant(&role);
        if self.sources.iter().any(|source| same_kind(source.role)) {
            self.sources.retain(|source| !same_kind(source.role));
            match role {
                Role::Video(_) => self.video.restart(),
                Role::Audio => self.audio.restart(),
                Role::Rtx(_) => {}
            }
        }
        if self.sources.len() >= MAX_SOURCES {
            return None;
        }
        let mut numbers = Unwrapper::default();
        numbers.accept(number);
        self.sources.push(Source {
            ssrc: header.ssrc,
            role,
            numbers,
            last_sr: None,
            reported: (0, 0),
            first: number,
        });
        Some(role)
    }

    fn track(
        &mut self,
        now: Instant,
        role: Role,
        header: &Header,
        number: u64,
        bytes: usize,
        payload: &[u8],
    ) -> Arrival {
        let (track, hint) = match role {
            Role::Audio => (&mut self.audio, keyframe::Hint::default()),
            Role::Video(codec) | Role::Rtx(codec) => (&mut self.video, keyframe::inspect(codec, payload)),
        };
        if payload.is_empty() {
            // Padding only: it keeps the numbers in order but belongs to no frame.
            let piece = Piece {
                timestamp: header.timestamp,
                ..Piece::default()
            };
            return track.handle(now, number, bytes, piece);
        }
        let piece = Piece {
            timestamp: header.timestamp,
            marker: header.marker,
            start: hint.start,
            key: hint.key,
        };
        let arrival = track.handle(now, number, bytes, piece);
        if self.times.first_keyframe.is_none() && self.video.stats.frames.keyframes > 0 {
            self.times.first_keyframe = Some(now);
        }
        arrival
    }

    fn handle_rtcp(&mut self, now: Now, plain: &[u8]) {
        rtcp::read(plain, |event| {
            if let Event::SenderReport(info) = event
                && let Some(source) = self.sources.iter_mut().find(|source| source.ssrc == info.ssrc)
            {
                source.last_sr = Some(((info.ntp >> 16) as u32, now.instant));
            }
        });
    }

    pub fn deadline(&self) -> Option<Instant> {
        let peer = self.peer.deadline();
        if *self.peer.state() != PeerState::Connected {
            return peer;
        }
        let pli = self.pli_due.filter(|_| self.wants_keyframe());
        let tracks = [self.video.deadline(), self.audio.deadline()];
        [peer, self.report_due, pli]
            .into_iter()
            .chain(tracks)
            .flatten()
            .min()
    }

    pub fn handle_timeout(&mut self, now: Now) {
        self.peer.handle_timeout(now.instant);
        if *self.peer.state() != PeerState::Connected {
            return;
        }
        let now = now.instant;
        let mut feedback = Vec::new();
        self.asked.clear();
        self.video.due_requests(now, &mut self.asked);
        let video = self.source_of(|role| matches!(role, Role::Video(_)));
        if let (false, Some(media)) = (self.asked.is_empty(), video) {
            self.nacks += 1;
            self.nacked += self.asked.len() as u64;
            rtcp::write_nack(&mut feedback, self.ssrc, media, &self.asked);
        }
        // Audio is never asked for again, as in browsers, but what stays away is counted.
        self.asked.clear();
        self.audio.due_requests(now, &mut self.asked);
        if self.wants_keyframe() && self.pli_due.is_some_and(|due| now >= due) {
            if let Some(media) = video {
                self.plis += 1;
                rtcp::write_pli(&mut feedback, self.ssrc, media);
            }
            self.pli_due = Some(now + PLI_INTERVAL);
        }
        let report = self.report_due.is_some_and(|due| now >= due);
        if report {
            self.report_due = Some(now + REPORT_INTERVAL);
        }
        if report || !feedback.is_empty() {
            self.send_report(now, report, &feedback);
        }
    }

    fn wants_keyframe(&self) -> bool {
        !self.media.video.is_empty() && !self.video.is_decodable()
    }

    fn source_of(&self, wanted: impl Fn(Role) -> bool) -> Option<u32> {
        self.sources
            .iter()
            .find(|source| wanted(source.role))
            .map(|source| source.ssrc)
    }

    fn send_report(&mut self, now: Instant, with_blocks: bool, feedback: &[u8]) {
        let mut packet = Vec::with_capacity(128 + feedback.len());
        let mut blocks = Vec::new();
        if with_blocks {
            let lost = (self.video.stats.lost, self.audio.stats.lost);
            for source in &mut self.sources {
                let lost = match source.role {
                    Role::Video(_) => lost.0,
                    Role::Audio => lost.1,
                    Role::Rtx(_) => continue,
                };
                blocks.push(source.report(now, lost));
            }
        }
        rtcp::write_receiver_report(&mut packet, self.ssrc, "shibuki-loadtest", &blocks);
        packet.extend_from_slice(feedback);
        self.peer.send_rtcp(packet);
    }

    pub fn stats(&self, now: Instant) -> ViewerStats {
        let since = |at: Option<Instant>| {
            let posted = self.times.posted?;
            Some(at?.saturating_duration_since(posted).as_secs_f64() * 1e3)
        };
        let percentile =
            |p: f64| (!self.latency.is_empty()).then(|| self.latency.value_at_quantile(p / 100.0));
        ViewerStats {
            stream: self.stream.clone(),
            kind: self.behaviour.kind(),
            lived_ms: since(Some(self.times.ended.unwrap_or(now))).unwrap_or_default(),
            state: self.peer.state().clone(),
            srtp: self.peer.profile(),
            answered_ms: since(self.times.answered),
            connected_ms: since(self.times.connected.map(|now| now.instant)),
            first_packet_ms: since(self.times.first_packet),
            first_keyframe_ms: since(self.times.first_keyframe),
            video: if self.peer.is_over() {
                self.video.stats
            } else {
                self.video.stats_at(now)
            },
            audio: self.audio.stats,
            rtx_packets: self.rtx_packets,
            unauthentic: self.unauthentic,
            dropped_on_purpose: self.dropped_on_purpose,
            early: self.peer.early(),
            nacks: self.nacks,
            nacked: self.nacked,
            plis: self.plis,
            latency_p50: percentile(50.0),
            latency_p99: percentile(99.0),
            round_trip_ms: self.peer.round_trip().map(|rtt| rtt.as_secs_f64() * 1e3),
        }
    }
}

impl Source {
    fn report(&mut self, now: Instant, lost: u64) -> ReportBlock {
        let highest = self.numbers.highest().unwrap_or_default();
        let expected = highest.saturating_sub(self.first) + 1;
        let new_expected = expected.saturating_sub(self.reported.1).max(1);
        let new_lost = lost.saturating_sub(self.reported.0);
        self.reported = (lost, expected);
        let (last_sr, delay) = self.last_sr.map_or((0, 0), |(middle, at)| {
            (
                middle,
                (now.saturating_duration_since(at).as_secs_f64() * 65536.0) as u32,
            )
        });
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: (new_lost * 256 / new_expected).min(255) as u8,
            total_lost: lost.min(0x007f_ffff) as u32,
            highest_seq: highest as u32,
            jitter: 0,
            last_sr,
            delay_since_last_sr: delay,
        }
    }
}

/// A latency histogram from 1 µs to a minute.
pub fn new_histogram<T: hdrhistogram::Counter>(digits: u8) -> Histogram<T> {
    const MINUTE: u64 = 60_000_000;
    // Only impossible bounds fail, and these are constants.
    Histogram::new_with_bounds(1, MINUTE, digits).expect("constant bounds are valid")
}
