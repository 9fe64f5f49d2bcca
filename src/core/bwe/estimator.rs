//! The estimate itself: what is told to it, what it tells.

use std::time::{Duration, Instant};

use super::feedback::{Status, TransportFeedback};
use super::history::{Fate, History};
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

/// One viewer's bandwidth estimator.
#[derive(Debug)]
pub struct Estimator {
    config: EstimatorConfig,
    history: History,
    estimate: Estimate,
    probe: Option<RunningProbe>,
    probes: u8,
    next_probe: Instant,
}

#[derive(Clone, Copy, Debug)]
struct RunningProbe {
    bitrate: u64,
    left: usize,
    until: Instant,
}

impl Estimator {
    pub fn new(now: Instant, config: EstimatorConfig) -> Self {
        Self {
            config,
            history: History::new(now),
            estimate: Estimate {
                bitrate: config.start.clamp(config.min, config.max),
                loss: 0.0,
                rtt: None,
                queue: Duration::ZERO,
                source: Source::Start,
            },
            probe: None,
            probes: 0,
            next_probe: now,
        }
    }

    pub fn estimate(&self) -> Estimate {
        self.estimate
    }

    /// The transport-wide number that the next packet gets.
    pub fn next_seq(&self) -> u16 {
        self.history.next() as u16
    }

    /// Notes that a packet of so many bytes goes out, and gives its transport-wide number, which is that of
    /// [`next_seq`](Self::next_seq) before. To be called where the number is not written too, so that it is known what
    /// is sent. Allocates nothing.
    pub fn sent(&mut self, now: Instant, bytes: usize) -> u16 {
        let mut cluster = 0;
        if let Some(probe) = &mut self.probe {
            cluster = self.probes;
            probe.left = probe.left.saturating_sub(bytes);
            if probe.left == 0 {
                self.probe = None;
            }
        }
        self.history.push(now, bytes, cluster) as u16
    }

    /// Takes transport-wide feedback: the whole RTCP packet (RTPFB, format 15), header included, without padding.
    pub fn transport_feedback(&mut self, now: Instant, packet: &[u8]) {
        let Some(feedback) = TransportFeedback::parse(packet) else {
            return;
        };
        let Some(base) = self.history.number(feedback.base) else {
            return;
        };
        if base + u64::from(feedback.count) > self.history.next() {
            return;
        }
        self.estimate.source = Source::TransportCc;
        let mut number = base;
        for status in feedback.statuses() {
            match status {
                Status::Missing(run) => number += u64::from(run),
                Status::Received(_) | Status::Untimed => {
                    if let Some(sent) = self.history.get_mut(number) {
                        sent.fate = Fate::Received;
                        let sent = *sent;
                        self.estimate.rtt = Some(self.history.age(&sent, now));
                    }
                    number += 1;
                }
            }
        }
    }

    /// Takes the receiver's own estimate. Counts only where no transport-wide feedback comes.
    pub fn remb(&mut self, _now: Instant, bitrate: Bitrate) {
        if self.estimate.source != Source::TransportCc {
            self.estimate.source = Source::Remb;
            self.estimate.bitrate = bitrate.clamp(self.config.min, self.config.max);
        }
    }

    /// Takes a report block about one of the streams: the share lost since the last one, in 1/256, and the round trip
    /// that follows from it.
    pub fn receiver_report(&mut self, _now: Instant, _fraction_lost: u8, rtt: Option<Duration>) {
        if self.estimate.source == Source::Start {
            self.estimate.source = Source::Reports;
        }
        if rtt.is_some() && self.estimate.source != Source::TransportCc {
            self.estimate.rtt = rtt;
        }
    }

    /// To be called about every 50 ms: notices what does not come any more.
    pub fn tick(&mut self, now: Instant) {
        self.history.fit(now);
        if self.probe.is_some_and(|probe| now >= probe.until) {
            self.probe = None;
        }
    }

    /// A probe for `wanted` bits per second in all, if that is more than is proven and if it may be tried now: probes
    /// cost a bounded share of what is sent, and come more rarely after failures. It runs from now on, until so many
    /// bytes were [`sent`](Self::sent), whatever they are; or until it takes too long. Ask again at each
    /// tick as long as more is wanted.
    pub fn probe(&mut self, now: Instant, wanted: Bitrate) -> Option<Probe> {
        if self.probe.is_some() || now < self.next_probe || wanted <= self.estimate.bitrate {
            return None;
        }
        self.next_probe = now + Duration::from_secs(2);
        self.probes = self.probes.checked_add(1).unwrap_or(1);
        let bitrate = wanted.clamp(self.config.min, self.config.max);
        let left = (bitrate.0 / 8 / 25) as usize;
        self.probe = Some(RunningProbe {
            bitrate: bitrate.0,
            left,
            until: now + Duration::from_millis(200),
        });
        self.probing()
    }

    /// What is left of the probe that is running.
    pub fn probing(&self) -> Option<Probe> {
        self.probe.map(|probe| Probe {
            bitrate: Bitrate(probe.bitrate),
            bytes: probe.left,
        })
    }
}
