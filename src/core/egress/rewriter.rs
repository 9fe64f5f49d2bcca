//! Sequence numbers and timestamps towards one viewer: they go on without a jump whatever the source does: another
//! publisher, another layer, a start from a stored keyframe.
//!
//! The mapping is a short list of segments. Within one, the outgoing sequence number is the incoming one plus a
//! constant, so holes stay holes (and can be asked for), and what a sequence number stands for can be told later:
//! a packet sent again on the same SSRC must be the same to the byte, as it is sealed with the same nonce.

use std::collections::VecDeque;
use std::time::Instant;

use crate::core::ids::SeqNo;
use crate::core::route::{LayerBuffer, MediaPacket, SourceKey};
use crate::core::rtp::{PictureNumbers, PictureShift};

/// Segments remembered for retransmission.
const MAX_SEGMENTS: usize = 16;
/// Timestamp distance of stored frames in a run-up, in ms: the player decodes them in a row and shows the newest.
const RUN_UP_SPACING_MS: u64 = 1;
/// Packets after a run-up that still carry the playout delay going back to normal.
const RECOVERY_PACKETS: u64 = 200;

/// The last stored picture may be so much later than it should be; pictures follow each other in 8 ms at least.
const MAX_LATE_MS: u64 = 5;
/// Two layers' clocks by sender reports may differ from their arrival by 1/2 s; more is a mistake of the sender's.
const MAX_MISALIGNMENT: u64 = 2;

#[derive(Debug)]
pub struct Rewriter {
    clock_rate: u64,
    segments: VecDeque<Segment>,
    last: Option<Last>,
    first_seq: u64,
    first_timestamp: u64,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    seq: u64,
    timestamp: u64,
    picture: PictureNumbers,
    at: Instant,
}

#[derive(Debug)]
struct Segment {
    key: SourceKey,
    /// Incoming sequence numbers from `from` on, below `until`.
    from: u64,
    until: u64,
    seq_shift: u64,
    timeline: Timeline,
    /// Ticks that the live timeline is later than it should be, because two pictures cannot share a timestamp. The
    /// next segment does without them, or they would add up.
    skew: u64,
    /// Constant, so that a packet sent again has the same numbers.
    picture: PictureShift,
    after_run_up: bool,
}

#[derive(Debug)]
enum Timeline {
    Live {
        shift: u64,
        /// Incoming and outgoing timestamp of the run-up's last picture, whose end may be live already.
        joint: Option<(u64, u64)>,
    },
    /// Incoming and outgoing timestamps of stored frames, ascending.
    RunUp { frames: Vec<(u64, u64)> },
}

/// Where a packet stands in the outgoing stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The low 16 bits go into the header, the low 48 into the SRTP index.
    pub seq: u64,
    pub timestamp: u32,
    pub picture: PictureShift,
    pub playout: Playout,
}

/// What the playout-delay extension says on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Playout {
    /// Nothing of its own.
    Unset,
    /// Show at once: stored frames running up to live.
    Immediate,
    /// The player may buffer again.
    Normal,
}

/// How a run-up joins what was sent before.
#[derive(Clone, Copy, Debug)]
pub enum Join {
    /// Nothing was sent, or nothing that can be gone on from: stored pictures are a millisecond apart.
    Afresh,
    /// The picture goes on from another layer: all stored pictures go where there is room before the newest one's
    /// time, which is `aligned`, or else follows from its arrival at `newest_at`.
    Switch {
        aligned: Option<u64>,
        newest_at: Instant,
    },
}

impl Rewriter {
    /// `first_seq` and `first_timestamp` are where the outgoing numbers begin.
    pub fn new(clock_rate: u32, first_seq: u16, first_timestamp: u32) -> Self {
        Self {
            clock_rate: u64::from(clock_rate),
            segments: VecDeque::new(),
            last: None,
            // Below 2¹⁵, so that the receiver cannot take an early loss for a rollover (RFC 3711 §3.3.1).
            first_seq: u64::from(first_seq & 0x7fff),
            first_timestamp: u64::from(first_timestamp),
        }
    }

