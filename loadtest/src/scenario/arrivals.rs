//! Who comes when, stays how long, behaves how. The same scenario always gives the same crowd.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::values::Percent;
use super::{ArrivalKind, Restart, SessionSpread, ViewerPart};
use crate::client::behaviour::Behaviour;
use crate::client::link::Link;
use crate::driver::plan::Leave;
use crate::driver::{Arrival, Presence};

/// So that two runs can be compared.
const SEED: u64 = 0x5e_ed;
/// A shorter stay measures the join and nothing else.
const MIN_STAY: Duration = Duration::from_millis(500);
/// Nobody comes so late that there is nothing left to see.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// All viewers of a run of `duration`, spread over `urls` in turn, in order of arrival.
pub fn viewers(part: &ViewerPart, duration: Duration, urls: &[String]) -> Vec<Arrival> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut arrivals = Vec::new();
    for seat in 0..part.count {
        let position = match part.arrival {
            ArrivalKind::Even => seat as f64 / part.count.max(1) as f64,
            ArrivalKind::Random => random.random::<f64>(),
        };
        let mut at = part.over.0.mul_f64(position);
        let Some(url) = urls.get(seat % urls.len().max(1)) else {
            break;
        };
        let (behaviour, link) = (behaviour(part, seat), link(part, seat));
        // A seat whose viewer leaves is taken by another one.
        loop {
            let stay = part.session_length.map(|mean| {
                let length = match part.session_spread {
                    SessionSpread::Fixed => mean.0,
                    SessionSpread::Exponential => mean.0.mul_f64(-(1.0 - random.random::<f64>()).ln()),
                };
                length.max(MIN_STAY)
            });
            arrivals.push(Arrival {
                at,
                url: url.clone(),
                stay: stay.filter(|stay| at.saturating_add(*stay) < duration),
                behaviour,
                link: link.clone(),
            });
            match stay {
                Some(stay) if at.saturating_add(stay + LAST_MOMENT) < duration => at += stay,
                _ => break,
            }
        }
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    arrivals
}

/// Multiples of the golden ratio fill the unit interval evenly however many there are: every share is met to within
/// a viewer, and neighbours in order of arrival differ.
fn behaviour(part: &ViewerPart, seat: usize) -> Behaviour {
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
    let mut position = (seat as f64 * GOLDEN_RATIO).fract();
    let mut is_in = |share: Percent| {
        let hit = (0.0..share.share()).contains(&position);
        position -= share.share();
        hit
    };
    if let Some(part) = part.stalled.filter(|part| is_in(part.share)) {
        return Behaviour::Stalled { after: part.after.0 };
    }
    if let Some(part) = part.slow.filter(|part| is_in(part.share)) {
        return Behaviour::Slow { every: part.every.0 };
    }
    if let Some(part) = part.lossy.filter(|part| is_in(part.share)) {
        return Behaviour::Lossy {
            share: part.loss.share(),
        };
    }
    Behaviour::Well
}

fn link(part: &ViewerPart, seat: usize) -> Option<Arc<Link>> {
    let links = &part.link.0;
    let share = part.link_share.map_or(1.0, Percent::share);
    // Whole numbers are crossed `share` of the time, at even distances.
    let (before, after) = ((seat as f64 * share).floor(), ((seat + 1) as f64 * share).floor());
    let place = (before as usize).checked_rem(links.len())?;
    links.get(place).filter(|_| after > before)?.clone()
}

/// When publishers are there.
pub fn presence(restart: Option<Restart>) -> Vec<Presence> {
    let Some(restart) = restart else {
        return vec![Presence::default()];
    };
    let cycle = restart.after.0 + restart.away.0;
    let leave = Leave {
        after: restart.after.0,
        goodbye: false,
    };
    (0..=restart.times)
        .map(|turn| Presence {
            from: cycle * turn,
            leave: (turn < restart.times).then_some(leave),
        })
        .collect()
}
