//! Short trains of packets at a higher rate, which show whether the way carries it.

use std::time::{Duration, Instant};

use super::Probe;
use super::history::Sent;
use crate::core::ids::Bitrate;

/// A train lasts this long at least, ...
const SHORTEST: Duration = Duration::from_millis(30);
/// ... with so many times the jitter on top, so that it can be told from a queue, ...
const JITTERS: u32 = 6;
/// ... up to this, ...
const LONGEST: Duration = Duration::from_millis(150);
/// ... and up to what stands in the queue for this long if the way carries no more than is proven.
const LONGEST_QUEUE: f64 = 0.1;
/// A train has this many bytes at least: about eight packets.
const FEWEST_BYTES: f64 = 8_000.0;
/// Packets that have to arrive for a verdict.
const FEWEST_PACKETS: u32 = 5;
/// A train goes at most at this many times what is proven: beyond, it would fill queues, and a step in between shows
/// as much.
const STEP: f64 = 4.0;
/// What probes may send beyond media: this share of all that is sent, ...
const SHARE: f64 = 0.08;
/// ... and so many bytes in a second, so that a viewer that gets nothing but sound gets its picture back within seconds, ...
const ALWAYS: f64 = 2_000.0;
/// ... saved up to this many bytes, which is also what a viewer starts with.
const SAVED: f64 = 60_000.0;
/// Between two trains.
const PAUSE: Duration = Duration::from_millis(250);
/// After a train that did not get through; doubled with each further one, ...
const PENALTY: Duration = Duration::from_millis(1_000);
/// ... up to this, so that a way that recovers is found within seconds.
const LARGEST_PENALTY: Duration = Duration::from_secs(4);
/// The longest pause after a rate that seemed proven and was too much, ...
const LARGEST_DISPROOF: Duration = Duration::from_secs(16);
/// ... and the time after which that is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// A rate is carried when it arrives at so much of it, ...
const CARRIED: f64 = 0.9;
/// ... and with no more than this lost beyond what the way loses anyway.
const LOST: f64 = 0.1;
/// A train that shows less than this many times what was proven before is followed by a longer pause: nothing changes.
const WORTHWHILE: f64 = 1.05;
/// Standard deviations by which a measurement may be chance.
const DOUBT: f64 = 1.65;

#[derive(Debug)]
pub struct Probing {
    running: Option<Running>,
    /// The train sent last, until its packets are reported.
    verdict: Option<Train>,
    trains: u8,
    /// Bytes that may be sent beyond media; below zero where more was sent.
    credit: f64,
    /// When time was last counted for it.
    credited: Instant,
    next: Instant,
    penalty: Duration,
    disproved: Option<Instant>,
    disproof: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    bitrate: f64,
    left: usize,
    until: Instant,
    /// Bytes of it that media brings along, as far as is known.
    free: f64,
}

/// What is known of a train.
#[derive(Clone, Copy, Debug)]
struct Train {
    id: u8,
    /// The number of its last packet, once it is sent.
    last: Option<u64>,
    ends: Instant,
    /// What was proven before it, in bits per second.
    proven: f64,
    sent: u32,
    lost: u32,
    received: u32,
    bytes: f64,
    origin: Option<(u32, u32)>,
    arrivals: Line,
    departures: Line,
}

/// What a train showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It arrived as it was sent, at so many bits per second.
    Carried(f64),
    /// It arrived more slowly, at so many bits per second.
    TooMuch(f64),
    /// It arrived more slowly, at so many bits per second, as it may by jitter.
    Doubtful(f64),
    /// Nothing can be said.
    Unclear,
}

impl Probing {
    pub fn new(now: Instant) -> Self {
        Self {
            running: None,
            verdict: None,
            trains: 0,
            credit: SAVED,
            credited: now,
            next: now,
            penalty: PENALTY,
            disproved: None,
            disproof: LARGEST_PENALTY,
        }
    }

    /// What is left of the train that is being sent.
    pub fn left(&self) -> Option<Probe> {
        self.running.map(|running| Probe {
            bitrate: Bitrate(running.bitrate as u64),
            bytes: running.left,
        })
    }

