//! A WHIP publisher of the synthetic stream: sends on time, reports, repeats what is asked for, and makes keyframes
//! on request unless it plays OBS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::dtls::Identity;
use super::offer::{self, LocalTransport, SendMedia, VideoCodec};
use super::peer::{Input, Peer, PeerState};
use super::rtcp::{self, Event, SenderInfo};
use super::rtp::{FIXED_HEADER, Header};
use super::srtp::Profile;
use super::viewer::Now;
use crate::source::synthetic::{self, Frame, VideoPlan};

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// 50 packets a second, as Opus is sent by everybody.
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
const AUDIO_TICKS: u32 = 960;
/// Packets kept for retransmission: some seconds of any stream here, and a power of two.
const HISTORY: usize = 2048;
/// After a longer stall frames are skipped instead of sent in a burst.
const MAX_BEHIND: Duration = Duration::from_millis(500);
/// Seconds from 1900 (NTP) to 1970.
const NTP_OFFSET: u64 = 2_208_988_800;

#[derive(Clone, Debug)]
pub struct PublisherMedia {
    pub video: Option<VideoPlan>,
    pub audio: bool,
    /// No candidates, no RTX, PLI ignored: what OBS does.
    pub obs_like: bool,
    /// Share of media packets not sent the first time, 0–1.
    pub loss: f64,
}

impl PublisherMedia {
    /// Between two bursts of packets.
    pub fn frame_time(&self) -> Duration {
        self.video
            .map_or(AUDIO_INTERVAL, |plan| Duration::from_secs_f64(1.0 / plan.fps))
    }
}

/// Figures of one publisher, all since its start.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PublisherStats {
    pub stream: String,
    pub state: PeerState,
    pub srtp: Option<Profile>,
    /// Milliseconds since the POST was sent.
    pub answered_ms: Option<f64>,
    pub connected_ms: Option<f64>,
    /// Media packets, those dropped on purpose included, retransmissions not.
    pub packets: u64,
    /// RTP bytes (headers and payload) of those.
    pub bytes: u64,
    pub frames: u64,
    pub keyframes: u64,
    pub skipped_frames: u64,
    pub dropped_on_purpose: u64,
    /// Sequence numbers asked for, and those sent again.
    pub nacked: u64,
    pub retransmitted: u64,
    pub keyframe_requests: u64,
    pub unauthentic: u64,
    /// Of the server's last report on each medium, in percent.
    pub reported_loss: Option<f64>,
}

pub struct Publisher {
    pub peer: Peer,
    media: PublisherMedia,
    stats: PublisherStats,
    stream_id: u32,
    cname: String,
    posted: Option<Instant>,
    video: Sender,
    audio: Sender,
    rtx: Option<Rtx>,
    clock: Option<Clock>,
    frame: u32,
    until_keyframe: u64,
    keyframe_wanted: bool,
}

/// When the media clock started, and what is due.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
    video_due: Option<Instant>,
    audio_due: Option<Instant>,
    report_due: Instant,
}

struct Sender {
    ssrc: u32,
    pt: Option<u8>,
    number: u64,
    timestamp_base: u32,
    packets: u32,
    octets: u32,
    history: Vec<Stored>,
}

#[derive(Clone, Default)]
struct Stored {
    number: Option<u64>,
    packet: Vec<u8>,
}

struct Rtx {
    ssrc: u32,
    pt: Option<u8>,
    number: u64,
}

