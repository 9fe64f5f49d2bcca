//! What publishers are like.

use std::time::Duration;

use crate::core::sim::offers;

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
    pub keyframe_packets: u16,
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
            keyframe_packets: 12,
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
            keyframe_packets: 12,
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
