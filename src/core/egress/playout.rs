//! How long a viewer's player is to hold pictures back, so that what is lost can be sent again before it is missed.
//!
//! A player that shows each picture as soon as it is there stands still for every packet that takes two rounds to
//! replace. What it takes is known here: the round trip, and how much is lost. The playout-delay extension tells the
//! player; a link that loses nothing gets no delay.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::core::media::LatencyWish;
use crate::core::rtp::rtcp::ReportBlock;

/// A loss shows when the next packet comes, and Chromium asks again for what it did not get in steps of 20 ms.
const DETECTION: Duration = Duration::from_millis(50);
/// When a player asks again: Chromium as a receiver knows no round trip and takes this one.
const ASKS_AGAIN: Duration = Duration::from_millis(120);
/// A picture may be this late before a viewer sees the picture stop: Chromium counts a freeze from 150 ms above the
/// mean time between pictures.
const UNNOTICED: Duration = Duration::from_millis(120);
/// From this share of lost packets on, some need a second round every few seconds.
const SOME_LOSS: f64 = 0.003;
/// And from this one on, a third.
const MUCH_LOSS: f64 = 0.08;
/// Below, nothing was lost for half a minute.
const NO_LOSS: f64 = 0.0005;
/// What is taken until the viewer reports, once it has asked for something again.
const FIRST_GUESS: f64 = 0.02;
/// What the first report may say: on a way that reorders, it counts what is late as lost.
const FIRST_MOST: f64 = 0.05;
/// Who wants it smooth gets this much at least.
const SMOOTH: Duration = Duration::from_millis(400);
/// Nobody is told to wait longer.
const MOST: Duration = Duration::from_millis(1000);
/// Reports come each second or so; the mean is over so many.
const REPORTS: usize = 9;
/// Packets that a share can be told from.
const ENOUGH: u32 = 50;
/// A smaller delay has to be enough for so long before it is gone back to.
const CALM: Duration = Duration::from_secs(15);
/// Smaller differences are not worth a change.
const WORTH: Duration = Duration::from_millis(30);
/// How fast the delay changes, per second: pictures come by so much slower, or faster, than they were taken.
const RISE: f64 = 0.3;
const FALL: f64 = 0.03;
/// Packets that still say it after the delay has come to rest: enough for one of them to arrive.
const REPEATS: u16 = 200;

#[derive(Debug)]
pub struct PlayoutDelay {
    wish: LatencyWish,
    loss: Option<f64>,
    /// The last reports' highest sequence numbers and packets lost.
    reports: VecDeque<(u32, i32)>,
    pub(super) round_trip: Option<Duration>,
    target: Duration,
    /// Since when less would do.
    calm: Option<Instant>,
    /// Milliseconds, on its way to the target.
    now_at: f64,
    at: Instant,
    repeats: u16,
}

impl PlayoutDelay {
    pub fn new(wish: LatencyWish, now: Instant) -> Self {
        let mut delay = Self {
            wish,
            loss: None,
            reports: VecDeque::new(),
            round_trip: None,
            target: Duration::ZERO,
            calm: None,
            now_at: 0.0,
            at: now,
            repeats: 0,
        };
        delay.target = delay.wanted();
        delay
    }

    /// The viewer asked for a packet again.
    pub fn nacked(&mut self, now: Instant) {
        if self.loss.is_none() {
            self.loss = Some(FIRST_GUESS);
            self.aim(now);
        }
    }

    /// The time to the viewer and back, from its reports or its handshake.
    pub fn round_trip(&mut self, round_trip: Duration, now: Instant) {
        let known = self.round_trip.unwrap_or(round_trip);
        self.round_trip = Some((known * 3 + round_trip) / 4);
        self.aim(now);
    }

    /// What the viewer reports of its picture's packets. Fewer may be lost in all than before, when late ones have come:
    /// the share that a single report names says little on a way that reorders, and counts only in the first.
    pub fn reported(&mut self, block: &ReportBlock, now: Instant) {
        let (highest, lost) = (block.highest_seq, block.cumulative_lost);
        self.reports.push_back((highest, lost));
        if self.reports.len() > REPORTS {
            self.reports.pop_front();
        }
        let Some(&(first, lost_before)) = self.reports.front() else {
            return;
        };
        let expected = highest.wrapping_sub(first);
        if self.reports.len() == 1 {
            self.loss = Some((f64::from(block.fraction_lost) / 256.0).min(FIRST_MOST));
        } else if expected >= 1 << 31 || lost.saturating_sub(lost_before) > expected as i32 {
            // It started over, or does not know what it says.
            self.reports.clear();
        } else if expected >= ENOUGH {
            self.loss = Some(f64::from(lost.saturating_sub(lost_before).max(0)) / f64::from(expected));
        }
        self.aim(now);
    }

