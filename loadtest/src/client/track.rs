//! What a viewer knows of one incoming media stream: which packets are missing, when to ask for them again, and
//! which frames are complete.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A packet that comes this much later than its neighbour was only reordered; it is not asked for.
const REORDER_WAIT: Duration = Duration::from_millis(5);
/// Between two requests for the same packet: a round trip with room, as browsers wait.
const RETRY: Duration = Duration::from_millis(60);
/// A packet that has not come by then is lost: a player's jitter buffer would have gone on.
const GIVE_UP: Duration = Duration::from_millis(1000);
/// A larger jump in sequence numbers is a new start, not loss.
const MAX_GAP: u64 = 3000;
/// Packets remembered to tell late from duplicate.
const WINDOW: u64 = 4096;
/// A longer gap between complete frames is a freeze.
pub const FREEZE: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TrackStats {
    /// Distinct media packets, repaired ones included.
    pub packets: u64,
    /// RTP bytes (headers and payload, without SRTP's tag) of those.
    pub bytes: u64,
    pub duplicates: u64,
    /// Found missing for longer than reordering explains: the loss before repair.
    pub missing: u64,
    /// Of those, arrived in time after all.
    pub repaired: u64,
    /// Of those, given up: the loss after repair.
    pub lost: u64,
    pub reordered: u64,
    pub frames: FrameStats,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FrameStats {
    /// Complete, with everything since a keyframe complete too: a player could show them.
    pub complete: u64,
    pub keyframes: u64,
    /// With a packet missing for good.
    pub broken: u64,
    /// Complete, but something they build on is not.
    pub undecodable: u64,
    /// Gaps of more than 200 ms between complete frames.
    pub freezes: u64,
    pub freeze_ms: u64,
}

/// How a packet fits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    New,
    Duplicate,
}

/// What frame tracking needs of a packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Piece {
    pub timestamp: u32,
    pub marker: bool,
    pub start: bool,
    pub key: bool,
}

pub struct Track {
    pub stats: TrackStats,
    highest: Option<u64>,
    seen: Box<[u64]>,
    missing: Vec<Missing>,
    /// Frames are tracked for video only.
    frames: Option<Frames>,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    number: u64,
    since: Instant,
    due: Instant,
    asked: bool,
}

impl Track {
    pub fn new(video: bool) -> Self {
        Self {
            stats: TrackStats::default(),
            highest: None,
            seen: vec![0; (WINDOW / 64) as usize].into_boxed_slice(),
            missing: Vec::new(),
            frames: video.then(Frames::default),
        }
    }

    /// Forgets numbers and frames but not the figures: the stream goes on under new numbers.
    pub fn restart(&mut self) {
        self.highest = None;
        self.seen.fill(0);
        self.missing.clear();
        if let Some(frames) = &mut self.frames {
            frames.restart();
        }
    }

    pub fn handle(&mut self, now: Instant, number: u64, bytes: usize, piece: Piece) -> Arrival {
        match self.highest {
            None => self.mark(number),
            Some(highest) if number > highest => {
                if number - highest > MAX_GAP {
                    self.stats.lost += number - highest - 1;
                    self.stats.missing += number - highest - 1;
                    self.restart();
                } else {
                    self.open_gap(now, highest, number);
                }
                self.mark(number);
            }
            Some(highest) => {
                if highest - number >= WINDOW || self.is_seen(number) {
                    self.stats.duplicates += 1;
                    return Arrival::Duplicate;
                }
                self.set_seen(number);
                self.close_gap(number);
            }
        }
        self.stats.packets += 1;
        self.stats.bytes += bytes as u64;
        if let Some(frames) = &mut self.frames {
            frames.arrived(now, number, piece, &mut self.stats.frames);
        }
        Arrival::New
    }

    fn open_gap(&mut self, now: Instant, highest: u64, number: u64) {
        for number in highest + 1..number {
            self.clear_seen(number);
            self.missing.push(Missing {
                number,
                since: now,
                due: now + REORDER_WAIT,
                asked: false,
            });
        }
    }

    fn close_gap(&mut self, number: u64) {
        let Some(place) = self.missing.iter().position(|missing| missing.number == number) else {
            // Given up before: it stays lost.
            return;
        };
        if self.missing.remove(place).asked {
            self.stats.repaired += 1;
        } else {
            self.stats.reordered += 1;
        }
    }

