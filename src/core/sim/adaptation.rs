//! Ways that change: each viewer gets what its own carries.

use std::time::Duration;

use super::network::Conditions;
use super::publisher::{LayerSpec, PublisherSpec};
use super::viewer::ViewerSpec;
use super::world::{Id, World, ms, seconds};
use crate::core::ids::Ssrc;
use crate::core::media::MediaKind;
use crate::core::rtp;

/// A way as wide as this, with a queue of 200 ms, as home routers have.
fn way(bits: u64) -> Conditions {
    Conditions::delay(20).rate(bits, (bits / 8 / 5) as usize)
}

/// 0.25, 0.5 and 2.25 Mbit/s.
fn three_layers(spec: PublisherSpec, rids: [&'static str; 3], gop: Duration) -> PublisherSpec {
    let sizes = [(320, 176, 1), (640, 352, 2), (1280, 720, 9)];
    let mut layers: Vec<LayerSpec> = rids
        .iter()
        .zip(sizes)
        .map(|(rid, (width, height, delta_packets))| LayerSpec {
            rid,
            size: (width, height),
            delta_packets,
        })
        .collect();
    if spec.answers_pli.is_none() {
        layers.reverse();
    }
    spec.video(|video| {
        video.gop = gop;
        video.layers = layers;
    })
}

fn browser() -> PublisherSpec {
    let spec = PublisherSpec::chromium_simulcast();
    three_layers(spec, ["q", "h", "f"], seconds(1000))
}

fn obs() -> PublisherSpec {
    let spec = PublisherSpec::obs_simulcast();
    three_layers(spec, ["2", "1", "0"], seconds(2))
}

fn published(seed: u64, spec: PublisherSpec) -> World {
    let mut world = World::new(seed, 1);
    let publisher = world.publish("a", spec, 0);
    world.connect(publisher);
    world.run_for(seconds(3));
    world
}

fn watching(world: &mut World, bits: u64) -> Id {
    let viewer = world.watch_over("a", ViewerSpec::chromium(), 0, Conditions::delay(20), way(bits));
    world.connect(viewer)
}

/// The height of what came last.
fn height(world: &World, viewer: Id) -> u16 {
    let layer = world
        .viewer(viewer)
        .video()
        .last()
        .expect("there is video")
        .label
        .layer;
    let publisher = world.publisher(Id(0));
    let video = publisher.spec.video.as_ref().expect("it sends video");
    video.layers[usize::from(layer)].size.1
}

/// From a time on: pauses of more than 200 ms between whole pictures, in sum.
fn frozen(world: &World, viewer: Id, since: Duration) -> Duration {
    let since = world.start + since;
    let frames = world.viewer(viewer).frames();
    let whole = frames.iter().filter(|frame| frame.is_complete());
    let mut times: Vec<_> = whole.map(|frame| frame.last_at).collect();
    times.sort_unstable();
    times.retain(|at| *at >= since);
    times.push(world.now);
    let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
    pauses.filter(|pause| *pause > ms(200)).sum()
}

fn sound_is_whole(world: &World, viewer: Id) {
    let holes = world.viewer(viewer).holes(MediaKind::Audio);
    let packets = world.viewer(viewer).audio().len();
    assert!(
        holes * 100 <= packets,
        "{holes} of {packets} packets of sound are missing"
    );
}

fn down_and_up(seed: u64, spec: PublisherSpec, most: Duration, least: f64, back: Duration) {
    let mut world = published(seed, spec);
    let viewer = watching(&mut world, 5_000_000);
    world.run_for(seconds(20));
    assert_eq!(height(&world, viewer), 720, "on top to begin with");

    let since = world.elapsed();
    world.client_mut(viewer).down.conditions = way(700_000);
    world.run_for(seconds(2));
    assert!(height(&world, viewer) < 720, "lower within two seconds");
    world.run_for(seconds(1));
    let stalled = frozen(&world, viewer, since);
    assert!(stalled <= most, "{stalled:?} of freeze on the way down");

    let (before, carried) = (world.elapsed(), world.client(viewer).down.carried);
    world.run_for(seconds(17));
    let took = (world.elapsed() - before).as_secs_f64();
    let used = (world.client(viewer).down.carried - carried) as f64 * 8.0 / took / 700_000.0;
    assert!(used >= least, "{used:.2} of the link used");
    let stalled = frozen(&world, viewer, before);
    assert!(stalled <= most, "{stalled:?} of freeze while it is narrow");

    let since = world.elapsed();
    world.client_mut(viewer).down.conditions = way(5_000_000);
    world.run_for(back);
    assert_eq!(height(&world, viewer), 720, "back on top within {back:?}");
    assert_eq!(frozen(&world, viewer, since), Duration::ZERO, "on the way up");
    sound_is_whole(&world, viewer);
}

#[test]
fn from_5_to_07_mbits_and_back() {
    down_and_up(500, browser(), ms(500), 0.75, seconds(10));
}

#[test]
fn the_same_where_the_publisher_is_deaf() {
    // The stored pictures are sent at what the way carries, which takes longer than a new keyframe would, and to go up
    // costs as much.
    down_and_up(501, obs(), ms(900), 0.6, seconds(30));
}

#[test]
fn a_viewer_starts_with_what_fits_and_is_raised_within_seconds() {
    let mut world = published(502, browser());
    let viewer = watching(&mut world, 8_000_000);
    world.run_until(seconds(1), |world| !world.viewer(viewer).video().is_empty());
    assert_eq!(height(&world, viewer), 352, "2 Mbit/s to begin with");
    world.run_for(seconds(5));
    assert_eq!(height(&world, viewer), 720);
    assert_eq!(frozen(&world, viewer, seconds(4)), Duration::ZERO);
}

#[test]
fn a_way_too_thin_for_the_only_layer_carries_sound_and_a_picture_now_and_then() {
    let mut world = World::new(503, 1);
    let spec = PublisherSpec::obs().video(|video| {
        video.gop = seconds(2);
        video.delta_packets = 6;
    });
    let publisher = world.publish("a", spec, 0);
    world.connect(publisher);
    world.run_for(seconds(3));
    let viewer = watching(&mut world, 500_000);
    world.run_for(seconds(5));
    let heard = world.viewer(viewer).audio().len();
    let since = world.now;
    world.run_for(seconds(20));
    let heard = world.viewer(viewer).audio().len() - heard;
    assert!(heard >= 990, "{heard} of 1000 packets of sound");
    let frames = world.viewer(viewer).frames();
    let pictures = frames
        .iter()
        .filter(|frame| frame.first_at >= since && frame.label.keyframe && frame.is_complete());
    let pictures = pictures.count();
    assert!(pictures >= 7, "{pictures} pictures in ten groups");
    // It is wide enough again.
    world.client_mut(viewer).down.conditions = way(5_000_000);
    world.run_for(seconds(45));
    let since = world.now;
    world.run_for(seconds(3));
    let frames = world.viewer(viewer).frames();
    let all = frames.iter().filter(|frame| frame.first_at >= since).count();
    assert!(all > 80, "the picture moves again: {all}");
}

#[test]
fn ten_viewers_with_ten_ways_each_get_their_own() {
    let mut world = published(504, browser());
    let ways = [
        400_000, 450_000, 500_000, 900_000, 1_200_000, 1_600_000, 2_000_000, 4_000_000, 6_000_000, 20_000_000,
    ];
    let viewers: Vec<Id> = ways.iter().map(|bits| watching(&mut world, *bits)).collect();
    world.run_for(seconds(30));
    let since = world.elapsed();
    world.run_for(seconds(10));
    for (viewer, bits) in viewers.into_iter().zip(ways) {
        let best = match bits {
            ..600_000 => 176,
            600_000..2_800_000 => 352,
            _ => 720,
        };
        let seen = height(&world, viewer);
        assert_eq!(seen, best, "with {bits} bit/s");
        let stalled = frozen(&world, viewer, since);
        assert!(stalled < ms(300), "{stalled:?} of freeze with {bits} bit/s");
        sound_is_whole(&world, viewer);
    }
}

/// Feedback of clients that are who they say, and lie.
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