    /// The least the player is to wait, for a packet that goes out now; `None` where there is nothing to tell it.
    #[inline]
    pub fn stamp(&mut self, now: Instant) -> Option<PlayoutRange> {
        let target = self.target.as_secs_f64() * 1000.0;
        if self.now_at == target && self.repeats == 0 && (target == 0.0 || self.wish == LatencyWish::Low) {
            self.at = now;
            return (self.wish == LatencyWish::Low).then_some(PlayoutRange::NONE);
        }
        if self.now_at != target {
            let elapsed = now.saturating_duration_since(self.at).as_secs_f64().min(0.1) * 1000.0;
            self.now_at = if self.now_at < target {
                (self.now_at + elapsed * RISE).min(target)
            } else {
                (self.now_at - elapsed * FALL).max(target)
            };
            self.repeats = REPEATS;
        } else {
            self.repeats = self.repeats.saturating_sub(1);
        }
        self.at = now;
        Some(PlayoutRange::at_least(self.now_at))
    }

    /// The share of packets that is lost, as the viewer reports.
    pub fn loss(&self) -> f64 {
        self.loss.filter(|_| !self.reports.is_empty()).unwrap_or(0.0)
    }

    /// The time to the viewer and back; until it is known, what is common.
    pub fn known_round_trip(&self) -> Duration {
        self.round_trip.unwrap_or(ASKS_AGAIN)
    }

    /// Nothing is waited for now.
    pub fn is_none(&self) -> bool {
        self.now_at == 0.0
    }

    /// The picture begins anew, at live: the delay grows again from nothing.
    pub fn restart(&mut self) {
        self.now_at = 0.0;
    }

    /// What the player is told now.
    pub fn current(&self) -> Duration {
        Duration::from_secs_f64(self.now_at / 1000.0)
    }

    fn aim(&mut self, now: Instant) {
        let wanted = self.wanted();
        if wanted > self.target + WORTH || (wanted > self.target && self.target.is_zero()) {
            self.target = wanted;
            self.calm = None;
        } else if wanted + WORTH < self.target {
            let since = *self.calm.get_or_insert(now);
            if now.saturating_duration_since(since) >= CALM {
                self.target = wanted;
                self.calm = None;
            }
        } else {
            self.calm = None;
        }
    }

    fn wanted(&self) -> Duration {
        let loss = self.loss.unwrap_or(0.0);
        let round_trip = self.round_trip.unwrap_or(Duration::from_millis(100));
        // Replaced after `rounds`, if none of the messages of the last one is lost too.
        let within = |rounds: u32| DETECTION + round_trip + ASKS_AGAIN * (rounds - 1);
        let wanted = match self.wish {
            LatencyWish::Low => Duration::ZERO,
            _ if loss >= MUCH_LOSS => within(3),
            _ if loss >= SOME_LOSS => within(2),
            _ if loss >= NO_LOSS => within(1).saturating_sub(UNNOTICED),
            _ => Duration::ZERO,
        };
        let wanted = match self.wish {
            LatencyWish::Smooth => wanted.max(SMOOTH.max(within(2))),
            LatencyWish::Low | LatencyWish::Auto => wanted,
        };
        wanted.min(MOST)
    }
}

/// What the playout-delay extension says: the least and the most a player is to wait, in steps of 10 ms, 12 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutRange {
    least: u16,
    most: u16,
}

impl PlayoutRange {
    /// Each picture as soon as it is there.
    pub const NONE: Self = Self { least: 0, most: 0 };
    /// 0 to 10 s: what a player assumes that was never told anything.
    pub const FREE: Self = Self { least: 0, most: 1000 };

    fn at_least(milliseconds: f64) -> Self {
        let least = (milliseconds / 10.0).round() as u16;
        Self {
            least: least.min(0xfff),
            most: Self::FREE.most,
        }
    }

