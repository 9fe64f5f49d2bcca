//! Delays and rates as the receiver saw them.
//!
//! A packet's delay here is its arrival on the receiver's clock less its sending on ours: its absolute value says
//! nothing, but its growth is time spent in queues. The least of the last 10 to 20 s is taken for an empty way. Packets
//! sent within 5 ms are one group, whose least delay counts: the others wait for each other.
//!
//! What the way carries can be told exactly as long as packets queue on it: it is busy, so bytes over time between
//! arrivals are its rate, however little or unevenly is sent.

use std::time::Duration;

/// Sent within this: one group. What leaves within a turn of the engine belongs together.
const GROUP: i32 = 5_000;
/// A group whose packets take longer to arrive is divided, so that a narrow way is noticed within a large picture.
const SPREAD: i32 = 40_000;
/// The least delay is looked for in this much time, and at least in so many groups: a single late packet or a clump
/// of packets behind a pause of the radio is no queue.
const STANDING: i32 = 100_000;
const STANDING_GROUPS: usize = 3;
/// Half the time for which the least delay is remembered. Longer, and a change of route would count as a queue for
/// longer; shorter, and a queue of our own would be forgotten.
const BASE: u32 = 10_000_000;
/// Clocks of both sides that differ by more than this from before have jumped.
const JUMP: i32 = 10_000_000;
/// A third of a second at least.
const GROUPS: usize = 64;

/// Packets sent together. Times in microseconds, modulo 2³².
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    first_sent: u32,
    last_sent: u32,
    first_arrival: u32,
    last_arrival: u32,
    least_delay: i32,
    bytes: u32,
}

/// Rate of arrival over some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Carried {
    /// Bits per second.
    pub rate: f64,
    pub span: Duration,
    /// How much longer the packets took to arrive than to be sent; 1 where their queue did not grow.
    pub stretch: f64,
}

/// Groups of packets lately, in the order of sending.
#[derive(Debug)]
pub struct Arrivals {
    /// Added to the receiver's clock to be near ours.
    offset: Option<u32>,
    groups: [Group; GROUPS],
    /// Groups begun so far; the newest is still open.
    begun: usize,
    base: Option<Base>,
    /// Mean distance from the least delay lately where nothing queues, in microseconds.
    jitter: f64,
}

/// The least delay in this period and in the one before.
#[derive(Clone, Copy, Debug)]
struct Base {
    since: u32,
    least: i32,
    before: i32,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            offset: None,
            groups: [Group::default(); GROUPS],
            begun: 0,
            base: None,
            jitter: 0.0,
        }
    }
}

impl Arrivals {
    /// Takes a packet; packets come in the order in which they were sent. `arrival` is in microseconds on the
    /// receiver's clock, modulo 2³².
    pub fn add(&mut self, sent: u32, arrival: u32, bytes: u16) {
        let offset = *self.offset.get_or_insert(sent.wrapping_sub(arrival));
        let arrival = arrival.wrapping_add(offset);
        let delay = arrival.wrapping_sub(sent) as i32;
        if delay.abs() > JUMP {
            *self = Self::default();
            return;
        }
        self.update_base(sent, delay);
        let belongs = self.newest().is_some_and(|group| {
            since(sent, group.first_sent) <= GROUP && since(arrival, group.first_arrival) <= SPREAD
        });
        if !belongs {
            self.begun += 1;
            let index = self.begun % GROUPS;
            if let Some(slot) = self.groups.get_mut(index) {
                *slot = Group {
                    first_sent: sent,
                    last_sent: sent,
                    first_arrival: arrival,
                    last_arrival: arrival,
                    least_delay: delay,
                    bytes: 0,
                };
            }
        }
        let index = self.begun % GROUPS;
        if let Some(group) = self.groups.get_mut(index) {
            group.last_sent = sent;
            if since(arrival, group.last_arrival) > 0 {
                group.last_arrival = arrival;
            }
            group.least_delay = group.least_delay.min(delay);
            group.bytes += u32::from(bytes);
        }
    }

