//! Asking publishers for keyframes, and what viewers' asking leads to.

use std::time::Duration;

use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{Id, World, ms, seconds};
use crate::core::ids::Ssrc;
use crate::core::media::MediaKind;
use crate::core::rtp;

const INTERVAL: Duration = Duration::from_millis(500);

#[test]
fn a_publisher_that_answers_is_asked_when_a_viewer_joins() {
    joins_by_a_fresh_keyframe(20, 1, 0);
}

#[test]
fn the_same_at_another_worker() {
    let world = joins_by_a_fresh_keyframe(21, 2, 1);
    assert!(world.messages[&(1, "RequestKeyframe")] >= 1);
}

fn joins_by_a_fresh_keyframe(seed: u64, workers: u16, worker: usize) -> World {
    let mut world = World::new(seed, workers);
    let spec = PublisherSpec::chromium().video(|video| video.gop = seconds(1000));
    let publisher = world.publish("a", spec, 0);
    world.connect(publisher);
    world.run_for(seconds(5));
    let asked = world.publisher(publisher).asked.len();
    let viewer = world.watch("a", ViewerSpec::chromium(), worker);
    world.connect(viewer);
    let joined = world.client(viewer).connected_at.unwrap();
    world.run_for(seconds(1));
    assert_eq!(world.publisher(publisher).asked.len(), asked + 1);
    let video = world.viewer(viewer).video();
    assert!(video[0].label.keyframe && video[0].label.index == 0);
    assert!(
        video[0].label.captured > joined - world.start,
        "a new one: {:?} after {joined:?}",
        video[0]
    );
    assert!(video[0].at - joined < ms(150), "after {:?}", video[0].at - joined);
    world
}

#[test]
fn two_hundred_viewers_asking_all_the_time_cost_two_keyframes_a_second() {
    let mut world = World::new(22, 2);
    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(publisher);
    let viewers: Vec<Id> = (0..200)
        .map(|n| world.watch("a", ViewerSpec::chromium(), n % 2))
        .collect();
    world.run_until(seconds(10), |world| {
        viewers.iter().all(|id| world.client(*id).test.is_connected())
    });
    world.run_for(ms(200));
    for _ in 0..20 {
        for viewer in &viewers {
            ask(&mut world, *viewer);
        }
        world.run_for(ms(100));
    }
    let asked = &world.publisher(publisher).asked;
    assert!(
        asked.windows(2).all(|pair| pair[1] - pair[0] >= INTERVAL),
        "{asked:?}"
    );
    let lately = asked.iter().filter(|at| world.now - **at < seconds(2)).count();
    assert!((3..=5).contains(&lately), "{lately} in two seconds");
}

/// The decoder is stuck and the publisher is deaf: the stored keyframe helps, but not more often than it takes.
#[test]
fn a_stuck_viewer_of_a_deaf_publisher_starts_over_from_the_stored_keyframe() {
    let mut world = World::new(23, 1);
    let publisher = world.publish("a", PublisherSpec::ffmpeg(), 0);
    world.connect(publisher);
    world.run_for(seconds(2));
    let viewer = world.watch("a", ViewerSpec::chromium(), 0);
    let other = world.watch("a", ViewerSpec::chromium(), 0);
    world.connect(viewer);
    world.run_for(seconds(4));
    for _ in 0..10 {
        ask(&mut world, viewer);
        world.run_for(ms(100));
    }
    assert!(
        world.publisher(publisher).asked.is_empty(),
        "it did not offer to be asked"
    );
    let keyframes = |id| {
        world
            .viewer(id)
            .frames()
            .iter()
            .filter(|frame| frame.label.keyframe)
            .count()
    };
    assert_eq!(keyframes(viewer), 2, "the first and one more");
    assert_eq!(keyframes(other), 1, "nobody else's concern");
    let video = world.viewer(viewer).video();
    assert!(video.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
    let stamps = world.viewer(viewer).frames();
    assert!(
        stamps
            .windows(2)
            .all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) < 90_000)
    );
    assert!(
        stamps
            .windows(2)
            .all(|pair| pair[1].timestamp != pair[0].timestamp)
    );
}

/// A picture loss indication for the viewer's video.
pub fn ask(world: &mut World, viewer: Id) {
    let Some(ssrc) = world.viewer(viewer).ssrc(MediaKind::Video) else {
        return;
    };
    let mut compound = Vec::new();
    rtp::receiver_report(&mut compound, Ssrc(1), &[]);
    rtp::pli(&mut compound, Ssrc(1), Ssrc(ssrc));
    world.send(viewer, &compound, true);
}
