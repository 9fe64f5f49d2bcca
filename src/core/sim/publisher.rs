//! A publisher: an encoder's rhythm, sender reports, and answers to what the server asks, as its kind of client
//! gives them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::media::{self, Label, Picture};
use super::offers::{self, Offered};
use crate::core::ids::{PayloadType, Ssrc};
use crate::core::media::MediaKind;
use crate::core::rtp::dependency::tests::with_structure;
use crate::core::rtp::{self, OutgoingHeader, Rtcp};
use crate::core::time::Epoch;

/// Packets kept for retransmission.
const HISTORY: usize = 2_000;
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const AUDIO_FRAME: Duration = Duration::from_millis(20);

/// What a publisher is like.
#[derive(Clone, Debug)]
pub struct PublisherSpec {
    pub offer: String,
    pub video: Option<VideoSpec>,
    pub audio: bool,
    /// Sends a keyframe this long after being asked; `None`: never.
    pub answers_pli: Option<Duration>,
    /// How much longer sender reports of audio and video take than everything else.
    pub report_delays: [Duration; 2],
    /// Sequence numbers of video begin here.
    pub first_seq: u16,
}

#[derive(Clone, Debug)]
pub struct VideoSpec {
    pub codec: &'static str,
    pub fps: u32,
    pub gop: Duration,
    pub keyframe_packets: u16,
    pub delta_packets: u16,
    pub packet_len: usize,
    /// Simulcast: empty without.
    pub layers: Vec<LayerSpec>,
    /// Each layer has sender reports of its own; otherwise the first alone.
    pub reports_each_layer: bool,
    /// Each layer repeats lost packets; otherwise the first alone.
    pub repeats_each_layer: bool,
    /// Spatial and temporal layers within each layer.
    pub within: (u8, u8),
}

#[derive(Clone, Copy, Debug)]
pub struct LayerSpec {
    pub rid: &'static str,
    pub size: (u16, u16),
    pub delta_packets: u16,
}

impl Default for VideoSpec {
    fn default() -> Self {
        Self {
            codec: "VP8",
            fps: 30,
            gop: Duration::from_secs(2),
            keyframe_packets: 12,
            delta_packets: 3,
            packet_len: 1000,
            layers: Vec::new(),
            reports_each_layer: true,
            repeats_each_layer: true,
            within: (1, 1),
        }
    }
}

impl PublisherSpec {
    /// VP8 and Opus; answers PLI; repeats lost packets by RTX.
    pub fn chromium() -> Self {
        Self {
            offer: offers::CHROMIUM_SENDS.to_owned(),
            video: Some(VideoSpec::default()),
            audio: true,
            answers_pli: Some(Duration::from_millis(30)),
            report_delays: [Duration::ZERO; 2],
            first_seq: 65_000,
        }
    }

    /// H.264 and Opus; ignores PLI; repeats lost packets on the same SSRC.
    pub fn obs() -> Self {
        let video = VideoSpec {
            codec: "H264",
            gop: Duration::from_secs(10),
            ..VideoSpec::default()
        };
        Self {
            offer: offers::OBS_SENDS.to_owned(),
            video: Some(video),
            answers_pli: None,
            ..Self::chromium()
        }
    }

    /// As OBS, but passive in DTLS, with RTX, and without as much as offering PLI.
    pub fn ffmpeg() -> Self {
        Self {
            offer: offers::FFMPEG_SENDS.to_owned(),
            ..Self::obs()
        }
    }

    /// Three layers, each with RTX by repaired-rid and reports of its own.
    pub fn chromium_simulcast() -> Self {
        let layer = |rid, size, delta_packets| LayerSpec {
            rid,
            size,
            delta_packets,
        };
        Self {
            offer: offers::CHROMIUM_SIMULCAST.to_owned(),
            ..Self::chromium()
        }
        .video(|video| {
            video.gop = Duration::from_secs(1000);
            video.layers = vec![
                layer("q", (320, 180), 1),
                layer("h", (640, 360), 2),
                layer("f", (1280, 720), 5),
            ];
        })
    }

