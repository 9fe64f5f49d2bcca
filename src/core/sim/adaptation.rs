//! Ways that are too narrow for the best layer: who gets what, and for how long nothing; what is common to such tests.

use std::time::{Duration, Instant};

use super::network::Conditions;
use super::publisher::{LayerSpec, PublisherSpec};
use super::viewer::ViewerSpec;
use super::world::{Id, World, ms, seconds};
use crate::control::SessionNews;
use crate::core::media::{LayerChoice, MediaKind};

/// A way as wide as this, with a queue of 200 ms, as home routers have.
pub fn way(bits: u64) -> Conditions {
    Conditions::delay(20).rate(bits, (bits / 8 / 5) as usize)
}

/// Bits a second of a layer's ordinary pictures for each packet in one.
const PACKET: u64 = 240_000;

/// Layers of such sizes and bitrates, the largest first; keyframes are six times as large as other pictures.
fn layers<const N: usize>(rids: [&'static str; N], of: [((u16, u16), u64); N]) -> Vec<LayerSpec> {
    let layers = rids.into_iter().zip(of);
    let spec = |(rid, (size, bits)): (&'static str, ((u16, u16), u64))| LayerSpec {
        rid,
        size,
        delta_packets: (bits / PACKET) as u16,
        keyframe_packets: 6 * (bits / PACKET) as u16,
    };
    layers.map(spec).collect()
}

/// As Chromium divides 720p: 0.25, 0.5 and 2.25 Mbit/s.
pub const CHROMIUM: [((u16, u16), u64); 3] = [
    ((1280, 720), 2_160_000),
    ((640, 352), 480_000),
    ((320, 176), 240_000),
];
/// As OBS divides 1.5 Mbit/s: thirds of the size, and of the rate (`WHIPSimulcastEncoders.hpp`).
pub const THIRDS: [((u16, u16), u64); 3] = [
    ((1280, 720), 1_440_000),
    ((848, 480), 960_000),
    ((416, 240), 480_000),
];

pub fn browser() -> PublisherSpec {
    PublisherSpec::chromium_simulcast().video(|video| {
        video.gop = seconds(1000);
        video.layers = layers(["f", "h", "q"], CHROMIUM);
        video.layers.reverse();
    })
}

pub fn obs(of: [((u16, u16), u64); 3], gop: Duration) -> PublisherSpec {
    PublisherSpec::obs_simulcast().video(|video| {
        video.gop = gop;
        video.layers = layers(["0", "1", "2"], of);
    })
}

pub fn published(seed: u64, spec: PublisherSpec) -> World {
    let mut world = World::new(seed, 1);
    let publisher = world.publish("a", spec, 0);
    world.connect(publisher);
    world.run_for(seconds(3));
    world
}

pub fn watching(world: &mut World, bits: u64) -> Id {
    let viewer = world.watch_over("a", ViewerSpec::chromium(), 0, Conditions::delay(20), way(bits));
    world.connect(viewer)
}

/// The height of what came last.
pub fn height(world: &World, viewer: Id) -> u16 {
    let layer = world
        .viewer(viewer)
        .video()
        .last()
        .expect("there is video")
        .label
        .layer;
    height_of(world, layer)
}

pub fn height_of(world: &World, layer: u8) -> u16 {
    let publisher = world.publisher(Id(0));
    let video = publisher.spec.video.as_ref().expect("it sends video");
    video.layers[usize::from(layer)].size.1
}

pub fn sound_is_whole(world: &World, viewer: Id) {
    let holes = world.viewer(viewer).holes(MediaKind::Audio);
    let packets = world.viewer(viewer).audio().len();
    assert!(
        holes * 100 <= packets,
        "{holes} of {packets} packets of sound are missing"
    );
}

#[test]
fn a_viewer_starts_with_what_fits_and_is_raised_within_seconds() {
    let mut world = published(502, browser());
    let viewer = watching(&mut world, 8_000_000);
    world.run_until(seconds(1), |world| !world.viewer(viewer).video().is_empty());
    assert_eq!(height(&world, viewer), 352, "2 Mbit/s to begin with");
    world.run_for(seconds(5));
    assert_eq!(height(&world, viewer), 720);
    let frozen = world.viewer(viewer).frozen(world.start + seconds(4), world.now);
    assert_eq!(frozen, Duration::ZERO);
}

/// One layer of 1.5 Mbit/s, with a keyframe each so often.
fn one_layer(spec: PublisherSpec, gop: Duration) -> PublisherSpec {
    spec.video(|video| {
        video.gop = gop;
        video.delta_packets = 6;
        video.keyframe_packets = 36;
    })
}

/// A way of 500 kbit/s, then of 5 Mbit/s. How many pictures came in 20 s of the narrow one, and after which time all
/// did.
fn thin(world: &mut World) -> (usize, Duration) {
    let viewer = watching(world, 500_000);
    let news = listening(world, viewer);
    world.run_for(seconds(5));
    assert!(news.borrow().video_paused, "it is told why");
    let heard = world.viewer(viewer).audio().len();
    let since = world.now;
    world.run_for(seconds(20));
    let heard = world.viewer(viewer).audio().len() - heard;
    assert!(heard >= 990, "{heard} of 1000 packets of sound");
    let shown = world.viewer(viewer).shown();
    let pictures = shown.iter().filter(|shown| shown.at >= since);
    let pictures = pictures.filter(|shown| shown.label.keyframe).count();

    world.client_mut(viewer).down.conditions = way(5_000_000);
    let since = world.now;
    world.run_for(seconds(30));
    assert!(!news.borrow().video_paused, "it is told that it goes on");
    sound_is_whole(world, viewer);
    let moves = |at: Instant| {
        let shown = world.viewer(viewer).shown();
        let within = shown
            .iter()
            .filter(|shown| shown.at >= at && shown.at < at + seconds(1));
        within.count() >= 25
    };
    let after = (0..29_000)
        .step_by(250)
        .map(ms)
        .find(|after| moves(since + *after));
    (pictures, after.expect("the picture moves again"))
}

/// What the viewer's client is told.
fn listening(world: &World, viewer: Id) -> tokio::sync::watch::Receiver<SessionNews> {
    let session = world.client(viewer).session;
    let info = world.control.session(&session).expect("it is connected");
    let id = world
        .control
        .subscribe(session, &info, vec!["videopaused".to_owned()]);
    let listener = world.control.read_events(session, id).expect("it was just made");
    listener.session
}

#[test]
fn a_way_too_thin_for_the_only_layer_carries_sound_and_a_picture_now_and_then() {
    let mut world = World::new(503, 1);
    let publisher = world.publish("a", one_layer(PublisherSpec::obs(), seconds(2)), 0);
    world.connect(publisher);
    world.run_for(seconds(3));
    let (pictures, moves) = thin(&mut world);
    assert!(pictures >= 9, "{pictures} pictures in ten groups");
    assert!(moves <= seconds(10), "after {moves:?}");
}

#[test]
fn a_publisher_that_answers_is_asked_for_those_pictures_as_the_way_carries_them() {
    let mut world = World::new(506, 1);
    let publisher = world.publish("a", one_layer(PublisherSpec::chromium(), seconds(1000)), 0);
    world.connect(publisher);
    world.run_for(seconds(3));
    let asked = world.publisher(publisher).asked.len();
    let (pictures, moves) = thin(&mut world);
    assert!(pictures >= 4, "{pictures} pictures in 20 s");
    assert!(moves <= seconds(10), "after {moves:?}");
    let asked = world.publisher(publisher).asked.len() - asked;
    assert!(asked <= 15, "{asked} keyframes asked for in 55 s");
}

#[test]
fn a_viewers_own_bounds_count_before_a_smaller_layer_does() {
    let spec = browser().video(|video| video.within = (1, 3));
    let mut world = published(507, spec);
    // A quarter of the largest layer's pictures is 0.6 Mbit/s, half of them are 1.1.
    let (up, down) = (Conditions::delay(20), way(1_000_000));
    let slow = LayerChoice {
        max_temporal: Some(0),
        ..LayerChoice::default()
    };
    let bounded = world
        .watch_with("a", ViewerSpec::chromium(), 0, (up, down), slow)
        .unwrap();
    world.connect(bounded);
    let free = watching(&mut world, 1_000_000);
    world.run_for(seconds(20));
    assert_eq!(height(&world, bounded), 720);
    let lately = world.now - seconds(5);
    let shown = world.viewer(bounded).shown();
    let lately = shown.iter().filter(|shown| shown.at >= lately);
    assert!(lately.clone().all(|shown| shown.label.temporal == 0));
    assert!((35..=40).contains(&lately.count()), "7.5 pictures a second");
    assert_eq!(height(&world, free), 352);
}

#[test]
fn ten_viewers_with_ten_ways_each_get_their_own() {
    let mut world = published(504, browser());
    let ways = [
        150_000, 400_000, 450_000, 500_000, 700_000, 1_200_000, 2_000_000, 3_000_000, 6_000_000, 20_000_000,
    ];
    let viewers: Vec<Id> = ways.iter().map(|bits| watching(&mut world, *bits)).collect();
    world.run_for(seconds(30));
    let since = world.now;
    world.run_for(seconds(10));
    for (viewer, bits) in viewers.into_iter().zip(ways) {
        let sound = world.viewer(viewer).audio();
        let sound = sound.iter().filter(|seen| seen.at >= since).count();
        let least = if bits < 300_000 { 485 } else { 495 };
        assert!(
            sound >= least,
            "{sound} of 500 packets of sound with {bits} bit/s"
        );
        // With sound, layers take 0.3, 0.55 and 2.3 Mbit/s.
        let best = match bits {
            ..300_000 => {
                let shown = world.viewer(viewer).shown();
                let shown = shown.iter().filter(|shown| shown.at >= since).count();
                assert!(
                    (2..50).contains(&shown),
                    "{shown} pictures in 10 s with {bits} bit/s"
                );
                continue;
            }
            300_000..600_000 => 176,
            600_000..2_800_000 => 352,
            _ => 720,
        };
        let seen = height(&world, viewer);
        assert_eq!(seen, best, "with {bits} bit/s");
        let stalled = world.viewer(viewer).frozen(since, world.now);
        assert!(stalled < ms(300), "{stalled:?} of freeze with {bits} bit/s");
    }
}
