//! Layered video as an SFU forwards it, or an encoder that follows the estimate.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use super::contender::Contender;
use super::link::{Conditions, Link, Rng};
use crate::core::bwe::receiver::FeedbackReceiver;

const STEP: f64 = 0.001;
const PACKET: usize = 1_150;
/// Pictures go out at this many times the estimate.
const PACE: f64 = 1.5;

#[derive(Clone, Debug)]
pub enum Source {
    /// Rates of layers, from the smallest, pictures of even size but for keyframes.
    Layers(Vec<f64>),
    /// As much as the estimate says.
    Encoder,
    /// So much, whatever the estimate says.
    Fixed(f64),
}

pub struct Trial {
    pub source: Source,
    /// Receivers' feedback interval in seconds.
    pub interval: f64,
    /// Seconds from which on the conditions hold.
    pub phases: Vec<(f64, Conditions)>,
    pub seconds: f64,
    /// In this time the picture stands still: a twentieth of its rate is sent.
    pub quiet: Option<(f64, f64)>,
    /// It goes on as before for so long when it should send less, and then stops sending pictures for as long.
    pub stubborn: f64,
    pub seed: u64,
}

/// How it is at one moment, every 50 ms.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at: f64,
    pub estimate: f64,
    /// The layer's rate that is sent.
    pub layer: f64,
    /// Seconds that a packet waits at the link.
    pub wait: f64,
    /// Arrived since the last sample, in bits per second.
    pub arriving: f64,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub samples: Vec<Sample>,
    pub media: u64,
    pub padding: u64,
    pub dropped: u64,
    pub packets: u64,
}

impl Trial {
    pub fn run(&self, contender: &mut dyn Contender, start: Instant) -> Outcome {
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut outcome = Outcome::default();
        let mut link = Link::new(self.phases[0].1, self.seed);
        let mut rng = Rng(self.seed ^ 77);
        let mut receiver = FeedbackReceiver::default();
        let mut arriving: BinaryHeap<Reverse<(u64, u16)>> = BinaryHeap::new();
        let mut sizes = vec![0usize; 1 << 16];
        let mut reports: VecDeque<(f64, Vec<u8>)> = VecDeque::new();
        let mut next_feedback = self.interval;
        let (mut next_frame, mut next_audio, mut next_tick, mut next_sample) = (0.0, 0.0, 0.0, 0.05);
        let mut frame = 0u64;
        let mut layer = 0;
        let mut queue: VecDeque<usize> = VecDeque::new();
        let mut allowance = 0.0;
        let mut arrived = 0;
        let (mut fits_at, mut silent_until) = (0.0, 0.0);
        for step in 0..(self.seconds / STEP) as u64 {
            let now = step as f64 * STEP;
            if let Some((_, conditions)) = self.phases.iter().rev().find(|(from, _)| *from <= now) {
                link.conditions = *conditions;
            }
            for (seq, arrives) in link.run(now) {
                arriving.push(Reverse(((arrives * 1e6) as u64, seq)));
            }
            while arriving
                .peek()
                .is_some_and(|Reverse((at, _))| *at <= (now * 1e6) as u64)
            {
                let Some(Reverse((micros, seq))) = arriving.pop() else {
                    break;
                };
                receiver.received(seq, Duration::from_micros(micros + 5_000_000));
                arrived += sizes[usize::from(seq)];
            }
            if now >= next_feedback {
                next_feedback += self.interval;
                while let Some(packet) = receiver.feedback() {
                    let padding = if packet[0] & 0x20 == 0 {
                        0
                    } else {
                        usize::from(*packet.last().unwrap())
                    };
                    reports.push_back((
                        now + link.conditions.delay,
                        packet[..packet.len() - padding].to_vec(),
                    ));
                }
            }
            while reports.front().is_some_and(|(at, _)| *at <= now) {
                let Some((_, packet)) = reports.pop_front() else {
                    break;
                };
                contender.feedback(at(now), &packet);
            }
            let estimate = contender.estimate();
            if let Source::Layers(layers) = &self.source {
                // Down at once, up where it fits with a tenth to spare.
                if estimate >= layers[layer] {
                    fits_at = now;
                }
                while layer > 0 && estimate < layers[layer] && now >= fits_at + self.stubborn {
                    layer -= 1;
                    silent_until = now + self.stubborn;
                }
                while layer + 1 < layers.len() && estimate >= layers[layer + 1] * 1.1 {
                    layer += 1;
                }
            }
            let rate = match &self.source {
                Source::Layers(layers) => layers[layer],
                Source::Encoder => estimate,
                Source::Fixed(rate) => *rate,
            };
            if now >= next_tick {
                next_tick += 0.05;
                contender.tick(at(now));
                if let Source::Layers(layers) = &self.source
                    && let Some(next) = layers.get(layer + 1)
                {
                    contender.probe(at(now), next * 1.15);
                }
            }
            if now >= next_frame {
                next_frame += 1.0 / 30.0;
                // Every fourth second a keyframe of five pictures' size; the others vary by a third.
                let quiet = self.quiet.is_some_and(|(from, to)| (from..to).contains(&now));
                let rate = if quiet { rate / 20.0 } else { rate };
                let size = rate / 8.0 / 30.0
                    * if frame % 120 == 119 {
                        5.0
                    } else {
                        0.83 + 0.33 * rng.unit()
                    };
                let mut left = if now < silent_until { 0 } else { size as usize };
                while left > 0 {
                    let bytes = left.min(PACKET);
                    queue.push_back(bytes.max(60));
                    left -= bytes;
                }
                frame += 1;
            }
            if now >= next_audio {
                next_audio += 0.02;
                queue.push_front(120);
            }
            let probing = contender.probing();
            let pace = probing
                .map_or(0.0, |probe| probe.bitrate.0 as f64)
                .max(estimate.max(rate) * PACE * f64::from(u8::from(probing.is_none())));
            allowance = (allowance + pace / 8.0 * STEP).min(pace / 8.0 * 0.005 + 1_500.0);
            while allowance > 0.0 {
                let bytes = match queue.pop_front() {
                    Some(bytes) => {
                        outcome.media += bytes as u64;
                        bytes
                    }
                    None if contender.probing().is_some() => {
                        outcome.padding += PACKET as u64;
                        PACKET
                    }
                    None => break,
                };
                allowance -= bytes as f64;
                let seq = contender.sent(at(now), bytes);
                sizes[usize::from(seq)] = bytes;
                outcome.packets += 1;
                link.send(now, seq, bytes);
            }
            if now >= next_sample {
                next_sample += 0.05;
                outcome.samples.push(Sample {
                    at: now,
                    estimate: contender.estimate(),
                    layer: rate,
                    wait: link.wait(now),
                    arriving: arrived as f64 * 8.0 / 0.05,
                });
                arrived = 0;
            }
        }
        outcome.dropped = link.dropped;
        outcome
    }
}

