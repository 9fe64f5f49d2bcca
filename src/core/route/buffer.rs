//! A layer's packets since its latest keyframe (and a little before): what retransmissions are answered from and
//! what a new viewer starts with. One buffer serves all viewers of the layer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::packet::MediaPacket;
use crate::core::ids::SeqNo;

/// How much of a stream is kept.
#[derive(Clone, Copy, Debug)]
pub struct BufferLimits {
    /// Payload bytes kept for instant start; beyond it a new viewer waits for the next keyframe.
    pub max_bytes: usize,
    /// Age of the keyframe beyond which a new viewer waits for the next one.
    pub max_age: Duration,
    /// Packets are kept at least this long for retransmission, whatever keyframes come.
    pub history: Duration,
}

impl Default for BufferLimits {
    fn default() -> Self {
        Self {
            max_bytes: 8_000_000,
            max_age: Duration::from_secs(10),
            history: Duration::from_millis(1500),
        }
    }
}

/// A jump larger than this in either direction is a restarted sender, not loss.
const MAX_GAP: u64 = 3_000;

#[derive(Debug, PartialEq, Eq)]
pub enum Inserted {
    /// Beyond the highest so far, or filling a hole: to be forwarded.
    New,
    Duplicate,
    TooOld,
}

#[derive(Debug)]
pub struct LayerBuffer {
    limits: BufferLimits,
    /// Keyed by `seq - base`; holes are packets not arrived (yet).
    packets: VecDeque<Option<MediaPacket>>,
    base: u64,
    bytes: usize,
    anchor: Option<SeqNo>,
    /// Payload bytes kept of what is before the anchor, while there is one.
    before_anchor: usize,
}

impl LayerBuffer {
    pub fn new(limits: BufferLimits) -> Self {
        Self {
            limits,
            packets: VecDeque::new(),
            base: 0,
            bytes: 0,
            anchor: None,
            before_anchor: 0,
        }
    }

    pub fn clear(&mut self) {
        *self = Self::new(self.limits);
    }

    pub fn get(&self, seq: SeqNo) -> Option<&MediaPacket> {
        let index = seq.0.checked_sub(self.base)?;
        self.packets.get(usize::try_from(index).ok()?)?.as_ref()
    }

    /// The first packet of the latest keyframe, while everything since then is kept.
    pub fn anchor(&self) -> Option<&MediaPacket> {
        self.anchor.and_then(|seq| self.get(seq))
    }

    /// The packets of the latest keyframe's picture, in order; empty while one is missing.
    pub fn keyframe(&self) -> Vec<&MediaPacket> {
        let mut packets: Vec<&MediaPacket> = Vec::new();
        let Some(anchor) = self.anchor() else {
            return packets;
        };
        let start = (anchor.seq.0.saturating_sub(self.base)) as usize;
        for slot in self.packets.iter().skip(start) {
            match slot {
                None => return Vec::new(),
                // Some senders set no marker: the next picture ends this one.
                Some(packet) if packet.timestamp != anchor.timestamp => return packets,
                Some(packet) => packets.push(packet),
            }
            if slot.as_ref().is_some_and(|packet| packet.marker) {
                return packets;
            }
        }
        Vec::new()
    }

    /// Payload bytes kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The highest sequence number received.
    pub fn highest(&self) -> Option<SeqNo> {
        let len = u64::try_from(self.packets.len()).ok()?.checked_sub(1)?;
        Some(SeqNo(self.base + len))
    }

