//! Temporal and spatial layers within a layer: left out without a hole, and taken up again where a decoder can.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::network::{Conditions, Rng};
use super::publisher::PublisherSpec;
use super::viewer::{Seen, ViewerSpec};
use super::world::{Id, World, ms, seconds};
use crate::core::egress::AdaptationLimits;
use crate::core::engine::EngineConfig;
use crate::core::ids::{Rid, WorkerId};
use crate::core::media::{LayerChoice, MediaKind};
use crate::core::route::Message;
use crate::core::rtp::dependency;

fn published(seed: u64, spec: PublisherSpec) -> (World, Id) {
    // What viewers choose is looked at here, whatever their ways carry.
    let config = EngineConfig {
        adaptation: AdaptationLimits { start: None },
        ..EngineConfig::default()
    };
    let mut world = World::with_config(seed, 2, config);
    let publisher = world.publish("a", spec, 0);
    world.connect(publisher);
    world.run_for(seconds(2));
    (world, publisher)
}

fn choose(world: &mut World, viewer: Id, choice: LayerChoice) {
    let (session, worker) = (world.client(viewer).session, world.client(viewer).worker);
    world.post(WorkerId(worker as u16), Message::ChooseLayer { session, choice });
}

fn temporal(max: u8) -> LayerChoice {
    LayerChoice {
        max_temporal: Some(max),
        ..LayerChoice::default()
    }
}

fn spatial(max: u8) -> LayerChoice {
    LayerChoice {
        max_spatial: Some(max),
        ..LayerChoice::default()
    }
}

/// A frame of one spatial layer, and the packets of it that came.
struct Frame<'a> {
    packets: Vec<&'a Seen>,
}

impl Frame<'_> {
    fn first(&self) -> &Seen {
        self.packets[0]
    }

    fn is_complete(&self) -> bool {
        self.packets.len() == usize::from(self.first().label.count)
    }
}

/// In the order of numbers.
fn frames(world: &World, viewer: Id) -> Vec<Frame<'_>> {
    let mut packets = world.viewer(viewer).video();
    packets.sort_by_key(|seen| seen.seq);
    let mut frames: Vec<Frame> = Vec::new();
    let name = |seen: &Seen| (seen.label.layer, seen.label.frame, seen.timestamp);
    for seen in packets {
        match frames.last_mut() {
            Some(frame) if name(frame.first()) == name(seen) => frame.packets.push(seen),
            _ => frames.push(Frame { packets: vec![seen] }),
        }
    }
    frames
}

/// Pictures a second and the highest spatial layer of what came since.
fn watched_since(world: &World, viewer: Id, since: Duration) -> (f64, u8) {
    let from = world.start + since;
    let frames = frames(world, viewer);
    let recent: Vec<_> = frames.iter().filter(|frame| frame.first().at >= from).collect();
    let times: BTreeSet<u32> = recent.iter().map(|frame| frame.first().timestamp).collect();
    let highest = recent.iter().map(|frame| frame.first().label.spatial).max();
    let elapsed = (world.elapsed() - since).as_secs_f64();
    (times.len() as f64 / elapsed, highest.unwrap_or_default())
}

/// Every frame that came can be decoded from those that came before, and ends as its receiver has to see it.
fn is_decodable(world: &World, viewer: Id) {
    let frames = frames(world, viewer);
    // By layer and spatial layer: the newest frame of each temporal layer, as the publisher's count.
    let mut newest: BTreeMap<(u8, u8), [Option<u32>; 3]> = BTreeMap::new();
    let mut before: Option<&Seen> = None;
    for frame in &frames {
        let first = frame.first();
        let label = first.label;
        assert!(frame.is_complete(), "{first:?}: {} packets", frame.packets.len());
        let within = (label.layer, label.spatial);
        let captured = ((label.captured.as_micros() * 30 + 500_000) / 1_000_000) as u32;
        if let Some(before) = before.filter(|before| before.label.layer != label.layer) {
            assert!(label.keyframe && label.spatial == 0, "{first:?} after {before:?}");
        }
        if label.keyframe {
            newest.insert(within, [None; 3]);
        }
        let known = newest.get(&within).copied().unwrap_or_default();
        let base = known[0].map(|base| captured.saturating_sub(base));
        match (label.temporal, label.sync) {
            _ if label.keyframe => {}
            (0, _) => assert!(base.is_some_and(|ago| ago <= 5), "{base:?}: {first:?}"),
            (1, _) | (2, true) => assert!(base.is_some_and(|ago| ago <= 3), "{base:?}: {first:?}"),
            (_, _) => {
                let middle = known[1].map(|middle| captured.saturating_sub(middle));
                assert!(middle.is_some_and(|ago| ago <= 2), "{middle:?}: {first:?}");
            }
        }
        if let Some(slot) = newest
            .entry(within)
            .or_default()
            .get_mut(usize::from(label.temporal))
        {
            *slot = Some(captured);
        }
        before = Some(first);
    }
    // The marker is on the last packet of each picture alone.
    let mut pictures: BTreeMap<u64, &Seen> = BTreeMap::new();
    for frame in &frames {
        for packet in &frame.packets {
            pictures.insert(packet.seq, packet);
        }
    }
    let packets: Vec<&&Seen> = pictures.values().collect();
    for pair in packets.windows(2) {
        let ends = pair[0].timestamp != pair[1].timestamp;
        assert_eq!(pair[0].marker, ends, "{:?}, {:?}", pair[0], pair[1]);
    }
}