    fn mark(&mut self, number: u64) {
        self.highest = Some(number);
        self.set_seen(number);
    }

    fn is_seen(&self, number: u64) -> bool {
        let bit = number % WINDOW;
        self.seen
            .get((bit / 64) as usize)
            .is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    fn set_seen(&mut self, number: u64) {
        let bit = number % WINDOW;
        if let Some(word) = self.seen.get_mut((bit / 64) as usize) {
            *word |= 1 << (bit % 64);
        }
    }

    fn clear_seen(&mut self, number: u64) {
        let bit = number % WINDOW;
        if let Some(word) = self.seen.get_mut((bit / 64) as usize) {
            *word &= !(1 << (bit % 64));
        }
    }

    /// When [`Self::due_requests`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.missing.iter().map(|missing| missing.due).min()
    }

    /// Gives up what is too late; collects in `out` the numbers to ask for now.
    pub fn due_requests(&mut self, now: Instant, out: &mut Vec<u16>) {
        if self.missing.is_empty() {
            return;
        }
        let (stats, frames) = (&mut self.stats, &mut self.frames);
        self.missing.retain_mut(|missing| {
            if missing.due > now {
                return true;
            }
            if now.saturating_duration_since(missing.since) >= GIVE_UP {
                stats.lost += 1;
                if let Some(frames) = frames {
                    frames.gave_up(now, missing.number, &mut stats.frames);
                }
                return false;
            }
            if !missing.asked {
                stats.missing += 1;
            }
            missing.asked = true;
            missing.due = now + RETRY;
            out.push(missing.number as u16);
            true
        });
    }

    /// Whether a player would be able to show the next complete frame; false before the first keyframe.
    pub fn is_decodable(&self) -> bool {
        self.frames.as_ref().is_none_or(|frames| frames.decodable)
    }

    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// The figures with a freeze that still goes on counted in.
    pub fn stats_at(&self, now: Instant) -> TrackStats {
        let mut stats = self.stats;
        if let Some(frames) = &self.frames {
            frames.count_gap(now, &mut stats.frames);
        }
        stats
    }
}

/// Puts packets in order and reads frames off them.
#[derive(Default)]
struct Frames {
    /// The number that comes next; [`Self::early`] begins with it.
    next: Option<u64>,
    early: VecDeque<Slot>,
    current: Option<Current>,
    /// Something was lost since the last packet in order.
    hole: bool,
    decodable: bool,
    last_complete: Option<Instant>,
}

#[derive(Clone, Copy)]
enum Slot {
    Waiting,
    Lost,
    Here(Piece),
}

#[derive(Clone, Copy)]
struct Current {
    timestamp: u32,
    key: bool,
    broken: bool,
}

impl Frames {
    fn restart(&mut self) {
        *self = Self {
            last_complete: self.last_complete,
            ..Self::default()
        };
    }

    fn arrived(&mut self, now: Instant, number: u64, piece: Piece, stats: &mut FrameStats) {
        let next = *self.next.get_or_insert(number);
        if number == next && self.early.is_empty() {
            self.next = Some(number + 1);
            self.in_order(now, piece, stats);
        } else {
            self.put(number, Slot::Here(piece));
            self.advance(now, stats);
        }
    }

    fn gave_up(&mut self, now: Instant, number: u64, stats: &mut FrameStats) {
        self.put(number, Slot::Lost);
        self.advance(now, stats);
    }

    fn put(&mut self, number: u64, slot: Slot) {
        let Some(place) = self.next.and_then(|next| number.checked_sub(next)) else {
            return;
        };
        let place = place as usize;
        if self.early.len() <= place {
            self.early.resize(place + 1, Slot::Waiting);
        }
        if let Some(target) = self.early.get_mut(place) {
            *target = slot;
        }
    }

    fn advance(&mut self, now: Instant, stats: &mut FrameStats) {
        while let Some(slot) = self.early.front().copied() {
            match slot {
                Slot::Waiting => return,
                Slot::Here(piece) => self.in_order(now, piece, stats),
                Slot::Lost => {
                    self.hole = true;
                    self.decodable = false;
                    if let Some(current) = &mut self.current {
                        current.broken = true;
                    }
                }
            }
            self.early.pop_front();
            self.next = self.next.map(|next| next + 1);
        }
    }

