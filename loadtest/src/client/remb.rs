//! Receiver-side estimation for servers that take REMB (draft-alvestrand-rmcat-remb): what old browsers did, in its
//! simplest form. Delay that grows means the line is full.

use std::time::{Duration, Instant};

/// Waiting longer than this for the line means that it is used up.
const MAX_QUEUE: f64 = 0.06;
/// On overuse: this share of what arrives (draft-ietf-rmcat-gcc §5.5).
const BACK_OFF: f64 = 0.85;
/// Per second otherwise, and never beyond 1.5 times what arrives.
const GROWTH: f64 = 1.08;
const MAX_OVER_RATE: f64 = 1.5;
/// The shortest delay of this time and the one before it stands for the empty line.
const WINDOW: Duration = Duration::from_secs(5);
const RATE_WINDOW: Duration = Duration::from_millis(500);
/// Between two steps downwards.
const PATIENCE: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub struct Estimator {
    /// When frames of timestamp 0 would have arrived, in s; moves with the RTP clock.
    first: Option<(Instant, u32)>,
    shortest: [f64; 2],
    window_end: Option<Instant>,
    queue: f64,
    bits: f64,
    rate: f64,
    rate_since: Option<Instant>,
    estimate: Option<f64>,
    grown_at: Option<Instant>,
    backed_off_at: Option<Instant>,
    last_timestamp: Option<u32>,
}

impl Default for Estimator {
    fn default() -> Self {
        Self {
            first: None,
            shortest: [f64::INFINITY; 2],
            window_end: None,
            queue: 0.0,
            bits: 0.0,
            rate: 0.0,
            rate_since: None,
            estimate: None,
            grown_at: None,
            backed_off_at: None,
            last_timestamp: None,
        }
    }
}

impl Estimator {
    /// A packet of `bytes`; `timestamp` (90 kHz) for video. True when the estimate fell and should be told at once.
    pub fn record(&mut self, now: Instant, bytes: usize, timestamp: Option<u32>) -> bool {
        self.count(now, bytes);
        if let Some(timestamp) = timestamp
            && self.last_timestamp.replace(timestamp) != Some(timestamp)
        {
            self.observe_frame(now, timestamp);
        }
        let rested =
            |at: Option<Instant>, rest| at.is_none_or(|at| now.saturating_duration_since(at) >= rest);
        if self.queue > MAX_QUEUE && self.rate > 0.0 && rested(self.backed_off_at, PATIENCE) {
            self.backed_off_at = Some(now);
            self.grown_at = Some(now);
            let lower = BACK_OFF * self.rate;
            let fell = self.estimate.is_none_or(|estimate| lower < estimate);
            self.estimate = Some(self.estimate.map_or(lower, |estimate| estimate.min(lower)));
            return fell;
        }
        if self.queue <= MAX_QUEUE && self.rate > 0.0 && rested(self.grown_at, Duration::from_secs(1)) {
            self.grown_at = Some(now);
            let most = MAX_OVER_RATE * self.rate + 10_000.0;
            let grown = self.estimate.map_or(most, |estimate| estimate * GROWTH + 1000.0);
            self.estimate = Some(grown.min(most.max(self.estimate.unwrap_or(0.0))));
        }
        false
    }

    fn count(&mut self, now: Instant, bytes: usize) {
        self.bits += bytes as f64 * 8.0;
        let since = now.saturating_duration_since(*self.rate_since.get_or_insert(now));
        if since >= RATE_WINDOW {
            self.rate = self.bits / since.as_secs_f64();
            self.bits = 0.0;
            self.rate_since = Some(now);
        }
    }

    fn observe_frame(&mut self, now: Instant, timestamp: u32) {
        let (start, first) = *self.first.get_or_insert((now, timestamp));
        let media = f64::from(timestamp.wrapping_sub(first) as i32) / 90_000.0;
        let delay = now.saturating_duration_since(start).as_secs_f64() - media;
        if self.window_end.is_none_or(|end| now >= end) {
            self.window_end = Some(now + WINDOW);
            self.shortest = [f64::INFINITY, self.shortest[0]];
        }
        self.shortest[0] = self.shortest[0].min(delay);
        let queue = delay - self.shortest[0].min(self.shortest[1]);
        self.queue = 0.7 * self.queue + 0.3 * queue;
        // Timestamps count on for hours, but not for days: begin anew long before they wrap.
        if media.abs() > 3600.0 {
            *self = Self {
                rate: self.rate,
                rate_since: self.rate_since,
                estimate: self.estimate,
                ..Self::default()
            };
        }
    }

    /// Bits per second; None before anything is known.
    pub fn estimate(&self) -> Option<u64> {
        self.estimate.map(|estimate| estimate as u64)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
mod tests {
    use super::*;

    /// 30 frames a second of `bits` each over a line of 1 Mbit/s, for some seconds.
    fn after(bits_per_second: f64, seconds: u32) -> f64 {
        let start = Instant::now();
        let mut estimator = Estimator::default();
        let mut free_at = 0.0f64;
        for frame in 0..seconds * 30 {
            let sent = f64::from(frame) / 30.0;
            let bits = bits_per_second / 30.0;
            free_at = free_at.max(sent) + bits / 1e6;
            let now = start + Duration::from_secs_f64(free_at);
            estimator.record(now, (bits / 8.0) as usize, Some(frame * 3000));
        }
        estimator.estimate().expect("an estimate") as f64
    }

    #[test]
    fn a_full_line_is_noticed_and_a_free_one_leaves_room() {
        let full = after(2e6, 4);
        assert!((0.7e6..0.95e6).contains(&full), "{full}");
        let free = after(0.5e6, 10);
        assert!((0.6e6..=0.85e6).contains(&free), "{free}");
    }
}
