//! Asking a publisher for what was lost on its way here: at once, and again each round trip.
//!
//! All viewers miss what is missing here, so nothing is waited for that need not be. How long a retransmission takes
//! is learned from those that come.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::core::rtp::SeqUnwrapper;

/// Until a retransmission has come: the round trip of most publishers is below.
const FIRST_RETRY: Duration = Duration::from_millis(60);
/// Retries are not closer than this, and not farther apart than that, whatever was learned.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(300));
/// Beyond this a picture is too late for everybody.
const GIVE_UP: Duration = Duration::from_millis(1200);
const TIMES: u8 = 10;
/// A gap of more is a sender that started over, or was away.
const MAX_GAP: u64 = 1000;
/// Missing at a time; the oldest are given up first.
const MAX_MISSING: usize = 1000;
/// A way that reorders is given so long at most before a packet counts as lost.
const MAX_REORDERING: Duration = Duration::from_millis(40);

/// What is missing of one SSRC.
#[derive(Debug, Default)]
pub struct Missing {
    seq: SeqUnwrapper,
    packets: BTreeMap<u64, Gap>,
    /// How long a retransmission takes, from the asking on.
    round_trip: Option<Duration>,
    /// How much later than its successor a packet may come that was not lost.
    reordering: Duration,
    /// Nothing is due before.
    wake: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    since: Instant,
    asked: Option<Instant>,
    times: u8,
}

impl Missing {
    /// A packet came; `again`: as a retransmission.
    pub fn arrived(&mut self, seq: u16, again: bool, now: Instant) {
        let before = self.seq.highest();
        let seq = self.seq.unwrap(seq);
        let Some(before) = before else { return };
        if seq.0 > before.0 {
            if seq.0 - before.0 > MAX_GAP {
                self.packets.clear();
                return;
            }
            let gap = Gap {
                since: now,
                asked: None,
                times: 0,
            };
            self.packets.extend((before.0 + 1..seq.0).map(|lost| (lost, gap)));
            while self.packets.len() > MAX_MISSING {
                self.packets.pop_first();
            }
            if seq.0 - before.0 > 1 {
                let at = now + self.reordering;
                self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
            }
        } else if let Some(gap) = self.packets.remove(&seq.0) {
            self.learn(gap, again, now);
        }
    }

    /// The numbers to ask for now, ascending; they count as asked for.
    pub fn due(&mut self, now: Instant) -> Vec<u16> {
        if self.wake.is_none_or(|wake| wake > now) {
            return Vec::new();
        }
        self.packets
            .retain(|_, gap| gap.times < TIMES && now.saturating_duration_since(gap.since) < GIVE_UP);
        let (reordering, retry) = (self.reordering, self.retry());
        let mut due = Vec::new();
        for (seq, gap) in &mut self.packets {
            if gap.due(reordering, retry) <= now {
                gap.asked = Some(now);
                gap.times += 1;
                due.push(*seq as u16);
            }
        }
        self.wake = self.packets.values().map(|gap| gap.due(reordering, retry)).min();
        due
    }

    /// When [`due`](Self::due) is to be called.
    pub fn next(&self) -> Option<Instant> {
        self.wake
    }

    /// How long a retransmission takes, once one came.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// A little more than the round trip, for a retransmission that comes a moment later was not lost.
    fn retry(&self) -> Duration {
        self.round_trip.map_or(FIRST_RETRY, |round_trip| {
            (round_trip * 5 / 4).clamp(RETRY.0, RETRY.1)
        })
    }

    fn learn(&mut self, gap: Gap, again: bool, now: Instant) {
        let late = now.saturating_duration_since(gap.since);
        match gap.asked {
            // With a second asking it is unknown which was answered.
            Some(asked) if again && gap.times == 1 => {
                let took = now.saturating_duration_since(asked);
                self.round_trip = Some(self.round_trip.map_or(took, |known| (known * 7 + took) / 8));
                self.reordering = self.reordering * 15 / 16;
            }
            _ if !again && gap.times <= 1 => self.reordering = self.reordering.max(late).min(MAX_REORDERING),
            _ => {}
        }
    }
}

impl Gap {
    fn due(&self, reordering: Duration, retry: Duration) -> Instant {
        match self.asked {
            None => self.since + reordering,
            Some(asked) => asked + retry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_asked_for_at_once_and_again_each_round_trip() {
        let start = origin();
        let ms = |n: u64| start + Duration::from_millis(n);
        let mut missing = Missing::default();
        missing.arrived(10, false, ms(0));
        missing.arrived(13, false, ms(1));
        assert_eq!(missing.next(), Some(ms(1)));
        assert_eq!(missing.due(ms(1)), [11, 12]);
        assert_eq!(missing.due(ms(2)), [] as [u16; 0]);
        missing.arrived(11, true, ms(33));
        // The round trip is 32 ms, as is known by the second time.
        assert_eq!(missing.due(ms(60)), [] as [u16; 0]);
        assert_eq!(missing.due(ms(61)), [12]);
        assert_eq!(missing.due(ms(100)), [] as [u16; 0]);
        assert_eq!(missing.due(ms(101)), [12]);
        missing.arrived(12, true, ms(133));
        assert_eq!(missing.due(ms(1000)), [] as [u16; 0]);
        assert_eq!(missing.next(), None);
    }

    #[test]
    fn nothing_is_asked_for_for_ever() {
        let start = origin();
        let mut missing = Missing::default();
        missing.arrived(10, false, start);
        missing.arrived(12, false, start);
        let asked: usize = (0..5000)
            .map(|ms| missing.due(start + Duration::from_millis(ms)).len())
            .sum();
        assert!((2..=usize::from(TIMES)).contains(&asked), "{asked}");
        assert_eq!(missing.next(), None);
    }

    #[test]
    fn a_way_that_reorders_is_given_a_moment() {
        let start = origin();
        let ms = |n: u64| start + Duration::from_millis(n);
        let mut missing = Missing::default();
        missing.arrived(1, false, ms(0));
        missing.arrived(3, false, ms(10));
        assert_eq!(missing.due(ms(10)), [2]);
        missing.arrived(2, false, ms(22));
        missing.arrived(5, false, ms(30));
        assert_eq!(missing.due(ms(30)), [] as [u16; 0]);
        missing.arrived(4, false, ms(41));
        assert_eq!(missing.due(ms(100)), [] as [u16; 0], "it came by itself");
    }

    #[test]
    fn memory_is_bounded_and_a_sender_that_starts_over_owes_nothing() {
        let start = origin();
        let mut missing = Missing::default();
        for n in 0..20_000u16 {
            missing.arrived(n.wrapping_mul(3), false, start);
        }
        assert!(missing.packets.len() <= MAX_MISSING);
        missing.arrived(30_000, false, start);
        assert!(missing.packets.is_empty() || missing.packets.len() <= MAX_MISSING);
        let mut jump = Missing::default();
        jump.arrived(1, false, start);
        jump.arrived(20_000, false, start);
        assert_eq!(jump.next(), None);
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }
}
