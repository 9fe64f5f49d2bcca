//! A WHEP viewer: receives, asks again for what is missing, reports, and measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::answer::Answer;
use super::behaviour::{Behaviour, Kind};
use super::dtls::Identity;
use super::keyframe;
use super::link::{Link, LinkStats, Shaper};
use super::offer::{self, Feedback, LocalTransport, VideoCodec};
use super::peer::{Input, Peer, PeerState};
use super::remb::Estimator;
use super::rtcp::{self, Event, ReportBlock};
use super::rtp::{self, Header, Unwrapper};
use super::srtp::Profile;
use super::track::{Arrival, Piece, Track, TrackStats};
use super::transport_cc::{self, Recorder};
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
    pub feedback: Feedback,
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
    /// What the server took of what we offered to tell it of our line.
    pub feedback: Feedback,
    /// Packets of it that we sent.
    pub feedback_sent: u64,
    /// Packets of each simulcast layer, worst first, of stamped video; and how often the layer changed.
    pub layers: Vec<u64>,
    pub layer_switches: u64,
    /// Of viewers on a limited line.
    pub link: Option<LinkStats>,
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
    shaper: Option<Box<Shaper>>,
    feedback: Teller,
    feedback_sent: u64,
    layers: Vec<u64>,
    layer: Option<u8>,
    layer_switches: u64,
}

/// What the viewer tells the server of its line.
enum Teller {
    Nothing,
    TransportCc {
        /// Of the header extension.
        id: u8,
        recorder: Recorder,
        due: Option<Instant>,
        /// Since the last feedback.
        bytes: usize,
        interval: Duration,
    },
    Remb(Box<Estimator>),
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
    pub fn new(
        identity: Arc<Identity>,
        stream: String,
        media: ViewerMedia,
        behaviour: Behaviour,
        link: Option<Arc<Link>>,
    ) -> Self {
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
            shaper: link.map(|link| Box::new(Shaper::new(link))),
            feedback: Teller::Nothing,
            feedback_sent: 0,
            layers: Vec::new(),
            layer: None,
            layer_switches: 0,
        }
    }

    pub fn behaviour(&self) -> Behaviour {
        self.behaviour
    }

    pub fn kind(&self) -> Kind {
        match self.behaviour.kind() {
            Kind::Well if self.shaper.is_some() => Kind::Limited,
            kind => kind,
        }
    }

    /// It leaves now.
    pub fn ended(&mut self, now: Instant) {
        self.times.ended = Some(now);
    }

    /// The offer to POST now.
    pub fn offer(&mut self, now: Instant, candidate: Option<SocketAddr>) -> String {
        self.times.posted = Some(now);
        if let Some(shaper) = &mut self.shaper {
            shaper.start(now);
        }
        let local = LocalTransport {
            ufrag: self.peer.credentials().ufrag.clone(),
            pwd: self.peer.credentials().pwd.clone(),
            fingerprint: self.peer.fingerprint().to_owned(),
            candidate,
        };
        offer::watch(
            &local,
            &self.media.video,
            self.media.audio,
            self.media.rtx,
            self.media.feedback,
        )
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
        self.feedback = Teller::agreed(self.media.feedback, answer);
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
        let Some(shaper) = &mut self.shaper else {
            return self.take(now, received, from, datagram, latency);
        };
        // When the kernel got it, however late we read it.
        let late = Duration::from_micros(now.wall.saturating_sub(received));
        let arrival = Now {
            instant: now.instant.checked_sub(late).unwrap_or(now.instant),
            wall: received.min(now.wall),
        };
        shaper.push(arrival, from, datagram);
        self.deliver(now.instant, latency);
    }

    /// Takes what has come through its line by `now`, each as of the moment it came out.
    pub fn deliver(&mut self, now: Instant, latency: &mut Histogram<u64>) {
        while let Some(mut held) = self.shaper.as_mut().and_then(|shaper| shaper.pop(now)) {
            self.take(held.at, held.at.wall, held.from, &mut held.datagram, latency);
        }
    }

    fn take(
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
        self.note_for_feedback(now.instant, received, &header, datagram);
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
        let Some(stamp) = Stamp::find(payload).filter(|_| arrival == Arrival::New) else {
            return;
        };
        if role != Role::Audio {
            self.note_layer(stamp.layer, number);
        }
        if self
            .times
            .connected
            .is_some_and(|connected| stamp.captured >= connected.wall)
        {
            let micros = received.saturating_sub(stamp.captured);
            self.latency.saturating_record(micros);
            latency.saturating_record(micros);
        }
    }

    /// Whatever the packet is: RTX and probes tell of the line as well.
    fn note_for_feedback(&mut self, now: Instant, received: u64, header: &Header, datagram: &[u8]) {
        match &mut self.feedback {
            Teller::Nothing => {}
            Teller::TransportCc {
                id,
                recorder,
                due,
                bytes,
                interval,
            } => {
                *bytes += datagram.len();
                if let Some(seq) = rtp::extension(datagram, *id).and_then(|value| value.try_into().ok()) {
                    recorder.record(u16::from_be_bytes(seq), received);
                    due.get_or_insert(now + *interval);
                }
            }
            Teller::Remb(estimator) => {
                let video = self
                    .formats
                    .iter()
                    .any(|(pt, role)| *pt == header.pt && matches!(role, Role::Video(_)));
                if estimator.record(now, datagram.len(), video.then_some(header.timestamp)) {
                    // Told with the next report, which is now.
                    self.report_due = Some(now);
                }
            }
        }
    }

    /// A switch is seen at the newest packet: those that come late may be of the layer before.
    fn note_layer(&mut self, layer: u8, number: u64) {
        /// More than any simulcast has.
        const MAX_LAYERS: usize = 8;
        let place = usize::from(layer).min(MAX_LAYERS - 1);
        if self.layers.len() <= place {
            self.layers.resize(place + 1, 0);
        }
        if let Some(packets) = self.layers.get_mut(place) {
            *packets += 1;
        }
        if self.video.highest() == Some(number) {
            self.layer_switches += u64::from(self.layer.is_some_and(|before| before != layer));
            self.layer = Some(layer);
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
        let is_video = role != Role::Audio;
        let piece = Piece {
            timestamp: header.timestamp,
            marker: header.marker,
            start: hint.start,
            key: hint.key,
        };
        let arrival = track.handle(now, number, bytes, piece);
        if let (Some(shaper), Arrival::New, false) = (&mut self.shaper, arrival, !track.is_decodable()) {
            shaper.count_video(now, if is_video { bytes } else { 0 });
        }
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
        let line = self.shaper.as_ref().and_then(|shaper| shaper.deadline());
        let peer = self.peer.deadline().into_iter().chain(line).min();
        if *self.peer.state() != PeerState::Connected {
            return peer;
        }
        let pli = self.pli_due.filter(|_| self.wants_keyframe());
        let tracks = [self.video.deadline(), self.audio.deadline()];
        [peer, self.report_due, pli, self.feedback.due()]
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
        self.feedback_sent += self
            .feedback
            .write_due(now, &mut feedback, self.ssrc, video.unwrap_or(0));
        let report = self.report_due.is_some_and(|due| now >= due);
        if report {
            self.report_due = Some(now + REPORT_INTERVAL);
            let estimate = self.feedback.estimate();
            if let (Some(estimate), Some(media)) = (estimate, video) {
                self.feedback_sent += 1;
                rtcp::write_remb(&mut feedback, self.ssrc, estimate, &[media]);
            }
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
            kind: self.kind(),
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
            feedback: match &self.feedback {
                Teller::Nothing => Feedback::None,
                Teller::TransportCc { .. } => Feedback::TransportCc,
                Teller::Remb(_) => Feedback::Remb,
            },
            feedback_sent: self.feedback_sent,
            layers: self.layers.clone(),
            layer_switches: self.layer_switches,
            link: self.shaper.as_ref().map(|shaper| shaper.stats.clone()),
        }
    }
}

