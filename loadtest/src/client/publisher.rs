//! A WHIP publisher: sends on time, reports, repeats what is asked for, and makes keyframes on request unless it
//! plays OBS or a file.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::rtp::packetizer::Payloader;

use super::answer::{Answer, AnsweredMedia};
use super::dtls::Identity;
use super::offer::{self, LocalTransport, SendLayer, SendMedia, SendVideo, VideoCodec};
use super::peer::{Input, Peer, PeerState};
use super::rtcp::{self, Event, SenderInfo};
use super::sender::{Outgoing, Sender, extension_block};
use super::srtp::Profile;
use super::viewer::Now;
use crate::source::VideoSource;
use crate::source::file::AudioFile;
use crate::source::synthetic::{self, Frame, MAX_PAYLOAD, VideoPlan};

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// 50 packets a second, as Opus is sent by everybody.
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
const AUDIO_TICKS: u32 = 960;
const AUDIO_RATE: f64 = 48_000.0;
const VIDEO_RATE: f64 = 90_000.0;
/// After a longer stall frames are skipped instead of sent in a burst.
const MAX_BEHIND: Duration = Duration::from_millis(500);
/// Seconds from 1900 (NTP) to 1970.
const NTP_OFFSET: u64 = 2_208_988_800;
/// Simulcast layers, worst first, with their share of the bitrate: about that of half the width and height each.
const LAYERS: [(&str, f64); 3] = [("q", 0.1), ("h", 0.3), ("f", 1.0)];

#[derive(Clone, Debug)]
pub struct PublisherMedia {
    pub video: Option<VideoSource>,
    pub audio: bool,
    /// In place of the synthetic audio.
    pub audio_file: Option<Arc<AudioFile>>,
    /// Three layers of the synthetic video.
    pub simulcast: bool,
    /// No candidates, no RTX, PLI ignored: what OBS does.
    pub obs_like: bool,
    /// Share of media packets not sent the first time, 0–1.
    pub loss: f64,
}

impl PublisherMedia {
    /// Bits per second of each layer of the video, worst first; empty when they are not known.
    pub fn layer_rates(&self) -> Vec<f64> {
        let Some(plan) = self.video.as_ref().and_then(VideoSource::synthetic) else {
            return Vec::new();
        };
        let rate = plan.bitrate as f64;
        match self.simulcast {
            true => LAYERS.map(|(_, share)| rate * share).into(),
            false => vec![rate],
        }
    }

