use super::receiver::FeedbackReceiver;
use super::{Estimate, Estimator, EstimatorConfig, Source};
use crate::core::ids::Bitrate;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const START: u64 = 500_000;
const MIN: u64 = 50_000;
const MAX: u64 = 20_000_000;

#[test]
fn it_starts_where_it_is_told_to() {
    let estimator = Estimator::new(start(), config());
    let expected = Estimate {
        bitrate: Bitrate(START),
        loss: 0.0,
        rtt: None,
        queue: Duration::ZERO,
        source: Source::Start,
    };
    assert_eq!(estimator.estimate(), expected);
}

#[test]
fn numbers_go_on_over_the_wrap() {
    let began = start();
    let mut estimator = Estimator::new(began, config());
    for count in 0..70_000u32 {
        let now = began + Duration::from_millis(count.into());
        assert_eq!(estimator.next_seq(), count as u16);
        assert_eq!(estimator.sent(now, 100), count as u16);
        if count % 50 == 0 {
            estimator.tick(now);
        }
    }
}

#[test]
fn round_trip_and_loss_are_what_they_are() {
    let mut stage = Stage::new();
    for count in 0..2_000 {
        stage.send(1_000, count % 20 != 7);
        stage.pass(5);
    }
    let estimate = stage.estimator.estimate();
    assert_eq!(estimate.source, Source::TransportCc);
    assert!((0.04..0.06).contains(&estimate.loss), "{}", estimate.loss);
    // 40 ms there and back, and up to 5 ms until the next packet shows.
    let rtt = estimate.rtt.unwrap().as_millis();
    assert!((35..60).contains(&rtt), "{rtt}");
    assert!(estimate.queue < Duration::from_millis(2));
}

#[test]
fn the_same_feedback_again_changes_nothing() {
    let mut stage = Stage::new();
    let mut last = None;
    for count in 0..400 {
        stage.send(1_000, count % 9 != 0);
        last = stage.pass(5).or(last);
    }
    let before = stage.estimator.estimate();
    for _ in 0..1_000 {
        stage
            .estimator
            .transport_feedback(stage.now, last.as_ref().unwrap());
    }
    let after = stage.estimator.estimate();
    assert_eq!((before.bitrate, before.loss), (after.bitrate, after.loss));
}

#[test]
fn feedback_about_packets_never_sent_is_passed_over() {
    let mut stage = Stage::new();
    for _ in 0..100 {
        stage.send(1_000, true);
        stage.pass(5);
    }
    let before = stage.estimator.estimate();
    let next = stage.estimator.next_seq();
    for base in [
        next,
        next.wrapping_add(1),
        next.wrapping_add(0x7fff),
        next.wrapping_sub(0x8001),
    ] {
        stage.estimator.transport_feedback(stage.now, &run(base, 100, 1));
    }
    // From one that was sent to ones that were not.
    stage
        .estimator
        .transport_feedback(stage.now, &run(next.wrapping_sub(5), 6, 1));
    stage
        .estimator
        .transport_feedback(stage.now, &run(next.wrapping_sub(5), 0xffff, 0));
    assert_eq!(stage.estimator.estimate(), before);
    // The first numbers were never preceded by others.
    let mut fresh = Estimator::new(stage.now, config());
    fresh.sent(stage.now, 1_000);
    fresh.transport_feedback(stage.now, &run(0xfffe, 3, 1));
    assert_eq!(fresh.estimate().source, Source::Start);
}

#[test]
fn the_largest_feedback_costs_as_much_as_the_history_is_long() {
    let mut now = start();
    let mut estimator = Estimator::new(now, config());
    for count in 0..60_000 {
        now += Duration::from_micros(200);
        estimator.sent(now, 1_200);
        if count % 250 == 0 {
            estimator.tick(now);
        }
    }
    let absurd = run(estimator.next_seq().wrapping_sub(0x7000), 0x7000, 0);
    #[expect(clippy::disallowed_methods, reason = "it is the work that is measured")]
    let began = Instant::now();
    for _ in 0..1_000 {
        estimator.transport_feedback(now, &absurd);
    }
    // A thousand of them in an unoptimised build; without the bound it would be 30 million steps.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(estimator.estimate().bitrate.0 >= MIN);
}

#[test]
fn the_receivers_own_estimate_counts_within_reason() {
    let mut stage = Stage::new();
    for _ in 0..200 {
        stage.send_unheard(1_250);
        stage.now += Duration::from_millis(10);
    }
    // A megabit per second is sent.
    stage.estimator.remb(stage.now, Bitrate(700_000));
    assert_eq!(stage.estimator.estimate().source, Source::Remb);
    assert_eq!(stage.estimator.estimate().bitrate, Bitrate(700_000));
    stage.estimator.remb(stage.now, Bitrate(0));
    assert_eq!(stage.estimator.estimate().bitrate, Bitrate(MIN));
    for absurd in [1 << 63, u64::MAX] {
        for _ in 0..100 {
            stage.estimator.remb(stage.now, Bitrate(absurd));
        }
        let bitrate = stage.estimator.estimate().bitrate.0;
        assert!((1_500_000..2_500_000).contains(&bitrate), "{bitrate}");
    }
}

