//! What repairs a lost packet in time: sending again what was asked for, once or twice, or forward error correction. A model
//! without the core, for a decision that the core was built by: pictures of six packets, thirty a second, losses at
//! random both ways, a player that asks as Chromium does.
//!
//! The table: `cargo test --workspace --lib core::sim::repair -- --nocapture`.

use super::network::Rng;

const PICTURES: usize = 30_000;
const PACKETS: usize = 6;
const BETWEEN_PICTURES: f64 = 1000.0 / 30.0;
const BETWEEN_PACKETS: f64 = 0.5;
/// A player asks again after this time, ms; see `egress::playout`.
const ASKS_AGAIN: f64 = 120.0;
/// The second copy of what is sent again, ms after the first; see `egress::retransmit`.
const COPY_AFTER: f64 = 8.0;
/// Of the pictures, one in 20 s may come later than the player waits.
const MAY_BE_LATE: f64 = 1.0 / 600.0;

#[derive(Clone, Copy)]
struct Way {
    loss: f64,
    round_trip: f64,
}

#[derive(Clone, Copy)]
struct Repair {
    /// How often a packet is sent for each time it is asked for.
    copies: usize,
    /// One packet of parity (XOR, as FlexFEC-03 has it) after so many of media.
    parity: Option<usize>,
}

/// How long a player has to wait for all but one picture in 20 s, ms on top of the way there, and what repair costs of
/// the media's packets.
struct Outcome {
    wait: f64,
    cost: f64,
}

fn try_out(way: Way, repair: Repair) -> Outcome {
    let mut rng = Rng::new(1);
    let count = PICTURES * PACKETS;
    let sent: Vec<f64> = (0..count)
        .map(|n| (n / PACKETS) as f64 * BETWEEN_PICTURES + (n % PACKETS) as f64 * BETWEEN_PACKETS)
        .collect();
    let lost: Vec<bool> = (0..count).map(|_| rng.chance(way.loss)).collect();
    let mut extra = 0;
    // When each packet is there, by itself or as it was asked for; ms, without the way that all have in common.
    let mut there = sent.clone();
    let mut noticed = f64::INFINITY;
    for n in (0..count).rev() {
        if !lost[n] {
            noticed = sent[n];
            continue;
        }
        // The next packet that comes shows the gap.
        let mut asked = noticed;
        there[n] = f64::INFINITY;
        while asked.is_finite() && there[n] > asked {
            if !rng.chance(way.loss) {
                for copy in 0..repair.copies {
                    extra += 1;
                    if !rng.chance(way.loss) {
                        there[n] = there[n].min(asked + way.round_trip + copy as f64 * COPY_AFTER);
                    }
                }
            }
            asked += ASKS_AGAIN;
        }
    }
    let mut repaired = there.clone();
    if let Some(block) = repair.parity {
        for first in (0..count).step_by(block) {
            let members = first..(first + block).min(count);
            extra += 1;
            if rng.chance(way.loss) {
                continue;
            }
            let parity = sent[members.end - 1] + BETWEEN_PACKETS;
            for n in members.clone() {
                let others = members.clone().filter(|other| *other != n);
                let by_parity = others.map(|other| there[other]).fold(parity, f64::max);
                repaired[n] = there[n].min(by_parity);
            }
        }
    }
    let mut waits: Vec<f64> = repaired
        .chunks(PACKETS)
        .zip(sent.chunks(PACKETS))
        .map(|(there, sent)| there.iter().copied().fold(0.0, f64::max) - sent[0])
        .filter(|wait| wait.is_finite())
        .collect();
    waits.sort_by(f64::total_cmp);
    Outcome {
        wait: waits[((1.0 - MAY_BE_LATE) * waits.len() as f64) as usize],
        cost: f64::from(extra) / count as f64,
    }
}

#[test]
fn parity_at_the_price_of_second_copies_saves_little_of_the_wait() {
    let once = Repair {
        copies: 1,
        parity: None,
    };
    let twice = Repair { copies: 2, ..once };
    let head = [
        "loss",
        "round trip",
        "sent again once",
        "twice, as here",
        "once, and parity at that price",
        "once, and parity per picture",
        "twice, and parity per picture",
    ];
    println!("| {} |", head.join(" | "));
    println!("|{}", " --- |".repeat(head.len()));
    for loss in [0.01, 0.05, 0.1] {
        for round_trip in [20.0, 100.0, 250.0] {
            let way = Way { loss, round_trip };
            // What second copies cost is the share that is lost.
            let same_price = Some((1.0 / loss) as usize);
            let parity = |repair, parity| try_out(way, Repair { parity, ..repair });
            let outcomes = [
                try_out(way, once),
                try_out(way, twice),
                parity(once, same_price),
                parity(once, Some(PACKETS)),
                parity(twice, Some(PACKETS)),
            ];
            let cells = outcomes
                .iter()
                .map(|outcome| format!("{:.0} ms, {:.0} %", outcome.wait, outcome.cost * 100.0));
            println!(
                "| {} % | {round_trip} ms | {} |",
                loss * 100.0,
                cells.collect::<Vec<_>>().join(" | ")
            );
            let [_, twice, same_price, ..] = outcomes;
            let saved = twice.wait - same_price.wait;
            assert!(saved < 35.0, "{saved} ms at {loss} and {round_trip} ms");
        }
    }
}
