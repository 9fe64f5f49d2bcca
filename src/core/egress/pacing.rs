//! What goes out to a viewer over time rather than at once: bursts that wait for their turn, run-ups, probes; and how
//! much of it, by the estimate.

use std::time::{Duration, Instant};

use super::pacer::Waiting;
use super::viewer::Viewer;
use crate::core::ids::Bitrate;
use crate::core::machine::Outbox;
use crate::core::route::Hub;

/// A probe is sent in steps as long as this, which is the engine's pace.
const STEP: Duration = Duration::from_millis(4);
/// Packets smaller than this are not worth repeating in a probe.
const WORTH: usize = 300;
/// The latest packets are repeated in turn.
const REPEATED: u16 = 64;

impl Viewer {
    /// Looks at the estimate, if it is time: the layer, the pace and probes follow it. True when something else is to
    /// be sent from now on, so that it should be [started](Self::try_start).
    pub fn adapt(&mut self, hub: &Hub, now: Instant) -> bool {
        if !self.adaptation.is_due(now) {
            return false;
        }
        let Some(track) = &mut self.video else {
            return false;
        };
        let before = (track.wanted(), track.is_waiting());
        let explorable = track.repeats_on().is_some();
        let room = self
            .adaptation
            .room(&mut self.wire.transport.estimator, hub, explorable, now);
        let pace = self.adaptation.run_up_pace(room, now);
        let advice = track.adapt(&hub.video, room, pace, now);
        self.adaptation
            .set_pace(&mut self.wire.transport.pacer, room, track.is_thin(), now);
        let more = |wanted: &Bitrate| room.is_some_and(|room| room.video < *wanted);
        let wanted = advice.wanted.or(track.deferred().filter(more));
        let calm = track.is_calm(&hub.video, now) && !self.wire.transport.pacer.is_busy();
        if let Some(wanted) = wanted.filter(|_| explorable && calm) {
            let bytes = self.wire.counters.bytes;
            self.adaptation
                .explore(&mut self.wire.transport.estimator, wanted, bytes, now);
        }
        (track.wanted(), track.is_waiting()) != before
    }

    /// Something is to be sent over time, by [`run_up`](Self::run_up).
    pub fn is_paced(&self) -> bool {
        let running_up = self.video.as_ref().is_some_and(|track| track.is_running_up());
        running_up || self.wire.transport.pacer.is_busy() || self.adaptation.probe.is_some()
    }

    /// Sends what waits, then stored packets, then what a probe lacks: as far as the pace, the socket and `bytes`
    /// allow. What is left of `bytes`.
    pub fn run_up(&mut self, hub: &Hub, bytes: usize, now: Instant, out: &mut impl Outbox) -> usize {
        self.wire.transport.pacer.refill(now);
        // What was lost goes first.
        if self.has_nacks() {
            return bytes;
        }
        let bytes = self.send_waiting(hub, bytes, now, out);
        let bytes = self.send_stored(hub, bytes, now, out);
        self.send_probe(hub, bytes, now, out)
    }

    fn send_waiting(&mut self, hub: &Hub, mut bytes: usize, now: Instant, out: &mut impl Outbox) -> usize {
        while bytes > 0
            && !out.is_congested()
            && let Some(waiting) = self.wire.transport.pacer.pop()
        {
            bytes = bytes.saturating_sub(self.send_waited(hub, waiting, now, out));
        }
        bytes
    }

    /// Sends a packet that waited, if it still is to be sent; its bytes.
    fn send_waited(&mut self, hub: &Hub, waiting: Waiting, now: Instant, out: &mut impl Outbox) -> usize {
        let lane = &hub.video;
        let mut found = || {
            let track = self.video.as_mut()?;
            let key = waiting.key;
            let layer = lane.layer(key.layer).filter(|layer| layer.epoch == key.epoch)?;
            let packet = layer.buffer.get(waiting.seq)?;
            let placed = track.forward(lane, key, packet, now)?;
            self.wire.send(track, packet, placed, None, now, out);
            Some(packet.payload.len())
        };
        found().unwrap_or(0)
    }

    /// Stored packets of a run-up.
    fn send_stored(&mut self, hub: &Hub, mut bytes: usize, now: Instant, out: &mut impl Outbox) -> usize {
        let Some(track) = &mut self.video else {
            return bytes;
        };
        while bytes > 0
            && !out.is_congested()
            && let Some((packet, placed)) = track.next_stored(&hub.video, now)
        {
            bytes = bytes.saturating_sub(packet.payload.len());
            self.wire.send(track, packet, placed, None, now, out);
        }
        bytes
    }

    /// A probe is media as far as there is any, then repetitions of what was sent lately, then padding.
    fn send_probe(&mut self, hub: &Hub, mut bytes: usize, now: Instant, out: &mut impl Outbox) -> usize {
        let Some(mut probe) = self.adaptation.probe else {
            return bytes;
        };
        while let Some(left) = self.wire.transport.estimator.probing() {
            let elapsed = now.saturating_duration_since(probe.began) + STEP;
            let due = left.bitrate.0 as f64 / 8.0 * elapsed.as_secs_f64();
            let sent = self.wire.counters.bytes.saturating_sub(probe.from);
            if sent as f64 >= due || bytes == 0 || out.is_congested() {
                self.adaptation.probe = Some(probe);
                return bytes;
            }
            // What waits for its turn shows as much.
            if let Some(waiting) = self.wire.transport.pacer.pop_early() {
                bytes = bytes.saturating_sub(self.send_waited(hub, waiting, now, out));
                continue;
            }
            let Some(track) = &mut self.video else {
                break;
            };
            let before = self.wire.counters.bytes;
            let back = probe.back % REPEATED;
            probe.back = probe.back.wrapping_add(1);
            match track.recent(&hub.video, back) {
                Some((packet, placed)) if packet.payload.len() >= WORTH => {
                    self.wire.send_again(track, packet, placed, now, out);
                }
                _ => {
                    if self.wire.padding(track, now, out).is_none() {
                        break;
                    }
                }
            }
            let cost = self.wire.counters.bytes - before;
            self.wire.counters.probed += cost;
            bytes = bytes.saturating_sub(cost as usize);
        }
        self.adaptation.probe = None;
        bytes
    }
}
