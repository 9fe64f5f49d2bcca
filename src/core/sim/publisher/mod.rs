//! A publisher: an encoder's rhythm, sender reports, and answers to what the server asks, as its kind of client
//! gives them.
//!
//! - [`spec`]: what publishers are like. [`track`]: one stream of packets.

mod spec;
mod track;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::media::Label;
use super::offers::Offered;
use crate::core::ids::Ssrc;
use crate::core::media::MediaKind;
use crate::core::rtp::{self, Rtcp};
use crate::core::time::Epoch;

pub use spec::{LayerSpec, PublisherSpec, VideoSpec};
use track::Track;
pub use track::written;

/// Packets kept for retransmission.
const HISTORY: usize = 2_000;
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const AUDIO_FRAME: Duration = Duration::from_millis(20);

/// A datagram to be sealed and sent.
pub struct Outgoing {
    pub plain: Vec<u8>,
    pub rtcp: bool,
    /// On top of what the network takes.
    pub extra: Duration,
}

pub struct Publisher {
    pub spec: PublisherSpec,
    pub source: u16,
    /// When the server asked for a keyframe, by PLI or FIR.
    pub asked: Vec<Instant>,
    /// Sequence numbers the server asked for again.
    pub nacked: u64,
    /// Labels of what was sent for the first time, with the time.
    pub sent: Vec<(Instant, Label, MediaKind)>,
    /// No media while this is set; checks go on.
    pub paused: bool,
    /// Sent on top of everything else, at the next opportunity.
    pub inject: Vec<Outgoing>,
    start: Instant,
    /// One per layer.
    video: Vec<Track>,
    audio: Option<Track>,
    next_report: Option<Instant>,
    next_picture: Option<Instant>,
    frame: u32,
    audio_frame: u32,
}

