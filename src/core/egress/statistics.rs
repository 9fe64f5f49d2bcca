//! What a viewer came to, once a second, and what it says of its line.

use std::time::{Duration, Instant};

use super::{EgressTrack, Viewer};
use crate::core::bwe::Source;
use crate::core::ids::{Bitrate, Ssrc};
use crate::core::media::MediaKind;
use crate::core::route::{Hub, Lane};
use crate::core::rtp::rtcp::ReportBlock;
use crate::core::statistics::{LayerName, ViewerReport};
use crate::core::time::{Epoch, Ntp};

/// The latest receiver reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    audio: Line,
    video: Line,
    pub rtt: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    lost: u64,
    loss: Option<f32>,
    jitter: Option<Duration>,
}

impl Heard {
    /// `now` by the clock of our sender reports.
    pub fn block(&mut self, kind: MediaKind, block: &ReportBlock, now: Ntp) {
        let (line, clock_rate) = match kind {
            MediaKind::Audio => (&mut self.audio, 48_000.0),
            MediaKind::Video => (&mut self.video, 90_000.0),
        };
        line.lost = u64::try_from(block.cumulative_lost).unwrap_or(0);
        line.loss = Some(f32::from(block.fraction_lost) / 256.0);
        line.jitter = Duration::try_from_secs_f64(f64::from(block.jitter) / clock_rate).ok();
        self.rtt = block.round_trip(now).or(self.rtt);
    }
}

impl Viewer {
    /// When its first packet and its first keyframe were sent.
    pub fn firsts(&self) -> (Option<Instant>, Option<Instant>) {
        let of = |track: &Option<EgressTrack>| track.as_ref().and_then(EgressTrack::first_started);
        let (audio, video) = (of(&self.audio), of(&self.video));
        ([audio, video].into_iter().flatten().min(), video)
    }

    /// Totals, and rates since the last call.
    pub fn statistics(&mut self, hub: &Hub, epoch: &Epoch, now: Instant) -> ViewerReport {
        let counters = self.counters();
        let Heard { audio, video, rtt } = self.heard;
        let track = self.video.as_ref();
        let playing = track.and_then(EgressTrack::key).map(|key| key.layer);
        let target = track.and_then(EgressTrack::wanted_layer);
        let name = |index| layer_name(&hub.video, index);
        ViewerReport {
            packets: counters.packets,
            bytes: counters.bytes,
            bitrate: self.pace.bitrate(counters.bytes, now),
            lost: audio.lost + video.lost,
            loss: video.loss.or(audio.loss),
            jitter: video.jitter.or(audio.jitter),
            rtt,
            nacked: counters.nacked,
            retransmitted: counters.retransmitted,
            keyframe_requests: counters.keyframe_requests,
            estimate: self.estimate(),
            layer: playing.and_then(name),
            target: target.and_then(name),
            video_paused: track.is_some_and(EgressTrack::is_thin),
            latency: playing.and_then(|_| self.delays(hub, epoch).latency()),
        }
    }

    /// The layer it gets and whether its picture stands back, if that changed since the last call.
    pub fn news(&mut self, hub: &Hub) -> Option<(Option<LayerName>, bool)> {
        let track = self.video.as_ref()?;
        let state = (track.key(), track.is_thin());
        if self.told == state {
            return None;
        }
        self.told = state;
        let layer = track.key().and_then(|key| layer_name(&hub.video, key.layer));
        Some((layer, track.is_thin()))
    }

    /// What the viewer's link carries, where it says more of it than losses.
    fn estimate(&self) -> Option<Bitrate> {
        let estimate = self.wire.transport.estimator.estimate();
        matches!(estimate.source, Source::TransportCc | Source::Remb).then_some(estimate.bitrate)
    }

    pub(super) fn kind_of(&self, ssrc: Ssrc) -> Option<MediaKind> {
        let is = |track: &Option<EgressTrack>| track.as_ref().is_some_and(|track| track.spec.ssrc == ssrc);
        if is(&self.video) {
            Some(MediaKind::Video)
        } else if is(&self.audio) {
            Some(MediaKind::Audio)
        } else {
            None
        }
    }
}

fn layer_name(lane: &Lane, index: u8) -> Option<LayerName> {
    let layer = lane.layer(index)?;
    Some(LayerName {
        index,
        rid: layer.rid.clone(),
        size: layer.size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lsr: u32, dlsr: u32) -> ReportBlock {
        ReportBlock {
            ssrc: Ssrc(1),
            fraction_lost: 64,
            cumulative_lost: -3,
            highest_seq: 0,
            jitter: 900,
            lsr,
            dlsr,
        }
    }

    #[test]
    fn the_latest_report_counts() {
        let mut heard = Heard::default();
        let sent = Ntp(1_000 << 32);
        // Reported 250 ms after our report came, which was 0.5 s before now.
        let now = Ntp((1_000 << 32) + (1 << 31));
        heard.block(MediaKind::Video, &block(sent.middle(), 16_384), now);
        assert_eq!(heard.rtt, Some(Duration::from_millis(250)));
        assert_eq!((heard.video.loss, heard.video.lost), (Some(0.25), 0));
        assert_eq!(heard.video.jitter, Some(Duration::from_millis(10)));
    }
}
