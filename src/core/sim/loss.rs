//! Lossy ways to and from the server.

use super::network::Conditions;
use super::publisher::PublisherSpec;
use super::viewer::{Frame, ViewerSpec};
use super::world::{Id, World, ms, seconds};
use crate::core::engine::EngineConfig;
use crate::core::media::MediaKind;
use crate::core::route::BufferLimits;

#[test]
fn every_picture_arrives_through_five_percent_of_loss_each_way() {
    let (world, publisher, viewer) = lossy(1, PublisherSpec::chromium(), ViewerSpec::chromium());
    all_arrive(&world, publisher, viewer);
    assert!(
        world.viewer(viewer).seen.iter().any(|seen| seen.repeated),
        "by RTX"
    );
    assert_eq!(repeated(&world, viewer), 0, "never on the media's own SSRC");
}

#[test]
fn the_same_without_rtx() {
    let spec = PublisherSpec {
        answers_pli: Some(ms(30)),
        ..PublisherSpec::obs()
    };
    let (world, publisher, viewer) = lossy(2, spec, ViewerSpec::without_rtx());
    all_arrive(&world, publisher, viewer);
    assert!(
        repeated(&world, viewer) > 50,
        "on the media's own SSRC, each to the byte as before"
    );
}

#[test]
fn jitter_and_reordering_lose_nothing_and_repeat_little() {
    let mut world = World::new(3, 1);
    let rough = Conditions::delay(30).jitter(20).reorder(0.02);
    let publisher = world.publish_over("a", PublisherSpec::chromium(), 0, rough, rough);
    world.connect(publisher);
    let viewer = world.watch_over("a", ViewerSpec::chromium(), 0, rough, rough);
    world.connect(viewer);
    world.run_for(seconds(10));
    all_arrive(&world, publisher, viewer);
}

/// A viewer that waits for a keyframe whose first packet is lost, or late, starts with that packet all the same: in
/// H.264 nothing decodes without it.
#[test]
fn a_waiting_viewer_starts_with_a_keyframe_whole() {
    // Nothing is stored for long, so that each viewer has to wait.
    let buffer = BufferLimits {
        max_bytes: 46_000,
        ..BufferLimits::default()
    };
    for seed in 100..120 {
        let mut world = World::with_config(
            seed,
            2,
            EngineConfig {
                buffer,
                ..EngineConfig::default()
            },
        );
        let rough = Conditions::delay(25).loss(0.1).reorder(0.2);
        let spec = PublisherSpec::obs().video(|video| video.gop = seconds(1));
        let publisher = world.publish_over("a", spec, 0, rough, rough);
        world.connect(publisher);
        world.run_for(ms(1500));
        let spec = if seed % 2 == 0 {
            ViewerSpec::chromium()
        } else {
            ViewerSpec::without_rtx()
        };
        let smooth = Conditions::delay(10);
        let viewers = [0, 1].map(|worker| world.watch_over("a", spec.clone(), worker, smooth, smooth));
        for viewer in viewers {
            world.connect(viewer);
        }
        world.run_for(ms(1500));
        for viewer in viewers {
            let frames = world.viewer(viewer).frames();
            let first = frames
                .first()
                .unwrap_or_else(|| panic!("seed {seed}: nothing arrived"));
            assert!(
                first.label.keyframe && first.is_complete(),
                "seed {seed}: {first:?}"
            );
            assert_eq!(first.label.frame, 62, "seed {seed}: the next keyframe");
        }
    }
}

fn lossy(seed: u64, publisher: PublisherSpec, viewer: ViewerSpec) -> (World, Id, Id) {
    let mut world = World::new(seed, 1);
    let way = Conditions::delay(25).loss(0.05);
    let publisher = world.publish_over("a", publisher, 0, way, way);
    world.connect(publisher);
    let viewer = world.watch_over("a", viewer, 0, way, way);
    world.connect(viewer);
    world.run_for(seconds(20));
    (world, publisher, viewer)
}

/// Every picture sent since the viewer's first, but for those still on their way, within 300 ms of its sending.
fn all_arrive(world: &World, publisher: Id, viewer: Id) {
    let start = world.start;
    let frames = world.viewer(viewer).frames();
    let first = frames.first().expect("something arrived").label.frame;
    let connected = world.client(viewer).connected_at.unwrap();
    let sent = &world.publisher(publisher).sent;
    let due: Vec<u32> = sent
        .iter()
        .filter(|(at, label, kind)| {
            *kind == MediaKind::Video && label.index == 0 && label.frame >= first && *at + ms(400) < world.now
        })
        .map(|(_, label, _)| label.frame)
        .collect();
    assert!(due.len() > 200, "{} pictures", due.len());
    for number in due {
        let frame: &Frame = frames
            .iter()
            .find(|frame| frame.label.frame == number)
            .expect("every picture arrives");
        assert!(frame.is_complete(), "{frame:?}");
        // Those from before the viewer came are as old as they are.
        let sent_at = (start + frame.label.captured).max(connected);
        let took = frame.last_at - sent_at;
        assert!(took < ms(300), "picture {number} took {took:?}");
    }
    assert!(
        frames
            .windows(2)
            .all(|pair| pair[0].label.frame + 1 == pair[1].label.frame),
        "in order"
    );
}

fn repeated(world: &World, viewer: Id) -> u64 {
    world
        .wiretap
        .repeated(viewer.0, world.viewer(viewer).ssrc(MediaKind::Video).unwrap())
}
