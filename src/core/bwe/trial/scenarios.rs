//! What is asked of them.

use std::time::Instant;

use super::contender::{Family, ours};
use super::link::Conditions;
use super::sender::{Outcome, Sample, Source, Trial};

const LOWEST: f64 = 400e3;
const HIGHEST: f64 = 3_500e3;

/// A way between client and server as the tests have them.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    conditions: Conditions,
}

/// Rates are set where these are used.
fn ways() -> Vec<Way> {
    let base = Conditions::rate(5e6);
    let way = |name, conditions| Way { name, conditions };
    vec![
        way("50 ms", base),
        way("20 ms", Conditions { delay: 0.01, ..base }),
        way("250 ms", Conditions { delay: 0.125, ..base }),
        way("queue of 30 ms", Conditions { queue: 0.03, ..base }),
        way("queue of 1 s", Conditions { queue: 1.0, ..base }),
        way("jitter 30 ms", Conditions { jitter: 0.03, ..base }),
        way(
            "jitter 30 ms, reordered",
            Conditions {
                jitter: 0.03,
                reorders: true,
                ..base
            },
        ),
        way("loss 1 %", Conditions { loss: 0.01, ..base }),
        way("loss 5 %", Conditions { loss: 0.05, ..base }),
        way("loss 10 %", Conditions { loss: 0.1, ..base }),
        way(
            "loss 5 %, jitter, 100 ms",
            Conditions {
                delay: 0.05,
                jitter: 0.03,
                reorders: true,
                loss: 0.05,
                ..base
            },
        ),
    ]
}

/// 5 Mbit/s, from the tenth second on 0.7, from the thirtieth on 5 again.
fn fall_and_recovery(source: Source, conditions: Conditions, seed: u64) -> Trial {
    let at = |rate| Conditions { rate, ..conditions };
    Trial {
        source,
        interval: 0.1,
        phases: vec![(0.0, at(5e6)), (10.0, at(0.7e6)), (30.0, at(5e6))],
        seconds: 50.0,
        quiet: None,
        stubborn: 0.0,
        seed,
    }
}

#[test]
fn a_way_that_falls_is_noticed_at_once_and_found_again_by_probes() {
    for way in ways() {
        for seed in 0..8 {
            let trial = fall_and_recovery(layers(), way.conditions, seed);
            let outcome = run(&trial);
            let case = format!("{}, seed {seed}", way.name);
            let top = |sample: &Sample| sample.layer >= HIGHEST;
            assert!(outcome.until(0.0, top).is_some_and(|took| took < 3.0), "{case}");
            let fell = outcome.until(10.0, |sample| sample.layer <= LOWEST && sample.estimate < 0.75e6);
            assert!(fell.is_some_and(|took| took <= 0.6), "{case}: {fell:?}");
            // What it carries, give or take; so the lowest layer stays, and no other is tried in vain.
            let [least, mean, most] = spread(&outcome, 12.0, 30.0);
            assert!(
                least > 1.05 * LOWEST && most < 0.85e6,
                "{case}: {least} to {most}"
            );
            assert!((0.55e6..0.75e6).contains(&mean), "{case}: {mean}");
            assert!(outcome.most(16.0, 30.0, |sample| sample.wait) < 0.2, "{case}");
            let rose = outcome.until(30.0, top);
            assert!(rose.is_some_and(|took| took < 8.0), "{case}: {rose:?}");
            assert!(outcome.layer_changes(0.0, 50.0) <= 7, "{case}");
            assert!(outcome.share_of_padding() < 0.03, "{case}");
        }
    }
}

#[test]
fn neither_jitter_nor_random_loss_takes_the_highest_layer_away() {
    for way in ways() {
        let trial = Trial {
            seconds: 60.0,
            ..steady(layers(), way.conditions)
        };
        let outcome = run(&trial);
        assert_eq!(
            outcome.least(4.0, 60.0, |sample| sample.layer),
            HIGHEST,
            "{}",
            way.name
        );
    }
}