#[test]
fn temporal_layers_are_left_out_at_once_and_taken_up_within_a_few_pictures() {
    for (seed, codec) in [(420, "VP8"), (421, "VP9"), (422, "AV1")] {
        let (mut world, publisher) = published(seed, PublisherSpec::chromium_within(codec, 1, 3));
        for worker in [0, 1] {
            let viewer = world.watch("a", ViewerSpec::with_descriptor(), worker);
            world.connect(viewer);
            world.run_for(seconds(1));
            let asked = world.publisher(publisher).asked.len();
            for (wish, rate) in [
                (0, 7.5),
                (1, 15.0),
                (2, 30.0),
                (0, 7.5),
                (9, 30.0),
                (1, 15.0),
                (0, 7.5),
            ] {
                choose(&mut world, viewer, temporal(wish));
                world.run_for(ms(300));
                let since = world.elapsed();
                world.run_for(ms(1600));
                let (seen, _) = watched_since(&world, viewer, since);
                assert!(
                    (seen / rate - 1.0).abs() < 0.1,
                    "{codec}: {seen} pictures a second with {wish}"
                );
            }
            choose(&mut world, viewer, LayerChoice::default());
            world.run_for(seconds(1));
            let all = world.publisher(publisher).asked.len();
            assert_eq!(asked, all, "{codec}: no keyframe was needed");
            assert_eq!(world.viewer(viewer).holes(MediaKind::Video), 0);
            assert!(world.viewer(viewer).blanks.is_empty());
            is_decodable(&world, viewer);
            numbers_go_on(&world, viewer, codec);
        }
    }
}

/// VP8's picture ids by one from picture to picture; those of VP9 and AV1 keep the distances that references go by.
fn numbers_go_on(world: &World, viewer: Id, codec: &str) {
    let frames = frames(world, viewer);
    for pair in frames.windows(2) {
        let (old, new) = (pair[0].first(), pair[1].first());
        let same_layer = old.label.layer == new.label.layer;
        let distance = new.label.frame - old.label.frame;
        match codec {
            "AV1" => {
                let number =
                    |seen: &Seen| dependency::frame_number(seen.descriptor.as_ref().unwrap()).unwrap();
                let step = number(new).wrapping_sub(number(old));
                let expected = if same_layer { distance } else { 1 };
                assert_eq!(u32::from(step), expected, "{old:?}, {new:?}");
            }
            _ => {
                let ((old_id, old_base), (id, base)) = (old.numbers.unwrap(), new.numbers.unwrap());
                let step = id.wrapping_sub(old_id) & 0x7fff;
                let same_picture = old.timestamp == new.timestamp;
                let expected = match (codec, same_layer) {
                    _ if same_picture => 0,
                    ("VP9", true) => distance as u16,
                    _ => 1,
                };
                assert_eq!(step, expected, "{old:?}, {new:?}");
                let expected = u8::from(new.label.temporal == 0 && !same_picture);
                assert_eq!(base.wrapping_sub(old_base), expected, "{old:?}, {new:?}");
            }
        }
    }
}

#[test]
fn spatial_layers_are_left_out_at_once_and_taken_up_with_a_keyframe() {
    for (seed, codec) in [(423, "VP9"), (424, "AV1")] {
        let (mut world, publisher) = published(seed, PublisherSpec::chromium_within(codec, 3, 1));
        for worker in [0, 1] {
            let viewer = world.watch("a", ViewerSpec::with_descriptor(), worker);
            world.connect(viewer);
            world.run_for(seconds(1));
            assert_eq!(
                watched_since(&world, viewer, ms(0)).1,
                2,
                "{codec}: whole by default"
            );
            for wish in [1, 0, 2, 0, 1, 9] {
                let asked = world.publisher(publisher).asked.len();
                let before = watched_since(&world, viewer, world.elapsed() - ms(200)).1;
                choose(&mut world, viewer, spatial(wish));
                world.run_for(ms(1000));
                let since = world.elapsed();
                world.run_for(ms(500));
                let (rate, highest) = watched_since(&world, viewer, since);
                assert_eq!(highest, wish.min(2), "{codec}");
                assert!(
                    (rate / 30.0 - 1.0).abs() < 0.1,
                    "{codec}: {rate} pictures a second"
                );
                let now = world.publisher(publisher).asked.len();
                assert_eq!(
                    now > asked,
                    wish.min(2) > before,
                    "{codec}: asked where more is wanted"
                );
            }
            assert_eq!(world.viewer(viewer).holes(MediaKind::Video), 0);
            is_decodable(&world, viewer);
            let video = world.viewer(viewer).video();
            let descriptors = video.iter().filter(|seen| seen.descriptor.is_some()).count();
            assert_eq!(descriptors, if codec == "AV1" { video.len() } else { 0 });
        }
    }
}