impl Outcome {
    pub fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.at >= from && sample.at < to)
    }

    /// Seconds from `from` until `holds` for the first time.
    pub fn until(&self, from: f64, holds: impl Fn(&Sample) -> bool) -> Option<f64> {
        self.between(from, f64::MAX)
            .find(|sample| holds(sample))
            .map(|sample| sample.at - from)
    }

    /// When it held for the last time.
    pub fn since_last(&self, holds: impl Fn(&Sample) -> bool) -> Option<f64> {
        let last = self.samples.iter().rev().find(|sample| holds(sample));
        last.map(|sample| sample.at)
    }

    pub fn layer_changes(&self, from: f64, to: f64) -> usize {
        let layers: Vec<f64> = self.between(from, to).map(|sample| sample.layer).collect();
        layers.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    pub fn share_of_padding(&self) -> f64 {
        self.padding as f64 / (self.media + self.padding) as f64
    }

    pub fn mean(&self, from: f64, to: f64, value: impl Fn(&Sample) -> f64) -> f64 {
        let (sum, count) = self.between(from, to).fold((0.0, 0.0), |(sum, count), sample| {
            (sum + value(sample), count + 1.0)
        });
        sum / f64::max(count, 1.0)
    }

    pub fn least(&self, from: f64, to: f64, value: impl Fn(&Sample) -> f64) -> f64 {
        self.between(from, to).map(value).fold(f64::MAX, f64::min)
    }

    pub fn most(&self, from: f64, to: f64, value: impl Fn(&Sample) -> f64) -> f64 {
        self.between(from, to).map(value).fold(0.0, f64::max)
    }
}
