//! A packet sent again under its own number is the same to the byte: the wire is tapped in every scenario; here
//! viewers ask for whatever they like.

use proptest::prelude::*;

use super::network::{Conditions, Rng};
use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{Id, World, ms, seconds};
use crate::core::ids::Ssrc;
use crate::core::media::MediaKind;
use crate::core::rtp;

/// Seeds that failed once.
#[test]
fn what_failed_once() {
    // The handshake of the first publisher was not over when the viewers came: hardly anything was sent at all.
    for another in [false, true] {
        ask_at_random(3392758121024946535, 0.152, another).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 0, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_asked_for_again_and_whatever_was_lost(seed: u64, loss in 0.0..0.3f64, another: bool) {
        ask_at_random(seed, loss, another)?;
    }
}

fn ask_at_random(seed: u64, loss: f64, another: bool) -> Result<(), TestCaseError> {
    let mut world = World::new(seed, 2);
    let mut rng = Rng::new(seed);
    let rough = Conditions::delay(15).jitter(15).loss(loss).reorder(0.1);
    // Through much loss a handshake may take longer than all of this: the test client's DTLS now and then stops
    // repeating itself. So the ways become rough afterwards.
    let smooth = Conditions::delay(15);
    let roughen = |world: &mut World, id: Id| {
        let client = world.client_mut(id);
        client.up.conditions = rough;
        client.down.conditions = rough;
    };
    let publisher = world.publish_over("a", PublisherSpec::obs(), 0, smooth, smooth);
    world.connect(publisher);
    roughen(&mut world, publisher);
    world.run_for(seconds(4));
    let specs = [ViewerSpec::without_rtx(), ViewerSpec::chromium()];
    let viewers: Vec<_> = (0..4)
        .map(|n| world.watch_over("a", specs[n % 2].clone(), n / 2, smooth, smooth))
        .collect();
    for viewer in &viewers {
        world.connect(*viewer);
        roughen(&mut world, *viewer);
    }
    for round in 0..60 {
        world.run_for(ms(50));
        for viewer in &viewers {
            // From before the first packet of the run-up to beyond the newest.
            let kind = if rng.chance(0.8) {
                MediaKind::Video
            } else {
                MediaKind::Audio
            };
            let Some(ssrc) = world.viewer(*viewer).ssrc(kind) else {
                continue;
            };
            let highest = world
                .viewer(*viewer)
                .of(kind)
                .map(|seen| seen.seq)
                .max()
                .unwrap_or_default();
            let mut wanted: Vec<u16> = (0..30).map(|_| (highest + 20 - rng.below(700)) as u16).collect();
            wanted.sort_unstable();
            let mut compound = Vec::new();
            rtp::nack(&mut compound, Ssrc(1), Ssrc(ssrc), wanted.into_iter());
            if rng.chance(0.1) {
                rtp::pli(&mut compound, Ssrc(1), Ssrc(ssrc));
            }
            world.send(*viewer, &compound, true);
        }
        if another && round == 20 {
            world.publish_over("a", PublisherSpec::chromium(), 1, rough, rough);
        }
        if round == 30 {
            world.publisher_mut(publisher).jump(9_000, 77);
        }
    }
    let repeated: u64 = viewers
        .iter()
        .filter_map(|viewer| Some((viewer.0, world.viewer(*viewer).ssrc(MediaKind::Video)?)))
        .map(|(client, ssrc)| world.wiretap.repeated(client, ssrc))
        .sum();
    prop_assert!(repeated > 100 || loss > 0.2, "{repeated} packets were sent again");
    Ok(())
}
