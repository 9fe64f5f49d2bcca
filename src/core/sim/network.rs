//! What lies between a client and the server: delay, jitter, loss, reordering, a rate with a queue.

use std::time::{Duration, Instant};

/// Random numbers that are the same for the same seed, on every platform (SplitMix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 up to, but not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// One direction's conditions.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    pub delay: Duration,
    /// Added to the delay, evenly from none to all of it; order is kept.
    pub jitter: Duration,
    /// Probability.
    pub loss: f64,
    /// Probability that a datagram is overtaken: it comes `overtaken_by` later than it would.
    pub reorder: f64,
    pub overtaken_by: Duration,
    /// Bits per second, and bytes that wait for their turn before any are dropped.
    pub rate: Option<(u64, usize)>,
}

impl Conditions {
    pub fn delay(ms: u64) -> Self {
        Self {
            delay: Duration::from_millis(ms),
            jitter: Duration::ZERO,
            loss: 0.0,
            reorder: 0.0,
            overtaken_by: Duration::from_millis(10),
            rate: None,
        }
    }

    pub fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    pub fn jitter(self, ms: u64) -> Self {
        Self {
            jitter: Duration::from_millis(ms),
            ..self
        }
    }

    pub fn reorder(self, reorder: f64) -> Self {
        Self { reorder, ..self }
    }

    pub fn rate(self, bits: u64, queue: usize) -> Self {
        Self {
            rate: Some((bits, queue)),
            ..self
        }
    }
}

/// One direction of a client's way to the server.
#[derive(Debug)]
pub struct Link {
    pub conditions: Conditions,
    rng: Rng,
    free_at: Option<Instant>,
    last_arrival: Option<Instant>,
    pub lost: u64,
    /// Handed over to be carried, lost or not.
    pub bytes: u64,
    /// Those that were not lost.
    pub carried: u64,
}

impl Link {
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            rng: Rng::new(seed),
            free_at: None,
            last_arrival: None,
            lost: 0,
            bytes: 0,
            carried: 0,
        }
    }

    /// When a datagram sent now arrives; `None`: never.
    pub fn carry(&mut self, now: Instant, len: usize) -> Option<Instant> {
        self.bytes += len as u64;
        let Conditions {
            delay,
            jitter,
            loss,
            reorder,
            overtaken_by,
            rate,
        } = self.conditions;
        if self.rng.chance(loss) {
            self.lost += 1;
            return None;
        }
        let mut leaves = now;
        if let Some((bits, queue)) = rate {
            let free_at = self.free_at.unwrap_or(now).max(now);
            let waiting = (free_at - now).as_secs_f64() * bits as f64 / 8.0;
            if waiting as usize > queue {
                self.lost += 1;
                return None;
            }
            leaves = free_at + Duration::from_secs_f64(len as f64 * 8.0 / bits as f64);
            self.free_at = Some(leaves);
        }
        self.carried += len as u64;
        let mut arrives = leaves + delay + jitter.mul_f64(self.rng.unit());
        if self.rng.chance(reorder) {
            return Some(arrives + overtaken_by);
        }
        if let Some(last) = self.last_arrival {
            arrives = arrives.max(last);
        }
        self.last_arrival = Some(arrives);
        Some(arrives)
    }
}
