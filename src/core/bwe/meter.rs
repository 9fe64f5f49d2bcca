//! How much was sent lately.

use std::time::{Duration, Instant};

const BUCKET: Duration = Duration::from_millis(50);
const BUCKETS: usize = 10;

/// Bytes over the last half second.
#[derive(Debug)]
pub struct Meter {
    start: Instant,
    /// The bucket that is filled, counted from the start.
    current: u64,
    buckets: [u32; BUCKETS],
    /// When the bucket that is filled ends.
    until: Instant,
}

impl Meter {
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            current: 0,
            buckets: [0; BUCKETS],
            until: now + BUCKET,
        }
    }

    pub fn add(&mut self, now: Instant, bytes: usize) {
        self.turn(now);
        if let Some(bucket) = self.buckets.get_mut(self.current as usize % BUCKETS) {
            *bucket = bucket.saturating_add(bytes as u32);
        }
    }

    /// Bits per second.
    pub fn rate(&mut self, now: Instant) -> f64 {
        self.turn(now);
        let bytes: u64 = self.buckets.iter().map(|bucket| u64::from(*bucket)).sum();
        let elapsed = now.saturating_duration_since(self.start);
        let filled = elapsed.saturating_sub(BUCKET * self.current as u32);
        let span = (BUCKET * (BUCKETS as u32 - 1) + filled).min(elapsed.max(BUCKET));
        bytes as f64 * 8.0 / span.as_secs_f64()
    }

    #[inline]
    fn turn(&mut self, now: Instant) {
        if now >= self.until {
            self.begin_bucket(now);
        }
    }

    fn begin_bucket(&mut self, now: Instant) {
        let bucket = now.saturating_duration_since(self.start).as_millis() as u64 / BUCKET.as_millis() as u64;
        if bucket > self.current {
            for skipped in (self.current + 1..=bucket).rev().take(BUCKETS) {
                if let Some(slot) = self.buckets.get_mut(skipped as usize % BUCKETS) {
                    *slot = 0;
                }
            }
            self.current = bucket;
        }
        self.until = self.start + BUCKET * (self.current as u32 + 1);
    }
}
