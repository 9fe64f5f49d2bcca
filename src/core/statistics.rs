//! What a worker tells the control plane about its sessions: once a second, all of them in one message.
//!
//! Totals count from the session's first packet; rates are of the time since the report before.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::ids::{Bitrate, Rid, SessionId};
use super::media::{Codec, MediaKind};
use super::peer::SrtpProfile;

/// How often a worker reports.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// One worker's sessions, and what it dropped before a packet reached one.
#[derive(Clone, Debug, Default)]
pub struct WorkerReport {
    pub sessions: HashMap<SessionId, SessionReport>,
    /// Payload bytes kept for retransmission and instant start.
    pub stored_bytes: usize,
    /// Datagrams from addresses that no session is known at.
    pub unknown_address: u64,
    /// Checks that fit no session.
    pub unknown_check: u64,
}

#[derive(Clone, Debug)]
pub struct SessionReport {
    /// Where media goes.
    pub remote: Option<SocketAddr>,
    pub srtp: Option<SrtpProfile>,
    /// Since the session's first check: its first packet of media, in or out.
    pub first_packet: Option<Duration>,
    /// The first keyframe, likewise.
    pub first_keyframe: Option<Duration>,
    pub media: MediaReport,
}

#[derive(Clone, Debug)]
pub enum MediaReport {
    /// ICE and DTLS are not up.
    Connecting,
    Publisher(PublisherReport),
    Viewer(ViewerReport),
}

#[derive(Clone, Debug, Default)]
pub struct PublisherReport {
    pub packets: u64,
    pub bytes: u64,
    pub bitrate: Bitrate,
    /// Packets that came as retransmissions.
    pub retransmitted: u64,
    /// Packets of no negotiated track.
    pub unknown: u64,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Share of packets lost on the way here before anything was sent again, 0 to 1.
    pub loss: f32,
    /// Sequence numbers it was asked to send again.
    pub nacked: u64,
    pub keyframe_requests: u64,
    /// Whether it sends keyframes when asked; `None`: not known yet.
    pub answers_pli: Option<bool>,
    pub rtt: Option<Duration>,
    /// Those that sent at least one packet, audio too.
    pub layers: Vec<LayerReport>,
    /// What the doctor found, in the order of its finding.
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug)]
pub struct LayerReport {
    pub kind: MediaKind,
    /// `None` without simulcast.
    pub rid: Option<Rid>,
    pub codec: Codec,
    /// Width and height.
    pub size: Option<(u16, u16)>,
    /// The highest spatial and temporal layers within it, counted from 0.
    pub top: (u8, u8),
    pub packets: u64,
    pub bytes: u64,
    pub lost: u64,
    pub bitrate: Bitrate,
    /// Pictures per second, or audio packets.
    pub rate: f32,
    /// Between the latest two keyframes.
    pub keyframe_interval: Option<Duration>,
    /// Since the latest keyframe.
    pub keyframe_age: Option<Duration>,
}

#[derive(Clone, Debug, Default)]
pub struct ViewerReport {
    pub packets: u64,
    pub bytes: u64,
    pub bitrate: Bitrate,
    /// Packets lost on the way to the viewer, by its receiver reports; what was sent again in time counts as lost too.
    pub lost: u64,
    /// Share lost by the latest receiver report, 0 to 1.
    pub loss: Option<f32>,
    pub jitter: Option<Duration>,
    pub rtt: Option<Duration>,
    /// Sequence numbers it asked for again.
    pub nacked: u64,
    pub retransmitted: u64,
    pub keyframe_requests: u64,
    /// What its link carries.
    pub estimate: Option<Bitrate>,
    /// The layer it gets.
    pub layer: Option<LayerName>,
    /// The layer it is to get: another one than `layer` while it waits for that one's keyframe.
    pub target: Option<LayerName>,
    /// Its link carries not even the smallest picture: it gets sound alone.
    pub video_paused: bool,
    /// How old its picture is; `None` until it plays and a round trip is known.
    pub latency: Option<Latency>,
}

/// How old a viewer's picture is when its player may show it. What the player adds beyond what it is told to wait, to
/// decode and to show, it alone knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    pub delay: Duration,
    /// It counts from capture, by the publisher's capture times; otherwise from arrival here, so that the way from the
    /// publisher is missing.
    pub exact: bool,
}

/// What the doctor found out about a publisher.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub code: FindingCode,
    /// The layer it is about; `None`: the whole, or there is but one.
    pub layer: Option<Rid>,
    /// What was seen and what to do, in a sentence or two for the one who publishes.
    pub advice: String,
    /// Since the session's first check.
    pub first_seen: Duration,
    pub last_seen: Duration,
    /// It was so in the latest second that could tell.
    pub active: bool,
}

/// How much a finding harms those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Some viewers see or hear it.
    Warning,
    /// Browsers do not play it, or not well.
    Error,
}

/// What can be wrong with a publisher. The names are stable: programs rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingCode {
    /// Pictures come in another order than they are shown.
    BFrames,
    KeyframeInterval,
    /// An H.264 keyframe without SPS and PPS.
    MissingParameterSets,
    /// An H.264 profile that browsers do not play.
    Profile,
    NoAudio,
    MonoAudio,
    /// Sound of the bandwidth of a telephone.
    NarrowAudio,
    UplinkLoss,
    BitrateSwings,
    /// An offered layer that never sent anything, or stopped.
    MissingLayer,
    ClockJump,
}

impl FindingCode {
    pub const ALL: [Self; 11] = [
        Self::BFrames,
        Self::KeyframeInterval,
        Self::MissingParameterSets,
        Self::Profile,
        Self::NoAudio,
        Self::MonoAudio,
        Self::NarrowAudio,
        Self::UplinkLoss,
        Self::BitrateSwings,
        Self::MissingLayer,
        Self::ClockJump,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::BFrames => "b-frames",
            Self::KeyframeInterval => "keyframe-interval",
            Self::MissingParameterSets => "missing-parameter-sets",
            Self::Profile => "unplayable-profile",
            Self::NoAudio => "no-audio",
            Self::MonoAudio => "mono-audio",
            Self::NarrowAudio => "narrow-audio",
            Self::UplinkLoss => "uplink-loss",
            Self::BitrateSwings => "bitrate-swings",
            Self::MissingLayer => "missing-layer",
            Self::ClockJump => "clock-jump",
        }
    }

    pub fn severity(self) -> Severity {
        match self {
            Self::BFrames | Self::MissingParameterSets | Self::Profile => Severity::Error,
            Self::KeyframeInterval | Self::UplinkLoss | Self::MissingLayer | Self::ClockJump => {
                Severity::Warning
            }
            Self::NoAudio | Self::MonoAudio | Self::NarrowAudio | Self::BitrateSwings => Severity::Info,
        }
    }
}

/// A layer as viewers and operators call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerName {
    /// The layer's place in the publisher's offer.
    pub index: u8,
    /// `None` without simulcast.
    pub rid: Option<Rid>,
    pub size: Option<(u16, u16)>,
}

/// A total, and how fast it grew since it was last asked.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    total: u64,
    at: Instant,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self { total: 0, at: now }
    }

    /// Growth per second since the last call.
    pub fn per_second(&mut self, total: u64, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        let grown = total.saturating_sub(self.total);
        *self = Self { total, at: now };
        if elapsed > 0.0 {
            grown as f64 / elapsed
        } else {
            0.0
        }
    }

    /// The same of bytes, as bits.
    pub fn bitrate(&mut self, bytes: u64, now: Instant) -> Bitrate {
        Bitrate((self.per_second(bytes, now) * 8.0) as u64)
    }
}
