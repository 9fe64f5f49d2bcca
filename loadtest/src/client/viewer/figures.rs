//! What a viewer measured.

use std::time::Instant;

use hdrhistogram::Histogram;

use super::Viewer;
use super::line::Teller;
use crate::client::behaviour::Kind;
use crate::client::link::LinkStats;
use crate::client::offer::Feedback;
use crate::client::peer::PeerState;
use crate::client::srtp::Profile;
use crate::client::track::TrackStats;

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

impl Viewer {
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

    /// A switch is seen at the newest packet: those that come late may be of the layer before.
    pub(super) fn note_layer(&mut self, layer: u8, number: u64) {
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
}

/// A latency histogram from 1 µs to a minute.
pub fn new_histogram<T: hdrhistogram::Counter>(digits: u8) -> Histogram<T> {
    const MINUTE: u64 = 60_000_000;
    // Only impossible bounds fail, and these are constants.
    Histogram::new_with_bounds(1, MINUTE, digits).expect("constant bounds are valid")
}
