//! One medium of a stream: its layers, which of them are alive, and their order.

use std::time::{Duration, Instant};

use super::buffer::{BufferLimits, Inserted, LayerBuffer};
use super::clock::{Arrivals, ClockPoint};
use super::ladder::{Ladder, RateWindow, Rung};
use super::message::RoutedPacket;
use super::packet::MediaPacket;
use super::sublayers::SublayerRates;
use crate::core::ids::{Bitrate, Rid, SeqNo};
use crate::core::media::{Codec, MediaKind};
use crate::core::rtp::LayerBounds;
use crate::core::time::Ntp;

/// Layers beyond this are ignored: browsers send 3, OBS up to 4.
pub const MAX_LAYERS: usize = 6;
/// A layer that sends nothing for so long while others go on is taken to have stopped: long enough for a layer of five
/// pictures a second, short enough that another takes its place within half a second.
const STALL: Duration = Duration::from_millis(300);
/// As many pictures of other layers must have gone by meanwhile: at a picture a second silence says nothing.
const STALL_PICTURES: u32 = 4;
/// RTP header, the usual extensions, and the authentication tag.
const PACKET_OVERHEAD: usize = 12 + 8 + 16;
/// Rates are worked out so often.
const LADDER_INTERVAL: Duration = Duration::from_millis(100);

/// One picture after the other, each of one frame.
const LOWEST: LayerBounds = LayerBounds {
    spatial: 0,
    temporal: 0,
};

pub struct Lane {
    pub kind: MediaKind,
    pub layers: Vec<Layer>,
    /// What arrived since the last flush, in order of arrival: (layer, sequence number).
    pub fresh: Vec<(u8, SeqNo)>,
    limits: BufferLimits,
    ranking: Ranking,
    revision: u32,
    ladder: Ladder,
    ladder_at: Option<Instant>,
}

pub struct Layer {
    pub buffer: LayerBuffer,
    /// Changes whenever the sequence starts over: another publisher, another SSRC, a jump.
    pub epoch: u32,
    pub codec: Option<Codec>,
    pub clock: Option<ClockPoint>,
    /// When the latest picture that tells was captured, by our clock, and when it came.
    pub captured: Option<(Ntp, Instant)>,
    /// By which layers without reports of their own are told apart in time.
    pub arrivals: Arrivals,
    pub rid: Option<Rid>,
    /// Width and height, as far as known.
    pub size: Option<(u16, u16)>,
    /// The highest spatial and temporal layers seen.
    pub top: LayerBounds,
    /// Payload bytes since the epoch began: of two layers of unknown size the busier is the better.
    bytes: u64,
    keyframes: Keyframes,
    rate: RateWindow,
    sublayers: SublayerRates,
    last_arrival: Option<Instant>,
    last_timestamp: u64,
    /// Pictures that other layers began since this one's last packet.
    missed: u32,
    stalled: bool,
}

/// How large and how far apart keyframes are.
#[derive(Clone, Copy, Debug, Default)]
struct Keyframes {
    timestamp: u64,
    at: Option<Instant>,
    interval: Option<Duration>,
    bytes: u32,
}

impl Keyframes {
    fn add(&mut self, packet: &MediaPacket) {
        if packet.keyframe && packet.timestamp > self.timestamp {
            let interval = |before: Instant| packet.arrival.saturating_duration_since(before);
            self.interval = self.at.map(interval);
            self.at = Some(packet.arrival);
            self.timestamp = packet.timestamp;
            self.bytes = 0;
        }
        if packet.timestamp == self.timestamp {
            self.bytes = self.bytes.saturating_add(packet.payload.len() as u32);
        }
    }
}

/// Tells sequence spaces apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceKey {
    pub layer: u8,
    pub epoch: u32,
}

/// The layers that are alive, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ranking {
    layers: [u8; MAX_LAYERS],
    len: usize,
}

impl Lane {
    pub fn new(kind: MediaKind, limits: BufferLimits) -> Self {
        Self {
            kind,
            layers: Vec::new(),
            fresh: Vec::new(),
            limits,
            ranking: Ranking::default(),
            revision: 0,
            ladder: Ladder::default(),
            ladder_at: None,
        }
    }

    /// Another source: nothing is known of its layers yet.
    pub fn clear(&mut self) {
        self.layers.clear();
        self.fresh.clear();
        self.ranking = Ranking::default();
        self.revision = self.revision.wrapping_add(1);
        self.ladder = Ladder::default();
        self.ladder_at = None;
    }

