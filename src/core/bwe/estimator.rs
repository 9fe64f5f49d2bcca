//! The estimate itself: what is told to it, what it tells.

use std::time::{Duration, Instant};

use super::arrivals::Arrivals;
use super::feedback::{Status, TransportFeedback};
use super::history::{Fate, History, Sent};
use super::loss::Losses;
use super::meter::Meter;
use super::probing::{Probing, Verdict};
use super::rate::{Rate, Usage};
use super::reports::Reports;
use crate::core::ids::Bitrate;

/// Where an estimate starts, and what it keeps within.
#[derive(Clone, Copy, Debug)]
pub struct EstimatorConfig {
    pub start: Bitrate,
    pub min: Bitrate,
    pub max: Bitrate,
}

impl Default for EstimatorConfig {
    fn default() -> Self {
        Self {
            start: Bitrate(1_000_000),
            min: Bitrate(30_000),
            max: Bitrate(100_000_000),
        }
    }
}

/// What the way is believed to carry, and how it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub bitrate: Bitrate,
    /// Share of packets lost lately, 0 to 1.
    pub loss: f64,
    /// There and back, with no more of the receiver's time to answer in it than cannot be told apart.
    pub rtt: Option<Duration>,
    /// How long packets wait on the way lately, beyond the least delay that was seen.
    pub queue: Duration,
    pub source: Source,
}

/// What an estimate rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nothing yet.
    Start,
    /// Loss and round trips in receiver reports.
    Reports,
    /// The receiver's own estimate.
    Remb,
    /// Transport-wide feedback.
    TransportCc,
}

/// Send at this rate, until so many bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    pub bitrate: Bitrate,
    pub bytes: usize,
}

/// No feedback for this long, a round trip and the queue aside, although packets were sent: receivers give it four to
/// twenty times a second.
const SILENCE: Duration = Duration::from_millis(500);

/// Nothing of what was sent in this much time arrived, and then something did: the way was away, not too narrow.
const OUTAGE: Duration = Duration::from_millis(300);

/// What a train towards a receiver that estimates itself is made as long for.
const REMB_JITTER: Duration = Duration::from_millis(50);

/// One viewer's bandwidth estimator.
#[derive(Debug)]
pub struct Estimator {
    config: EstimatorConfig,
    history: History,
    arrivals: Arrivals,
    losses: Losses,
    sent: Meter,
    rate: Rate,
    probing: Probing,
    reports: Reports,
    source: Source,
    rtt: Option<Duration>,
    /// The newest packet that was reported, and its 64-ms reference time unwrapped.
    reported: Option<u64>,
    reference: Option<i64>,
    /// The newest packet that counted for delays.
    measured: Option<u64>,
    heard: Instant,
    first_unheard: Option<Instant>,
}

impl Estimator {
    pub fn new(now: Instant, config: EstimatorConfig) -> Self {
        let [start, min, max] = [config.start, config.min, config.max].map(|rate| rate.0 as f64);
        let max = max.max(min);
        Self {
            config,
            history: History::new(now),
            arrivals: Arrivals::default(),
            losses: Losses::new(now),
            sent: Meter::new(now),
            rate: Rate::new(now, start, min, max),
            probing: Probing::new(now),
            reports: Reports::new(now, start.clamp(min, max), min, max),
            source: Source::Start,
            rtt: None,
            reported: None,
            reference: None,
            measured: None,
            heard: now,
            first_unheard: None,
        }
    }

    pub fn estimate(&self) -> Estimate {
        let transport_cc = matches!(self.source, Source::TransportCc | Source::Start);
        let (bitrate, loss) = if transport_cc {
            (self.rate.target(), self.losses.share())
        } else {
            (self.reports.target(), self.reports.loss())
        };
        Estimate {
            bitrate: Bitrate(bitrate as u64),
            loss,
            rtt: self.rtt,
            queue: self.arrivals.queue(),
            source: self.source,
        }
    }

    /// The transport-wide number that the next packet gets.
    pub fn next_seq(&self) -> u16 {
        self.history.next() as u16
    }

    /// Notes that a packet of so many bytes goes out, and gives its transport-wide number, which is that of
    /// [`next_seq`](Self::next_seq) before. To be called where the number is not written too, so that it is known what
    /// is sent. Allocates nothing.
    pub fn sent(&mut self, now: Instant, bytes: usize) -> u16 {
        self.sent.add(now, bytes);
        self.first_unheard.get_or_insert(now);
        let train = self.probing.sent(now, self.history.next(), bytes);
        self.history.push(now, bytes, train) as u16
    }

