//! Less than what plays, for there is no room: nothing until the next layer's keyframe, or single keyframes.

use std::time::{Duration, Instant};

use super::{EgressTrack, Phase};
use crate::core::egress::adaptation::{KEYFRAME_TIME, RunUpPace};
use crate::core::egress::selector::{Advice, Room};
use crate::core::ids::Bitrate;
use crate::core::route::{Lane, MediaPacket, SourceKey};

/// A viewer that gets single keyframes has the publisher asked for one at most this often: they cost all who watch, ...
const SINGLE_KEYFRAMES: Duration = Duration::from_secs(4);
/// ... and no more often than that there is as much time again before the next.
const SINGLE_KEYFRAME_SHARE: f64 = 1.5;

impl EgressTrack {
    /// Takes in what there is room for ([`super::super::selector::LayerSelector::adapt`]), and how fast a run-up may be.
    pub fn adapt(
        &mut self,
        lane: &Lane,
        room: Option<Room>,
        pace: Option<RunUpPace>,
        now: Instant,
    ) -> Advice {
        let advice = self.selector.adapt(lane, room, now);
        self.pace = pace;
        self.queueing = room.is_some_and(|room| room.measured && room.queueing);
        self.room = room.map_or(Bitrate(0), |room| room.video);
        let playing = self.key.map(|key| key.layer);
        self.held |= advice.hold;
        if self.held && playing == self.selector.target() && !self.selector.is_paused() {
            self.wait(now);
        }
        match (self.thin, self.selector.is_paused()) {
            (None, true) => self.thin = Some(None),
            // What follows the last keyframe was not sent.
            (Some(_), false) => {
                self.thin = None;
                self.wait(now);
            }
            _ => {}
        }
        advice
    }

    /// Goes on with the next keyframe there is, whichever it is.
    fn wait(&mut self, now: Instant) {
        self.held = false;
        if self.key.is_some() {
            self.phase = Phase::Waiting { since: now };
        }
    }

    /// Nothing of what plays is sent until the next layer's keyframe.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Only keyframes are sent.
    pub fn is_thin(&self) -> bool {
        self.thin.is_some()
    }

    /// Single keyframes are all that is sent, and there is room for another by now.
    pub(super) fn lacks_single_keyframe(&self, lane: &Lane, layer: u8, now: Instant) -> bool {
        let bits = lane
            .layer(layer)
            .map_or(0.0, |layer| f64::from(layer.keyframe_bytes()) * 8.0);
        let takes = bits / (self.room.0 as f64).max(1.0);
        if takes > KEYFRAME_TIME.as_secs_f64() {
            return false;
        }
        let after = Duration::from_secs_f64(takes * SINGLE_KEYFRAME_SHARE).max(SINGLE_KEYFRAMES);
        self.started
            .is_none_or(|at| now.saturating_duration_since(at) >= after)
    }

    /// Of the wanted layer's keyframes, those that there is room for, and nothing else.
    pub(super) fn forward_thin(
        &mut self,
        lane: &Lane,
        key: SourceKey,
        packet: &MediaPacket,
        now: Instant,
    ) -> Option<()> {
        if self.key == Some(key) && self.thin == Some(Some(packet.timestamp)) {
            return Some(());
        }
        if !self.wants(key) || !self.may_begin(packet) {
            return None;
        }
        let buffer = &lane.layer(key.layer)?.buffer;
        // One that waited until the next was there is not worth its time any more.
        if buffer.anchor().is_some_and(|anchor| anchor.seq > packet.seq) {
            return None;
        }
        let of_it = buffer
            .since(packet.seq)
            .take_while(|other| other.timestamp == packet.timestamp);
        let bits = of_it.map(|other| other.payload.len()).sum::<usize>() as f64 * 8.0;
        if bits > self.room.0 as f64 * KEYFRAME_TIME.as_secs_f64() {
            return None;
        }
        self.begin(lane, key, packet, now)?;
        self.thin = Some(Some(packet.timestamp));
        Some(())
    }
}