    /// As on the wire.
    pub fn bytes(self) -> [u8; 3] {
        let [_, bytes @ ..] = (u32::from(self.least) << 12 | u32::from(self.most & 0xfff)).to_be_bytes();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::Ssrc;

    /// A player of a link with this round trip that reports `loss` each second, while packets go out each 10 ms; `at` is
    /// where its counts stand.
    fn run(
        delay: &mut PlayoutDelay,
        from: Instant,
        seconds: u64,
        round_trip: u64,
        loss: f64,
        at: &mut (u32, i32),
    ) -> Vec<u128> {
        let mut seen = Vec::new();
        for ms in (0..seconds * 1000).step_by(10) {
            let now = from + Duration::from_millis(ms);
            if ms % 1000 == 0 {
                delay.round_trip(Duration::from_millis(round_trip), now);
                at.0 = at.0.wrapping_add(200);
                at.1 += (loss * 200.0) as i32;
                let block = ReportBlock {
                    ssrc: Ssrc(1),
                    fraction_lost: (loss * 255.0) as u8,
                    cumulative_lost: at.1,
                    highest_seq: at.0,
                    jitter: 0,
                    lsr: 0,
                    dlsr: 0,
                };
                delay.reported(&block, now);
            }
            delay.stamp(now);
            seen.push(delay.current().as_millis());
        }
        seen
    }

    #[test]
    fn a_clean_link_is_never_delayed_and_never_told_anything() {
        let start = origin();
        let mut at = (0, 0);
        let mut delay = PlayoutDelay::new(LatencyWish::Auto, start);
        assert!(
            run(&mut delay, start, 60, 250, 0.0, &mut at)
                .iter()
                .all(|ms| *ms == 0)
        );
        assert_eq!(delay.stamp(start + Duration::from_secs(60)), None);
    }

    #[test]
    fn a_lossy_link_gets_time_for_two_rounds_within_a_second_or_two_and_without_a_jump() {
        let start = origin();
        let mut at = (0, 0);
        let mut delay = PlayoutDelay::new(LatencyWish::Auto, start);
        let seen = run(&mut delay, start, 20, 100, 0.05, &mut at);
        assert!((250..=300).contains(seen.last().unwrap()), "{seen:?}");
        assert_eq!(seen[150], *seen.last().unwrap(), "there after 1.5 s");
        assert!(seen.windows(2).all(|pair| pair[1].abs_diff(pair[0]) <= 4));
    }

    #[test]
    fn it_is_given_back_slowly_when_the_loss_is_over() {
        let start = origin();
        let mut at = (0, 0);
        let mut delay = PlayoutDelay::new(LatencyWish::Auto, start);
        run(&mut delay, start, 20, 100, 0.05, &mut at);
        let after = run(
            &mut delay,
            start + Duration::from_secs(20),
            180,
            100,
            0.0,
            &mut at,
        );
        assert!(after[1400] >= 250, "not for a few seconds of luck");
        assert_eq!(*after.last().unwrap(), 0, "in the end all of it");
        assert!(after.windows(2).all(|pair| pair[1] <= pair[0]));
    }

    #[test]
    fn changing_loss_does_not_make_it_swing() {
        let start = origin();
        let mut at = (0, 0);
        let mut delay = PlayoutDelay::new(LatencyWish::Auto, start);
        let mut seen = Vec::new();
        for n in 0..60 {
            let loss = if n % 3 == 0 { 0.06 } else { 0.0 };
            seen.extend(run(
                &mut delay,
                start + Duration::from_secs(n),
                1,
                100,
                loss,
                &mut at,
            ));
        }
        let settled = &seen[500..];
        let spread = settled.iter().max().unwrap() - settled.iter().min().unwrap();
        assert!(spread <= 130, "{spread} ms");
    }

    #[test]
    fn the_viewers_wish_counts() {
        let start = origin();
        let mut at = (0, 0);
        let mut low = PlayoutDelay::new(LatencyWish::Low, start);
        run(&mut low, start, 20, 250, 0.1, &mut at);
        assert_eq!(
            low.stamp(start + Duration::from_secs(20)),
            Some(PlayoutRange::NONE)
        );
        let mut smooth = PlayoutDelay::new(LatencyWish::Smooth, start);
        at = (0, 0);
        let seen = run(&mut smooth, start, 20, 20, 0.0, &mut at);
        assert!((400..=1000).contains(seen.last().unwrap()));
    }

    #[test]
    fn absurd_reports_are_bounded() {
        let start = origin();
        let mut at = (0, 0);
        let mut delay = PlayoutDelay::new(LatencyWish::Auto, start);
        let seen = run(&mut delay, start, 60, 600_000, 1.0, &mut at);
        assert_eq!(*seen.last().unwrap(), MOST.as_millis());
    }

    #[test]
    fn the_extension_has_twelve_bits_for_each() {
        assert_eq!(PlayoutRange::NONE.bytes(), [0, 0, 0]);
        assert_eq!(PlayoutRange::FREE.bytes(), [0x00, 0x03, 0xe8]);
        assert_eq!(PlayoutRange::at_least(260.0).bytes(), [0x01, 0xa3, 0xe8]);
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }
}