    /// One layer of a codec that has several spatial and temporal ones within; each picture of which is a frame of each.
    pub fn chromium_within(codec: &'static str, spatial: u8, temporal: u8) -> Self {
        // Three temporal layers go by the offer that has the dependency descriptor in it.
        let offer = offers::CHROMIUM_SIMULCAST
            .lines()
            .filter(|line| !line.starts_with("a=rid") && !line.starts_with("a=simulcast"))
            .map(|line| format!("{}\n", line.trim_end()));
        Self {
            offer: offer.collect(),
            ..Self::chromium()
        }
        .video(|video| {
            video.codec = codec;
            video.gop = Duration::from_secs(1000);
            video.within = (spatial, temporal);
        })
    }

    /// Three layers, the first the largest; deaf, and with reports for the first alone.
    pub fn obs_simulcast() -> Self {
        let layer = |rid, size, delta_packets| LayerSpec {
            rid,
            size,
            delta_packets,
        };
        Self {
            offer: offers::OBS_SIMULCAST.to_owned(),
            ..Self::obs()
        }
        .video(|video| {
            video.gop = Duration::from_secs(4);
            video.reports_each_layer = false;
            video.repeats_each_layer = false;
            video.layers = vec![
                layer("0", (1280, 720), 5),
                layer("1", (640, 352), 2),
                layer("2", (320, 176), 1),
            ];
        })
    }

    pub fn video(mut self, change: impl FnOnce(&mut VideoSpec)) -> Self {
        if let Some(video) = &mut self.video {
            change(video);
        }
        self
    }
}

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

struct Track {
    codec: &'static str,
    ssrc: u32,
    pt: u8,
    rtx: Option<(u8, u32)>,
    seq: u16,
    rtx_seq: u16,
    first_timestamp: u32,
    clock_rate: u64,
    next: Option<Instant>,
    /// Header, dependency descriptor and payload.
    history: VecDeque<(OutgoingHeader, Vec<u8>, Vec<u8>)>,
    packets: u32,
    layer: u8,
    spec: Option<LayerSpec>,
    /// Ids of the extensions that name the layer: on media, and on retransmissions.
    rid_ids: (Option<u8>, Option<u8>),
    /// Of the dependency descriptor, in AV1.
    descriptor_id: Option<u8>,
    numbers: (u16, u8),
    frame_number: u16,
    within: (u8, u8),
    /// Pictures since the keyframe.
    position: u32,
    stopped: bool,
    keyframe_due: Option<Instant>,
    last_keyframe: Option<Instant>,
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
            let count = if keyframe { spec.keyframe_packets } else { delta };
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

impl Track {
    fn timestamp(&self, captured: Duration) -> u32 {
        let ticks = captured.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000;
        self.first_timestamp.wrapping_add(ticks as u32)
    }

    fn packet(&mut self, label: &Label, len: usize) -> Outgoing {
        let header = OutgoingHeader {
            marker: label.index + 1 == label.count && label.spatial + 1 == self.within.0,
            pt: PayloadType(self.pt),
            seq: self.seq,
            timestamp: self.timestamp(label.captured),
            ssrc: Ssrc(self.ssrc),
        };
        let picture = Picture {
            numbers: self.numbers,
            layers: self.within,
            size: self.spec.map(|spec| spec.size),
        };
        let payload = media::payload(self.codec, label, &picture, len);
        let descriptor = self.descriptor_id.map(|id| (id, self.descriptor(label)));
        let descriptor = descriptor.as_ref().map(|(id, bytes)| (*id, &bytes[..]));
        let plain = with_elements(&header, [self.rid(self.rid_ids.0), descriptor], &payload);
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let descriptor = descriptor.map(|(_, bytes)| bytes.to_vec()).unwrap_or_default();
        self.history.push_back((header, descriptor, payload));
        self.seq = self.seq.wrapping_add(1);
        self.packets += 1;
        Outgoing {
            plain,
            rtcp: false,
            extra: Duration::ZERO,
        }
    }