impl Publisher {
    /// `ssrc`s are those of the adapted offer.
    pub fn new(spec: PublisherSpec, offered: &Offered, source: u16, start: Instant) -> Self {
        let track = |codec: &'static str, kind, layer: Option<(u8, LayerSpec)>| {
            let format = offered.format(codec).expect("the codec is in the offer");
            // GStreamer announces none.
            let (ssrc, rtx_ssrc) = match layer {
                Some((index, _)) => {
                    let ssrc = 10_000 * (u32::from(source) + 1) + 2 * u32::from(index);
                    (ssrc, Some(ssrc + 1))
                }
                None => offered.ssrc(kind).unwrap_or((900 + kind as u32, None)),
            };
            let index = layer.map_or(0, |(index, _)| index);
            let id = |ending| layer.and_then(|_| offered.extension(kind, ending));
            Track {
                codec,
                ssrc,
                pt: format.pt,
                rtx: offered.rtx_of(format.pt).zip(rtx_ssrc),
                seq: if kind == MediaKind::Video {
                    spec.first_seq
                } else {
                    100
                },
                rtx_seq: 1,
                first_timestamp: 0xffff_0000u32
                    .wrapping_mul(u32::from(source) + 1)
                    .wrapping_add(0x1357_9bdf * u32::from(index)),
                clock_rate: if kind == MediaKind::Video { 90_000 } else { 48_000 },
                next: None,
                history: VecDeque::new(),
                packets: 0,
                layer: index,
                spec: layer.map(|(_, spec)| spec),
                rid_ids: (id("sdes:rtp-stream-id"), id("sdes:repaired-rtp-stream-id")),
                descriptor_id: offered
                    .extension(kind, "dependency-descriptor-rtp-header-extension")
                    .filter(|_| codec == "AV1"),
                frame_number: 0xfff0 + u16::from(index),
                within: spec.video.as_ref().map_or((1, 1), |video| video.within),
                position: 0,
                numbers: (0x7ff0 + 999 * u16::from(index), 250 + index),
                stopped: false,
                keyframe_due: None,
                last_keyframe: None,
            }
        };
        let video = spec.video.as_ref().map_or(Vec::new(), |video| {
            let layer = |(index, layer): (usize, &LayerSpec)| {
                track(video.codec, MediaKind::Video, Some((index as u8, *layer)))
            };
            match video.layers.is_empty() {
                true => vec![track(video.codec, MediaKind::Video, None)],
                false => video.layers.iter().enumerate().map(layer).collect(),
            }
        });
        Self {
            source,
            asked: Vec::new(),
            nacked: 0,
            sent: Vec::new(),
            paused: false,
            inject: Vec::new(),
            start,
            video,
            audio: spec.audio.then(|| track("OPUS", MediaKind::Audio, None)),
            next_report: None,
            next_picture: None,
            frame: 0,
            audio_frame: 0,
            spec,
        }
    }

    /// Media begins now.
    pub fn begin(&mut self, now: Instant) {
        for track in &mut self.video {
            track.keyframe_due = Some(now);
            self.next_picture = Some(now);
        }
        if let Some(audio) = &mut self.audio {
            audio.next = Some(now);
        }
        self.next_report = Some(now + Duration::from_millis(300));
    }

    pub fn has_begun(&self) -> bool {
        self.next_report.is_some()
    }

    pub fn ssrc(&self, kind: MediaKind) -> Option<u32> {
        let track = if kind == MediaKind::Video {
            self.video.first()
        } else {
            self.audio.as_ref()
        };
        track.map(|track| track.ssrc)
    }

    pub fn pt(&self, kind: MediaKind) -> Option<u8> {
        let track = if kind == MediaKind::Video {
            self.video.first()
        } else {
            self.audio.as_ref()
        };
        track.map(|track| track.pt)
    }

    /// Goes on with another codec of the same offer, from a keyframe on.
    pub fn change_codec(&mut self, codec: &'static str, offered: &Offered) {
        if let (Some(track), Some(format)) = (self.video.first_mut(), offered.format(codec)) {
            track.codec = codec;
            track.pt = format.pt;
            track.rtx = offered.rtx_of(format.pt).zip(track.rtx.map(|(_, ssrc)| ssrc));
            track.keyframe_due = Some(self.start);
        }
    }

    /// The video's numbers go on from elsewhere, as those of a restarted encoder.
    pub fn jump(&mut self, seq: u16, timestamp: u32) {
        if let Some(track) = self.video.first_mut() {
            track.seq = track.seq.wrapping_add(seq);
            track.first_timestamp = track.first_timestamp.wrapping_add(timestamp);
            track.keyframe_due = Some(self.start);
        }
    }

    /// Sends nothing of this layer from now on, or sends it again from a keyframe on.
    pub fn stop_layer(&mut self, rid: &str, stop: bool) {
        for track in &mut self.video {
            if track.spec.is_some_and(|spec| spec.rid == rid) {
                track.stopped = stop;
                track.keyframe_due = (!stop).then_some(self.start);
            }
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let times = [
            self.next_picture,
            self.audio.as_ref().and_then(|track| track.next),
            self.next_report,
        ];
        times.into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Instant, epoch: &Epoch, out: &mut Vec<Outgoing>) {
        out.append(&mut self.inject);
        while self
            .audio
            .as_ref()
            .and_then(|track| track.next)
            .is_some_and(|at| at <= now)
        {
            self.audio_frame(now, out);
        }
        while self.next_picture.is_some_and(|at| at <= now) {
            self.picture(now, out);
        }
        if self.next_report.is_some_and(|at| at <= now) {
            self.next_report = Some(now + REPORT_INTERVAL);
            if !self.paused {
                self.reports(now, epoch, out);
            }
        }
    }

    /// A compound RTCP packet from the server.
    pub fn rtcp(&mut self, now: Instant, compound: &[u8], out: &mut Vec<Outgoing>) {
        for item in rtp::feedback(compound) {
            match item {
                Rtcp::Pli { media } | Rtcp::Fir { media, .. } => {
                    if let Some(track) = self.video.iter_mut().find(|track| track.ssrc == media.0) {
                        self.asked.push(now);
                        if let Some(after) = self.spec.answers_pli {
                            track.keyframe_due.get_or_insert(now + after);
                        }
                    }
                }
                Rtcp::Nack { media, pid, blp } => {
                    for seq in rtp::lost(pid, blp) {
                        self.nacked += 1;
                        let each = self
                            .spec
                            .video
                            .as_ref()
                            .is_none_or(|video| video.repeats_each_layer);
                        for track in self.video.iter_mut().chain(&mut self.audio) {
                            if track.ssrc == media.0 && (each || track.layer == 0) {
                                out.extend(track.repeat(seq));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn audio_frame(&mut self, now: Instant, out: &mut Vec<Outgoing>) {
        let (source, frame, captured) = (self.source, self.audio_frame, now - self.start);
        self.audio_frame += 1;
        let Some(track) = &mut self.audio else { return };
        track.next = track.next.map(|at| at + AUDIO_FRAME);
        if self.paused {
            return;
        }
        let label = Label {
            source,
            layer: 0,
            frame,
            index: 0,
            count: 1,
            keyframe: false,
            captured,
            spatial: 0,
            temporal: 0,
            sync: false,
        };
        self.sent.push((now, label, MediaKind::Audio));
        out.push(track.packet(&label, 80));
    }

    /// One picture of every layer.
    fn picture(&mut self, now: Instant, out: &mut Vec<Outgoing>) {
        let Some(spec) = &self.spec.video else { return };
        self.next_picture = self.next_picture.map(|at| at + Duration::from_secs(1) / spec.fps);
        if self.paused {
            return;
        }
        for track in self.video.iter_mut().filter(|track| !track.stopped) {
            let keyframe = track.keyframe_due.is_some_and(|at| at <= now)
                || track.last_keyframe.is_some_and(|at| now - at >= spec.gop);
            if keyframe {
                track.keyframe_due = None;
                track.last_keyframe = Some(now);
            }
            let delta = track.spec.map_or(spec.delta_packets, |layer| layer.delta_packets);
            let whole = track
                .spec
                .map_or(spec.keyframe_packets, |layer| layer.keyframe_packets);
            let count = if keyframe { whole } else { delta };
            track.position = if keyframe { 0 } else { track.position + 1 };
            let (temporal, sync) = match (track.within.1, track.position % 4) {
                (3.., 0) | (0..=1, _) => (0, false),
                (3.., 1) => (2, true),
                (3.., 2) => (1, true),
                (3.., _) => (2, false),
                (2, position) => (position as u8 % 2, position % 2 == 1),
            };
            if temporal == 0 {
                track.numbers.1 = track.numbers.1.wrapping_add(1);
            }
            for spatial in 0..track.within.0 {
                for index in 0..count {
                    let label = Label {
                        source: self.source,
                        layer: track.layer,
                        // Each spatial layer's is a frame of its own.
                        frame: self.frame * u32::from(track.within.0) + u32::from(spatial),
                        index,
                        count,
                        keyframe,
                        captured: now - self.start,
                        spatial,
                        temporal,
                        sync,
                    };
                    self.sent.push((now, label, MediaKind::Video));
                    out.push(track.packet(&label, spec.packet_len));
                }
                track.frame_number = track.frame_number.wrapping_add(1);
            }
            track.numbers.0 = (track.numbers.0 + 1) & 0x7fff;
        }
        self.frame += 1;
    }

    fn reports(&mut self, now: Instant, epoch: &Epoch, out: &mut Vec<Outgoing>) {
        let delays = self.spec.report_delays;
        let each = self
            .spec
            .video
            .as_ref()
            .is_none_or(|video| video.reports_each_layer);
        let video = self.video.iter().filter(|track| each || track.layer == 0);
        let audio = self.audio.iter().map(|track| (track, delays[0]));
        for (track, extra) in audio.chain(video.map(|track| (track, delays[1]))) {
            let timestamp = track.timestamp(now - self.start);
            let mut plain = Vec::new();
            // The publisher's wall clock is 77 s behind.
            let ntp = epoch.ntp(now).0.wrapping_sub(77 << 32);
            rtp::sender_report(
                &mut plain,
                Ssrc(track.ssrc),
                ntp,
                timestamp,
                track.packets,
                track.packets * 1000,
            );
            rtp::sdes_cname(&mut plain, Ssrc(track.ssrc), "publisher");
            out.push(Outgoing {
                plain,
                rtcp: true,
                extra,
            });
        }
    }
}