#[test]
fn reports_alone_lower_it_with_losses_and_raise_it_without() {
    let mut stage = Stage::new();
    let report = |stage: &mut Stage, lost: u8| {
        for _ in 0..100 {
            stage.send_unheard(1_250);
            stage.now += Duration::from_millis(10);
        }
        stage
            .estimator
            .receiver_report(stage.now, lost, Some(Duration::from_millis(70)));
        stage.estimator.estimate()
    };
    let first = report(&mut stage, 0);
    assert_eq!(
        (first.source, first.rtt),
        (Source::Reports, Some(Duration::from_millis(70)))
    );
    for _ in 0..60 {
        report(&mut stage, 0);
    }
    let grown = report(&mut stage, 0).bitrate.0;
    assert!(
        (1_500_000..2_500_000).contains(&grown),
        "twice of what is sent: {grown}"
    );
    let fell = report(&mut stage, 128).bitrate.0;
    assert!(fell < 800_000, "{fell}");
    for _ in 0..100 {
        report(&mut stage, 255);
    }
    assert_eq!(report(&mut stage, 255).bitrate.0, MIN);
}

#[test]
fn transport_wide_feedback_outweighs_the_others() {
    let mut stage = Stage::new();
    for _ in 0..400 {
        stage.send(1_000, true);
        stage.pass(5);
    }
    let before = stage.estimator.estimate();
    stage.estimator.remb(stage.now, Bitrate(0));
    stage
        .estimator
        .receiver_report(stage.now, 255, Some(Duration::from_secs(100)));
    assert_eq!(stage.estimator.estimate(), before);
}

#[test]
fn silence_lowers_it_bit_by_bit() {
    let mut stage = Stage::new();
    for _ in 0..400 {
        stage.send(1_000, true);
        stage.pass(5);
    }
    let heard = stage.estimator.estimate().bitrate.0;
    let silent = |stage: &mut Stage, millis: u64, sending: bool| {
        for _ in 0..millis / 10 {
            if sending {
                stage.send_unheard(1_000);
            }
            stage.now += Duration::from_millis(10);
            stage.estimator.tick(stage.now);
        }
        stage.estimator.estimate().bitrate.0
    };
    assert_eq!(silent(&mut stage, 10_000, false), heard, "nobody answers nothing");
    assert_eq!(silent(&mut stage, 400, true), heard);
    assert!(silent(&mut stage, 1_000, true) < heard);
    assert_eq!(silent(&mut stage, 60_000, true), MIN);
}

#[test]
fn probes_stay_within_their_share() {
    // A viewer whose way is full: each probe fails.
    let mut stage = Stage::new();
    let (mut media, mut probes) = (0, 0);
    for count in 0..60_000 {
        if count % 5 == 0 {
            stage.send(1_000, true);
            media += 1_000;
        }
        if stage.estimator.probing().is_some() {
            stage.send(1_000, false);
            probes += 1_000;
        } else if count % 10 == 0 {
            stage.estimator.probe(stage.now, Bitrate(8_000_000));
        }
        stage.pass(1);
    }
    assert!(probes > 50_000, "it is tried again and again: {probes}");
    assert!(
        f64::from(probes) < 0.1 * f64::from(media) + 60_000.0 + 60.0 * 2_000.0,
        "{probes} of {media}"
    );
}

#[test]
fn nothing_is_probed_that_is_proven() {
    let mut stage = Stage::new();
    assert_eq!(stage.estimator.probe(stage.now, Bitrate(START)), None);
    assert_eq!(stage.estimator.probing(), None);
    let probe = stage.estimator.probe(stage.now, Bitrate(1_500_000)).unwrap();
    assert_eq!(probe.bitrate, Bitrate(1_500_000));
    assert!((2_000..40_000).contains(&probe.bytes));
    assert_eq!(
        stage.estimator.probe(stage.now, Bitrate(1_500_000)),
        None,
        "one at a time"
    );
    assert_eq!(stage.estimator.probing(), Some(probe));
    stage.estimator.sent(stage.now, probe.bytes - 1);
    assert_eq!(stage.estimator.probing().unwrap().bytes, 1);
    stage.estimator.sent(stage.now, 1_000);
    assert_eq!(stage.estimator.probing(), None);
}

#[test]
fn a_probe_that_is_not_sent_ends() {
    let mut stage = Stage::new();
    stage.estimator.probe(stage.now, Bitrate(1_500_000)).unwrap();
    stage.now += Duration::from_secs(1);
    stage.estimator.tick(stage.now);
    assert_eq!(stage.estimator.probing(), None);
    stage.now += Duration::from_secs(5);
    stage.estimator.tick(stage.now);
    assert!(
        stage.estimator.probe(stage.now, Bitrate(1_500_000)).is_some(),
        "and another may come"
    );
}