    /// Goes on with `packet` as the next one. `aligned`: its outgoing time by [`timeline`](Self::timeline), where
    /// that is known better than by the time that passed.
    pub fn begin_live(&mut self, key: SourceKey, packet: &MediaPacket, aligned: Option<u64>, now: Instant) {
        let (seq, wanted) = self.next(now);
        let wanted = self.trusted(aligned, wanted.saturating_sub(self.skew()));
        // At least 1 ms: two pictures never share a timestamp.
        let earliest = self
            .last
            .map_or(0, |last| last.timestamp + self.clock_rate / 1000);
        let timestamp = wanted.max(earliest);
        let picture = self.next_picture(packet);
        self.close();
        self.push(Segment {
            key,
            from: packet.seq.0,
            until: u64::MAX,
            seq_shift: seq.wrapping_sub(packet.seq.0),
            timeline: Timeline::Live {
                shift: timestamp.wrapping_sub(packet.timestamp),
                joint: None,
            },
            skew: timestamp - wanted,
            picture,
            after_run_up: false,
        });
    }

    /// Goes on with the stored packets from `anchor` on: their frames' timestamps are drawn together, and what
    /// comes after them is on the live timeline.
    pub fn begin_run_up(
        &mut self,
        key: SourceKey,
        buffer: &LayerBuffer,
        anchor: &MediaPacket,
        join: Join,
        now: Instant,
    ) {
        let (seq, timestamp) = self.next(now);
        let picture = self.next_picture(anchor);
        let mut incoming: Vec<u64> = buffer.since(anchor.seq).map(|packet| packet.timestamp).collect();
        incoming.sort_unstable();
        incoming.dedup();
        let spacing = RUN_UP_SPACING_MS * self.clock_rate / 1000;
        let count = incoming.len() as u64;
        let (first, spacing, end) = match (join, self.last) {
            (Join::Switch { aligned, newest_at }, Some(last)) => {
                let wanted = self.trusted(aligned, self.estimate(&last, newest_at));
                // Between the last picture and where the newest belongs, as far as there is room.
                let room = wanted.saturating_sub(last.timestamp);
                let spacing = (room / count.max(1)).clamp(1, spacing);
                (last.timestamp + spacing, spacing, wanted)
            }
            _ => (timestamp, spacing, timestamp),
        };
        let mut frames: Vec<(u64, u64)> = incoming
            .iter()
            .zip(0u64..)
            .map(|(ts, n)| (*ts, first + n * spacing))
            .collect();
        let mut skew = 0;
        if let (Join::Switch { .. }, Some((_, newest))) = (join, frames.last_mut()) {
            *newest = end.max(*newest);
            // The next picture is far enough away to be where it belongs.
            skew = (*newest - end).saturating_sub(MAX_LATE_MS * self.clock_rate / 1000);
        }
        let (newest_in, newest_out) = frames.last().copied().unwrap_or((anchor.timestamp, timestamp));
        let live = match join {
            Join::Afresh => newest_out,
            Join::Switch { .. } => end + skew,
        };
        let until = buffer.highest().map_or(anchor.seq.0, |highest| highest.0) + 1;
        let seq_shift = seq.wrapping_sub(anchor.seq.0);
        self.close();
        self.push(Segment {
            key,
            from: anchor.seq.0,
            until,
            seq_shift,
            timeline: Timeline::RunUp { frames },
            skew: 0,
            picture,
            after_run_up: false,
        });
        self.push(Segment {
            key,
            from: until,
            until: u64::MAX,
            seq_shift,
            timeline: Timeline::Live {
                shift: live.wrapping_sub(newest_in),
                joint: Some((newest_in, newest_out)),
            },
            skew,
            picture,
            after_run_up: true,
        });
    }

    /// A newer keyframe came while stored packets were still being sent: what is between is left out, and `packet`
    /// comes next, on the live timeline that the run-up promised.
    pub fn skip_to(&mut self, key: SourceKey, packet: &MediaPacket) {
        let Some(segment) = self.segments.back().filter(|segment| segment.key == key) else {
            return;
        };
        let Timeline::Live { shift, .. } = segment.timeline else {
            return;
        };
        let (skew, first_picture) = (segment.skew, segment.picture);
        let picture = self.last.map_or(first_picture, |_| self.next_picture(packet));
        let seq = self.last.map_or(self.first_seq, |last| last.seq + 1);
        if self.last.is_some() {
            self.close();
        } else {
            self.segments.clear();
        }
        self.push(Segment {
            key,
            from: packet.seq.0,
            until: u64::MAX,
            seq_shift: seq.wrapping_sub(packet.seq.0),
            timeline: Timeline::Live { shift, joint: None },
            skew,
            picture,
            after_run_up: true,
        });
    }

