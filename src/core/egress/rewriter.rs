//! Sequence numbers and timestamps towards one viewer: they go on without a jump whatever the source does: another
//! publisher, another layer, a start from a stored keyframe; and without a hole where packets are left out on purpose.
//!
//! The mapping is a short list of segments, each with a timeline, and of [`Runs`] within them. Within a run, the outgoing
//! sequence number is the incoming one plus a constant, so holes stay holes (and can be asked for), and what a sequence
//! number stands for can be told later: a packet sent again on the same SSRC must be the same to the byte, as it is
//! sealed with the same nonce.

use std::time::{Duration, Instant};

use super::runs::{Run, RunBounds, Runs};
use super::trail::Trail;
use crate::core::ids::SeqNo;
use crate::core::media::Codec;
use crate::core::route::{LayerBuffer, MediaPacket, SourceKey};
use crate::core::rtp::{LayerBounds, PictureNumbers, PictureShift};

/// Segments remembered for retransmission.
const MAX_SEGMENTS: usize = 16;
/// Timestamp distance of stored frames in a run-up, in ms: the player decodes them in a row and shows the newest.
const RUN_UP_SPACING_MS: u64 = 1;
/// Packets after a run-up that still carry the playout delay going back to normal.
const RECOVERY_PACKETS: u64 = 200;

/// The last stored picture may be so much later than it should be; pictures follow each other in 8 ms at least.
const MAX_LATE_MS: u64 = 5;
/// How far the publisher's clock may run slow against ours: one part in so many.
const CLOCK_DRIFT: u32 = 64;
/// Two layers' clocks by sender reports may differ from their arrival by 1/2 s; more is a mistake of the sender's.
const MAX_MISALIGNMENT: u64 = 2;

#[derive(Debug)]
pub struct Rewriter {
    clock_rate: u64,
    segments: Trail<Segment>,
    /// Number of the first of them.
    first_segment: u32,
    runs: Runs,
    last: Option<Last>,
    first_seq: u64,
    first_timestamp: u64,
    incoming: Incoming,
    /// The layers that are sent now, those that should be, and those that there are.
    bounds: LayerBounds,
    wanted: LayerBounds,
    top: LayerBounds,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    seq: u64,
    timestamp: u64,
    picture: PictureNumbers,
    /// When it went out, or should have: what was sent again to us comes late, and tells nothing about the time.
    at: Instant,
    segment: u32,
}

/// How far the current source's packets have come, those left out included.
#[derive(Clone, Copy, Debug, Default)]
struct Incoming {
    key: Option<SourceKey>,
    /// One beyond the highest sequence number.
    next: u64,
    timestamp: u64,
    picture: Option<u16>,
}

