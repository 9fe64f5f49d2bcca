//! Whether the time stamps of a layer go on as time does.
//!
//! The time a packet spent on its way only ever adds to the difference between arrival and time stamp, so the smallest
//! difference of a second is the clock's, whatever the network did in between.

use std::time::Instant;

/// A smaller step harms little, and the ways of networks look like one. In seconds.
const MIN_JUMP: f64 = 1.0;
/// Seconds until the difference is taken for the clock's at first.
const SETTLE: u32 = 3;
/// How much the difference may grow per second without a jump: clocks that go at different paces.
const DRIFT: f64 = 0.01;
/// Time stamps that lag for fewer seconds were held back by the network.
const LAG: u32 = 5;

#[derive(Debug, Default)]
pub struct ClockRecord {
    origin: Option<(Instant, u64)>,
    /// The smallest difference of this second.
    smallest: Option<f64>,
    /// The clock's difference.
    base: Option<f64>,
    seconds: u32,
    /// Seconds in a row that lagged, and the smallest difference of them.
    lagging: (u32, f64),
}

impl ClockRecord {
    pub fn packet(&mut self, now: Instant, timestamp: u64, clock_rate: u32) {
        let (start, first) = *self.origin.get_or_insert((now, timestamp));
        let elapsed = now.saturating_duration_since(start).as_secs_f64();
        let told = timestamp.wrapping_sub(first) as i64 as f64 / f64::from(clock_rate);
        let difference = elapsed - told;
        self.smallest = Some(self.smallest.map_or(difference, |known| known.min(difference)));
    }

    /// Once a second: by how many seconds the clock jumped, forward counting as more.
    pub fn examine(&mut self) -> Option<f64> {
        let smallest = self.smallest.take()?;
        self.seconds = self.seconds.saturating_add(1);
        let base = self.base.unwrap_or(smallest);
        if self.seconds <= SETTLE || (smallest - base).abs() <= MIN_JUMP {
            self.base = Some(smallest.min(base + DRIFT));
            self.lagging = (0, f64::MAX);
            return None;
        }
        // A packet comes late, but never before it was sent.
        if smallest < base {
            self.base = Some(smallest);
            return Some(base - smallest);
        }
        let (seconds, least) = self.lagging;
        self.lagging = (seconds + 1, least.min(smallest));
        if seconds + 1 < LAG {
            return None;
        }
        let (_, least) = std::mem::replace(&mut self.lagging, (0, f64::MAX));
        self.base = Some(least);
        Some(base - least)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Thirty pictures a second for ten seconds; `when` and `stamp` change arrival (ms) and time stamp (ticks).
    fn jumps(when: impl Fn(u64) -> u64, stamp: impl Fn(u64) -> u64) -> Vec<i64> {
        let start = origin();
        let mut clock = ClockRecord::default();
        let mut found = Vec::new();
        let mut packets: Vec<(u64, u64)> = (0..300).map(|n| (when(n * 33), stamp(n * 2970))).collect();
        packets.sort_by_key(|(at, _)| *at);
        let mut next = 1000;
        for (at, timestamp) in packets {
            while at >= next {
                found.extend(clock.examine().map(|jump| jump.round() as i64));
                next += 1000;
            }
            clock.packet(start + Duration::from_millis(at), 1 << 33 | timestamp, 90_000);
        }
        found.extend(clock.examine().map(|jump| jump.round() as i64));
        found
    }

    #[test]
    fn jumps_are_found_in_both_directions_once() {
        assert_eq!(jumps(|at| at, |t| if t > 400_000 { t + 450_000 } else { t }), [5]);
        assert_eq!(
            jumps(|at| at, |t| if t > 400_000 { t - 270_000 } else { t }),
            [-3]
        );
    }

    #[test]
    fn a_network_that_holds_packets_back_is_no_jump() {
        // Nothing for 2.5 s, then all of it: at once, or over two seconds.
        let slowly = |at: u64| at.max(if at < 3000 { 0 } else { 5500 + (at - 3000) / 2 });
        assert!(jumps(slowly, |t| t).is_empty());
        assert!(jumps(|at| if (3000..5500).contains(&at) { 5500 } else { at }, |t| t).is_empty());
        // Jitter of 300 ms, and a pause in which the clock went on.
        assert!(jumps(|at| at + at * 7919 % 300, |t| t).is_empty());
        assert!(
            jumps(
                |at| if at > 4000 { at + 3000 } else { at },
                |t| if t > 360_000 { t + 270_000 } else { t }
            )
            .is_empty()
        );
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }
}
