//! What the way is believed to carry, by queues and losses.

use std::time::{Duration, Instant};

use super::arrivals::{Arrivals, Carried};

/// A queue that stands longer than this, plus the jitter, is ours to drain.
const OVERUSED: Duration = Duration::from_millis(30);
/// One that is shorter than this, plus half the jitter, is none.
const DRAINED: Duration = Duration::from_millis(12);
/// Time over which a busy way's rate is measured: to believe it if it is less than what was thought, ...
const GLANCE: Duration = Duration::from_millis(60);
/// ... and to believe it if it is more.
const LOOK: Duration = Duration::from_millis(120);
/// What was carried longer ago than this is not what is carried now.
const RECENT: Duration = Duration::from_millis(500);
/// Of what a busy way carries: where its queue has to be drained, ...
const DRAINING: f64 = 0.85;
/// ... and where it has not, or was.
const AFTERWARDS: f64 = 0.95;
/// A queue up to this drains by itself if it is of a large picture, ...
const LARGE: Duration = Duration::from_millis(100);
/// ... as it would within this time.
const PASSING: Duration = Duration::from_millis(300);
/// A rate that arrived for this long without a queue is carried.
const PROVEN: Duration = Duration::from_millis(300);
/// Beyond what arrives, the estimate may be so much higher without proof: layers vary by about as much.
const HEADROOM: f64 = 1.2;
/// With more lost than this, it may not be higher than what arrives.
const LITTLE_LOSS: f64 = 0.02;
/// By which factor it grows in a second where it may.
const GROWTH: f64 = 1.08;
/// A queue that stands for this long although little is sent is somebody else's, or a longer route.
const NOT_OURS: Duration = Duration::from_millis(1_500);
/// A queue that comes back within this time, ...
const CAME_BACK: Duration = Duration::from_secs(15);
/// ... although less than this share of what was carried then is sent, is so too.
const LESS: f64 = 0.7;
/// Beside others, a queue is ours only where packets take so many times as long to arrive as to be sent, ...
const OURS: f64 = 1.1;
/// ... or where it is as long as this: no picture is worth it.
const UNBEARABLE: Duration = Duration::from_millis(600);
/// A train that shows so many times what was thought raised the estimate; less is the same measured again.
const RAISED: f64 = 1.05;
/// Losses reported within this time of a queue are that queue's.
const EXPLAINED: Duration = Duration::from_millis(1_500);
/// How long others are reckoned with.
const OTHERS: Duration = Duration::from_secs(20);

/// The rate by delay and loss.
#[derive(Debug)]
pub struct Rate {
    target: f64,
    min: f64,
    max: f64,
    overuse: Option<Overuse>,
    /// When the last queue of ours was noticed, and what the way carried then.
    episode: Option<(Instant, f64)>,
    /// When a queue of ours was last there, and what the way carried.
    queued: Option<(Instant, f64)>,
    /// When somebody else was seen to fill the queue.
    others: Option<Instant>,
    grown: Instant,
    raised: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Overuse {
    began: Instant,
    /// What the way carries, measured while it is busy.
    carries: f64,
    /// Since when less is sent than that.
    relieved: Option<Instant>,
}

/// What an update showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Normal,
    /// A queue of ours stands on the way; with this update it was noticed.
    OveruseBegins,
    Overuse,
}

impl Rate {
    pub fn new(now: Instant, start: f64, min: f64, max: f64) -> Self {
        Self {
            target: start.clamp(min, max),
            min,
            max,
            overuse: None,
            episode: None,
            queued: None,
            others: None,
            grown: now,
            raised: None,
        }
    }

    /// Bits per second.
    pub fn target(&self) -> f64 {
        self.target
    }

    /// Packets wait on the way for longer than jitter makes them, whoever sent what they wait for.
    pub fn is_queueing(&self, arrivals: &Arrivals) -> bool {
        arrivals.queue() >= DRAINED + arrivals.jitter() / 2
    }

    pub fn is_overused(&self) -> bool {
        self.overuse.is_some()
    }

    /// True where the target was raised by a train in the last five seconds.
    pub fn was_raised(&self, now: Instant) -> bool {
        self.raised
            .is_some_and(|raised| now.saturating_duration_since(raised) < Duration::from_secs(5))
    }