    fn in_order(&mut self, now: Instant, piece: Piece, stats: &mut FrameStats) {
        if self
            .current
            .is_some_and(|current| current.timestamp != piece.timestamp)
        {
            self.finish(now, stats);
        }
        let hole = std::mem::take(&mut self.hole);
        // Joining mid-frame, or after a hole, only a sure start makes a whole frame.
        let unsure = hole || (self.last_complete.is_none() && stats.broken == 0 && stats.undecodable == 0);
        let current = self.current.get_or_insert(Current {
            timestamp: piece.timestamp,
            key: false,
            broken: unsure && !piece.start && !piece.key,
        });
        current.key |= piece.key;
        if piece.marker {
            self.finish(now, stats);
        }
    }

    fn finish(&mut self, now: Instant, stats: &mut FrameStats) {
        let Some(frame) = self.current.take() else { return };
        if frame.broken {
            stats.broken += 1;
            self.decodable = false;
            return;
        }
        self.decodable |= frame.key;
        if !self.decodable {
            stats.undecodable += 1;
            return;
        }
        stats.complete += 1;
        stats.keyframes += u64::from(frame.key);
        self.count_gap(now, stats);
        self.last_complete = Some(now);
    }

    fn count_gap(&self, now: Instant, stats: &mut FrameStats) {
        let Some(last) = self.last_complete else { return };
        let gap = now.saturating_duration_since(last);
        if gap > FREEZE {
            stats.freezes += 1;
            stats.freeze_ms += gap.as_millis() as u64;
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
mod tests {
    use super::*;

    /// Three-packet frames, every tenth a keyframe, a frame each 33 ms.
    fn piece(number: u64) -> Piece {
        let (frame, part) = (number / 3, number % 3);
        Piece {
            timestamp: frame as u32 * 3000,
            marker: part == 2,
            start: part == 0,
            key: frame.is_multiple_of(10) && part == 0,
        }
    }

    fn at(start: Instant, number: u64) -> Instant {
        start + Duration::from_millis(33) * (number / 3) as u32
    }

    #[test]
    fn what_arrives_whole_is_complete() {
        let start = Instant::now();
        let mut track = Track::new(true);
        for number in 0..300 {
            track.handle(at(start, number), number, 100, piece(number));
        }
        let expected = FrameStats {
            complete: 100,
            keyframes: 10,
            ..FrameStats::default()
        };
        assert_eq!(
            (track.stats.packets, track.stats.lost, track.stats.frames),
            (300, 0, expected)
        );
    }

    #[test]
    fn a_repaired_packet_completes_its_frame_and_a_second_copy_counts_twice() {
        let start = Instant::now();
        let mut track = Track::new(true);
        for number in (0..31).filter(|number| *number != 10) {
            track.handle(at(start, 0), number, 100, piece(number));
        }
        assert_eq!(track.stats.frames.complete, 3, "nothing is shown past the gap");
        let mut asked = Vec::new();
        track.due_requests(start, &mut asked);
        assert!(asked.is_empty(), "it may only be reordered");
        track.due_requests(start + REORDER_WAIT, &mut asked);
        assert_eq!(asked, [10]);
        assert_eq!(track.handle(start, 10, 100, piece(10)), Arrival::New);
        assert_eq!(track.handle(start, 10, 100, piece(10)), Arrival::Duplicate);
        assert_eq!(
            (track.stats.missing, track.stats.repaired, track.stats.lost),
            (1, 1, 0)
        );
        assert_eq!((track.stats.frames.complete, track.stats.duplicates), (10, 1));
    }

    #[test]
    fn a_lost_packet_breaks_everything_until_the_next_keyframe() {
        let start = Instant::now();
        let mut track = Track::new(true);
        let mut asked = Vec::new();
        for number in (0..90).filter(|number| *number != 10) {
            track.handle(at(start, number), number, 100, piece(number));
        }
        track.due_requests(start + Duration::from_secs(2), &mut asked);
        let frames = track.stats.frames;
        assert_eq!((frames.broken, frames.undecodable, frames.complete), (1, 6, 23));
        assert_eq!(track.stats.lost, 1);
        assert!(frames.freezes >= 1);
    }

    #[test]
    fn numbers_far_ahead_are_a_new_start() {
        let start = Instant::now();
        let mut track = Track::new(false);
        track.handle(start, 5, 100, Piece::default());
        track.handle(start, 50_000, 100, Piece::default());
        assert_eq!(track.deadline(), None);
        assert_eq!(track.stats.packets, 2);
    }
}
