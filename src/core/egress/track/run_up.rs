//! Stored packets up to live.

use std::time::{Duration, Instant};

use super::{EgressTrack, Phase, awaits_head};
use crate::core::egress::adaptation::RunUpPace;
use crate::core::egress::rewriter::{Join, Placed};
use crate::core::egress::transport::PACKET_OVERHEAD;
use crate::core::ids::SeqNo;
use crate::core::route::{Lane, MediaPacket, SourceKey};

/// What a run-up sends at once, before the pace counts: the keyframe itself, in most streams.
const FIRST_BYTES: f64 = 96_000.0;
/// Where what the way carries is known, it is so much of it, but a few packets at least.
const FIRST_TIME: Duration = Duration::from_millis(50);
const FEWEST_BYTES: f64 = 6_000.0;

/// The pace of a run-up.
#[derive(Clone, Copy, Debug)]
pub struct RunUpLimits {
    /// Bits per second while stored packets are sent.
    pub rate: u64,
}

impl Default for RunUpLimits {
    fn default() -> Self {
        Self { rate: 20_000_000 }
    }
}

impl EgressTrack {
    pub(super) fn start_run_up(
        &mut self,
        lane: &Lane,
        key: SourceKey,
        calm: bool,
        limits: RunUpLimits,
        now: Instant,
    ) {
        let Some(layer) = lane.layer(key.layer) else {
            return;
        };
        let Some(anchor) = layer.buffer.anchor() else {
            return;
        };
        if self.map(anchor.codec).is_none() {
            return;
        }
        self.rewriter.want(self.bounds(layer), layer.top);
        let join = self.join(lane, key, anchor);
        let bits = layer.buffer.bytes_since_anchor() as f64 * 8.0;
        let age = now
            .saturating_duration_since(anchor.arrival)
            .as_secs_f64()
            .max(0.1);
        // A stream faster than the configured pace would never be caught up with.
        let rate = limits.rate.max((3.0 * bits / age) as u64);
        self.rewriter.begin_run_up(key, &layer.buffer, anchor, join, now);
        self.key = Some(key);
        self.switching = None;
        self.deferred = None;
        self.held = false;
        self.thin = self.thin.map(|_| Some(anchor.timestamp));
        self.started = Some(now);
        self.first_started.get_or_insert(now);
        self.phase = Phase::RunUp {
            cursor: anchor.seq,
            budget: self.first_bytes(),
            at: now,
            rate,
            calm,
        };
    }

    fn join(&self, lane: &Lane, to: SourceKey, anchor: &MediaPacket) -> Join {
        let buffer = lane.layer(to.layer).map(|layer| &layer.buffer);
        let newest = buffer.and_then(|buffer| buffer.since(anchor.seq).max_by_key(|packet| packet.timestamp));
        match newest {
            Some(newest) if self.key.is_some_and(|key| key.layer != to.layer) => Join::Switch {
                aligned: self.aligned(lane, to, newest.timestamp),
                newest_at: newest.arrival,
            },
            _ => Join::Afresh,
        }
    }

    /// Where on the outgoing timeline another layer's picture belongs: by sender reports of both layers, or else by
    /// when their pictures come.
    pub(super) fn aligned(&self, lane: &Lane, to: SourceKey, timestamp: u64) -> Option<u64> {
        let from = self.key.filter(|from| from.layer != to.layer)?;
        let old = lane.layer(from.layer).filter(|layer| layer.epoch == from.epoch)?;
        let new = lane.layer(to.layer)?;
        let clock_rate = new.codec?.clock_rate();
        let incoming = match new.clock.as_ref().zip(old.clock.as_ref()) {
            Some((new, old)) => new.on(old, timestamp, clock_rate),
            None => new.arrivals.on(&old.arrivals, timestamp, clock_rate)?,
        };
        self.rewriter.timeline(from, incoming)
    }

    /// The next stored packet of a run-up, as the pace allows; live from when there is none left.
    pub fn next_stored<'a>(&mut self, lane: &'a Lane, now: Instant) -> Option<(&'a MediaPacket, Placed)> {
        let Phase::RunUp {
            cursor,
            budget,
            at,
            rate,
            calm,
        } = self.phase
        else {
            return None;
        };
        let key = self.key?;
        // The sooner the keyframe is there, the sooner is the picture.
        let opening = lane
            .layer(key.layer)
            .and_then(|layer| layer.buffer.get(cursor))
            .is_some_and(|packet| packet.keyframe);
        let elapsed = now.saturating_duration_since(at).as_secs_f64();
        let allowed = self.pace.map_or(rate, |pace| {
            let pace = match (calm, opening) {
                (false, _) => pace.hurried,
                (true, true) => pace.keyframe.max(pace.rest),
                (true, false) => pace.rest,
            };
            rate.min(pace.0)
        });
        let budget = (budget + elapsed * allowed as f64 / 8.0).min(self.first_bytes());
        self.phase = Phase::RunUp {
            cursor,
            budget,
            at: now,
            rate,
            calm,
        };
        if budget <= 0.0 {
            return None;
        }
        // The layer's sequence may have started over.
        let Some(layer) = lane.layer(key.layer).filter(|layer| layer.epoch == key.epoch) else {
            self.phase = Phase::Live;
            return None;
        };
        // The buffer lets go of what is before a newer keyframe, and no viewer needs it.
        let newer = layer
            .buffer
            .anchor()
            .filter(|anchor| anchor.seq > cursor && !awaits_head(&layer.buffer, anchor, now));
        let cursor = match newer {
            Some(anchor) => {
                self.rewriter.skip_to(key, anchor);
                anchor.seq
            }
            None => cursor,
        };
        // What is of no layer that is wanted costs nothing.
        for packet in layer.buffer.since(cursor) {
            if self.thin.is_some_and(|only| only != Some(packet.timestamp)) {
                break;
            }
            self.phase = Phase::RunUp {
                cursor: SeqNo(packet.seq.0 + 1),
                budget: budget - (packet.payload.len() + PACKET_OVERHEAD) as f64,
                at: now,
                rate,
                calm,
            };
            self.map(packet.codec)?;
            if let Some(placed) = self.rewriter.place(key, packet, now) {
                return Some((packet, placed));
            }
        }
        self.phase = Phase::Live;
        None
    }

    /// What a run-up sends at once.
    fn first_bytes(&self) -> f64 {
        let most = |pace: RunUpPace| match self.queueing {
            // For each packet that left the queue there is room for one more.
            true => 1.0,
            false => (pace.rest.0 as f64 / 8.0 * FIRST_TIME.as_secs_f64()).max(FEWEST_BYTES),
        };
        self.pace.map_or(FIRST_BYTES, |pace| most(pace).min(FIRST_BYTES))
    }
}
