//! Losses, and which of them mean that too much is sent.

use std::time::{Duration, Instant};

const BUCKET: Duration = Duration::from_millis(100);
/// A second: long enough for a share, short enough to act on.
const BUCKETS: usize = 10;
/// Fewer packets make no share.
const ENOUGH: u32 = 30;
/// More than this, beyond what the way loses anyway, means that it is full even where no queue is seen, as a short
/// queue shows none. A radio link's own losses rarely reach it (libwebrtc, which knows no other sign, takes 10 %).
const FULL: f64 = 0.15;
/// The same where packets queue.
const FULL_WITH_QUEUE: f64 = 0.05;
/// Two conclusions within this time are compared.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Losses reported within this time of a conclusion are part of it.
const SAME: Duration = Duration::from_millis(500);
/// The way cannot be said to lose more than this by nature.
const MOST_BY_NATURE: f64 = 0.3;
/// What the way loses anyway is learnt over this time.
const LEARNING: Duration = Duration::from_secs(5);
/// Standard deviations by which a share of few packets may be chance.
const DOUBT: f64 = 1.65;

/// Losses, as they are and as they are judged.
#[derive(Debug)]
pub struct Losses {
    start: Instant,
    lately: Window,
    /// The same without what was reported shortly after a conclusion: that was sent before it.
    judged: Window,
    /// In the feedback that is being taken.
    latest: Count,
    /// What the way loses however little is sent.
    natural: f64,
    learned: Instant,
    concluded: Option<Conclusion>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    received: u32,
    lost: u32,
}

/// Packets reported in the last second.
#[derive(Debug, Default)]
struct Window {
    /// The bucket that is filled, counted from the start.
    current: u64,
    buckets: [Count; BUCKETS],
}

#[derive(Clone, Copy, Debug)]
struct Conclusion {
    at: Instant,
    loss: f64,
    sent: f64,
}

impl Losses {
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            lately: Window::default(),
            judged: Window::default(),
            latest: Count::default(),
            natural: 0.0,
            learned: now,
            concluded: None,
        }
    }

    /// Another feedback packet begins.
    pub fn begin(&mut self) {
        self.latest = Count::default();
    }

    /// A packet was reported as not received.
    pub fn lost(&mut self, now: Instant) {
        self.count(now, |count| count.lost += 1);
    }

    pub fn received(&mut self, now: Instant) {
        self.count(now, |count| count.received += 1);
    }

    /// A packet that was thought to be lost came after all.
    pub fn came_late(&mut self, now: Instant) {
        self.received(now);
        self.lately.take_back_a_loss();
        self.judged.take_back_a_loss();
    }

    /// Share of packets lost in the last second.
    pub fn share(&self) -> f64 {
        self.lately.sum().share()
    }

    /// What the way loses whatever is sent.
    pub fn natural(&self) -> f64 {
        self.natural
    }

    /// True when losses mean that too much is sent, at `sent` bits per second. Says so again only when there was time
    /// for less to be sent; and if losses then go on as before, they are the way's own.
    pub fn overload(&mut self, now: Instant, sent: f64, queueing: bool) -> bool {
        let since = self
            .concluded
            .map(|before| (now.saturating_duration_since(before.at), before));
        if let Some((waited, _)) = since
            && waited < SAME
        {
            // What arrives is told better by feedback that speaks only of the time since.
            return self.latest.share() > FULL;
        }
        let counted = self.judged.sum();
        if counted.all() < ENOUGH {
            return false;
        }
        let loss = counted.share();
        let chance = DOUBT * (loss * (1.0 - loss) / f64::from(counted.all())).sqrt();
        let limit = if queueing { FULL_WITH_QUEUE } else { FULL };
        if loss - chance <= self.natural + limit {
            self.learn(now, loss, queueing);
            return false;
        }
        if let Some((waited, before)) = since {
            let less_sent = sent < 0.75 * before.sent;
            if waited < REMEMBERED && less_sent && loss > 0.8 * before.loss && !queueing {
                self.natural = loss.min(MOST_BY_NATURE);
                self.concluded = None;
                return false;
            }
        }
        self.concluded = Some(Conclusion { at: now, loss, sent });
        self.judged = Window::default();
        true
    }

    /// Where nothing queues, what is lost is the way's own.
    fn learn(&mut self, now: Instant, loss: f64, queueing: bool) {
        let elapsed = now
            .saturating_duration_since(self.learned)
            .min(Duration::from_secs(1));
        self.learned = now;
        if !queueing && loss < FULL {
            self.natural += (loss - self.natural) * elapsed.as_secs_f64() / LEARNING.as_secs_f64();
        }
    }

    fn count(&mut self, now: Instant, add: impl Fn(&mut Count)) {
        let bucket = now.saturating_duration_since(self.start).as_millis() as u64 / BUCKET.as_millis() as u64;
        add(&mut self.latest);
        add(self.lately.bucket(bucket));
        let recent = |before: Conclusion| now.saturating_duration_since(before.at) < SAME;
        if !self.concluded.is_some_and(recent) {
            add(self.judged.bucket(bucket));
        }
    }
}

impl Window {
    fn sum(&self) -> Count {
        self.buckets.iter().fold(Count::default(), |sum, count| Count {
            received: sum.received + count.received,
            lost: sum.lost + count.lost,
        })
    }

    fn bucket(&mut self, bucket: u64) -> &mut Count {
        if bucket > self.current {
            for skipped in (self.current + 1..=bucket).rev().take(BUCKETS) {
                self.buckets[skipped as usize % BUCKETS] = Count::default();
            }
            self.current = bucket;
        }
        &mut self.buckets[self.current as usize % BUCKETS]
    }

    fn take_back_a_loss(&mut self) {
        if let Some(count) = self.buckets.iter_mut().find(|count| count.lost > 0) {
            count.lost -= 1;
        }
    }
}

impl Count {
    fn all(self) -> u32 {
        self.received + self.lost
    }

    fn share(self) -> f64 {
        f64::from(self.lost) / f64::from(self.all().max(1))
    }
}