    /// Takes a packet in; true if it is to be forwarded.
    pub fn take(&mut self, routed: RoutedPacket) -> bool {
        let known = self.layer(routed.layer).map(|layer| layer.epoch);
        if known.is_some_and(|epoch| epoch != routed.epoch) {
            // A number of the old sequence is not to be taken for one of the new: its packet would go out twice.
            self.fresh.retain(|(index, _)| *index != routed.layer);
        }
        let Some(layer) = self.layer_mut(routed.layer) else {
            return false;
        };
        let mut changed =
            layer.stalled || layer.codec != Some(routed.packet.codec) || layer.size != routed.size;
        if layer.epoch != routed.epoch {
            layer.buffer.clear();
            layer.epoch = routed.epoch;
            layer.bytes = 0;
            layer.keyframes = Keyframes::default();
            layer.top = LOWEST;
            layer.rate = RateWindow::default();
            layer.sublayers = SublayerRates::default();
            layer.clock = None;
            layer.arrivals = Arrivals::default();
            layer.captured = None;
            changed = true;
        }
        if changed {
            layer.rid = routed.rid;
        }
        let clock_rate = routed.packet.codec.clock_rate();
        layer.codec = Some(routed.packet.codec);
        layer.size = routed.size;
        layer.bytes += routed.packet.payload.len() as u64;
        let mut packet = routed.packet;
        if !layer.top.hold(packet.frame) {
            layer.top.spatial = layer.top.spatial.max(packet.frame.spatial);
            layer.top.temporal = layer.top.temporal.max(packet.frame.temporal);
            changed = true;
        }
        let (seq, timestamp, arrival) = (packet.seq, packet.timestamp, packet.arrival);
        let bytes = packet.payload.len() + PACKET_OVERHEAD;
        layer.rate.add(arrival, bytes);
        layer.keyframes.add(&packet);
        layer.sublayers.add(arrival, packet.frame, bytes);
        let begins = layer.last_timestamp != timestamp;
        layer.last_timestamp = timestamp;
        let captured = packet.carried.capture_time.and_then(|time| time.captured());
        if let Some(captured) = captured {
            layer.captured = Some((captured, arrival));
        }
        layer.arrivals.arrived(timestamp, arrival, clock_rate);
        layer.last_arrival = layer.last_arrival.max(Some(arrival));
        layer.missed = 0;
        let highest = layer.buffer.highest();
        // The parameter sets of H.264 and H.265 are packets of their own: without its predecessor, what seems to
        // begin a keyframe may lack its head, which is lost or late.
        let whole = packet.head || highest.is_some_and(|highest| highest.0 + 1 == seq.0);
        packet.opens = packet.keyframe && whole && highest.is_none_or(|highest| highest < seq);
        let inserted = layer.buffer.insert(packet);
        if begins {
            self.count_picture(routed.layer);
        }
        if changed {
            self.ladder_at = None;
            self.refresh(arrival);
            self.revision = self.revision.wrapping_add(1);
        }
        if inserted != Inserted::New {
            return false;
        }
        self.fresh.push((routed.layer, seq));
        true
    }

    /// What another worker has stored comes layer by layer, which tells nothing about who is silent.
    pub fn took_stored(&mut self) {
        self.fresh.clear();
        for layer in &mut self.layers {
            layer.missed = 0;
        }
        if let Some(newest) = self.layers.iter().filter_map(|layer| layer.last_arrival).max() {
            self.ladder_at = None;
            self.refresh(newest);
            self.revision = self.revision.wrapping_add(1);
        }
    }