impl Publisher {
    pub fn new(identity: Arc<Identity>, stream: String, stream_id: u32, media: PublisherMedia) -> Self {
        let rtx = (media.video.is_some() && !media.obs_like).then(|| Rtx {
            ssrc: rand::random(),
            pt: None,
            number: 1,
        });
        let stats = PublisherStats {
            stream,
            state: PeerState::Offered,
            srtp: None,
            answered_ms: None,
            connected_ms: None,
            packets: 0,
            bytes: 0,
            frames: 0,
            keyframes: 0,
            skipped_frames: 0,
            dropped_on_purpose: 0,
            nacked: 0,
            retransmitted: 0,
            keyframe_requests: 0,
            unauthentic: 0,
            reported_loss: None,
        };
        Self {
            peer: Peer::new(identity),
            stats,
            stream_id,
            cname: format!("stream{stream_id}"),
            posted: None,
            video: Sender::new(),
            audio: Sender::new(),
            rtx,
            clock: None,
            frame: 0,
            until_keyframe: 0,
            keyframe_wanted: true,
            media,
        }
    }

    /// The offer to POST now.
    pub fn offer(&mut self, now: Instant, candidate: Option<SocketAddr>) -> String {
        self.posted = Some(now);
        let local = LocalTransport {
            ufrag: self.peer.credentials().ufrag.clone(),
            pwd: self.peer.credentials().pwd.clone(),
            fingerprint: self.peer.fingerprint().to_owned(),
            candidate: candidate.filter(|_| !self.media.obs_like),
        };
        let rtx = self.rtx.as_ref().map(|rtx| rtx.ssrc);
        let media = SendMedia {
            cname: self.cname.clone(),
            video: self.media.video.map(|plan| (plan.codec, self.video.ssrc, rtx)),
            audio: self.media.audio.then_some(self.audio.ssrc),
        };
        offer::publish(&local, &media)
    }

    pub fn handle_answer(&mut self, now: Instant, answer: &Answer, ipv4: bool) {
        self.stats.answered_ms = self.since_post(now);
        if let (Some(plan), Some(track)) = (self.media.video, answer.track("video")) {
            let format = track
                .formats
                .iter()
                .find(|format| VideoCodec::from_name(&format.1) == Some(plan.codec));
            self.video.pt = format.map(|format| format.0);
            if let Some(rtx) = &mut self.rtx {
                rtx.pt = track
                    .rtx
                    .iter()
                    .find(|(_, apt)| Some(*apt) == self.video.pt)
                    .map(|(rtx, _)| *rtx);
            }
        }
        if let (true, Some(track)) = (self.media.audio, answer.track("audio")) {
            let format = track
                .formats
                .iter()
                .find(|format| format.1.eq_ignore_ascii_case("opus"));
            self.audio.pt = format.map(|format| format.0);
        }
        if self.video.pt.is_none() && self.audio.pt.is_none() {
            self.peer.fail("the answer accepts none of the codecs we send");
            return;
        }
        self.peer.connect(now, answer, ipv4);
    }

    pub fn handle(&mut self, now: Now, from: SocketAddr, datagram: &mut [u8]) {
        match self.peer.handle(now.instant, from, datagram) {
            Input::Rtcp(len) => self.handle_rtcp(datagram.get(..len).unwrap_or_default()),
            Input::Connected => {
                self.stats.connected_ms = self.since_post(now.instant);
                self.clock = Some(Clock {
                    start: now.instant,
                    video_due: self.video.pt.map(|_| now.instant),
                    audio_due: self.audio.pt.map(|_| now.instant),
                    report_due: now.instant + Duration::from_millis(50),
                });
            }
            Input::Rtp | Input::Nothing => {}
        }
    }

    fn handle_rtcp(&mut self, plain: &[u8]) {
        let mut nacked = Vec::new();
        rtcp::read(plain, |event| match event {
            Event::Nack { media, pairs } if media == self.video.ssrc => nacked.extend(pairs.numbers()),
            Event::Pli { .. } | Event::Fir { .. } => {
                self.stats.keyframe_requests += 1;
                self.keyframe_wanted |= !self.media.obs_like;
            }
            Event::ReportBlock(block) if block.ssrc == self.video.ssrc => {
                self.stats.reported_loss = Some(f64::from(block.fraction_lost) / 2.56);
            }
            _ => {}
        });
        for seq in nacked {
            self.stats.nacked += 1;
            self.retransmit(seq);
        }
    }