#[derive(Debug)]
struct Segment {
    key: SourceKey,
    /// The first incoming sequence number.
    from: u64,
    timeline: Timeline,
    /// Ticks that the live timeline is later than it should be, because two pictures cannot share a timestamp. The
    /// next segment does without them, or they would add up.
    skew: u64,
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
    /// The last packet of a picture, as far as this viewer gets it.
    pub marker: bool,
    /// Only the number is sent, without payload: the packet is of a layer that is left out, but came too late to leave
    /// out its number too.
    pub blank: bool,
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
            segments: Trail::default(),
            first_segment: 0,
            runs: Runs::default(),
            last: None,
            // Below 2¹⁵, so that the receiver cannot take an early loss for a rollover (RFC 3711 §3.3.1).
            first_seq: u64::from(first_seq & 0x7fff),
            first_timestamp: u64::from(first_timestamp),
            incoming: Incoming::default(),
            bounds: LayerBounds::default(),
            wanted: LayerBounds::default(),
            top: LayerBounds::default(),
        }
    }

    /// Which of a source's layers are to be sent, and which there are: fewer from the next picture on, more from where a
    /// decoder can take them up.
    pub fn want(&mut self, wanted: LayerBounds, top: LayerBounds) {
        self.wanted = wanted;
        self.top = top;
    }

    /// The layers that are sent now.
    pub fn bounds(&self) -> LayerBounds {
        self.bounds
    }

    /// Spatial layers that are wanted and there wait for a picture to begin with.
    pub fn lacks_spatial(&self) -> bool {
        self.bounds.spatial < self.wanted.spatial.min(self.top.spatial)
    }

    /// And temporal layers.
    pub fn lacks_temporal(&self) -> bool {
        self.bounds.temporal < self.wanted.temporal.min(self.top.temporal)
    }

    /// Goes on with `packet` as the next one. `aligned`: its outgoing time by [`timeline`](Self::timeline), where
    /// that is known better than by the time that passed.
    pub fn begin_live(&mut self, key: SourceKey, packet: &MediaPacket, aligned: Option<u64>, now: Instant) {
        let (seq, wanted) = self.next(now);
        let estimate = wanted.saturating_sub(self.skew());
        // The same source knows its own time, whatever of it was left out.
        let same = self.timeline(key, packet.timestamp);
        let wanted = same.unwrap_or_else(|| self.trusted(aligned, estimate));
        // At least 1 ms: two pictures never share a timestamp.
        let earliest = self
            .last
            .map_or(0, |last| last.timestamp + self.clock_rate / 1000);
        let timestamp = wanted.max(earliest);
        let picture = self.next_picture(packet);
        let segment = Segment {
            key,
            from: packet.seq.0,
            timeline: Timeline::Live {
                shift: timestamp.wrapping_sub(packet.timestamp),
                joint: None,
            },
            skew: timestamp - wanted,
            after_run_up: false,
        };
        self.close();
        self.begin(key, packet);
        self.push(segment, u64::MAX, seq.wrapping_sub(packet.seq.0), picture);
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
        self.begin(key, anchor);
        let stored = Segment {
            key,
            from: anchor.seq.0,
            timeline: Timeline::RunUp { frames },
            skew: 0,
            after_run_up: false,
        };
        self.push(stored, until, seq_shift, picture);
        let following = Segment {
            key,
            from: until,
            timeline: Timeline::Live {
                shift: live.wrapping_sub(newest_in),
                joint: Some((newest_in, newest_out)),
            },
            skew,
            after_run_up: true,
        };
        self.push(following, u64::MAX, seq_shift, picture);
    }

    /// A newer keyframe came while stored packets were still being sent: what is between is left out, and `packet`
    /// comes next, on the live timeline that the run-up promised.
    pub fn skip_to(&mut self, key: SourceKey, packet: &MediaPacket) {
        let Some(segment) = self.segments.latest().filter(|segment| segment.key == key) else {
            return;
        };
        let Timeline::Live { shift, .. } = segment.timeline else {
            return;
        };
        let skew = segment.skew;
        let picture = self.next_picture(packet);
        let seq = self.last.map_or(self.first_seq, |last| last.seq + 1);
        self.close();
        self.begin(key, packet);
        let following = Segment {
            key,
            from: packet.seq.0,
            timeline: Timeline::Live { shift, joint: None },
            skew,
            after_run_up: true,
        };
        self.push(following, u64::MAX, seq.wrapping_sub(packet.seq.0), picture);
    }

    /// Places a packet that is sent for the first time. `None`: it is of no current segment, or of a layer that is left
    /// out.
    #[inline]
    pub fn place(&mut self, key: SourceKey, packet: &MediaPacket, now: Instant) -> Option<Placed> {
        let mut index = self.runs.find(key, packet.seq.0)?;
        if self.incoming.key == Some(key) && packet.seq.0 >= self.incoming.next {
            if self.bounds != self.wanted {
                index = self.adapt(index, packet);
            }
            let unwanted = packet.payload.is_empty() || !self.bounds.hold(packet.frame);
            if unwanted {
                // VP9 and AV1 refer to pictures by the difference of their numbers: there a gap has to stay.
                let id = packet.picture.id();
                let counted = packet.codec == Codec::Vp8 && id.is_some() && id != self.incoming.picture;
                self.runs.leave_out(index, packet, counted);
            }
            self.incoming.next = packet.seq.0 + 1;
            self.incoming.timestamp = self.incoming.timestamp.max(packet.timestamp);
            self.incoming.picture = packet.picture.id().or(self.incoming.picture);
            if unwanted {
                return None;
            }
        }
        let run = self.runs.get(index)?;
        let segment = self.segment(run.segment)?;
        let placed = segment.place(run, packet);
        let timestamp = segment.timestamp(packet.timestamp);
        let newer = self.last.is_none_or(|last| placed.seq > last.seq);
        if newer {
            let number = run.segment;
            let at = match (&segment.timeline, self.last) {
                (Timeline::Live { .. }, Some(last)) if last.segment == number => {
                    let due = self.due(timestamp.saturating_sub(last.timestamp));
                    last.at.checked_add(due).map_or(now, |due| now.min(due))
                }
                _ => now,
            };
            self.last = Some(Last {
                seq: placed.seq,
                timestamp,
                picture: packet.picture.shifted(placed.picture),
                at,
                segment: number,
            });
        }
        Some(placed)
    }

    /// Fewer layers from the next picture on, more from where they can be taken up. Gives the packet's run, which may
    /// be a new one.
    fn adapt(&mut self, index: usize, packet: &MediaPacket) -> usize {
        let mut bounds = self.bounds;
        if packet.keyframe {
            bounds = self.wanted;
        } else {
            if packet.timestamp > self.incoming.timestamp {
                bounds = bounds.within(self.wanted);
            }
            let wanted = LayerBounds {
                spatial: self.wanted.spatial.max(bounds.spatial),
                temporal: self.wanted.temporal.max(bounds.temporal),
            };
            bounds = packet.frame.raised(bounds, wanted);
            // All there is is as much as is wanted.
            if bounds.spatial >= self.top.spatial {
                bounds.spatial = wanted.spatial;
            }
            if bounds.temporal >= self.top.temporal {
                bounds.temporal = wanted.temporal;
            }
        }
        if bounds == self.bounds {
            return index;
        }
        self.bounds = bounds;
        self.runs
            .change_bounds(index, self.incoming.next, packet.timestamp, bounds)
    }

    /// Number and time of the last packet.
    pub fn latest(&self) -> Option<(u16, u32)> {
        self.last.map(|last| (last.seq as u16, last.timestamp as u32))
    }

    /// The source of a sequence number this viewer asks for again.
    pub fn source_of(&self, seq: u16) -> Option<(SourceKey, SeqNo)> {
        self.sent_as(seq).map(|(run, incoming)| (run.key, incoming))
    }

    /// Where the packet found by [`source_of`](Self::source_of) was placed under that very number. A viewer that
    /// started over has the same packet under two.
    pub fn placed_before(&self, seq: u16, packet: &MediaPacket) -> Option<Placed> {
        let (run, incoming) = self.sent_as(seq)?;
        let segment = self.segment(run.segment)?;
        (incoming == packet.seq).then(|| segment.place(run, packet))
    }

    fn sent_as(&self, seq: u16) -> Option<(&Run, SeqNo)> {
        let last = self.last?.seq;
        let behind = (last as u16).wrapping_sub(seq);
        let seq = last.checked_sub(u64::from(behind))?;
        let (run, incoming) = self.runs.of_sent(seq)?;
        Some((run, SeqNo(incoming)))
    }

    #[inline]
    fn segment(&self, number: u32) -> Option<&Segment> {
        let index = number.wrapping_sub(self.first_segment);
        self.segments.get(usize::try_from(index).ok()?)
    }

    /// The outgoing RTP time of an incoming one, on the live timeline.
    pub fn live_timestamp(&self, key: SourceKey, incoming: u64) -> Option<u32> {
        let segment = self.segments.latest().filter(|segment| segment.key == key)?;
        match &segment.timeline {
            Timeline::Live { shift, .. } => Some(incoming.wrapping_add(*shift) as u32),
            Timeline::RunUp { .. } => None,
        }
    }

    /// As [`live_timestamp`](Self::live_timestamp), unwrapped and without what the timeline is late: what belongs to
    /// the same time on another layer should go there.
    pub fn timeline(&self, key: SourceKey, incoming: u64) -> Option<u64> {
        let segment = self.segments.latest().filter(|segment| segment.key == key)?;
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

    /// How long so many ticks take, and a little more: clocks differ, and ways become longer.
    fn due(&self, ticks: u64) -> Duration {
        let time = Duration::from_micros(ticks.saturating_mul(1_000_000) / self.clock_rate);
        time.saturating_add(time / CLOCK_DRIFT)
    }

    /// What the timeline is late.
    fn skew(&self) -> u64 {
        self.segments.latest().map_or(0, |segment| segment.skew)
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

    /// What comes next has numbers of its own.
    fn close(&mut self) {
        match self.last {
            Some(last) => self.runs.close(last.seq),
            None => {
                self.first_segment = self.first_segment.wrapping_add(self.segments.len() as u32);
                self.segments.clear();
                self.runs.clear();
            }
        }
    }

    /// The source goes on, or another does, from this packet on: a keyframe, so all layers that are wanted can be sent.
    fn begin(&mut self, key: SourceKey, packet: &MediaPacket) {
        self.bounds = self.wanted;
        self.incoming = Incoming {
            key: Some(key),
            next: packet.seq.0,
            timestamp: packet.timestamp,
            picture: None,
        };
    }

    /// The segment's first run goes from its beginning to `until`.
    fn push(&mut self, segment: Segment, until: u64, seq_shift: u64, picture: PictureShift) {
        if self.segments.len() == MAX_SEGMENTS {
            self.segments.pop_oldest();
            self.first_segment = self.first_segment.wrapping_add(1);
            self.runs.forget_before(self.first_segment);
        }
        self.runs.push(Run {
            key: segment.key,
            segment: self.first_segment.wrapping_add(self.segments.len() as u32),
            from: segment.from,
            until,
            seq_shift,
            picture,
            bounds: RunBounds::fixed(self.bounds),
        });
        self.segments.push(segment);
    }
}

impl Segment {
    fn place(&self, run: &Run, packet: &MediaPacket) -> Placed {
        let playout = match &self.timeline {
            Timeline::RunUp { .. } => Playout::Immediate,
            Timeline::Live { .. } if self.after_run_up && packet.seq.0 - self.from < RECOVERY_PACKETS => {
                Playout::Normal
            }
            Timeline::Live { .. } => Playout::Unset,
        };
        let bounds = run.bounds.at(packet.timestamp);
        let blank = packet.payload.is_empty() || !bounds.hold(packet.frame);
        let ends = packet.marker || packet.frame.ends && packet.frame.spatial == bounds.spatial;
        Placed {
            seq: packet.seq.0.wrapping_add(run.seq_shift),
            timestamp: self.timestamp(packet.timestamp) as u32,
            marker: ends && !blank,
            blank,
            picture: run.picture,
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
