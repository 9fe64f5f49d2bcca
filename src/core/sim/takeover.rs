//! Another publisher, none, the same one again: viewers stay, and what they receive goes on.

use std::time::Duration;

use super::publisher::PublisherSpec;
use super::viewer::{Seen, ViewerSpec};
use super::world::{Id, World, ms, seconds};
use crate::core::media::{Codec, MediaKind};

#[test]
fn a_second_publisher_takes_over_and_viewers_go_on() {
    take_over(
        30,
        1,
        [0, 0, 0],
        PublisherSpec::chromium(),
        PublisherSpec::chromium(),
    );
}

#[test]
fn from_another_worker_to_viewers_at_a_third() {
    take_over(
        31,
        3,
        [0, 1, 2],
        PublisherSpec::chromium(),
        PublisherSpec::chromium(),
    );
    take_over(
        32,
        2,
        [0, 1, 0],
        PublisherSpec::chromium(),
        PublisherSpec::chromium(),
    );
    take_over(33, 2, [0, 1, 1], PublisherSpec::obs(), PublisherSpec::ffmpeg());
}

#[test]
fn the_codec_may_be_another_one() {
    let world = take_over(34, 1, [0, 0, 0], PublisherSpec::chromium(), PublisherSpec::obs());
    let viewer = Id(1);
    assert_eq!(world.viewer(viewer).video().first().unwrap().codec, "VP8");
    assert_eq!(world.viewer(viewer).video().last().unwrap().codec, "H264");
    let info = world.control.streams().pop().unwrap();
    assert!(matches!(info.codecs.video, Some(Codec::H264 { .. })));
}

/// The publisher, a viewer, the publisher taking over: clients 0, 1 and 2 at these workers.
fn take_over(seed: u64, workers: u16, at: [usize; 3], first: PublisherSpec, second: PublisherSpec) -> World {
    let mut world = World::new(seed, workers);
    let old = world.publish("a", first, at[0]);
    world.connect(old);
    let viewer = world.watch("a", ViewerSpec::chromium(), at[2]);
    world.connect(viewer);
    world.run_for(seconds(3));
    let new = world.publish("a", second, at[1]);
    world.connect(new);
    world.run_for(seconds(3));
    assert!(world.client(old).test.is_closed(), "the old one is told");
    assert!(!world.client(viewer).test.is_closed());
    goes_on(&world, viewer, new, ms(200));
    world.run_for(seconds(40));
    assert!(!world.client(viewer).test.is_closed(), "nor later");
    goes_on(&world, viewer, new, ms(200));
    world
}

#[test]
fn a_publisher_that_vanishes_leaves_its_viewers_waiting_for_it() {
    for (seed, workers, worker) in [(35, 1, 0), (36, 2, 1)] {
        let mut world = World::new(seed, workers);
        let old = world.publish("a", PublisherSpec::obs(), 0);
        world.connect(old);
        let viewer = world.watch("a", ViewerSpec::chromium(), worker);
        world.connect(viewer);
        world.run_for(seconds(3));
        world.client_mut(old).vanished = true;
        world.run_for(seconds(29));
        assert!(
            world.control.streams()[0].publishing,
            "it may only have lost its network for a while"
        );
        world.run_for(seconds(3));
        assert!(!world.control.streams()[0].publishing);
        assert_eq!(world.control.streams()[0].viewers, 1);
        world.run_for(seconds(10));
        assert!(!world.client(viewer).test.is_closed());
        let new = world.publish("a", PublisherSpec::obs(), 0);
        world.connect(new);
        world.run_for(seconds(3));
        goes_on(&world, viewer, new, seconds(45));
    }
}