impl Teller {
    /// What was offered and taken.
    fn agreed(offered: Feedback, answer: &Answer) -> Self {
        let taken = || answer.media.iter().filter(|media| !media.rejected);
        let named =
            |wanted: &str| taken().any(|media| media.feedback.iter().any(|feedback| feedback == wanted));
        let extension = taken()
            .flat_map(|media| &media.extensions)
            .find(|(_, uri)| uri == transport_cc::URI)
            .map(|(id, _)| *id);
        match (offered, extension) {
            (Feedback::None, _) => Teller::Nothing,
            (Feedback::TransportCc, Some(id)) if named("transport-cc") => Teller::TransportCc {
                id,
                recorder: Recorder::default(),
                due: None,
                bytes: 0,
                interval: transport_cc::interval(0.0),
            },
            _ if named("goog-remb") => Teller::Remb(Box::default()),
            _ => Teller::Nothing,
        }
    }

    fn due(&self) -> Option<Instant> {
        match self {
            Teller::TransportCc { due, .. } => *due,
            _ => None,
        }
    }

    /// Appends transport-wide feedback if it is time; returns the number of packets.
    fn write_due(&mut self, now: Instant, out: &mut Vec<u8>, from: u32, media: u32) -> u64 {
        let Teller::TransportCc {
            recorder,
            due,
            bytes,
            interval,
            ..
        } = self
        else {
            return 0;
        };
        if due.is_none_or(|due| due > now) {
            return 0;
        }
        *due = None;
        let rate = std::mem::take(bytes) as f64 * 8.0 / interval.as_secs_f64();
        *interval = transport_cc::interval(rate);
        recorder.write_feedback(out, from, media)
    }

    fn estimate(&self) -> Option<u64> {
        match self {
            Teller::Remb(estimator) => estimator.estimate(),
            _ => None,
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