#[test]
fn a_viewer_that_joins_gets_no_more_than_it_wishes_from_the_first_packet_on() {
    let gop = PublisherSpec::chromium_within("AV1", 2, 3).video(|video| video.gop = seconds(5));
    let deaf = PublisherSpec {
        answers_pli: None,
        ..gop
    };
    let (mut world, _) = published(425, deaf);
    world.run_for(ms(2300));
    for worker in [0, 1] {
        let choice = LayerChoice {
            max_spatial: Some(0),
            max_temporal: Some(1),
            ..LayerChoice::default()
        };
        let viewer = world.watch_layer("a", ViewerSpec::with_descriptor(), worker, choice);
        world.connect(viewer);
        world.run_for(seconds(2));
        let video = world.viewer(viewer).video();
        assert!(video[0].label.keyframe);
        assert!(
            video
                .iter()
                .all(|seen| seen.label.spatial == 0 && seen.label.temporal < 2)
        );
        assert_eq!(world.viewer(viewer).holes(MediaKind::Video), 0);
        is_decodable(&world, viewer);
    }
}

/// A viewer without the extension gets the same packets without it, but no higher spatial layers: browsers show none then.
#[test]
fn the_descriptor_is_for_those_that_ask_for_it() {
    let (mut world, _) = published(426, PublisherSpec::chromium_within("AV1", 2, 3));
    let viewer = world.watch("a", ViewerSpec::chromium(), 0);
    world.connect(viewer);
    world.run_for(seconds(1));
    assert_eq!(watched_since(&world, viewer, ms(0)).1, 0);
    choose(&mut world, viewer, temporal(0));
    world.run_for(seconds(1));
    let video = world.viewer(viewer).video();
    assert!(!video.is_empty() && video.iter().all(|seen| seen.descriptor.is_none()));
    is_decodable(&world, viewer);
}

/// Loss on both ways, packets out of order, layers and layers within them changed all the time: what comes in the end is
/// whole, and no number means two things (the wire is tapped).
#[test]
fn loss_and_changes_of_every_kind_together() {
    for seed in 427..433 {
        let mut world = World::new(seed, 2);
        let mut rng = Rng::new(seed);
        let rough = Conditions::delay(15).jitter(10).loss(0.03).reorder(0.05);
        let spec = PublisherSpec::chromium_simulcast().video(|video| {
            video.within = (1, 3);
            video.gop = seconds(4);
        });
        let publisher = world.publish_over("a", spec, 0, rough, rough);
        world.connect(publisher);
        world.run_for(seconds(2));
        let specs = [ViewerSpec::chromium(), ViewerSpec::without_rtx()];
        let viewers: Vec<Id> = (0..4)
            .map(|n| world.watch_over("a", specs[n % 2].clone(), n / 2, rough, rough))
            .collect();
        for viewer in &viewers {
            world.connect(*viewer);
        }
        for _ in 0..40 {
            for viewer in &viewers {
                let rid = ["q", "h", "f"][rng.below(3) as usize];
                let limit = rng.below(4) as u8;
                let choice = LayerChoice {
                    rid: Some(Rid(rid.into())),
                    max_temporal: (limit < 3).then_some(limit),
                    ..LayerChoice::default()
                };
                if rng.chance(0.5) {
                    choose(&mut world, *viewer, choice);
                }
            }
            world.run_for(ms(250));
        }
        for viewer in &viewers {
            choose(&mut world, *viewer, LayerChoice::default());
        }
        world.run_for(seconds(2));
        for viewer in &viewers {
            let watched = world.viewer(*viewer);
            let holes = watched.holes(MediaKind::Video);
            assert!(holes < 12, "{holes} holes, seed {seed}");
            let frames = frames(&world, *viewer);
            let partial = frames.iter().filter(|frame| !frame.is_complete()).count();
            assert!(partial < 20, "{partial} of {} in part, seed {seed}", frames.len());
            let since = world.elapsed() - seconds(1);
            let (rate, _) = watched_since(&world, *viewer, since);
            assert!(rate > 28.0, "{rate} pictures a second in the end, seed {seed}");
        }
    }
}