#[test]
fn a_viewers_estimator_takes_few_kilobytes() {
    let mut stage = Stage::new();
    assert!(stage.estimator.memory() < 8 << 10, "{}", stage.estimator.memory());
    for count in 0..200_000 {
        stage.estimator.sent(stage.now, 1_200);
        if count % 10 == 0 {
            stage.now += Duration::from_micros(100);
            stage.estimator.tick(stage.now);
        }
    }
    assert!(
        stage.estimator.memory() < 40 << 10,
        "{}",
        stage.estimator.memory()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a viewer claims: it stays within its limits, and near what was really sent.
    #[test]
    fn no_lie_makes_it_believe_more_than_was_sent(
        lies in proptest::collection::vec((0..8u8, any::<u16>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..60)), 100..300),
    ) {
        let mut stage = Stage::new();
        for (kind, number, wild, bytes) in lies {
            // 480 kbit/s, evenly.
            for _ in 0..10 {
                stage.send_unheard(600);
                stage.now += Duration::from_millis(10);
            }
            let sent = stage.estimator.next_seq();
            let back = number % 600;
            let first = sent.wrapping_sub(back + 1);
            let feedback = match kind {
                0 => forged(first, back.min(40) + 1, wild, &bytes, 1),
                1 => forged(first, back.min(40) + 1, wild, &bytes, 2),
                2 => run(first, back + 1, 0),
                3 => run(number, wild as u16, number % 3),
                4 => {
                    stage.estimator.remb(stage.now, Bitrate(u64::from(wild) << (number % 33)));
                    continue;
                }
                5 => {
                    stage.estimator.receiver_report(stage.now, number as u8, Some(Duration::from_micros(wild.into())));
                    continue;
                }
                6 => {
                    stage.estimator.tick(stage.now);
                    continue;
                }
                _ => [&run(first, 3, 1)[..16], &bytes].concat(),
            };
            stage.estimator.transport_feedback(stage.now, &feedback);
            let estimate = stage.estimator.estimate();
            prop_assert!((MIN..=MAX).contains(&estimate.bitrate.0));
            prop_assert!(estimate.bitrate.0 < 1_100_000, "{:?}", estimate);
            prop_assert!((0.0..=1.0).contains(&estimate.loss));
        }
    }
}

/// A viewer 20 ms away that gives feedback ten times a second.
struct Stage {
    now: Instant,
    began: Instant,
    estimator: Estimator,
    receiver: FeedbackReceiver,
    next_feedback: Instant,
}

impl Stage {
    fn new() -> Self {
        let now = start();
        Self {
            now,
            began: now,
            estimator: Estimator::new(now, config()),
            receiver: FeedbackReceiver::default(),
            next_feedback: now + Duration::from_millis(100),
        }
    }

    fn send(&mut self, bytes: usize, arrives: bool) {
        let seq = self.estimator.sent(self.now, bytes);
        if arrives {
            let at = self.now - self.began + Duration::from_millis(1_020);
            self.receiver.received(seq, at);
        }
    }

    fn send_unheard(&mut self, bytes: usize) {
        self.estimator.sent(self.now, bytes);
    }

    /// Time passes; gives feedback if it is due, as it is 40 ms after the packets were sent.
    fn pass(&mut self, millis: u64) -> Option<Vec<u8>> {
        self.now += Duration::from_millis(millis);
        if self.now < self.next_feedback {
            return None;
        }
        self.next_feedback += Duration::from_millis(100);
        let packet = self.receiver.feedback()?;
        self.estimator
            .transport_feedback(self.now + Duration::from_millis(40), &packet);
        self.estimator.tick(self.now + Duration::from_millis(40));
        Some(packet)
    }
}

fn config() -> EstimatorConfig {
    EstimatorConfig {
        start: Bitrate(START),
        min: Bitrate(MIN),
        max: Bitrate(MAX),
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant serves")]
fn start() -> Instant {
    Instant::now()
}

/// Feedback about `count` packets with one status for all.
fn run(base: u16, count: u16, symbol: u16) -> Vec<u8> {
    let mut packet = head(base, count, 0);
    let mut left = count;
    while left > 0 {
        let len = left.min(0x1fff);
        packet.extend((symbol << 13 | len).to_be_bytes());
        left -= len;
    }
    if symbol > 0 {
        packet.resize(packet.len() + usize::from(count) * usize::from(symbol), 1);
    }
    packet.resize(packet.len().next_multiple_of(4), 0);
    packet
}

/// Feedback with wild times.
fn forged(base: u16, count: u16, reference: u32, deltas: &[u8], symbol: u16) -> Vec<u8> {
    let mut packet = head(base, count, reference);
    packet.extend((symbol << 13 | count).to_be_bytes());
    packet.extend(deltas.iter().cycle().take(usize::from(count * symbol)));
    packet.resize(packet.len() + 200, 0);
    packet
}

fn head(base: u16, count: u16, reference: u32) -> Vec<u8> {
    let mut packet = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    packet.extend(base.to_be_bytes());
    packet.extend(count.to_be_bytes());
    packet.extend(&reference.to_be_bytes()[1..]);
    packet.push(0);
    packet
}