#[test]
fn an_encoder_that_follows_the_estimate_uses_the_way() {
    for (name, conditions, use_at_least) in [
        ("plain", Conditions::rate(2e6), 0.9),
        (
            "jitter",
            Conditions {
                jitter: 0.03,
                ..Conditions::rate(2e6)
            },
            0.9,
        ),
        (
            "loss 1 %",
            Conditions {
                loss: 0.01,
                ..Conditions::rate(2e6)
            },
            0.9,
        ),
        (
            "queue of 1 s",
            Conditions {
                queue: 1.0,
                ..Conditions::rate(2e6)
            },
            0.9,
        ),
        (
            "loss 5 %",
            Conditions {
                loss: 0.05,
                ..Conditions::rate(2e6)
            },
            0.75,
        ),
    ] {
        let outcome = run(&steady(Source::Encoder, conditions));
        let share = outcome.mean(5.0, 40.0, |sample| sample.arriving / 2e6);
        assert!(share > use_at_least, "{name}: {share}");
        assert!(outcome.mean(5.0, 40.0, |sample| sample.wait) < 0.08, "{name}");
    }
    let outcome = run(&fall_and_recovery(Source::Encoder, Conditions::rate(5e6), 1));
    assert!(outcome.mean(11.0, 30.0, |sample| sample.arriving / 0.7e6) > 0.9);
}

#[test]
fn it_stays_near_what_the_way_carries() {
    for rate in [0.5e6, 0.7e6, 1.2e6, 1.7e6, 2e6, 3e6, 4.2e6, 5e6] {
        for jitter in [0.0, 0.03] {
            let conditions = Conditions {
                jitter,
                ..Conditions::rate(rate)
            };
            let outcome = run(&Trial {
                seconds: 60.0,
                ..steady(layers(), conditions)
            });
            let case = format!("{rate} bit/s, jitter {jitter} s");
            let [least, mean, most] = spread(&outcome, 5.0, 60.0).map(|estimate| estimate / rate);
            assert!(least > 0.75 && most < 1.15, "{case}: {least} to {most}");
            assert!((0.9..1.05).contains(&mean), "{case}: {mean}");
        }
    }
}

#[test]
fn what_is_not_sent_is_not_believed() {
    // Half an hour of a small picture on a wide way proves a small rate, and no more with time.
    let outcome = run(&Trial {
        seconds: 300.0,
        ..steady(Source::Fixed(1e6), Conditions::rate(20e6))
    });
    let [least, _, most] = spread(&outcome, 5.0, 300.0);
    assert!(least >= 1e6 && most < 2e6, "{least} to {most}");
}

#[test]
fn what_was_proven_is_not_forgotten_while_little_is_sent() {
    let mut trial = steady(layers(), Conditions::rate(5e6));
    trial.quiet = Some((10.0, 30.0));
    let outcome = run(&trial);
    let [least, ..] = spread(&outcome, 10.0, 30.0);
    assert!(least > HIGHEST, "{least}");
    assert_eq!(outcome.least(30.0, 40.0, |sample| sample.layer), HIGHEST);
}

#[test]
fn a_layer_that_does_not_fit_is_not_tried() {
    for rate in [1.2e6, 3e6] {
        let outcome = run(&Trial {
            seconds: 120.0,
            ..steady(layers(), Conditions::rate(rate))
        });
        assert!(outcome.layer_changes(3.0, 120.0) == 0, "{rate}");
        assert!(outcome.share_of_padding() < 0.05, "{rate}");
        assert!(outcome.most(3.0, 120.0, |sample| sample.wait) < 0.16, "{rate}");
    }
}

#[test]
fn too_much_for_good_is_told_for_good() {
    // A sender that does not listen: the estimate stays below what arrives, so that it could.
    for queue in [0.2, 1.0] {
        let outcome = run(&steady(
            Source::Fixed(1e6),
            Conditions {
                queue,
                ..Conditions::rate(0.8e6)
            },
        ));
        let [least, _, most] = spread(&outcome, 2.0, 40.0);
        assert!(least > 0.4e6 && most < 0.85e6, "{queue}: {least} to {most}");
    }
}