    /// Packets present from `seq` on, in order.
    pub fn since(&self, seq: SeqNo) -> impl Iterator<Item = &MediaPacket> {
        let skip = usize::try_from(seq.0.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.packets.iter().skip(skip).flatten()
    }

    /// Payload bytes from the [`anchor`](Self::anchor) on; 0 without one. Known without looking at the packets, for each
    /// viewer that waits asks it at each tick.
    pub fn bytes_since_anchor(&self) -> usize {
        match self.anchor {
            Some(_) => self.bytes - self.before_anchor,
            None => 0,
        }
    }

    pub fn insert(&mut self, packet: MediaPacket) -> Inserted {
        let seq = packet.seq;
        let next = self.base + self.packets.len() as u64;
        if self.packets.is_empty() || seq.0 >= next + MAX_GAP {
            self.clear();
            self.base = seq.0;
        } else if seq.0 < self.base {
            return Inserted::TooOld;
        }
        let index = (seq.0 - self.base) as usize;
        while self.packets.len() <= index {
            self.packets.push_back(None);
        }
        let (arrival, keyframe, timestamp) = (packet.arrival, packet.keyframe, packet.timestamp);
        let Some(slot) = self.packets.get_mut(index) else {
            return Inserted::TooOld;
        };
        if slot.is_some() {
            return Inserted::Duplicate;
        }
        let bytes = packet.payload.len();
        *slot = Some(packet);
        self.bytes += bytes;
        if self.anchor.is_some_and(|anchor| seq < anchor) {
            self.before_anchor += bytes;
        }
        if keyframe {
            self.move_anchor(seq, timestamp);
        }
        self.trim(arrival);
        Inserted::New
    }

    /// The anchor moves to a newer keyframe, or to an earlier packet of the same one that arrived late.
    fn move_anchor(&mut self, seq: SeqNo, timestamp: u64) {
        let keep = self.anchor().is_some_and(|old| {
            if old.timestamp == timestamp {
                old.seq <= seq
            } else {
                old.timestamp > timestamp
            }
        });
        if !keep {
            self.anchor = Some(seq);
            let since: usize = self.since(seq).map(|packet| packet.payload.len()).sum();
            self.before_anchor = self.bytes - since;
        }
    }

    fn trim(&mut self, now: Instant) {
        if let Some(anchor) = self.anchor()
            && now.saturating_duration_since(anchor.arrival) > self.limits.max_age
        {
            self.anchor = None;
        }
        // History goes before the keyframe does.
        self.drop_oldest(now);
        if self.anchor.is_some() && self.bytes > self.limits.max_bytes {
            self.anchor = None;
            self.drop_oldest(now);
        }
    }

    /// Drops what is neither after the anchor nor recent.
    fn drop_oldest(&mut self, now: Instant) {
        let keep_from = self.anchor.map_or(u64::MAX, |seq| seq.0);
        while self.base < keep_from {
            let oldest = match self.packets.front() {
                None => break,
                // The newest stays, whatever its age: it tells where the sequence stands.
                Some(_) if self.packets.len() == 1 => break,
                Some(None) => None,
                Some(Some(packet)) => Some(packet),
            };
            let over = self.bytes > self.limits.max_bytes;
            if let Some(packet) = oldest
                && !over
                && now.saturating_duration_since(packet.arrival) <= self.limits.history
            {
                break;
            }
            let bytes = oldest.map_or(0, |packet| packet.payload.len());
            self.bytes -= bytes;
            if self.anchor.is_some() {
                self.before_anchor -= bytes;
            }
            self.packets.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::media::Codec;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn packet(seq: u64, ms: u64, keyframe: bool, start: Instant) -> MediaPacket {
        MediaPacket {
            payload: Bytes::from(vec![0; 1000]),
            seq: SeqNo(seq),
            timestamp: ms * 90,
            arrival: start + Duration::from_millis(ms),
            codec: Codec::Vp8,
            marker: false,
            keyframe,
            head: false,
            opens: false,
            picture: Default::default(),
            frame: Default::default(),
            carried: Default::default(),
            descriptor: Bytes::new(),
        }
    }

    #[test]
    fn keeps_everything_since_the_latest_keyframe() {
        let start = test_start();
        let mut buffer = LayerBuffer::new(BufferLimits::default());
        for n in 0..3000u64 {
            buffer.insert(packet(n + 100, n, n == 10, start));
        }
        assert_eq!(buffer.anchor().map(|p| p.seq), Some(SeqNo(110)));
        assert!(buffer.get(SeqNo(110)).is_some());
        assert!(
            buffer.get(SeqNo(109)).is_none(),
            "older than the keyframe and than the history"
        );
        assert_eq!(buffer.since(SeqNo(110)).count(), 2990);
    }

    proptest! {
        #[test]
        fn bytes_since_the_anchor_are_those_of_its_packets(
            packets in proptest::collection::vec((0u64..400, 0u64..40, any::<bool>(), 0u64..30), 1..400),
        ) {
            let start = test_start();
            let limits = BufferLimits {
                max_bytes: 60_000,
                max_age: Duration::from_secs(2),
                history: Duration::from_millis(200),
            };
            let mut buffer = LayerBuffer::new(limits);
            let mut ms = 0;
            for (seq, picture, keyframe, later) in packets {
                ms += later;
                let arrived = MediaPacket {
                    timestamp: picture,
                    ..packet(1_000 + seq, ms, keyframe, start)
                };
                buffer.insert(arrived);
                let anchor = buffer.anchor().map(|packet| packet.seq);
                let since = anchor.map_or(0, |seq| buffer.since(seq).map(|packet| packet.payload.len()).sum());
                prop_assert_eq!(buffer.bytes_since_anchor(), since);
            }
        }
    }

    #[test]
    fn retransmission_history_survives_a_new_keyframe() {
        let start = test_start();
        let mut buffer = LayerBuffer::new(BufferLimits::default());
        for n in 0..2000u64 {
            buffer.insert(packet(n, n, n % 1990 == 0, start));
        }
        assert_eq!(buffer.anchor().map(|p| p.seq), Some(SeqNo(1990)));
        assert!(buffer.get(SeqNo(1000)).is_some());
    }

    #[test]
    fn a_group_of_pictures_beyond_the_limit_loses_its_anchor_and_memory_stays_bounded() {
        let start = test_start();
        let limits = BufferLimits {
            max_bytes: 100_000,
            ..BufferLimits::default()
        };
        let mut buffer = LayerBuffer::new(limits);
        for n in 0..10_000u64 {
            buffer.insert(packet(n, n / 10, n == 0, start));
            assert!(buffer.bytes <= 101_000);
        }
        assert!(buffer.anchor().is_none());
    }

    #[test]
    fn a_keyframe_that_fits_is_kept_however_much_history_there_is() {
        let start = test_start();
        let limits = BufferLimits {
            max_bytes: 100_000,
            ..BufferLimits::default()
        };
        let mut buffer = LayerBuffer::new(limits);
        for n in 0..1_000u64 {
            buffer.insert(packet(n, n / 10, n == 950, start));
        }
        assert_eq!(buffer.anchor().map(|packet| packet.seq), Some(SeqNo(950)));
        assert!(buffer.bytes <= 100_000);
    }

    #[test]
    fn holes_fill_and_duplicates_do_not() {
        let start = test_start();
        let mut buffer = LayerBuffer::new(BufferLimits::default());
        assert_eq!(buffer.insert(packet(5, 0, true, start)), Inserted::New);
        assert_eq!(buffer.insert(packet(8, 1, false, start)), Inserted::New);
        assert_eq!(buffer.insert(packet(6, 2, false, start)), Inserted::New);
        assert_eq!(buffer.insert(packet(6, 2, false, start)), Inserted::Duplicate);
        assert_eq!(buffer.insert(packet(4, 2, false, start)), Inserted::TooOld);
        assert_eq!(
            buffer.since(SeqNo(5)).map(|p| p.seq.0).collect::<Vec<_>>(),
            [5, 6, 8]
        );
        assert_eq!(buffer.highest(), Some(SeqNo(8)));
    }

    #[test]
    fn an_earlier_packet_of_the_same_keyframe_becomes_the_anchor() {
        let start = test_start();
        let mut buffer = LayerBuffer::new(BufferLimits::default());
        buffer.insert(packet(1, 0, false, start));
        let mut late = packet(3, 1, true, start);
        late.timestamp = 900;
        let mut first = packet(2, 2, true, start);
        first.timestamp = 900;
        buffer.insert(late);
        buffer.insert(first);
        assert_eq!(buffer.anchor().map(|p| p.seq), Some(SeqNo(2)));
    }

    #[test]
    fn a_jump_starts_over() {
        let start = test_start();
        let mut buffer = LayerBuffer::new(BufferLimits::default());
        buffer.insert(packet(1, 0, true, start));
        buffer.insert(packet(1_000_000, 1, false, start));
        assert!(buffer.anchor().is_none());
        assert_eq!(buffer.since(SeqNo(0)).count(), 1);
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn test_start() -> Instant {
        Instant::now()
    }
}