    /// Between two bursts of packets.
    pub fn frame_time(&self) -> Duration {
        self.video
            .as_ref()
            .map_or(AUDIO_INTERVAL, VideoSource::frame_time)
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
    /// Streams of video the server takes: more than one with simulcast.
    pub layers: usize,
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

impl PublisherStats {
    /// Of one that has not begun.
    pub fn new(stream: String) -> Self {
        Self {
            stream,
            state: PeerState::Offered,
            srtp: None,
            answered_ms: None,
            connected_ms: None,
            packets: 0,
            bytes: 0,
            frames: 0,
            keyframes: 0,
            layers: 0,
            skipped_frames: 0,
            dropped_on_purpose: 0,
            nacked: 0,
            retransmitted: 0,
            keyframe_requests: 0,
            unauthentic: 0,
            reported_loss: None,
        }
    }
}

pub struct Publisher {
    pub peer: Peer,
    media: PublisherMedia,
    stats: PublisherStats,
    stream_id: u32,
    cname: String,
    posted: Option<Instant>,
    layers: Vec<Layer>,
    audio: Sender,
    payloader: Option<Box<dyn Payloader>>,
    clock: Option<Clock>,
    frame: u64,
    audio_packet: u64,
    audio_ticks: u32,
}

/// One encoding of the video.
struct Layer {
    rid: Option<&'static str>,
    /// Of [`LAYERS`]; a stream alone is the best.
    number: u8,
    /// Of the plan's bitrate.
    share: f64,
    sender: Sender,
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

impl Publisher {
    pub fn new(identity: Arc<Identity>, stream: String, stream_id: u32, media: PublisherMedia) -> Self {
        let layer = |(rid, number, share): (Option<&'static str>, usize, f64)| Layer {
            rid,
            number: number as u8,
            share,
            sender: Sender::new(!media.obs_like),
            until_keyframe: 0,
            keyframe_wanted: true,
        };
        let layers = match (&media.video, media.simulcast) {
            (None, _) => Vec::new(),
            (Some(VideoSource::Synthetic(_)), true) => {
                let layers = LAYERS.iter().enumerate();
                layers
                    .map(|(number, (rid, share))| layer((Some(rid), number, *share)))
                    .collect()
            }
            (Some(_), _) => vec![layer((None, LAYERS.len() - 1, 1.0))],
        };
        let payloader = match &media.video {
            Some(VideoSource::File(file)) => Some(file.payloader()),
            _ => None,
        };
        Self {
            peer: Peer::new(identity),
            stats: PublisherStats::new(stream),
            stream_id,
            cname: format!("stream{stream_id}"),
            posted: None,
            layers,
            audio: Sender::new(false),
            payloader,
            clock: None,
            frame: 0,
            audio_packet: 0,
            audio_ticks: 0,
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
        let layers = self.layers.iter().map(|layer| SendLayer {
            rid: layer.rid,
            ssrc: layer.sender.ssrc,
            rtx: layer.sender.rtx.as_ref().map(|rtx| rtx.ssrc),
        });
        let video = self.media.video.as_ref().map(|source| SendVideo {
            codec: source.codec(),
            layers: layers.collect(),
        });
        let media = SendMedia {
            cname: self.cname.clone(),
            video,
            audio: self.media.audio.then_some(self.audio.ssrc),
        };
        offer::publish(&local, &media)
    }

    pub fn handle_answer(&mut self, now: Instant, answer: &Answer, ipv4: bool) {
        self.stats.answered_ms = self.since_post(now);
        if let (Some(source), Some(track)) = (&self.media.video, answer.track("video")) {
            let codec = source.codec();
            self.accept_video(codec, track);
        }
        if let (true, Some(track)) = (self.media.audio, answer.track("audio")) {
            let format = track
                .formats
                .iter()
                .find(|format| format.1.eq_ignore_ascii_case("opus"));
            self.audio.pt = format.map(|format| format.0);
        }
        let video_accepted = self.layers.iter().any(|layer| layer.sender.pt.is_some());
        if !video_accepted && self.audio.pt.is_none() {
            self.peer.fail("the answer accepts none of the codecs we send");
            return;
        }
        self.peer.connect(now, answer, ipv4);
    }

    fn accept_video(&mut self, codec: VideoCodec, track: &AnsweredMedia) {
        let format = track
            .formats
            .iter()
            .find(|format| VideoCodec::from_name(&format.1) == Some(codec));
        let Some(pt) = format.map(|format| format.0) else {
            return;
        };
        let rtx_pt = track.rtx.iter().find(|(_, apt)| *apt == pt).map(|(rtx, _)| *rtx);
        if self.layers.len() > 1 {
            let taken = |layer: &Layer| track.rids.iter().any(|rid| layer.rid == Some(rid.as_str()));
            if self.layers.iter().any(taken) {
                self.layers.retain(taken);
            } else {
                // Without simulcast the best layer goes alone, as an ordinary stream.
                self.layers.drain(..self.layers.len() - 1);
                self.layers.iter_mut().for_each(|layer| layer.rid = None);
            }
        }
        let mid = if self.media.audio { "1" } else { "0" };
        for layer in &mut self.layers {
            layer.sender.pt = Some(pt);
            let block = |id| {
                layer
                    .rid
                    .map(|rid| extension_block(&[(offer::MID_EXTENSION, mid), (id, rid)]))
            };
            layer.sender.extension = block(offer::RID_EXTENSION).unwrap_or_default();
            if let Some(rtx) = &mut layer.sender.rtx {
                rtx.pt = rtx_pt;
                rtx.extension = block(offer::REPAIRED_RID_EXTENSION).unwrap_or_default();
            }
        }
        self.stats.layers = self.layers.len();
    }

    pub fn handle(&mut self, now: Now, from: SocketAddr, datagram: &mut [u8]) {
        match self.peer.handle(now.instant, from, datagram) {
            Input::Rtcp(len) => self.handle_rtcp(datagram.get(..len).unwrap_or_default()),
            Input::Connected => {
                self.stats.connected_ms = self.since_post(now.instant);
                let video = self.layers.iter().any(|layer| layer.sender.pt.is_some());
                self.clock = Some(Clock {
                    start: now.instant,
                    video_due: video.then_some(now.instant),
                    audio_due: self.audio.pt.map(|_| now.instant),
                    report_due: now.instant + Duration::from_millis(50),
                });
            }
            Input::Rtp | Input::Nothing => {}
        }
    }

    fn handle_rtcp(&mut self, plain: &[u8]) {
        let (layers, stats) = (&mut self.layers, &mut self.stats);
        let mut nacked = Vec::new();
        let obs_like = self.media.obs_like;
        rtcp::read(plain, |event| match event {
            Event::Nack { media, pairs } => nacked.extend(pairs.numbers().map(|seq| (media, seq))),
            Event::Pli { media } | Event::Fir { media } => {
                stats.keyframe_requests += 1;
                // One whose stream is not named exactly is meant for all.
                let exact = layers.iter().any(|layer| layer.sender.ssrc == media);
                for layer in layers.iter_mut() {
                    layer.keyframe_wanted |= !obs_like && (!exact || layer.sender.ssrc == media);
                }
            }
            Event::ReportBlock(block) if layers.iter().any(|layer| layer.sender.ssrc == block.ssrc) => {
                stats.reported_loss = Some(f64::from(block.fraction_lost) / 2.56);
            }
            _ => {}
        });
        for (media, seq) in nacked {
            if let Some(layer) = self.layers.iter_mut().find(|layer| layer.sender.ssrc == media) {
                self.stats.nacked += 1;
                layer.sender.retransmit(&mut self.peer, seq, &mut self.stats);
            }
        }
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
        if let Some(due) = clock.video_due.filter(|due| now.instant >= *due) {
            clock.video_due = self.send_video(now, &clock, due);
        }
        if let Some(due) = clock.audio_due.filter(|due| now.instant >= *due) {
            clock.audio_due = Some(self.send_audio(now, &clock, due));
        }
        if now.instant >= clock.report_due {
            self.send_reports(now, &clock);
            clock.report_due = now.instant + REPORT_INTERVAL;
        }
        self.clock = Some(clock);
    }

    /// Sends the frame that was due at `due`; returns when the next is.
    fn send_video(&mut self, now: Now, clock: &Clock, due: Instant) -> Option<Instant> {
        match self.media.video.clone()? {
            VideoSource::Synthetic(plan) => {
                for index in 0..self.layers.len() {
                    self.send_synthetic(now, clock, plan, index);
                }
                self.frame += 1;
                let step = Duration::from_secs_f64(1.0 / plan.fps);
                let mut next = due + step;
                while next + MAX_BEHIND < now.instant {
                    next += step;
                    self.stats.skipped_frames += 1;
                }
                Some(next)
            }
            VideoSource::File(file) => {
                let (_, frame) = file.frame(self.frame)?;
                let payloads = self.payloader.as_mut()?.payload(MAX_PAYLOAD, &frame.data);
                let layer = self.layers.first_mut()?;
                let shown = clock
                    .start
                    .checked_add(file.round(self.frame).saturating_add(frame.shown))?;
                let timestamp = layer.sender.timestamp_at(shown, clock.start, VIDEO_RATE);
                // What cannot be packetised is left out, like a frame an encoder dropped.
                let payloads = payloads.unwrap_or_default();
                for (index, payload) in payloads.iter().enumerate() {
                    let packet = Outgoing {
                        timestamp,
                        marker: index + 1 == payloads.len(),
                        payload,
                        keep: true,
                        loss: self.media.loss,
                    };
                    layer.sender.send(&mut self.peer, packet, &mut self.stats);
                }
                self.stats.frames += 1;
                self.stats.keyframes += u64::from(frame.keyframe);
                self.frame += 1;
                let (at, _) = file.frame(self.frame)?;
                clock.start.checked_add(at)
            }
        }
    }

    fn send_synthetic(&mut self, now: Now, clock: &Clock, plan: VideoPlan, index: usize) {
        let Some(layer) = self.layers.get_mut(index) else {
            return;
        };
        let keyframe = layer.keyframe_wanted || layer.until_keyframe == 0;
        if keyframe {
            layer.until_keyframe = plan.frames_per_keyframe();
            layer.keyframe_wanted = false;
        }
        let since_keyframe = plan.frames_per_keyframe().saturating_sub(layer.until_keyframe) as u32;
        layer.until_keyframe -= 1;
        let plan = VideoPlan {
            bitrate: (plan.bitrate as f64 * layer.share) as u64,
            ..plan
        };
        let (key_size, delta_size) = plan.frame_sizes();
        let frame = Frame {
            stream: self.stream_id,
            layer: layer.number,
            number: self.frame as u32,
            keyframe,
            since_keyframe,
            captured: now.wall,
            size: if keyframe { key_size } else { delta_size },
        };
        self.stats.frames += 1;
        self.stats.keyframes += u64::from(keyframe);
        let timestamp = layer.sender.timestamp_at(now.instant, clock.start, VIDEO_RATE);
        let (sender, peer, stats) = (&mut layer.sender, &mut self.peer, &mut self.stats);
        let loss = self.media.loss;
        synthetic::packetise(plan.codec, &frame, |payload, marker| {
            let packet = Outgoing {
                timestamp,
                marker,
                payload,
                keep: true,
                loss,
            };
            sender.send(peer, packet, stats);
        });
    }

    /// Sends the packet that was due at `due`; returns when the next is.
    fn send_audio(&mut self, now: Now, clock: &Clock, due: Instant) -> Instant {
        let mut synthetic_payload = Vec::new();
        let file = self.media.audio_file.as_ref().and_then(|file| {
            let index = self.audio_packet % file.packets.len().max(1) as u64;
            file.packets.get(index as usize)
        });
        let (ticks, payload) = match file {
            Some((ticks, payload)) => (*ticks, payload.as_ref()),
            None => {
                let number = self.audio_packet as u32;
                synthetic::audio_payload(&mut synthetic_payload, self.stream_id, number, now.wall);
                (AUDIO_TICKS, synthetic_payload.as_slice())
            }
        };
        let packet = Outgoing {
            timestamp: self.audio.timestamp_base.wrapping_add(self.audio_ticks),
            marker: false,
            payload,
            keep: false,
            loss: self.media.loss,
        };
        self.audio.send(&mut self.peer, packet, &mut self.stats);
        self.audio_packet += 1;
        self.audio_ticks = self.audio_ticks.wrapping_add(ticks);
        let next = due + Duration::from_secs_f64(f64::from(ticks) / AUDIO_RATE);
        if next + MAX_BEHIND < now.instant {
            let elapsed = now.instant.saturating_duration_since(clock.start).as_secs_f64();
            self.audio_ticks = (elapsed * AUDIO_RATE) as u64 as u32;
            return now.instant;
        }
        next
    }

    fn send_reports(&mut self, now: Now, clock: &Clock) {
        let ntp_seconds = now.wall / 1_000_000 + NTP_OFFSET;
        let ntp = (ntp_seconds << 32) | (((now.wall % 1_000_000) << 32) / 1_000_000);
        let layers = self.layers.iter().map(|layer| (&layer.sender, VIDEO_RATE));
        for (sender, rate) in layers.chain([(&self.audio, AUDIO_RATE)]) {
            if sender.pt.is_none() || sender.packets == 0 {
                continue;
            }
            let info = SenderInfo {
                ssrc: sender.ssrc,
                ntp,
                rtp: sender.timestamp_at(now.instant, clock.start, rate),
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
