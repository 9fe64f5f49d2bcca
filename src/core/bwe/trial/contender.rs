//! The estimators under trial.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtc::interceptor::{BandwidthEstimator, Gcc, PacketReport};
use rtc::rtcp::transport_feedbacks::cc_feedback_report::Ecn;

use crate::core::bwe::feedback::{Status, TransportFeedback};
use crate::core::bwe::{Estimator, EstimatorConfig, Probe};
use crate::core::ids::Bitrate;

pub const START: f64 = 1_000_000.0;
pub const MIN: f64 = 50_000.0;
pub const MAX: f64 = 30_000_000.0;

pub trait Contender {
    fn sent(&mut self, now: Instant, bytes: usize) -> u16;
    fn feedback(&mut self, now: Instant, packet: &[u8]);
    fn tick(&mut self, now: Instant);
    fn estimate(&self) -> f64;
    fn probe(&mut self, now: Instant, wanted: f64) -> Option<Probe>;
    fn probing(&self) -> Option<Probe>;
}

pub fn ours(now: Instant) -> Estimator {
    let config = EstimatorConfig {
        start: Bitrate(START as u64),
        min: Bitrate(MIN as u64),
        max: Bitrate(MAX as u64),
    };
    Estimator::new(now, config)
}

impl Contender for Estimator {
    fn sent(&mut self, now: Instant, bytes: usize) -> u16 {
        Estimator::sent(self, now, bytes)
    }

    fn feedback(&mut self, now: Instant, packet: &[u8]) {
        self.transport_feedback(now, packet);
    }

    fn tick(&mut self, now: Instant) {
        Estimator::tick(self, now);
    }

    fn estimate(&self) -> f64 {
        Estimator::estimate(self).bitrate.0 as f64
    }

    fn probe(&mut self, now: Instant, wanted: f64) -> Option<Probe> {
        Estimator::probe(self, now, Bitrate(wanted as u64))
    }

    fn probing(&self) -> Option<Probe> {
        Estimator::probing(self)
    }
}

/// The family's Google Congestion Control, with a history of its own. It knows no probes.
pub struct Family {
    gcc: Gcc,
    next: u64,
    history: VecDeque<(u64, Instant, usize)>,
}

impl Family {
    pub fn new() -> Self {
        Self {
            gcc: Gcc::new(START, MIN, MAX),
            next: 0,
            history: VecDeque::new(),
        }
    }
}

impl Contender for Family {
    fn sent(&mut self, now: Instant, bytes: usize) -> u16 {
        self.history.push_back((self.next, now, bytes));
        self.next += 1;
        (self.next - 1) as u16
    }

    fn feedback(&mut self, now: Instant, packet: &[u8]) {
        let feedback = TransportFeedback::parse(packet).unwrap();
        let mut seq = feedback.base;
        let mut at = i64::from(feedback.reference) * 64_000;
        let mut reports = Vec::new();
        for status in feedback.statuses() {
            let (run, arrival) = match status {
                Status::Missing(run) => (run, None),
                Status::Received(delta) => {
                    at += i64::from(delta) * 250;
                    (1, Some(Duration::from_micros(at as u64)))
                }
                Status::Untimed => (1, None),
            };
            for seq in (0..run).map(|offset| seq.wrapping_add(offset)) {
                let Some(index) = self.history.iter().position(|(id, ..)| *id as u16 == seq) else {
                    continue;
                };
                // A packet that comes late was reported as lost before: it stays in the history until it comes.
                let (id, departure, size) = self.history[index];
                if arrival.is_some() {
                    self.history.remove(index);
                }
                reports.push(PacketReport {
                    ssrc: 1,
                    id,
                    rtp_sequence_number: seq,
                    is_twcc: true,
                    twcc_sequence_number: seq,
                    size,
                    arrived: arrival.is_some(),
                    departure,
                    arrival,
                    ecn: Ecn::default(),
                });
            }
            seq = seq.wrapping_add(run);
        }
        self.gcc.on_reports(now, &reports);
        while self.history.len() > 4096 {
            self.history.pop_front();
        }
    }

    fn tick(&mut self, now: Instant) {
        self.gcc.handle_timeout(now);
    }

    fn estimate(&self) -> f64 {
        self.gcc.target_bitrate()
    }

    fn probe(&mut self, _now: Instant, _wanted: f64) -> Option<Probe> {
        None
    }

    fn probing(&self) -> Option<Probe> {
        None
    }
}