    /// Takes transport-wide feedback: the whole RTCP packet (RTPFB, format 15), header included, without padding.
    /// Feedback about packets that were never sent is passed over.
    pub fn transport_feedback(&mut self, now: Instant, packet: &[u8]) {
        let Some(feedback) = TransportFeedback::parse(packet).filter(|feedback| feedback.count > 0) else {
            return;
        };
        let Some(base) = self.history.number(feedback.base) else {
            return;
        };
        let end = base + u64::from(feedback.count);
        if end > self.history.next() {
            return;
        }
        if self.source != Source::TransportCc {
            self.source = Source::TransportCc;
        }
        self.heard = now;
        self.first_unheard = None;
        self.losses.begin();
        self.take(now, &feedback, base);
        self.reported = self.reported.max(Some(end - 1));
        self.conclude(now);
    }

    /// Takes the receiver's own estimate. Counts only where no transport-wide feedback comes, and no further than to
    /// twice of what is sent.
    pub fn remb(&mut self, now: Instant, bitrate: Bitrate) {
        if self.source != Source::TransportCc {
            self.source = Source::Remb;
            let sending = self.sent.rate(now);
            self.reports.remb(now, bitrate.0 as f64, sending);
        }
    }

    /// Takes a report block about one of the streams: the share lost since the last one, in 1/256, and the round trip
    /// that follows from it.
    pub fn receiver_report(&mut self, now: Instant, fraction_lost: u8, rtt: Option<Duration>) {
        if self.source == Source::Start {
            self.source = Source::Reports;
        }
        let sending = self.sent.rate(now);
        self.reports
            .report(now, f64::from(fraction_lost) / 256.0, sending);
        if self.source != Source::TransportCc {
            self.rtt = rtt.or(self.rtt);
        }
    }

    /// To be called about every 50 ms: notices what does not come any more.
    pub fn tick(&mut self, now: Instant) {
        self.history.fit(now);
        let rtt = self.rtt.unwrap_or(Duration::from_millis(200));
        let patience = SILENCE + rtt + self.arrivals.queue();
        if let Some(verdict) = self.probing.tick(now, self.history.next() - 1, patience) {
            self.heed(now, verdict);
        }
        if self.source == Source::TransportCc
            && let Some(unheard) = self.first_unheard
            && now.saturating_duration_since(unheard.max(self.heard)) > patience
        {
            self.rate.silence();
            self.heard = now;
        }
    }