    /// Begins a train towards `wanted`, if it may be. `proven` and `sending` in bits per second.
    pub fn begin(&mut self, now: Instant, wanted: f64, proven: f64, sending: f64, jitter: Duration) -> bool {
        if self.running.is_some() || self.verdict.is_some() || now < self.next {
            return false;
        }
        let elapsed = now.saturating_duration_since(self.credited).as_secs_f64();
        self.credited = now;
        self.credit = (self.credit + ALWAYS * elapsed).min(SAVED);
        let bitrate = wanted.min(proven * STEP);
        let longest = LONGEST_QUEUE * proven / (bitrate - proven).max(1.0);
        let span = (SHORTEST + jitter * JITTERS)
            .min(LONGEST)
            .as_secs_f64()
            .min(longest);
        let bytes = (bitrate / 8.0 * span).max(FEWEST_BYTES);
        let span = bytes * 8.0 / bitrate;
        let free = sending / 8.0 * span;
        if self.credit < bytes - free {
            return false;
        }
        self.trains = self.trains.checked_add(1).unwrap_or(1);
        self.running = Some(Running {
            bitrate,
            left: bytes as usize,
            until: now + Duration::from_secs_f64(span * 3.0) + Duration::from_millis(100),
            free,
        });
        self.verdict = Some(Train {
            id: self.trains,
            last: None,
            ends: now,
            proven,
            sent: 0,
            lost: 0,
            received: 0,
            bytes: 0.0,
            origin: None,
            arrivals: Line::default(),
            departures: Line::default(),
        });
        true
    }

    /// Notes that packet `number` goes out; gives the train it belongs to, 0 for none.
    pub fn sent(&mut self, now: Instant, number: u64, bytes: usize) -> u8 {
        // Saved up to a bound even while a train spends it.
        self.credit = (self.credit + bytes as f64 * SHARE).min(SAVED);
        let (Some(running), Some(train)) = (&mut self.running, &mut self.verdict) else {
            return 0;
        };
        let paid = (bytes as f64 - running.free).max(0.0);
        running.free = (running.free - bytes as f64).max(0.0);
        self.credit -= paid;
        train.sent += 1;
        train.ends = now;
        running.left = running.left.saturating_sub(bytes);
        let id = train.id;
        if running.left == 0 {
            train.last = Some(number);
            self.running = None;
        }
        id
    }

    /// A packet of a train was received.
    pub fn received(&mut self, sent: &Sent, arrival: u32) {
        let Some(train) = self.verdict.as_mut().filter(|train| train.id == sent.probe) else {
            return;
        };
        let (sent_first, arrived_first) = *train.origin.get_or_insert((sent.at(), arrival));
        let departed = f64::from(sent.at().wrapping_sub(sent_first) as i32);
        let arrived = f64::from(arrival.wrapping_sub(arrived_first) as i32);
        if arrived.abs() > 10e6 {
            return;
        }
        train.received += 1;
        train.bytes += f64::from(sent.bytes);
        train.arrivals.add(train.bytes, arrived);
        train.departures.add(train.bytes, departed);
    }

    /// A packet of a train was reported as lost.
    pub fn lost(&mut self, id: u8) {
        if let Some(train) = self.verdict.as_mut().filter(|train| train.id == id) {
            train.lost += 1;
        }
    }

    /// A packet of a train came after all.
    pub fn came_late(&mut self, id: u8) {
        if let Some(train) = self.verdict.as_mut().filter(|train| train.id == id) {
            train.lost = train.lost.saturating_sub(1);
        }
    }

    /// Ends what takes too long: `patience` is the time after which feedback should have come.
    pub fn tick(&mut self, now: Instant, newest: u64, patience: Duration) -> Option<Verdict> {
        if self.running.is_some_and(|running| now >= running.until) {
            self.running = None;
            if let Some(train) = &mut self.verdict {
                train.last = Some(newest);
            }
        }
        let train = self.verdict.as_ref()?;
        let overdue = train.last.is_some() && now > train.ends + patience;
        overdue.then(|| self.judge(now, 0.0))
    }