    /// Places a packet that is sent for the first time. `None`: it is of no current segment.
    #[inline]
    pub fn place(&mut self, key: SourceKey, packet: &MediaPacket, now: Instant) -> Option<Placed> {
        let seq = packet.seq.0;
        let index = self
            .segments
            .iter()
            .rposition(|segment| segment.holds(key, seq))?;
        let segment = self.segments.get(index)?;
        let placed = segment.place(packet);
        let timestamp = segment.timestamp(packet.timestamp);
        let newer = self.last.is_none_or(|last| placed.seq > last.seq);
        if newer {
            self.last = Some(Last {
                seq: placed.seq,
                timestamp,
                picture: packet.picture.shifted(placed.picture),
                at: now,
            });
        }
        Some(placed)
    }

    /// The source of a sequence number this viewer asks for again.
    pub fn source_of(&self, seq: u16) -> Option<(SourceKey, SeqNo)> {
        self.sent_as(seq)
            .map(|(segment, incoming)| (segment.key, incoming))
    }

    /// Where the packet found by [`source_of`](Self::source_of) was placed under that very number. A viewer that
    /// started over has the same packet under two.
    pub fn placed_before(&self, seq: u16, packet: &MediaPacket) -> Option<Placed> {
        let (segment, incoming) = self.sent_as(seq)?;
        (incoming == packet.seq).then(|| segment.place(packet))
    }

    fn sent_as(&self, seq: u16) -> Option<(&Segment, SeqNo)> {
        let last = self.last?.seq;
        let behind = (last as u16).wrapping_sub(seq);
        let seq = last.checked_sub(u64::from(behind))?;
        let segment = self.segments.iter().rev().find(|segment| {
            let incoming = seq.wrapping_sub(segment.seq_shift);
            incoming >= segment.from && incoming < segment.until
        })?;
        Some((segment, SeqNo(seq.wrapping_sub(segment.seq_shift))))
    }

    /// The outgoing RTP time of an incoming one, on the live timeline.
    pub fn live_timestamp(&self, key: SourceKey, incoming: u64) -> Option<u32> {
        let segment = self.segments.back().filter(|segment| segment.key == key)?;
        match &segment.timeline {
            Timeline::Live { shift, .. } => Some(incoming.wrapping_add(*shift) as u32),
            Timeline::RunUp { .. } => None,
        }
    }

    /// As [`live_timestamp`](Self::live_timestamp), unwrapped and without what the timeline is late: what belongs to
    /// the same time on another layer should go there.
    pub fn timeline(&self, key: SourceKey, incoming: u64) -> Option<u64> {
        let segment = self.segments.back().filter(|segment| segment.key == key)?;
        match &segment.timeline {
            Timeline::Live { shift, .. } => Some(incoming.wrapping_add(*shift).wrapping_sub(segment.skew)),
            Timeline::RunUp { .. } => None,
        }
    }

    /// Sender reports say where a picture belongs, unless they are nonsense.
    fn trusted(&self, aligned: Option<u64>, estimate: u64) -> u64 {
        let bound = self.clock_rate / MAX_MISALIGNMENT;
        aligned
            .filter(|aligned| aligned.abs_diff(estimate) <= bound)
            .unwrap_or(estimate)
    }

    /// Outgoing time of what arrived at `at`, before or after the last packet went out.
    fn estimate(&self, last: &Last, at: Instant) -> u64 {
        let ticks = |elapsed: std::time::Duration| elapsed.as_micros() as u64 * self.clock_rate / 1_000_000;
        let later = ticks(at.saturating_duration_since(last.at));
        let earlier = ticks(last.at.saturating_duration_since(at));
        (last.timestamp + later).saturating_sub(earlier + self.skew())
    }

