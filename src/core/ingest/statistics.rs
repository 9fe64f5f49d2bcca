//! What a publisher came to, once a second.

use std::time::Instant;

use super::Publisher;
use super::doctor::Chart;
use crate::core::media::MediaKind;
use crate::core::statistics::{LayerReport, Pace, PublisherReport};

impl Publisher {
    /// When its first packet and its first keyframe came.
    pub fn firsts(&self) -> (Option<Instant>, Option<Instant>) {
        (self.first_packet, self.first_keyframe)
    }

    /// Totals, and rates since the last call; `since` is when the session's first check came.
    pub fn report(&mut self, now: Instant, since: Instant) -> PublisherReport {
        let mut layers = Vec::with_capacity(self.layers.len());
        let (mut lost, mut expected, mut missing) = (0, 0, 0);
        let mut keys: Vec<_> = self.layers.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            let (Some(track), Some(layer)) = (self.media.tracks.get(key.0), self.layers.get_mut(&key)) else {
                continue;
            };
            let measured = layer.meter.measure(now);
            lost += measured.lost;
            expected += measured.expected;
            missing += measured.missing;
            let report = LayerReport {
                kind: track.kind,
                rid: layer.rid.clone(),
                codec: layer.codec,
                size: layer.size.filter(|_| track.kind == MediaKind::Video),
                top: layer.top,
                packets: measured.packets,
                bytes: measured.bytes,
                lost: measured.lost,
                bitrate: measured.bitrate,
                rate: measured.rate,
                keyframe_interval: layer.meter.keyframe_interval(),
                keyframe_age: layer.meter.keyframe_age(now),
            };
            layers.push((key, report));
        }
        let chart = Chart {
            media: &self.media,
            layers: &layers,
            expected,
            missing,
            answers_pli: self.answers_pli(),
        };
        let findings = self.doctor.examine(now, since, &chart);
        let bytes = self.counters.bytes;
        let begun = self.first_packet.unwrap_or(now);
        let bitrate = self
            .pace
            .get_or_insert_with(|| Pace::new(begun))
            .bitrate(bytes, now);
        PublisherReport {
            packets: self.counters.packets,
            bytes,
            bitrate,
            retransmitted: self.counters.retransmitted,
            unknown: self.counters.unknown,
            lost,
            loss: if expected > 0 {
                missing as f32 / expected as f32
            } else {
                0.0
            },
            nacked: self.reception.nacked(),
            keyframe_requests: self.counters.keyframe_requests,
            answers_pli: self.answers_pli(),
            rtt: self.reception.round_trip(),
            layers: layers.into_iter().map(|(_, layer)| layer).collect(),
            findings,
        }
    }
}