    /// Says what the train showed once its last packet is reported: all up to `reported` are. `natural`: the share of
    /// packets that the way loses anyway.
    pub fn reported(&mut self, now: Instant, reported: u64, natural: f64) -> Option<Verdict> {
        let last = self.verdict.as_ref()?.last?;
        (reported >= last).then(|| self.judge(now, natural))
    }

    /// A rate that a train seemed to prove was too much after all: it takes longer and longer until the next one, so
    /// that what just does not fit is not tried over and over.
    pub fn disproved(&mut self, now: Instant) {
        let forgotten = |before| now.saturating_duration_since(before) > FORGOTTEN;
        if self.disproved.is_none_or(forgotten) {
            self.disproof = LARGEST_PENALTY;
        }
        self.disproved = Some(now);
        self.next = self.next.max(now + self.disproof);
        self.disproof = (self.disproof * 2).min(LARGEST_DISPROOF);
    }

    fn judge(&mut self, now: Instant, natural: f64) -> Verdict {
        let Some(train) = self.verdict.take() else {
            return Verdict::Unclear;
        };
        let verdict = train.verdict(natural);
        match verdict {
            Verdict::Carried(rate) if rate > train.proven * WORTHWHILE => {
                self.penalty = PENALTY;
                self.next = now + PAUSE;
            }
            Verdict::Carried(_) | Verdict::TooMuch(_) => {
                self.next = now + self.penalty;
                self.penalty = (self.penalty * 2).min(LARGEST_PENALTY);
            }
            Verdict::Doubtful(_) => self.next = now + PAUSE,
            Verdict::Unclear => self.next = now + PENALTY,
        }
        verdict
    }
}

impl Train {
    fn verdict(&self, natural: f64) -> Verdict {
        let reported = self.received + self.lost;
        if self.received < FEWEST_PACKETS || reported * 5 < self.sent * 4 {
            // Where nothing at all came back of a whole train, it was too much, but nobody knows for what.
            return if self.sent >= FEWEST_PACKETS && self.received == 0 {
                Verdict::TooMuch(0.0)
            } else {
                Verdict::Unclear
            };
        }
        let (Some(arrival), Some(departure)) = (self.arrivals.slope(), self.departures.slope()) else {
            return Verdict::Unclear;
        };
        // Microseconds per byte; faster than it was sent proves no more than what was sent. What the way loses anyway
        // was carried as far as it comes to that.
        let share = departure / arrival;
        let doubt = DOUBT * self.arrivals.slope_error() / arrival;
        let reported = f64::from(reported);
        let loss = f64::from(self.lost) / reported;
        let received = 8e6 / arrival.max(departure) / (1.0 - loss.min(natural).min(0.5));
        let chance = DOUBT * (loss * (1.0 - loss) / reported).sqrt();
        if loss - chance > natural + LOST {
            Verdict::TooMuch(received)
        } else if share >= CARRIED {
            Verdict::Carried(received)
        } else if share + doubt < CARRIED {
            Verdict::TooMuch(received)
        } else {
            Verdict::Doubtful(received)
        }
    }
}

/// A line through points, by least squares.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Line {
    fn add(&mut self, x: f64, y: f64) {
        self.n += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
        self.yy += y * y;
    }

    /// `None` where it does not rise.
    fn slope(&self) -> Option<f64> {
        let spread = self.n * self.xx - self.x * self.x;
        let slope = (self.n * self.xy - self.x * self.y) / spread;
        (slope.is_finite() && slope > 0.0).then_some(slope)
    }

    /// The standard error of [`slope`](Self::slope), 0 where it is not known.
    fn slope_error(&self) -> f64 {
        let [xx, xy, yy] = [
            self.n * self.xx - self.x * self.x,
            self.n * self.xy - self.x * self.y,
            self.n * self.yy - self.y * self.y,
        ];
        let error = ((yy / xx - (xy / xx).powi(2)) / (self.n - 2.0)).sqrt();
        if error.is_finite() { error } else { 0.0 }
    }
}