    /// What the timeline is late.
    fn skew(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.skew)
    }

    fn next_picture(&self, packet: &MediaPacket) -> PictureShift {
        self.last
            .map(|last| packet.picture.after(last.picture))
            .unwrap_or_default()
    }

    /// Where the next segment begins: one after the last packet, and as much later as time went by.
    fn next(&self, now: Instant) -> (u64, u64) {
        match self.last {
            None => (self.first_seq, self.first_timestamp),
            Some(last) => {
                let elapsed = now.saturating_duration_since(last.at).as_micros() as u64;
                // At least 1 ms: two pictures never share a timestamp.
                let ticks = (elapsed * self.clock_rate / 1_000_000).max(self.clock_rate / 1000);
                (last.seq + 1, last.timestamp + ticks)
            }
        }
    }

    /// What comes next has numbers of its own: no segment reaches beyond the last one sent, not even a run-up that
    /// was broken off.
    fn close(&mut self) {
        let Some(last) = self.last else { return };
        for segment in &mut self.segments {
            let end = last.seq.wrapping_sub(segment.seq_shift).wrapping_add(1);
            segment.until = segment.until.min(end).max(segment.from);
        }
    }

    fn push(&mut self, segment: Segment) {
        if self.segments.len() == MAX_SEGMENTS {
            self.segments.pop_front();
        }
        self.segments.push_back(segment);
    }
}

impl Segment {
    fn holds(&self, key: SourceKey, seq: u64) -> bool {
        self.key == key && seq >= self.from && seq < self.until
    }

    fn place(&self, packet: &MediaPacket) -> Placed {
        let playout = match &self.timeline {
            Timeline::RunUp { .. } => Playout::Immediate,
            Timeline::Live { .. } if self.after_run_up && packet.seq.0 - self.from < RECOVERY_PACKETS => {
                Playout::Normal
            }
            Timeline::Live { .. } => Playout::Unset,
        };
        let seq = packet.seq.0.wrapping_add(self.seq_shift);
        Placed {
            seq,
            timestamp: self.timestamp(packet.timestamp) as u32,
            picture: self.picture,
            playout,
        }
    }