    /// How long the packets of the last tenth of a second waited at least.
    pub fn queue(&self) -> Duration {
        let (Some(base), Some(newest)) = (self.base, self.newest()) else {
            return Duration::ZERO;
        };
        let least = self
            .latest()
            .enumerate()
            .take_while(|(index, group)| {
                *index < STANDING_GROUPS || since(newest.last_arrival, group.last_arrival) <= STANDING
            })
            .map(|(_, group)| group.least_delay)
            .min()
            .unwrap_or_default();
        micros(least - base.delay())
    }

    /// The mean of what delays vary by where nothing queues.
    pub fn jitter(&self) -> Duration {
        Duration::from_micros(self.jitter as u64)
    }

    /// Learns how much delays vary, from the newest group. To be called where nothing queues.
    pub fn learn_jitter(&mut self) {
        let (Some(base), Some(newest)) = (self.base, self.newest()) else {
            return;
        };
        let distance = f64::from((newest.least_delay - base.delay()).clamp(0, 100_000));
        self.jitter += (distance - self.jitter) / 16.0;
    }

    /// What the way carried while every group waited for longer than `waiting`, up to now, in the `recent` past at most.
    pub fn busy(&self, waiting: Duration, recent: Duration) -> Option<Carried> {
        let waiting = waiting.as_micros() as i32;
        let recent = recent.as_micros() as i32;
        let base = self.base?.delay();
        self.carried(|group, span| group.least_delay - base > waiting && span < recent)
    }

    /// What the way carried in the last part of at least so long, if so much is known.
    pub fn lately(&self, at_least: Duration) -> Option<Carried> {
        let wanted = at_least.as_micros() as i32;
        let carried = self.carried(|_, span| span < wanted)?;
        (carried.span >= at_least).then_some(carried)
    }

    /// The delays of now are those of an empty way.
    pub fn forget_base(&mut self) {
        let queue = self.queue().as_micros() as i32;
        if let Some(base) = &mut self.base {
            let delay = base.delay() + queue;
            base.least = delay;
            base.before = delay;
        }
    }

    /// Bytes over time, back from the newest group as long as `goes_on` for the group and the time spanned so far. The
    /// time is that of sending where it took longer than arriving: no feedback makes a rate of arrival that was not
    /// sent.
    fn carried(&self, goes_on: impl Fn(&Group, i32) -> bool) -> Option<Carried> {
        let newest = self.newest()?;
        let mut bytes = 0;
        let mut stretch = 1.0;
        let mut span = 0;
        let mut last_arrival = newest.last_arrival;
        for group in self.latest() {
            // The bytes of the group before it all lie outside the span.
            let arriving = since(last_arrival, group.last_arrival);
            let sending = since(newest.last_sent, group.last_sent);
            span = arriving.max(sending);
            stretch = f64::from(arriving) / f64::from(sending.max(1));
            if !goes_on(group, span) {
                break;
            }
            bytes += u64::from(group.bytes);
            if since(group.last_arrival, last_arrival) > 0 {
                last_arrival = group.last_arrival;
            }
        }
        (span > 0 && bytes > 0).then(|| Carried {
            rate: bytes as f64 * 8e6 / f64::from(span),
            span: micros(span),
            stretch,
        })
    }

    fn newest(&self) -> Option<&Group> {
        self.latest().next()
    }

    /// From the newest on.
    fn latest(&self) -> impl Iterator<Item = &Group> {
        let known = self.begun.min(GROUPS);
        (0..known).filter_map(move |back| self.groups.get((self.begun - back) % GROUPS))
    }

    fn update_base(&mut self, sent: u32, delay: i32) {
        let base = self.base.get_or_insert(Base {
            since: sent,
            least: delay,
            before: delay,
        });
        if sent.wrapping_sub(base.since) > BASE {
            base.since = sent;
            base.before = base.least;
            base.least = delay;
        }
        base.least = base.least.min(delay);
    }
}

impl Base {
    fn delay(&self) -> i32 {
        self.least.min(self.before)
    }
}

fn since(later: u32, earlier: u32) -> i32 {
    later.wrapping_sub(earlier) as i32
}

fn micros(micros: i32) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
