//! What goes out to a viewer over time rather than at once: bursts that wait for their turn, run-ups, probes; and how
//! much of it, by the estimate.

use std::time::{Duration, Instant};

use super::viewer::Viewer;
use super::wire::Wire;
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
            .room(&mut self.transport.estimator, hub, explorable, now);
        let pace = self.adaptation.run_up_pace(room);
        let advice = track.adapt(&hub.video, room, pace, now);
        self.adaptation
            .set_pace(&mut self.transport.pacer, room, track.is_thin());
        if let Some(wanted) = advice.wanted.filter(|_| explorable) {
            let bytes = self.counters.bytes;
            self.adaptation
                .explore(&mut self.transport.estimator, wanted, bytes, now);
        }
        (track.wanted(), track.is_waiting()) != before
    }

    /// Something is to be sent over time, by [`run_up`](Self::run_up).
    pub fn is_paced(&self) -> bool {
        let running_up = self.video.as_ref().is_some_and(|track| track.is_running_up());
        running_up || self.transport.pacer.is_busy() || self.adaptation.probe.is_some()
    }

    /// Sends what waits, then stored packets, then what a probe lacks: as far as the pace, the socket and `bytes`
    /// allow. What is left of `bytes`.
    pub fn run_up(&mut self, hub: &Hub, bytes: usize, now: Instant, out: &mut impl Outbox) -> usize {
        self.transport.pacer.refill(now);
        let bytes = self.send_waiting(hub, bytes, now, out);
        let bytes = self.send_stored(hub, bytes, now, out);
        self.send_probe(hub, bytes, now, out)
    }

    fn send_waiting(&mut self, hub: &Hub, mut bytes: usize, now: Instant, out: &mut impl Outbox) -> usize {
        let lane = &hub.video;
        let Some(track) = &mut self.video else {
            return bytes;
        };
        while bytes > 0
            && !out.is_congested()
            && let Some(waiting) = self.transport.pacer.pop()
        {
            let (Some(key), Some(layer)) = (lane.key(waiting.layer), lane.layer(waiting.layer)) else {
                continue;
            };
            let Some(packet) = layer.buffer.get(waiting.seq) else {
                continue;
            };
            let Some(placed) = track.forward(lane, key, packet, now) else {
                continue;
            };
            bytes = bytes.saturating_sub(packet.payload.len());
            let mut wire = Wire {
                path: &self.path,
                sender: &mut self.sender,
                counters: &mut self.counters,
                transport: &mut self.transport,
                playout: &mut self.playout,
            };
            wire.send(track, packet, placed, None, now, out);
        }
        bytes
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
            let mut wire = Wire {
                path: &self.path,
                sender: &mut self.sender,
                counters: &mut self.counters,
                transport: &mut self.transport,
                playout: &mut self.playout,
            };
            wire.send(track, packet, placed, None, now, out);
        }
        bytes
    }

    /// A probe is media as far as there is any, then repetitions of what was sent lately, then padding.
    fn send_probe(&mut self, hub: &Hub, mut bytes: usize, now: Instant, out: &mut impl Outbox) -> usize {
        let Some(mut probe) = self.adaptation.probe else {
            return bytes;
        };
        let Some(track) = &mut self.video else {
            return bytes;
        };
        while let Some(left) = self.transport.estimator.probing() {
            let elapsed = now.saturating_duration_since(probe.began) + STEP;
            let due = left.bitrate.0 as f64 / 8.0 * elapsed.as_secs_f64();
            let sent = self.counters.bytes.saturating_sub(probe.from);
            if sent as f64 >= due || bytes == 0 || out.is_congested() {
                self.adaptation.probe = Some(probe);
                return bytes;
            }
            let mut wire = Wire {
                path: &self.path,
                sender: &mut self.sender,
                counters: &mut self.counters,
                transport: &mut self.transport,
                playout: &mut self.playout,
            };
            let before = wire.counters.bytes;
            let back = probe.back % REPEATED;
            probe.back = probe.back.wrapping_add(1);
            match track.recent(&hub.video, back) {
                Some((packet, placed)) if packet.payload.len() >= WORTH => {
                    wire.send_again(track, packet, placed, now, out);
                }
                _ => {
                    if wire.padding(track, now, out).is_none() {
                        break;
                    }
                }
            }
            let cost = self.counters.bytes - before;
            self.counters.probed += cost;
            bytes = bytes.saturating_sub(cost as usize);
        }
        self.adaptation.probe = None;
        bytes
    }
}