    /// Bytes it takes: 7 KiB, and up to 35 KiB where so many packets are sent in a second.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.history.memory()
    }

    /// A probe for `wanted` bits per second in all, if that is more than is proven and if it may be tried now: probes
    /// cost a bounded share of what is sent, and come more rarely after failures. It runs from now on, until so many
    /// bytes were [`sent`](Self::sent), whatever they are; or until it takes too long. Its rate may be less than what
    /// is wanted, for a first step. Ask again at each tick as long as more is wanted.
    pub fn probe(&mut self, now: Instant, wanted: Bitrate) -> Option<Probe> {
        let wanted = wanted.clamp(self.config.min, self.config.max).0 as f64;
        let proven = self.estimate().bitrate.0 as f64;
        let jitter = self.arrivals.jitter();
        let calm = !self.rate.is_overused() && self.arrivals.queue() < Duration::from_millis(15) + jitter;
        // With losses alone, nothing would show what a probe did.
        if wanted <= proven || !calm || self.source == Source::Reports {
            return None;
        }
        // The receiver's own estimate follows what arrives, not single packets: it takes as long a train as there is.
        let jitter = if self.source == Source::Remb {
            REMB_JITTER
        } else {
            jitter
        };
        let sending = self.sent.rate(now);
        if !self
            .probing
            .begin(now, wanted, proven.max(sending), sending, jitter)
        {
            return None;
        }
        self.probing.left()
    }

    /// What is left of the probe that is running.
    pub fn probing(&self) -> Option<Probe> {
        self.probing.left()
    }

    /// Enters what the feedback says into the books.
    fn take(&mut self, now: Instant, feedback: &TransportFeedback, base: u64) {
        let mut arrival = self.unwrap_reference(feedback.reference) * 64_000;
        let mut number = base;
        let mut newest = None;
        for status in feedback.statuses() {
            match status {
                Status::Missing(run) => {
                    let end = number + u64::from(run);
                    self.missing(now, number.max(self.history.oldest()), end);
                    number = end;
                    continue;
                }
                Status::Received(delta) => {
                    arrival += i64::from(delta) * 250;
                    self.received(now, number, Some(arrival as u32));
                }
                Status::Untimed => self.received(now, number, None),
            }
            newest = Some(number);
            number += 1;
        }
        if let Some(sent) = newest.and_then(|newest| self.history.get(newest)) {
            let sample = self.history.age(sent, now);
            // The receiver's wait for its next feedback is in some samples more than in others.
            self.rtt = Some(self.rtt.map_or(sample, |rtt| {
                if sample < rtt {
                    (rtt + sample) / 2
                } else {
                    (rtt * 15 + sample) / 16
                }
            }));
        }
    }

    fn received(&mut self, now: Instant, number: u64, arrival: Option<u32>) {
        let Some(sent) = self.history.get_mut(number) else {
            return;
        };
        let fate = std::mem::replace(&mut sent.fate, Fate::Received);
        let sent = *sent;
        match fate {
            Fate::Received => return,
            Fate::Lost => {
                self.losses.came_late(now);
                self.probing.came_late(sent.probe);
            }
            Fate::Unknown => self.losses.received(now),
        }
        let Some(arrival) = arrival else { return };
        if sent.probe != 0 {
            self.probing.received(&sent, arrival);
        }
        if self.measured.is_none_or(|measured| number > measured) {
            self.measured = Some(number);
            self.arrivals.add(sent.at(), arrival, sent.bytes);
        }
    }

    /// Packets from `first` up to, but not including, `end` were not received.
    fn missing(&mut self, now: Instant, first: u64, end: u64) {
        let sent_at = |number| self.history.get(number).map(Sent::at);
        let span = sent_at(end - 1)
            .zip(sent_at(first))
            .map_or(0, |(last, first)| last.wrapping_sub(first));
        let outage = u128::from(span) > OUTAGE.as_micros();
        for number in first..end {
            let Some(sent) = self.history.get_mut(number) else {
                break;
            };
            if sent.fate == Fate::Unknown {
                sent.fate = Fate::Lost;
                let train = sent.probe;
                if !outage || number == first {
                    self.losses.lost(now);
                }
                if train != 0 {
                    self.probing.lost(train);
                }
            }
        }
    }

    /// What follows from the books as they are now.
    fn conclude(&mut self, now: Instant) {
        let sending = self.sent.rate(now);
        let loss = self.losses.share();
        let usage = self.rate.update(now, &mut self.arrivals, sending, loss);
        if usage == Usage::OveruseBegins && self.rate.was_raised(now) {
            self.probing.disproved(now);
        }
        let queueing = self.rate.is_queueing(&self.arrivals);
        if self.losses.overload(now, sending, queueing) {
            let arriving = self.arrivals.lately(Duration::from_millis(100));
            self.rate.losing(
                now,
                arriving.map_or(sending * (1.0 - self.losses.share()), |carried| carried.rate),
            );
        }
        if let Some(reported) = self.reported
            && let Some(verdict) = self.probing.reported(now, reported, self.losses.natural())
        {
            self.heed(now, verdict);
        }
    }

    fn heed(&mut self, now: Instant, verdict: Verdict) {
        match verdict {
            Verdict::Carried(rate) | Verdict::Doubtful(rate) => self.rate.proven(now, rate),
            Verdict::TooMuch(rate) if rate > 0.0 && !self.rate.is_overused() => {
                // A little less than what came through: it filled the way.
                let rate = rate * 0.95;
                self.rate.proven(now, rate);
                self.rate.refuted(rate, &self.arrivals);
            }
            Verdict::TooMuch(_) | Verdict::Unclear => {}
        }
    }

    /// The reference time without its wrap at 2²⁴ (12 days).
    fn unwrap_reference(&mut self, reference: i32) -> i64 {
        let unwrapped = match self.reference {
            None => reference.into(),
            Some(last) => {
                let step = reference.wrapping_sub(last as i32) << 8 >> 8;
                last + i64::from(step)
            }
        };
        self.reference = Some(unwrapped);
        unwrapped
    }
}