#[test]
fn a_publisher_that_pauses_goes_on_where_it_is() {
    let mut world = World::new(37, 1);
    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(publisher);
    let viewer = world.watch("a", ViewerSpec::chromium(), 0);
    world.connect(viewer);
    world.run_for(seconds(2));
    world.publisher_mut(publisher).paused = true;
    world.run_for(seconds(60));
    world.publisher_mut(publisher).paused = false;
    world.run_for(seconds(2));
    let video = world.viewer(viewer).video();
    assert!(video.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
    let stamps = in_step(&video);
    assert!(stamps < ms(40), "off by {stamps:?}");
}

/// An encoder that starts over within its session: other numbers, same SSRC.
#[test]
fn numbers_that_jump_are_straightened_out() {
    let mut world = World::new(38, 2);
    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(publisher);
    let viewers = [0, 1].map(|worker| world.watch("a", ViewerSpec::chromium(), worker));
    for viewer in viewers {
        world.connect(viewer);
    }
    world.run_for(seconds(2));
    world.publisher_mut(publisher).jump(10_000, 0x7000_0000);
    world.run_for(seconds(2));
    world.publisher_mut(publisher).jump(20_000, 0x9000_0000);
    world.run_for(seconds(2));
    for viewer in viewers {
        let video = world.viewer(viewer).video();
        assert!(video.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
        assert!(world.now - video.last().unwrap().at < ms(100));
        let off = in_step(&video);
        assert!(off < ms(60), "off by {off:?}");
    }
}

#[test]
fn a_viewer_that_came_first_sees_what_comes() {
    for (seed, workers, worker) in [(39, 1, 0), (40, 2, 1)] {
        let mut world = World::new(seed, workers);
        let viewer = world.watch("a", ViewerSpec::chromium(), worker);
        world.connect(viewer);
        world.run_for(seconds(60));
        assert!(!world.client(viewer).test.is_closed());
        let publisher = world.publish("a", PublisherSpec::obs(), 0);
        world.connect(publisher);
        world.run_for(seconds(1));
        let frames = world.viewer(viewer).frames();
        assert!(
            frames[0].label.keyframe && frames[0].label.frame == 0,
            "{:?}",
            frames[0]
        );
        assert!(frames.len() > 25);
    }
}

/// The same SSRC, numbers that go on by one, timestamps that go on by the time that passed.
fn goes_on(world: &World, viewer: Id, new: Id, pause: Duration) {
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let seen: Vec<&Seen> = world.viewer(viewer).of(kind).collect();
        let at = seen
            .iter()
            .position(|seen| usize::from(seen.label.source) == new.0)
            .expect("the new one's");
        let (before, after) = (seen[at - 1], seen[at]);
        assert_eq!(before.ssrc, after.ssrc);
        assert_eq!(before.seq + 1, after.seq, "{kind:?}");
        assert!(kind == MediaKind::Audio || after.label.keyframe && after.label.index == 0);
        let clock_rate = if kind == MediaKind::Audio {
            48_000.0
        } else {
            90_000.0
        };
        let step = f64::from(after.timestamp.wrapping_sub(before.timestamp)) / clock_rate;
        let passed = (after.at - before.at).as_secs_f64();
        assert!(passed < pause.as_secs_f64(), "{kind:?} after {passed} s");
        assert!((step - passed).abs() < 0.04, "{kind:?}: {step} s in {passed} s");
        let rest = &seen[at..];
        assert!(
            rest.iter().all(|seen| usize::from(seen.label.source) == new.0),
            "and nothing of the old one"
        );
        assert!(rest.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
        assert!(world.now - rest.last().unwrap().at < ms(100));
    }
}

/// How far timestamps and times of arrival differ in their steps at most.
fn in_step(video: &[&Seen]) -> Duration {
    let off = video
        .windows(2)
        .filter(|pair| pair[0].playout.as_deref() != Some(&[0, 0, 0]))
        .map(|pair| {
            let step = f64::from(pair[1].timestamp.wrapping_sub(pair[0].timestamp)) / 90_000.0;
            (step - (pair[1].at - pair[0].at).as_secs_f64()).abs()
        });
    Duration::from_secs_f64(off.fold(0.0, f64::max))
}
