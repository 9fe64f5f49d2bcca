//! A publisher: an encoder's rhythm, sender reports, and answers to what the server asks, as its kind of client
//! gives them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::media::{self, Label};
use super::offers::{self, Offered};
use crate::core::ids::{PayloadType, Ssrc};
use crate::core::media::MediaKind;
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
    video: Option<Track>,
    audio: Option<Track>,
    next_report: Option<Instant>,
    keyframe_due: Option<Instant>,
    last_keyframe: Option<Instant>,
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
    history: VecDeque<(u16, Vec<u8>)>,
    packets: u32,
}

impl Publisher {
    /// `ssrc`s are those of the adapted offer.
    pub fn new(spec: PublisherSpec, offered: &Offered, source: u16, start: Instant) -> Self {
        let track = |codec: &'static str, kind| {
            let format = offered.format(codec).expect("the codec is in the offer");
            // GStreamer announces none.
            let (ssrc, rtx_ssrc) = offered.ssrc(kind).unwrap_or((900 + kind as u32, None));
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
                first_timestamp: 0xffff_0000u32.wrapping_mul(u32::from(source) + 1),
                clock_rate: if kind == MediaKind::Video { 90_000 } else { 48_000 },
                next: None,
                history: VecDeque::new(),
                packets: 0,
            }
        };
        Self {
            source,
            asked: Vec::new(),
            nacked: 0,
            sent: Vec::new(),
            paused: false,
            inject: Vec::new(),
            start,
            video: spec
                .video
                .as_ref()
                .map(|video| track(video.codec, MediaKind::Video)),
            audio: spec.audio.then(|| track("OPUS", MediaKind::Audio)),
            next_report: None,
            keyframe_due: None,
            last_keyframe: None,
            frame: 0,
            audio_frame: 0,
            spec,
        }
    }

    /// Media begins now.
    pub fn begin(&mut self, now: Instant) {
        for track in [&mut self.video, &mut self.audio].into_iter().flatten() {
            track.next = Some(now);
        }
        self.next_report = Some(now + Duration::from_millis(300));
        self.keyframe_due = Some(now);
    }

    pub fn has_begun(&self) -> bool {
        self.next_report.is_some()
    }

    pub fn ssrc(&self, kind: MediaKind) -> Option<u32> {
        let track = if kind == MediaKind::Video {
            &self.video
        } else {
            &self.audio
        };
        track.as_ref().map(|track| track.ssrc)
    }

    pub fn pt(&self, kind: MediaKind) -> Option<u8> {
        let track = if kind == MediaKind::Video {
            &self.video
        } else {
            &self.audio
        };
        track.as_ref().map(|track| track.pt)
    }

    /// Goes on with another codec of the same offer, from a keyframe on.
    pub fn change_codec(&mut self, codec: &'static str, offered: &Offered) {
        if let (Some(track), Some(format)) = (&mut self.video, offered.format(codec)) {
            track.codec = codec;
            track.pt = format.pt;
            track.rtx = offered.rtx_of(format.pt).zip(track.rtx.map(|(_, ssrc)| ssrc));
            self.keyframe_due = Some(self.start);
        }
    }

    /// The video's numbers go on from elsewhere, as those of a restarted encoder.
    pub fn jump(&mut self, seq: u16, timestamp: u32) {
        if let Some(track) = &mut self.video {
            track.seq = track.seq.wrapping_add(seq);
            track.first_timestamp = track.first_timestamp.wrapping_add(timestamp);
            self.keyframe_due = Some(self.start);
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let times = [
            self.video.as_ref().and_then(|track| track.next),
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
        while self
            .video
            .as_ref()
            .and_then(|track| track.next)
            .is_some_and(|at| at <= now)
        {
            self.video_frame(now, out);
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
                Rtcp::Pli { media } | Rtcp::Fir { media, .. }
                    if self.ssrc(MediaKind::Video) == Some(media.0) =>
                {
                    self.asked.push(now);
                    if let Some(after) = self.spec.answers_pli {
                        self.keyframe_due.get_or_insert(now + after);
                    }
                }
                Rtcp::Nack { media, pid, blp } => {
                    for seq in rtp::lost(pid, blp) {
                        self.nacked += 1;
                        for track in [&mut self.video, &mut self.audio].into_iter().flatten() {
                            if track.ssrc == media.0 {
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
            frame,
            index: 0,
            count: 1,
            keyframe: false,
            captured,
        };
        self.sent.push((now, label, MediaKind::Audio));
        out.push(track.packet(&label, 80));
    }

    fn video_frame(&mut self, now: Instant, out: &mut Vec<Outgoing>) {
        let (Some(track), Some(spec)) = (&mut self.video, &self.spec.video) else {
            return;
        };
        track.next = track.next.map(|at| at + Duration::from_secs(1) / spec.fps);
        if self.paused {
            return;
        }
        let due = self.keyframe_due.is_some_and(|at| at <= now)
            || self.last_keyframe.is_some_and(|at| now - at >= spec.gop);
        if due {
            self.keyframe_due = None;
            self.last_keyframe = Some(now);
        }
        let count = if due {
            spec.keyframe_packets
        } else {
            spec.delta_packets
        };
        for index in 0..count {
            let (source, frame, captured) = (self.source, self.frame, now - self.start);
            let label = Label {
                source,
                frame,
                index,
                count,
                keyframe: due,
                captured,
            };
            self.sent.push((now, label, MediaKind::Video));
            out.push(track.packet(&label, spec.packet_len));
        }
        self.frame += 1;
    }

    fn reports(&mut self, now: Instant, epoch: &Epoch, out: &mut Vec<Outgoing>) {
        let delays = self.spec.report_delays;
        for (track, extra) in [&self.audio, &self.video].into_iter().zip(delays) {
            let Some(track) = track else { continue };
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
            marker: label.index + 1 == label.count,
            pt: PayloadType(self.pt),
            seq: self.seq,
            timestamp: self.timestamp(label.captured),
            ssrc: Ssrc(self.ssrc),
        };
        let plain = written(&header, &media::payload(self.codec, label, len));
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((self.seq, plain.clone()));
        self.seq = self.seq.wrapping_add(1);
        self.packets += 1;
        Outgoing {
            plain,
            rtcp: false,
            extra: Duration::ZERO,
        }
    }

    fn repeat(&mut self, seq: u16) -> Option<Outgoing> {
        let (_, original) = self.history.iter().rev().find(|(known, _)| *known == seq)?;
        let mut plain = original.clone();
        if let Some((pt, ssrc)) = self.rtx {
            plain[1] = (plain[1] & 0x80) | pt;
            plain[2..4].copy_from_slice(&self.rtx_seq.to_be_bytes());
            plain[8..12].copy_from_slice(&ssrc.to_be_bytes());
            plain.splice(12..12, seq.to_be_bytes());
            self.rtx_seq = self.rtx_seq.wrapping_add(1);
        }
        Some(Outgoing {
            plain,
            rtcp: false,
            extra: Duration::ZERO,
        })
    }
}

/// An RTP packet without extensions.
pub fn written(header: &OutgoingHeader, payload: &[u8]) -> Vec<u8> {
    let mut plain = vec![0; 12];
    rtp::write_header(&mut plain, header, &[]).expect("a plain header fits");
    plain.extend(payload);
    plain
}
