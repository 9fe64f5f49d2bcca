//! What may go out now, and what has to wait: a keyframe is many times as large as other pictures, and sent at once it
//! would fill the queue of a narrow way, where everything behind it waits or is lost.
//!
//! Packets wait by their place in the stream's buffer: nothing is copied, and whether and how one goes out is only
//! decided when its turn comes. On a way that is wide enough nothing ever waits.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::core::ids::{Bitrate, SeqNo};
use crate::core::route::SourceKey;

/// What may go out at once after a pause, in time at the pace: the usual picture as a whole.
const BURST: Duration = Duration::from_millis(40);
/// At least so many bytes: a handful of packets, ...
const LEAST_BURST: f64 = 6_000.0;
/// ... where they take no longer than this.
const LONGEST_BURST: Duration = Duration::from_millis(100);
/// Into a queue that may be full, one packet after the other: for each that left it there is room for one more.
const FULL_BURST: f64 = 1_200.0;
/// Packets that wait; what is beyond goes out at once.
const MAX_WAITING: usize = 4096;

#[derive(Debug)]
pub struct Pacer {
    /// Bits per second; `None`: nothing waits.
    pace: Option<Bitrate>,
    /// Nothing is to wait longer than this, whatever the pace.
    patience: Duration,
    /// The way's queue may be full.
    full: bool,
    /// Bytes that may go now.
    level: f64,
    at: Instant,
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

/// A packet in the lane's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The layer's sequence: when it starts over, the same number is another packet's.
    pub key: SourceKey,
    pub seq: SeqNo,
    pub bytes: u16,
}

impl Pacer {
    pub fn new(now: Instant) -> Self {
        Self {
            pace: None,
            patience: Duration::ZERO,
            full: false,
            level: 0.0,
            at: now,
            waiting: VecDeque::new(),
            bytes: 0,
        }
    }

    /// `full`: the way's queue may be, so nothing goes out at once.
    pub fn set(&mut self, pace: Option<Bitrate>, patience: Duration, full: bool) {
        self.full = full;
        if let Some(pace) = pace {
            let most = self.burst(pace.0 as f64 / 8.0);
            let level = if self.pace.is_none() { most } else { self.level };
            self.level = level.min(most);
        }
        self.pace = pace;
        self.patience = patience;
    }

    fn burst(&self, speed: f64) -> f64 {
        match self.full {
            true => FULL_BURST,
            false => {
                let least = LEAST_BURST.min(speed * LONGEST_BURST.as_secs_f64());
                (speed * BURST.as_secs_f64()).max(least).max(FULL_BURST)
            }
        }
    }

    /// Bytes a second.
    fn speed(&self) -> Option<f64> {
        let pace = self.pace?.0 as f64 / 8.0;
        let patience = self.patience.as_secs_f64().max(0.01);
        Some(pace.max(self.bytes as f64 / patience))
    }

    /// Time went by. To be called before packets are sent.
    #[inline]
    pub fn refill(&mut self, now: Instant) {
        let Some(speed) = self.speed() else { return };
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.level = (self.level + elapsed * speed).min(self.burst(speed));
    }

    /// Whether the pace leaves room for something now.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.pace.is_none() || self.level > 0.0
    }

    /// Whether there is a pace.
    #[inline]
    pub fn is_paced(&self) -> bool {
        self.pace.is_some()
    }

    /// Whether what comes now has to wait.
    #[inline]
    pub fn holds(&self) -> bool {
        !self.waiting.is_empty() || !self.is_open()
    }

    /// A packet went out, whoever it was sent for.
    #[inline]
    pub fn spend(&mut self, bytes: usize) {
        self.level -= bytes as f64;
    }

    /// Something waits.
    #[inline]
    pub fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn push(&mut self, packet: Waiting) {
        self.bytes += usize::from(packet.bytes);
        self.waiting.push_back(packet);
    }

    /// The next packet whose turn it is.
    pub fn pop(&mut self) -> Option<Waiting> {
        if !self.is_open() && self.waiting.len() <= MAX_WAITING {
            return None;
        }
        let packet = self.waiting.pop_front()?;
        self.bytes -= usize::from(packet.bytes);
        Some(packet)
    }

    /// The next packet that waits, for what it takes is paid otherwise.
    pub fn pop_early(&mut self) -> Option<Waiting> {
        let packet = self.waiting.pop_front()?;
        self.bytes -= usize::from(packet.bytes);
        Some(packet)
    }

    /// What waits is of a source that is gone.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(n: u64) -> Waiting {
        Waiting {
            key: SourceKey { layer: 0, epoch: 7 },
            seq: SeqNo(n),
            bytes: 1000,
        }
    }

    #[test]
    fn a_burst_leaves_at_the_pace_and_in_order() {
        let start = origin();
        let mut pacer = Pacer::new(start);
        pacer.set(Some(Bitrate(1_000_000)), Duration::from_secs(10), false);
        for n in 0..100 {
            pacer.push(packet(n));
        }
        let mut left = Vec::new();
        for ms in (0..1000u64).step_by(4) {
            pacer.refill(start + Duration::from_millis(ms));
            while let Some(packet) = pacer.pop() {
                pacer.spend(1000);
                left.push((packet.seq.0, ms));
            }
        }
        assert!(left.iter().map(|(n, _)| *n).eq(0..100));
        let at = |n: usize| left.get(n).map(|(_, ms)| *ms);
        assert_eq!(at(5), Some(0), "a handful at once");
        // 94 kB more at 125 kB/s.
        assert!((700..=760).contains(&at(99).unwrap_or_default()), "{:?}", at(99));
    }

    #[test]
    fn nothing_waits_longer_than_it_may() {
        let start = origin();
        let mut pacer = Pacer::new(start);
        pacer.set(Some(Bitrate(100_000)), Duration::from_millis(300), false);
        for n in 0..100 {
            pacer.push(packet(n));
        }
        let mut count = 0;
        for ms in (0..1500u64).step_by(4) {
            pacer.refill(start + Duration::from_millis(ms));
            while pacer.pop().is_some() {
                pacer.spend(1000);
                count += 1;
            }
        }
        assert_eq!(count, 100);
    }

    #[test]
    fn without_a_pace_everything_goes_at_once() {
        let start = origin();
        let mut pacer = Pacer::new(start);
        for _ in 0..10_000 {
            assert!(!pacer.holds());
            pacer.spend(1000);
        }
        assert!(!pacer.is_busy());
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }
}