    fn retransmit(&mut self, seq: u16) {
        let slot = usize::from(seq) & (HISTORY - 1);
        let Some(stored) = self.video.history.get(slot) else {
            return;
        };
        let Some(number) = stored.number.filter(|number| *number as u16 == seq) else {
            return;
        };
        match self.rtx.as_mut().and_then(|rtx| rtx.pt.map(|pt| (rtx, pt))) {
            Some((rtx, pt)) => {
                let Some(mut header) = Header::parse(&stored.packet) else {
                    return;
                };
                let original = header.seq;
                (header.pt, header.ssrc, header.seq) = (pt, rtx.ssrc, rtx.number as u16);
                let roc = (rtx.number >> 16) as u32;
                rtx.number += 1;
                self.peer.send_rtp(FIXED_HEADER, roc, |out| {
                    header.write(out);
                    out.extend_from_slice(&original.to_be_bytes());
                    out.extend_from_slice(stored.packet.get(FIXED_HEADER..).unwrap_or_default());
                });
            }
            None => {
                self.peer.send_rtp(FIXED_HEADER, (number >> 16) as u32, |out| {
                    out.extend_from_slice(&stored.packet);
                });
            }
        }
        self.stats.retransmitted += 1;
    }

    pub fn deadline(&self) -> Option<Instant> {
        let media = self.clock.filter(|_| *self.peer.state() == PeerState::Connected);
        let media = media.map(|clock| [clock.video_due, clock.audio_due, Some(clock.report_due)]);
        media
            .into_iter()
            .flatten()
            .chain([self.peer.deadline()])
            .flatten()
            .min()
    }

    pub fn handle_timeout(&mut self, now: Now) {
        self.peer.handle_timeout(now.instant);
        let Some(mut clock) = self.clock.filter(|_| *self.peer.state() == PeerState::Connected) else {
            return;
        };
        if let (Some(due), Some(plan)) = (clock.video_due, self.media.video)
            && now.instant >= due
        {
            self.send_frame(now, &clock, plan);
            let step = Duration::from_secs_f64(1.0 / plan.fps);
            let mut next = due + step;
            while next + MAX_BEHIND < now.instant {
                next += step;
                self.stats.skipped_frames += 1;
            }
            clock.video_due = Some(next);
        }
        if let Some(due) = clock.audio_due
            && now.instant >= due
        {
            self.send_audio(now, &clock);
            let next = due + AUDIO_INTERVAL;
            clock.audio_due = Some(if next + MAX_BEHIND < now.instant {
                now.instant
            } else {
                next
            });
        }
        if now.instant >= clock.report_due {
            self.send_reports(now, &clock);
            clock.report_due = now.instant + REPORT_INTERVAL;
        }
        self.clock = Some(clock);
    }

    fn send_frame(&mut self, now: Now, clock: &Clock, plan: VideoPlan) {
        let Some(pt) = self.video.pt else { return };
        let keyframe = self.keyframe_wanted || self.until_keyframe == 0;
        if keyframe {
            self.until_keyframe = plan.frames_per_keyframe();
            self.keyframe_wanted = false;
        }
        self.until_keyframe -= 1;
        let (key_size, delta_size) = plan.frame_sizes();
        let frame = Frame {
            stream: self.stream_id,
            number: self.frame,
            keyframe,
            captured: now.wall,
            size: if keyframe { key_size } else { delta_size },
        };
        self.frame = self.frame.wrapping_add(1);
        self.stats.frames += 1;
        self.stats.keyframes += u64::from(keyframe);
        let timestamp = self.video.timestamp_at(now.instant, clock, 90_000.0);
        let (video, peer) = (&mut self.video, &mut self.peer);
        let (stats, loss) = (&mut self.stats, self.media.loss);
        synthetic::packetise(plan.codec, &frame, |payload, last| {
            video.send(peer, pt, timestamp, last, payload, loss, stats, true);
        });
    }