#[test]
fn what_is_lost_after_a_fall_does_not_count_twice() {
    // What was lost is reported while nothing but sound is sent.
    for queue in [0.03, 0.2, 1.0] {
        for stubborn in [0.3, 1.0] {
            let conditions = Conditions {
                queue,
                ..Conditions::rate(5e6)
            };
            let outcome = run(&Trial {
                stubborn,
                ..fall_and_recovery(layers(), conditions, 1)
            });
            let [least, _, most] = spread(&outcome, 10.5 + stubborn, 30.0);
            assert!(
                least > LOWEST && most < 1e6,
                "{queue}, {stubborn}: {least} to {most}"
            );
        }
    }
}

#[test]
fn a_longer_route_and_a_way_that_is_away_are_no_narrow_way() {
    let base = Conditions::rate(5e6);
    let longer = Conditions {
        delay: base.delay + 0.06,
        ..base
    };
    let outcome = run(&Trial {
        phases: vec![(0.0, base), (10.0, longer)],
        ..steady(layers(), base)
    });
    let back = outcome.since_last(|sample| sample.layer < HIGHEST);
    assert!(back.is_none_or(|at| at < 16.0), "{back:?}");
    let away = Conditions { loss: 1.0, ..base };
    let outcome = run(&Trial {
        phases: vec![(0.0, base), (10.0, away), (12.0, base)],
        ..steady(layers(), base)
    });
    let [least, ..] = spread(&outcome, 10.0, 40.0);
    assert!(least > LOWEST, "{least}");
    let back = outcome.since_last(|sample| sample.layer < HIGHEST);
    assert!(back.is_none_or(|at| at < 18.0), "{back:?}");
}

#[test]
fn a_download_beside_it_leaves_a_picture() {
    let base = Conditions::rate(5e6);
    for (queue, at_least) in [(0.05, 3.4e6), (0.2, 1.2e6), (1.0, 0.8e6)] {
        let beside = Conditions {
            download: true,
            queue,
            ..base
        };
        let arriving = |seed| {
            let outcome = run(&Trial {
                phases: vec![(0.0, base), (10.0, beside)],
                seconds: 60.0,
                seed,
                ..steady(layers(), base)
            });
            outcome.mean(12.0, 60.0, |sample| sample.arriving)
        };
        let mean = (0..10).map(arriving).sum::<f64>() / 10.0;
        assert!(mean > at_least, "{queue}: {mean}");
    }
}

/// Why the family's Google Congestion Control is not what runs here: each of these would be a freeze or a poor picture.
#[test]
fn the_familys_control_next_to_ours() {
    let base = Conditions::rate(5e6);
    let both = |trial: &Trial| {
        let start = start();
        (run(trial), trial.run(&mut Family::new(), start))
    };
    // It takes seconds to notice that the way fell: its filter's gain is small, and it asks for two growing groups.
    let (ours, family) = both(&fall_and_recovery(layers(), base, 1));
    let took = |outcome: &Outcome| {
        outcome
            .until(10.0, |sample| sample.layer <= LOWEST)
            .unwrap_or(20.0)
    };
    assert!(
        took(&ours) <= 0.4 && took(&family) >= 2.0,
        "{} {}",
        took(&ours),
        took(&family)
    );
    // It grows without proof, so that layers are tried that do not fit.
    let tried = |outcome: &Outcome| outcome.layer_changes(12.0, 30.0);
    assert!(
        tried(&ours) == 0 && tried(&family) >= 2,
        "{} {}",
        tried(&ours),
        tried(&family)
    );
    let (ours, family) = both(&steady(Source::Fixed(1e6), Conditions::rate(10e6)));
    let believes = |outcome: &Outcome| outcome.most(0.0, 40.0, |sample| sample.estimate);
    assert!(believes(&ours) < 2e6 && believes(&family) > 5e6);
    // Random loss takes the picture away.
    let lossy = Conditions {
        loss: 0.1,
        ..Conditions::rate(2e6)
    };
    let (ours, family) = both(&steady(Source::Encoder, lossy));
    let used = |outcome: &Outcome| outcome.mean(5.0, 40.0, |sample| sample.arriving / 2e6);
    assert!(
        used(&ours) > 0.5 && used(&family) < 0.2,
        "{} {}",
        used(&ours),
        used(&family)
    );
}

