//! Feedback of clients that are who they say, and lie: what it costs, and whom.

use super::adaptation::{browser, height, published, watching};
use super::network::Conditions;
use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{Id, World, ms, seconds};
use crate::core::ids::Ssrc;
use crate::core::media::MediaKind;
use crate::core::rtp;

#[test]
fn lies_about_the_network_cost_the_liar_alone() {
    let mut world = published(505, browser());
    let honest = watching(&mut world, 20_000_000);
    let liars: Vec<Id> = (0..3).map(|_| watching(&mut world, 20_000_000)).collect();
    world.run_for(seconds(8));
    let asked = world.publisher(Id(0)).asked.len();
    let ssrc = world.viewer(liars[0]).ssrc(MediaKind::Video).expect("it plays");
    for round in 0..200u32 {
        for (number, liar) in liars.iter().enumerate() {
            let mut compound = Vec::new();
            rtp::receiver_report(&mut compound, Ssrc(1), &[]);
            match number {
                // Packets to come, all received at once.
                0 => compound.extend(forged_feedback(round as u16)),
                1 => compound.extend(remb(0, 0, ssrc)),
                _ => compound.extend(remb(63, 0x3ffff, ssrc)),
            }
            for _ in 0..5 {
                rtp::pli(&mut compound, Ssrc(1), Ssrc(ssrc));
                rtp::nack(&mut compound, Ssrc(1), Ssrc(ssrc), 0..400);
            }
            world.send(*liar, &compound, true);
        }
        world.run_for(ms(20));
    }
    let asked = world.publisher(Id(0)).asked.len() - asked;
    assert!(asked <= 12, "{asked} requests in four seconds");
    assert_eq!(height(&world, honest), 720);
    assert_eq!(world.viewer(honest).holes(MediaKind::Video), 0);
    for liar in liars {
        let bytes = world.client(liar).down.bytes;
        assert!(bytes < 20_000_000, "{bytes} bytes to one liar");
    }
}

/// What each of a thousand viewers of one stream sends again and again.
#[derive(Clone, Copy)]
enum Lie {
    None,
    Plis,
    Nacks,
    Arrivals,
    NoRoom,
    Room,
}

#[test]
fn a_thousand_viewers_lie_and_the_publisher_is_asked_no_more_than_by_one() {
    const VIEWERS: usize = 1000;
    const LIES: [Lie; 6] = [
        Lie::None,
        Lie::Plis,
        Lie::Nacks,
        Lie::Arrivals,
        Lie::NoRoom,
        Lie::Room,
    ];
    let lie = |viewer: usize| LIES[viewer % LIES.len()];
    let spec = PublisherSpec::chromium_simulcast().video(|video| {
        video.fps = 8;
        video.keyframe_packets = 2;
        for layer in &mut video.layers {
            (layer.delta_packets, layer.keyframe_packets) = (1, 2);
        }
    });
    let mut world = World::new(508, 1);
    let publisher = world.publish("a", PublisherSpec { audio: false, ..spec }, 0);
    world.connect(publisher);
    world.run_for(seconds(2));
    let viewers: Vec<Id> = (0..VIEWERS)
        .map(|_| {
            world.watch_over(
                "a",
                ViewerSpec::chromium(),
                0,
                Conditions::delay(20),
                Conditions::delay(20),
            )
        })
        .collect();
    world.run_for(seconds(3));
    assert!(
        viewers
            .iter()
            .all(|viewer| world.client(*viewer).test.is_connected())
    );
    let asked = world.publisher(publisher).asked.len();
    let bytes: Vec<u64> = viewers
        .iter()
        .map(|viewer| world.client(*viewer).down.bytes)
        .collect();
    for round in 0..10u32 {
        for (number, viewer) in viewers.iter().enumerate() {
            let ssrc = world.viewer(*viewer).ssrc(MediaKind::Video).expect("it plays");
            let mut compound = Vec::new();
            rtp::receiver_report(&mut compound, Ssrc(1), &[]);
            match lie(number) {
                Lie::None => continue,
                Lie::Plis => (0..50).for_each(|_| rtp::pli(&mut compound, Ssrc(1), Ssrc(ssrc))),
                Lie::Nacks => {
                    let from = round as u16 * 97;
                    rtp::nack(
                        &mut compound,
                        Ssrc(1),
                        Ssrc(ssrc),
                        (0..5000).map(|n| from.wrapping_add(n)),
                    );
                }
                Lie::Arrivals => compound.extend(forged_feedback(round as u16)),
                Lie::NoRoom => compound.extend(remb(0, 0, ssrc)),
                Lie::Room => compound.extend(remb(63, 0x3ffff, ssrc)),
            }
            world.send(*viewer, &compound, true);
        }
        world.run_for(ms(200));
    }
    // Two a second of each layer.
    let asked = world.publisher(publisher).asked.len() - asked;
    assert!(asked <= 3 * 5, "{asked} requests in two seconds");
    let honest = |index: &usize| matches!(lie(*index), Lie::None);
    let sent = |index: usize| world.client(viewers[index]).down.bytes - bytes[index];
    let most = (0..VIEWERS)
        .filter(honest)
        .map(sent)
        .max()
        .expect("some are honest");
    for (index, viewer) in viewers.iter().enumerate() {
        if honest(&index) {
            assert_eq!(world.viewer(*viewer).holes(MediaKind::Video), 0);
            assert_eq!(world.viewer(*viewer).duplicates, 0);
        }
        // Half as much again, what was stored at most twelve times, and probes.
        let bytes = sent(index);
        assert!(
            bytes <= 2 * most + 300_000,
            "{bytes} bytes to a liar, {most} to the honest"
        );
    }
}

/// A thousand packets from `base` on, each received.
fn forged_feedback(base: u16) -> Vec<u8> {
    let mut out = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    out.extend((0x4000 + base * 16).to_be_bytes());
    out.extend(1000u16.to_be_bytes());
    out.extend([0, 0, 1, base as u8]);
    out.extend((0x2000u16 | 1000).to_be_bytes());
    out.extend([0; 1000]);
    out.extend([0, 0]);
    let words = (out.len() / 4 - 1) as u16;
    out[2..4].copy_from_slice(&words.to_be_bytes());
    out
}

fn remb(exponent: u32, mantissa: u32, ssrc: u32) -> Vec<u8> {
    let mut out = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
    out.extend(b"REMB");
    out.extend((1 << 24 | exponent << 18 | mantissa).to_be_bytes());
    out.extend(ssrc.to_be_bytes());
    out
}