    fn count_picture(&mut self, of: u8) {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            if index != usize::from(of) {
                layer.missed = layer.missed.saturating_add(1);
            }
        }
    }

    /// Finds out which layers have stopped, and the order of the others. Call with each tick.
    pub fn refresh(&mut self, now: Instant) {
        let mut ranking = Ranking::default();
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let silence = layer.last_arrival.map(|at| now.saturating_duration_since(at));
            layer.stalled = layer.missed >= STALL_PICTURES && silence.is_some_and(|silence| silence >= STALL);
            if layer.codec.is_some()
                && !layer.stalled
                && let Some(slot) = ranking.layers.get_mut(ranking.len)
            {
                *slot = index as u8;
                ranking.len += 1;
            }
        }
        let layers = &self.layers;
        if let Some(alive) = ranking.layers.get_mut(..ranking.len) {
            alive.sort_by_key(|index| {
                let rank = layers
                    .get(usize::from(*index))
                    .map(|layer| (layer.pixels(), layer.bytes));
                std::cmp::Reverse(rank)
            });
        }
        let changed = ranking != self.ranking;
        if changed {
            self.ranking = ranking;
            self.revision = self.revision.wrapping_add(1);
        }
        let due = |at| now.saturating_duration_since(at) >= LADDER_INTERVAL;
        if changed || self.ladder_at.is_none_or(due) {
            self.ladder = Ladder::of(self, now);
            self.ladder_at = Some(now);
        }
    }

    /// What the living layers can be had for, the best first: as of the last [`refresh`](Self::refresh).
    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// A rung of the ladder with no higher spatial and temporal layers than these, and what that takes.
    pub fn within(&self, rung: Rung, spatial: Option<u8>, temporal: Option<u8>) -> Rung {
        let (Some(layer), Some(at)) = (self.layer(rung.layer), self.ladder_at) else {
            return rung;
        };
        let least = |bound: u8, wanted: Option<u8>, top: u8| match wanted {
            // All there is is as much as is wanted.
            Some(wanted) if wanted < top => bound.min(wanted),
            _ => bound,
        };
        let bounds = LayerBounds {
            spatial: least(rung.spatial, spatial, layer.top.spatial),
            temporal: least(rung.temporal, temporal, layer.top.temporal),
        };
        if (bounds.spatial, bounds.temporal) == (rung.spatial, rung.temporal) {
            return rung;
        }
        Rung {
            spatial: bounds.spatial,
            temporal: bounds.temporal,
            bitrate: layer.bitrate_within(bounds, at),
            size: layer.size_of(bounds.spatial.min(layer.top.spatial)),
            ..rung
        }
    }

    /// The layers that are alive with their indices: the largest picture first, among equals the busiest.
    pub fn ranked(&self) -> impl DoubleEndedIterator<Item = (u8, &Layer)> {
        let alive = self.ranking.layers.get(..self.ranking.len).unwrap_or_default();
        alive
            .iter()
            .filter_map(|index| Some((*index, self.layer(*index)?)))
    }

    /// Changes whenever [`ranked`](Self::ranked) does, or what it says of a layer.
    #[inline]
    pub fn revision(&self) -> u32 {
        self.revision
    }

    pub fn layer_mut(&mut self, index: u8) -> Option<&mut Layer> {
        let index = usize::from(index);
        if index >= MAX_LAYERS {
            return None;
        }
        while self.layers.len() <= index {
            self.layers.push(Layer::new(self.limits));
        }
        self.layers.get_mut(index)
    }

    pub fn layer(&self, index: u8) -> Option<&Layer> {
        self.layers.get(usize::from(index))
    }

    pub fn key(&self, index: u8) -> Option<SourceKey> {
        self.layer(index).map(|layer| SourceKey {
            layer: index,
            epoch: layer.epoch,
        })
    }
}

impl Layer {
    fn new(limits: BufferLimits) -> Self {
        Self {
            buffer: LayerBuffer::new(limits),
            epoch: 0,
            codec: None,
            clock: None,
            arrivals: Arrivals::default(),
            captured: None,
            rid: None,
            size: None,
            top: LOWEST,
            bytes: 0,
            keyframes: Keyframes::default(),
            rate: RateWindow::default(),
            sublayers: SublayerRates::default(),
            last_arrival: None,
            last_timestamp: u64::MAX,
            missed: 0,
            stalled: false,
        }
    }

    /// Nothing comes any more while other layers go on.
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Payload bytes of the latest keyframe.
    pub fn keyframe_bytes(&self) -> u32 {
        self.keyframes.bytes
    }

    /// When the next keyframe should come, going by the last two; `None`: nobody knows.
    pub fn next_keyframe(&self) -> Option<Instant> {
        Some(self.keyframes.at? + self.keyframes.interval?)
    }

    /// What it takes lately as it goes out to a viewer, headers included.
    pub fn bitrate(&self, now: Instant) -> Bitrate {
        self.rate.bitrate(now)
    }

    /// As [`bitrate`](Self::bitrate), of what lies within these bounds.
    pub fn bitrate_within(&self, bounds: LayerBounds, now: Instant) -> Bitrate {
        let beyond = self.sublayers.beyond(bounds, now);
        Bitrate(self.bitrate(now).0.saturating_sub(beyond.0))
    }

    /// Width and height of a spatial layer's picture: each is taken to be half as wide and high as the next.
    pub fn size_of(&self, spatial: u8) -> Option<(u16, u16)> {
        let steps = u32::from(self.top.spatial.saturating_sub(spatial));
        let (width, height) = self.size?;
        Some((width.checked_shr(steps)?, height.checked_shr(steps)?))
    }

    fn pixels(&self) -> u32 {
        self.size
            .map_or(0, |(width, height)| u32::from(width) * u32::from(height))
    }
}