/// The figures for docs/quality.md: `cargo test --workspace --lib bwe::trial -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table"]
fn table() {
    println!(
        "| way | falls, s | ours, others | finds 5 Mbit/s, s | estimate at 0.7 | tried in vain | padding |"
    );
    for way in ways() {
        let mut rows = Vec::new();
        for seed in 0..30 {
            let trial = fall_and_recovery(layers(), way.conditions, seed);
            rows.push((run(&trial), trial.run(&mut Family::new(), start())));
        }
        let figures = |pick: fn(&(Outcome, Outcome)) -> &Outcome| {
            let middle = |value: &dyn Fn(&Outcome) -> f64| {
                let mut values: Vec<f64> = rows.iter().map(|row| value(pick(row))).collect();
                values.sort_by(f64::total_cmp);
                (values[values.len() / 2], values[values.len() - 1])
            };
            let fell = middle(&|outcome| {
                outcome
                    .until(10.0, |sample| sample.layer <= LOWEST)
                    .unwrap_or(f64::NAN)
            });
            let rose = middle(&|outcome| {
                outcome
                    .until(30.0, |sample| sample.layer >= HIGHEST)
                    .unwrap_or(f64::NAN)
            });
            let mean = middle(&|outcome| spread(outcome, 12.0, 30.0)[1] / 1e6);
            let vain = middle(&|outcome| outcome.layer_changes(12.0, 30.0) as f64 / 2.0);
            let padding = middle(&|outcome| outcome.share_of_padding() * 100.0);
            format!(
                "{:.2} / {:.2} | {:.1} / {:.1} | {:.2} | {:.0} / {:.0} | {:.1} %",
                fell.0, fell.1, rose.0, rose.1, mean.0, vain.0, vain.1, padding.0
            )
        };
        println!("| {} | ours | {} |", way.name, figures(|row| &row.0));
        println!("| {} | family | {} |", way.name, figures(|row| &row.1));
    }
    for (name, conditions) in [
        ("2 Mbit/s", Conditions::rate(2e6)),
        (
            "jitter",
            Conditions {
                jitter: 0.03,
                ..Conditions::rate(2e6)
            },
        ),
        (
            "loss 1 %",
            Conditions {
                loss: 0.01,
                ..Conditions::rate(2e6)
            },
        ),
        (
            "loss 5 %",
            Conditions {
                loss: 0.05,
                ..Conditions::rate(2e6)
            },
        ),
        (
            "loss 10 %",
            Conditions {
                loss: 0.1,
                ..Conditions::rate(2e6)
            },
        ),
        (
            "queue of 1 s",
            Conditions {
                queue: 1.0,
                ..Conditions::rate(2e6)
            },
        ),
    ] {
        let trial = steady(Source::Encoder, conditions);
        let figures = |outcome: &Outcome| {
            format!(
                "{:.0} % {:.0} ms {:.1} %",
                outcome.mean(5.0, 40.0, |sample| sample.arriving / 2e6) * 100.0,
                outcome.mean(5.0, 40.0, |sample| sample.wait) * 1e3,
                outcome.dropped as f64 / outcome.packets as f64 * 100.0
            )
        };
        let family = trial.run(&mut Family::new(), start());
        println!(
            "| encoder, {name} | {} | {} |",
            figures(&run(&trial)),
            figures(&family)
        );
    }
}

fn layers() -> Source {
    Source::Layers(vec![LOWEST, 1_500e3, HIGHEST])
}

fn steady(source: Source, conditions: Conditions) -> Trial {
    Trial {
        source,
        interval: 0.1,
        phases: vec![(0.0, conditions)],
        seconds: 40.0,
        quiet: None,
        stubborn: 0.0,
        seed: 3,
    }
}

fn run(trial: &Trial) -> Outcome {
    let start = start();
    trial.run(&mut ours(start), start)
}

#[expect(clippy::disallowed_methods, reason = "any instant serves")]
fn start() -> Instant {
    Instant::now()
}

/// The least, mean and highest estimate.
fn spread(outcome: &Outcome, from: f64, to: f64) -> [f64; 3] {
    [
        outcome.least(from, to, |sample| sample.estimate),
        outcome.mean(from, to, |sample| sample.estimate),
        outcome.most(from, to, |sample| sample.estimate),
    ]
}
