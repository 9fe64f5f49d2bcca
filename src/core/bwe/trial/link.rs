//! A rate with a queue, delay, jitter, loss, other traffic; all may change over time.

use std::collections::VecDeque;

/// Random numbers that are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    /// 0 up to, but not including, 1.
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Times in seconds, rates in bits per second.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    pub rate: f64,
    /// What finds a longer queue is lost.
    pub queue: f64,
    /// One way.
    pub delay: f64,
    /// Added, evenly from none to all of it.
    pub jitter: f64,
    /// Jitter reorders packets.
    pub reorders: bool,
    pub loss: f64,
    /// Rate of what others send over it, 1,200 bytes each.
    pub others: f64,
    /// A download beside it, which sends half a megabit per second more each second until it loses a packet, then half.
    pub download: bool,
}

impl Conditions {
    pub fn rate(rate: f64) -> Self {
        Self {
            rate,
            queue: 0.2,
            delay: 0.025,
            jitter: 0.0,
            reorders: false,
            loss: 0.0,
            others: 0.0,
            download: false,
        }
    }
}

#[derive(Debug)]
pub struct Link {
    pub conditions: Conditions,
    rng: Rng,
    /// Entered at, bytes, and the number of our packets.
    waiting: VecDeque<(f64, usize, Option<u16>)>,
    queued: usize,
    free_at: f64,
    next_other: f64,
    last_arrival: f64,
    download: f64,
    next_download: f64,
    pub dropped: u64,
}

impl Link {
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            rng: Rng(seed),
            waiting: VecDeque::new(),
            queued: 0,
            free_at: 0.0,
            next_other: 0.0,
            last_arrival: 0.0,
            download: 300e3,
            next_download: 0.0,
            dropped: 0,
        }
    }

    pub fn send(&mut self, now: f64, seq: u16, bytes: usize) {
        if self.rng.unit() < self.conditions.loss {
            self.dropped += 1;
            return;
        }
        self.enqueue(now, bytes, Some(seq));
    }

    /// How long what enters now would wait.
    pub fn wait(&self, now: f64) -> f64 {
        (self.free_at - now).max(0.0) + self.queued as f64 * 8.0 / self.conditions.rate
    }

    /// Packets that left the queue up to now: their numbers and when they arrive.
    pub fn run(&mut self, now: f64) -> Vec<(u16, f64)> {
        while self.conditions.others > 0.0 && self.next_other <= now {
            let at = self.next_other.max(now - 0.01);
            self.enqueue(at, 1200, None);
            self.next_other = at + 1200.0 * 8.0 / self.conditions.others;
        }
        while self.conditions.download && self.next_download <= now {
            let at = self.next_download.max(now - 0.01);
            let step = 1200.0 * 8.0 / self.download;
            self.next_download = at + step;
            if self.enqueue(at, 1200, None) {
                self.download += 500e3 * step;
            } else {
                self.download /= 2.0;
            }
        }
        let mut left = Vec::new();
        while let Some(&(entered, bytes, seq)) = self.waiting.front() {
            let starts = self.free_at.max(entered);
            if starts > now {
                break;
            }
            self.waiting.pop_front();
            self.queued -= bytes;
            self.free_at = starts + bytes as f64 * 8.0 / self.conditions.rate;
            let Conditions {
                delay,
                jitter,
                reorders,
                ..
            } = self.conditions;
            let mut arrives = self.free_at + delay + jitter * self.rng.unit();
            if !reorders {
                arrives = arrives.max(self.last_arrival);
                self.last_arrival = arrives;
            }
            left.extend(seq.map(|seq| (seq, arrives)));
        }
        left
    }

    fn enqueue(&mut self, now: f64, bytes: usize, seq: Option<u16>) -> bool {
        let fits = self.wait(now) <= self.conditions.queue;
        if fits {
            self.queued += bytes;
            self.waiting.push_back((now, bytes, seq));
        } else {
            self.dropped += u64::from(seq.is_some());
        }
        fits
    }
}