    /// Takes what feedback showed; `sending` in bits per second.
    pub fn update(&mut self, now: Instant, arrivals: &mut Arrivals, sending: f64, loss: f64) -> Usage {
        let queue = arrivals.queue();
        let jitter = arrivals.jitter();
        let lasts = self.overuse.map_or(Duration::ZERO, |overuse| {
            now.saturating_duration_since(overuse.began)
        });
        let busy = arrivals.busy(DRAINED + jitter, RECENT);
        match &mut self.overuse {
            None if queue > OVERUSED + jitter => {
                let Some(busy) = busy.filter(|busy| busy.span >= GLANCE) else {
                    return Usage::Normal;
                };
                if busy.stretch < OURS && queue < UNBEARABLE && self.is_beside_others(now, sending) {
                    self.grown = now;
                    return Usage::Normal;
                }
                self.episode = Some((now, busy.rate));
                self.overuse = Some(Overuse {
                    began: now,
                    carries: busy.rate,
                    relieved: None,
                });
                self.queued = Some((now, busy.rate));
                self.believe(busy, queue, Duration::ZERO);
                return Usage::OveruseBegins;
            }
            None => {
                if queue < DRAINED + jitter / 2 {
                    arrivals.learn_jitter();
                }
                self.grow(now, arrivals, loss);
                return Usage::Normal;
            }
            Some(overuse) if queue < DRAINED + jitter / 2 => {
                let afterwards = overuse.carries * AFTERWARDS;
                self.overuse = None;
                self.set(self.target.max(afterwards));
                self.grown = now;
                return Usage::Normal;
            }
            Some(overuse) => {
                if sending > overuse.carries {
                    overuse.relieved = None;
                } else {
                    let since = *overuse.relieved.get_or_insert(now);
                    if now.saturating_duration_since(since) > NOT_OURS + queue {
                        arrivals.forget_base();
                        self.overuse = None;
                        self.others = Some(now);
                        return Usage::Normal;
                    }
                }
            }
        }
        // What is measured while less is sent than the way carries is what is sent, where others fill the queue.
        if let Some(busy) = busy
            && busy.span >= GLANCE
            && let Some(overuse) = &mut self.overuse
            && (overuse.relieved.is_none() || (busy.rate > overuse.carries && busy.span >= LOOK))
        {
            overuse.carries = busy.rate;
            self.believe(busy, queue, lasts);
        }
        self.queued = self.overuse.map(|overuse| (now, overuse.carries)).or(self.queued);
        Usage::Overuse
    }

    /// Losses show that the way is full; `arriving` is what it carries. Where a queue showed that lately too, it told
    /// more exactly: what arrives now may be all that is sent by now.
    pub fn losing(&mut self, now: Instant, arriving: f64) {
        let lately = self
            .queued
            .filter(|(at, _)| now.saturating_duration_since(*at) < EXPLAINED);
        let known = lately.map_or(0.0, |(_, carries)| carries * DRAINING);
        self.set(self.target.min(arriving.max(known)));
    }

    /// A train arrived at so many bits per second.
    pub fn proven(&mut self, now: Instant, rate: f64) {
        if rate > self.target {
            if rate > self.target * RAISED {
                self.raised = Some(now);
            }
            self.set(rate);
        }
    }

    /// A train at more than the target arrived more slowly than that, at so many bits per second.
    pub fn refuted(&mut self, rate: f64, arrivals: &Arrivals) {
        let lately = arrivals.lately(PROVEN).map_or(0.0, |lately| lately.rate);
        self.set(self.target.min(rate.max(lately)));
    }

    /// Nothing is heard any more.
    pub fn silence(&mut self) {
        self.set(self.target * 0.7);
    }

    /// Somebody else fills the queue: it did not go away, or came back at once, although much less is sent. To yield
    /// again would leave nothing in the end.
    fn is_beside_others(&mut self, now: Instant, sending: f64) -> bool {
        let within = |at: Instant, time| now.saturating_duration_since(at) < time;
        if self.others.is_some_and(|at| within(at, OTHERS)) {
            return true;
        }
        let came_back = self
            .episode
            .is_some_and(|(at, carried)| within(at, CAME_BACK) && sending < LESS * carried);
        if came_back {
            self.others = Some(now);
        }
        came_back
    }

    fn believe(&mut self, busy: Carried, queue: Duration, lasts: Duration) {
        let burst = queue < LARGE && lasts < PASSING;
        let believed = busy.rate * if burst { AFTERWARDS } else { DRAINING };
        if believed < self.target || busy.span >= LOOK {
            self.set(believed);
        }
    }

    fn grow(&mut self, now: Instant, arrivals: &Arrivals, loss: f64) {
        let Some(lately) = arrivals.lately(PROVEN) else {
            self.grown = now;
            return;
        };
        let elapsed = now
            .saturating_duration_since(self.grown)
            .min(Duration::from_millis(500));
        self.grown = now;
        let grown = self.target * GROWTH.powf(elapsed.as_secs_f64());
        let arriving = lately.rate;
        let target = if loss < LITTLE_LOSS {
            arriving.max(grown.min(arriving * HEADROOM))
        } else {
            grown.min(arriving)
        };
        self.set(self.target.max(target));
    }

    fn set(&mut self, target: f64) {
        self.target = target.clamp(self.min, self.max);
    }
}
