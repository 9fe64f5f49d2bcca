//! A WHEP viewer: receives, asks again for what is missing, reports, and measures.
//!
//! - `receive`: a packet from the wire to its track.
//! - `sources`: the SSRCs the server sends with.
//! - `line`: what it tells the server of its line.
//! - `figures`: what it measured.

mod figures;
mod line;
mod receive;
mod sources;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

pub use self::figures::{ViewerStats, new_histogram};
use self::line::Teller;
use self::sources::{Role, Source};
use super::answer::Answer;
use super::behaviour::{Behaviour, Kind};
use super::dtls::Identity;
use super::link::{Link, Shaper};
use super::offer::{self, Feedback, LocalTransport, VideoCodec};
use super::peer::{Input, Peer, PeerState};
use super::rtcp;
use super::track::Track;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Between two requests for a keyframe, as browsers wait.
const PLI_INTERVAL: Duration = Duration::from_millis(500);
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

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    posted: Option<Instant>,
    answered: Option<Instant>,
    connected: Option<Now>,
    first_packet: Option<Instant>,
    first_keyframe: Option<Instant>,
    ended: Option<Instant>,
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
        self.formats = sources::formats(answer);
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
}