    /// The first template of each spatial layer is for keyframes; then each stands for one temporal layer.
    fn descriptor(&self, label: &Label) -> Vec<u8> {
        let (spatial, temporal) = self.within;
        let targets = || (0..spatial).flat_map(move |s| (0..temporal).map(move |t| (s, t)));
        let template = |s: u8, t: u8| {
            let letter = |(target_s, target_t): (u8, u8)| match (target_s, target_t) {
                _ if target_s < s || target_t < t => '-',
                _ if target_s > s => 'R',
                _ if target_t == t && t > 0 => 'D',
                _ => 'S',
            };
            (s, t, targets().map(letter).collect::<String>())
        };
        let of_spatial = |s| std::iter::once((s, 0)).chain((0..temporal).map(move |t| (s, t)));
        let templates: Vec<(u8, u8, String)> = (0..spatial)
            .flat_map(of_spatial)
            .map(|(s, t)| template(s, t))
            .collect();
        let index = label.spatial * (temporal + 1) + u8::from(!label.keyframe) + label.temporal;
        // From another number on in each layer, as encoders do.
        let offset = 7 * (self.layer + 1);
        if label.keyframe && label.spatial == 0 && label.index == 0 {
            let templates: Vec<_> = templates.iter().map(|(s, t, all)| (*s, *t, &all[..])).collect();
            let size = self.spec.map_or((640, 360), |spec| spec.size);
            let mut bytes = with_structure(offset, self.frame_number, offset, &templates, Some(size));
            bytes[0] = bytes[0] & 0xbf | u8::from(label.count == 1) << 6;
            return bytes;
        }
        let starts = u8::from(label.index == 0) << 7;
        let ends = u8::from(label.index + 1 == label.count) << 6;
        let [high, low] = self.frame_number.to_be_bytes();
        vec![starts | ends | (offset + index) & 0x3f, high, low]
    }

    fn rid(&self, id: Option<u8>) -> Option<(u8, &'static [u8])> {
        Some((id?, self.spec?.rid.as_bytes()))
    }

    fn repeat(&mut self, seq: u16) -> Option<Outgoing> {
        let (header, descriptor, payload) = self.history.iter().rev().find(|(known, ..)| known.seq == seq)?;
        let descriptor = self.descriptor_id.map(|id| (id, &descriptor[..]));
        let plain = match self.rtx {
            Some((pt, ssrc)) => {
                let header = OutgoingHeader {
                    pt: PayloadType(pt),
                    seq: self.rtx_seq,
                    ssrc: Ssrc(ssrc),
                    ..*header
                };
                let payload = [&seq.to_be_bytes(), &payload[..]].concat();
                with_elements(&header, [self.rid(self.rid_ids.1), descriptor], &payload)
            }
            None => with_elements(header, [self.rid(self.rid_ids.0), descriptor], payload),
        };
        self.rtx_seq = self.rtx_seq.wrapping_add(1);
        Some(Outgoing {
            plain,
            rtcp: false,
            extra: Duration::ZERO,
        })
    }
}

/// An RTP packet with the extensions that name its layers.
fn with_elements(header: &OutgoingHeader, elements: [Option<(u8, &[u8])>; 2], payload: &[u8]) -> Vec<u8> {
    let mut plain = vec![0; 320];
    let elements: Vec<(u8, &[u8])> = elements.into_iter().flatten().collect();
    let len = rtp::write_header(&mut plain, header, &elements).expect("a header fits");
    plain.truncate(len);
    plain.extend(payload);
    plain
}

/// An RTP packet without extensions.
pub fn written(header: &OutgoingHeader, payload: &[u8]) -> Vec<u8> {
    let mut plain = vec![0; 12];
    rtp::write_header(&mut plain, header, &[]).expect("a plain header fits");
    plain.extend(payload);
    plain
}
