//! Which outgoing number stands for which incoming one. A run is a stretch of incoming numbers that go out with the same
//! difference; between two runs are packets that were left out on purpose, so the outgoing numbers have no hole there.
//! A number within a run stands for its packet for good, whether that has come yet or not.

use super::trail::Trail;
use crate::core::route::{MediaPacket, SourceKey};
use crate::core::rtp::{LayerBounds, PictureShift};

/// Runs remembered: at 60 pictures a second, of which every other is left out, eight seconds. What is older cannot be
/// sent again.
const MAX_RUNS: usize = 256;

#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub key: SourceKey,
    /// Number of the segment whose timeline holds.
    pub segment: u32,
    /// Incoming sequence numbers from `from` on, below `until`.
    pub from: u64,
    pub until: u64,
    pub seq_shift: u64,
    /// Constant, so that a packet sent again has the same numbers.
    pub picture: PictureShift,
    pub bounds: RunBounds,
}

/// Which layers were wanted. A change goes by the pictures' times: packets come in any order.
#[derive(Clone, Copy, Debug)]
pub struct RunBounds {
    before: LayerBounds,
    since: u64,
    after: LayerBounds,
}

impl RunBounds {
    pub fn fixed(bounds: LayerBounds) -> Self {
        Self {
            before: bounds,
            since: 0,
            after: bounds,
        }
    }

    #[inline]
    pub fn at(&self, timestamp: u64) -> LayerBounds {
        if timestamp >= self.since {
            self.after
        } else {
            self.before
        }
    }
}

impl Run {
    #[inline]
    fn holds(&self, key: SourceKey, seq: u64) -> bool {
        self.key == key && seq >= self.from && seq < self.until
    }

    fn first_out(&self) -> u64 {
        self.from.wrapping_add(self.seq_shift)
    }
}

/// In the order of outgoing numbers.
#[derive(Debug, Default)]
pub struct Runs {
    runs: Trail<Run>,
}

impl Runs {
    pub fn clear(&mut self) {
        self.runs.clear();
    }

    #[inline]
    pub fn get(&self, index: usize) -> Option<&Run> {
        self.runs.get(index)
    }

    /// The run that an incoming number is of.
    #[inline]
    pub fn find(&self, key: SourceKey, seq: u64) -> Option<usize> {
        self.runs.rposition(|run| run.holds(key, seq))
    }

    /// The run that an outgoing number is of, and the incoming one it stands for.
    pub fn of_sent(&self, seq: u64) -> Option<(&Run, u64)> {
        let next = self.runs.partition_point(|run| run.first_out() <= seq);
        let run = self.runs.get(next.checked_sub(1)?)?;
        let incoming = seq.wrapping_sub(run.seq_shift);
        (incoming >= run.from && incoming < run.until).then_some((run, incoming))
    }

    pub fn push(&mut self, run: Run) {
        self.insert(self.runs.len(), run);
    }

    /// Gives the place where it is: the oldest run may have been forgotten.
    fn insert(&mut self, index: usize, run: Run) -> usize {
        let full = self.runs.len() >= MAX_RUNS;
        if full {
            self.runs.pop_oldest();
        }
        let index = index - usize::from(full && index > 0);
        self.runs.insert(index, run);
        index
    }

    /// Forgets the runs of segments before this one.
    pub fn forget_before(&mut self, segment: u32) {
        while self.runs.oldest().is_some_and(|run| run.segment < segment) {
            self.runs.pop_oldest();
        }
    }

    /// What comes next has numbers of its own: no run reaches beyond the last number sent, not even one of a run-up
    /// that was broken off.
    pub fn close(&mut self, last_sent: u64) {
        for run in self.runs.iter_mut() {
            let end = last_sent.wrapping_sub(run.seq_shift).wrapping_add(1);
            run.until = run.until.min(end).max(run.from);
        }
        self.runs.retain(|run| run.from < run.until);
    }

    /// From the incoming number `from` of this run on, pictures from `since` on have other bounds; and so have all
    /// later runs. Gives the run that `from` is of then.
    pub fn change_bounds(&mut self, index: usize, from: u64, since: u64, bounds: LayerBounds) -> usize {
        let Some(run) = self.runs.get_mut(index) else {
            return index;
        };
        let changed = RunBounds {
            before: run.bounds.after,
            since,
            after: bounds,
        };
        let index = if run.from >= from {
            run.bounds = changed;
            index
        } else {
            let rest = Run {
                from,
                bounds: changed,
                ..*run
            };
            run.until = from;
            self.insert(index + 1, rest)
        };
        for later in self.runs.iter_mut().skip(index + 1) {
            later.bounds = changed;
        }
        index
    }

    /// Takes a packet out of its run, so that what is after it moves up; `picture` too where a whole picture is gone.
    pub fn leave_out(&mut self, index: usize, packet: &MediaPacket, picture: bool) {
        let seq = packet.seq.0;
        let Some(run) = self.runs.get_mut(index) else {
            return;
        };
        let mut moved = index;
        if run.from == seq {
            run.from += 1;
        } else {
            let rest = Run {
                from: seq + 1,
                ..*run
            };
            run.until = seq;
            moved = self.insert(index + 1, rest);
        }
        for later in self.runs.iter_mut().skip(moved) {
            later.seq_shift = later.seq_shift.wrapping_sub(1);
            if picture {
                later.picture = later.picture.without_one();
            }
        }
    }
}