    fn timestamp(&self, incoming: u64) -> u64 {
        match &self.timeline {
            Timeline::Live { shift, joint } => match joint {
                Some((last, out)) if *last == incoming => *out,
                _ => incoming.wrapping_add(*shift),
            },
            Timeline::RunUp { frames } => match frames.binary_search_by_key(&incoming, |(ts, _)| *ts) {
                Ok(found) => frames.get(found).map_or(0, |(_, out)| *out),
                // A frame that was missing altogether when the run-up began: just after its predecessor.
                Err(at) => frames.get(at.saturating_sub(1)).map_or(0, |(_, out)| *out + 1),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::media::Codec;
    use crate::core::route::BufferLimits;
    use bytes::Bytes;
    use std::time::Duration;

    fn packet(seq: u64, timestamp: u64, at: Instant) -> MediaPacket {
        MediaPacket {
            payload: Bytes::from_static(b"x"),
            seq: SeqNo(seq),
            timestamp,
            arrival: at,
            codec: Codec::Vp8,
            marker: false,
            keyframe: false,
            head: false,
            opens: false,
            picture: Default::default(),
            carried: Default::default(),
        }
    }

    const A: SourceKey = SourceKey { layer: 0, epoch: 1 };
    const B: SourceKey = SourceKey { layer: 0, epoch: 2 };

    #[test]
    fn goes_on_by_one_and_by_the_time_that_passed_when_the_publisher_returns() {
        let start = origin();
        let mut rewriter = Rewriter::new(90_000, 1000, 5000);
        rewriter.begin_live(A, &packet(70_000, 1_000_000, start), None, start);
        let first = rewriter
            .place(A, &packet(70_000, 1_000_000, start), start)
            .unwrap();
        let second = rewriter
            .place(A, &packet(70_001, 1_003_000, start), start)
            .unwrap();
        assert_eq!((first.seq, first.timestamp), (1000, 5000));
        assert_eq!((second.seq, second.timestamp), (1001, 8000));
        let later = start + Duration::from_secs(5);
        rewriter.begin_live(B, &packet(12, 77, later), None, later);
        let third = rewriter.place(B, &packet(12, 77, later), later).unwrap();
        assert_eq!((third.seq, third.timestamp), (1002, 8000 + 5 * 90_000));
        assert_eq!(rewriter.place(A, &packet(70_002, 1_006_000, later), later), None);
    }

    #[test]
    fn a_late_packet_keeps_its_place_and_a_nack_finds_it() {
        let start = origin();
        let mut rewriter = Rewriter::new(90_000, 10, 0);
        rewriter.begin_live(A, &packet(100, 0, start), None, start);
        rewriter.place(A, &packet(100, 0, start), start);
        rewriter.place(A, &packet(102, 0, start), start);
        let late = rewriter.place(A, &packet(101, 0, start), start).unwrap();
        assert_eq!(late.seq, 11);
        assert_eq!(rewriter.source_of(11), Some((A, SeqNo(101))));
        assert_eq!(rewriter.placed_before(11, &packet(101, 0, start)), Some(late));
        assert_eq!(rewriter.source_of(9), None, "before the first packet");
    }

    #[test]
    fn stored_frames_are_a_millisecond_apart_and_live_follows() {
        let start = origin();
        let mut buffer = LayerBuffer::new(BufferLimits::default());
        for n in 0..150u64 {
            buffer.insert(packet(1000 + n, n * 3000, start));
        }
        let anchor = packet(1000, 0, start);
        let mut rewriter = Rewriter::new(90_000, 0, 0);
        rewriter.begin_run_up(A, &buffer, &anchor, Join::Afresh, start);
        let stored: Vec<Placed> = buffer
            .since(SeqNo(1000))
            .filter_map(|packet| rewriter.place(A, packet, start))
            .collect();
        assert_eq!(stored.len(), 150);
        assert!(
            stored
                .windows(2)
                .all(|pair| pair[1].timestamp == pair[0].timestamp + 90)
        );
        assert!(stored.iter().all(|placed| placed.playout == Playout::Immediate));
        let live = rewriter
            .place(A, &packet(1150, 150 * 3000, start), start)
            .unwrap();
        assert_eq!(live.seq, 150);
        assert_eq!(live.timestamp, 149 * 90 + 3000);
        assert_eq!(live.playout, Playout::Normal);
    }

    #[test]
    fn after_a_start_over_a_number_still_means_what_was_sent_under_it() {
        let start = origin();
        let mut buffer = LayerBuffer::new(BufferLimits::default());
        for n in 0..10u64 {
            buffer.insert(packet(1000 + n, n * 3000, start));
        }
        let mut rewriter = Rewriter::new(90_000, 0, 0);
        rewriter.begin_live(A, &packet(1000, 0, start), None, start);
        let sent: Vec<Placed> = buffer
            .since(SeqNo(1000))
            .filter_map(|packet| rewriter.place(A, packet, start))
            .collect();
        rewriter.begin_run_up(A, &buffer, &packet(1000, 0, start), Join::Afresh, start);
        let again = rewriter.place(A, &packet(1000, 0, start), start).unwrap();
        assert_eq!(again.seq, 10);
        assert_eq!(rewriter.source_of(5), Some((A, SeqNo(1005))));
        assert_eq!(
            rewriter.placed_before(5, &packet(1005, 5 * 3000, start)),
            Some(sent[5])
        );
        // The run-up is broken off after its first packet: the numbers it had in mind are another's.
        rewriter.begin_live(B, &packet(7, 0, start), None, start);
        assert_eq!(rewriter.place(B, &packet(7, 0, start), start).unwrap().seq, 11);
        assert_eq!(rewriter.source_of(11), Some((B, SeqNo(7))));
        assert_eq!(
            rewriter.place(A, &packet(1005, 5 * 3000, start), start),
            Some(sent[5])
        );
    }

    #[test]
    fn a_newer_keyframe_cuts_a_run_up_short_without_a_hole() {
        let start = origin();
        let mut buffer = LayerBuffer::new(BufferLimits::default());
        for n in 0..100u64 {
            buffer.insert(packet(1000 + n, n * 3000, start));
        }
        let mut rewriter = Rewriter::new(90_000, 0, 0);
        rewriter.begin_run_up(A, &buffer, &packet(1000, 0, start), Join::Afresh, start);
        for n in 0..40u64 {
            rewriter
                .place(A, &packet(1000 + n, n * 3000, start), start)
                .unwrap();
        }
        let keyframe = packet(1105, 105 * 3000, start);
        rewriter.skip_to(A, &keyframe);
        let placed = rewriter.place(A, &keyframe, start).unwrap();
        assert_eq!(placed.seq, 40);
        assert_eq!(
            placed.timestamp,
            99 * 90 + 6 * 3000,
            "as if nothing had been left out"
        );
        assert_eq!(rewriter.source_of(39), Some((A, SeqNo(1039))));
        assert_eq!(
            rewriter.place(A, &packet(1041, 41 * 3000, start), start),
            None,
            "left out for good"
        );
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }
}