    fn send_audio(&mut self, now: Now, clock: &Clock) {
        let Some(pt) = self.audio.pt else { return };
        let mut payload = Vec::with_capacity(160);
        let number = self.audio.packets;
        synthetic::audio_payload(&mut payload, self.stream_id, number, now.wall);
        let timestamp = if clock.video_due.is_some() {
            self.audio
                .timestamp_base
                .wrapping_add(number.wrapping_mul(AUDIO_TICKS))
        } else {
            self.audio.timestamp_at(now.instant, clock, 48_000.0)
        };
        let (stats, loss) = (&mut self.stats, self.media.loss);
        self.audio
            .send(&mut self.peer, pt, timestamp, false, &payload, loss, stats, false);
    }

    fn send_reports(&mut self, now: Now, clock: &Clock) {
        let ntp_seconds = now.wall / 1_000_000 + NTP_OFFSET;
        let ntp = (ntp_seconds << 32) | (((now.wall % 1_000_000) << 32) / 1_000_000);
        for (sender, rate) in [(&self.video, 90_000.0), (&self.audio, 48_000.0)] {
            if sender.pt.is_none() || sender.packets == 0 {
                continue;
            }
            let info = SenderInfo {
                ssrc: sender.ssrc,
                ntp,
                rtp: sender.timestamp_at(now.instant, clock, rate),
                packets: sender.packets,
                octets: sender.octets,
            };
            let mut packet = Vec::with_capacity(64);
            rtcp::write_sender_report(&mut packet, &info, &self.cname);
            self.peer.send_rtcp(packet);
        }
    }

    fn since_post(&self, now: Instant) -> Option<f64> {
        self.posted
            .map(|posted| now.saturating_duration_since(posted).as_secs_f64() * 1e3)
    }

    pub fn stats(&self) -> PublisherStats {
        PublisherStats {
            state: self.peer.state().clone(),
            srtp: self.peer.profile(),
            ..self.stats.clone()
        }
    }
}

impl Sender {
    fn new() -> Self {
        Self {
            ssrc: rand::random(),
            pt: None,
            // In the lower half, so that the rollover counter surely starts at 0 on both sides.
            number: u64::from(rand::random::<u16>() >> 1),
            timestamp_base: rand::random(),
            packets: 0,
            octets: 0,
            history: Vec::new(),
        }
    }

    fn timestamp_at(&self, now: Instant, clock: &Clock, rate: f64) -> u32 {
        let elapsed = now.saturating_duration_since(clock.start).as_secs_f64();
        self.timestamp_base.wrapping_add((elapsed * rate) as u64 as u32)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where a packet is made from its parts"
    )]
    fn send(
        &mut self,
        peer: &mut Peer,
        pt: u8,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
        loss: f64,
        stats: &mut PublisherStats,
        keep: bool,
    ) {
        let number = self.number;
        self.number += 1;
        let header = Header {
            marker,
            pt,
            seq: number as u16,
            timestamp,
            ssrc: self.ssrc,
            len: FIXED_HEADER,
            padding: false,
        };
        if keep {
            if self.history.is_empty() {
                self.history.resize(HISTORY, Stored::default());
            }
            if let Some(stored) = self.history.get_mut(number as usize & (HISTORY - 1)) {
                stored.number = Some(number);
                stored.packet.clear();
                header.write(&mut stored.packet);
                stored.packet.extend_from_slice(payload);
            }
        }
        if loss > 0.0 && rand::random::<f64>() < loss {
            stats.dropped_on_purpose += 1;
        } else {
            peer.send_rtp(FIXED_HEADER, (number >> 16) as u32, |out| {
                header.write(out);
                out.extend_from_slice(payload);
            });
        }
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        stats.packets += 1;
        stats.bytes += (FIXED_HEADER + payload.len()) as u64;
    }
}
