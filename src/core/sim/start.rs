//! A viewer's first picture.

use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{Id, World, ms, seconds};
use crate::core::media::MediaKind;

#[test]
fn a_viewer_of_a_publisher_that_ignores_pli_starts_from_the_stored_keyframe() {
    starts_from_the_stored_keyframe(10, 1, 0);
}

#[test]
fn the_same_at_another_worker() {
    let world = starts_from_the_stored_keyframe(11, 2, 1);
    assert!(world.messages[&(1, "Subscribe")] == 1);
}

fn starts_from_the_stored_keyframe(seed: u64, workers: u16, worker: usize) -> World {
    let mut world = World::new(seed, workers);
    let publisher = world.publish("a", PublisherSpec::obs(), 0);
    world.connect(publisher);
    world.run_for(seconds(5));
    let viewer = world.watch("a", ViewerSpec::chromium(), worker);
    world.connect(viewer);
    let joined = world.client(viewer).connected_at.unwrap();
    world.run_for(seconds(3));

    let watched = world.viewer(viewer);
    let video = watched.video();
    assert!(
        video[0].label.keyframe && video[0].label.index == 0,
        "{:?}",
        video[0]
    );
    assert_eq!(video[0].label.frame, 0);
    assert!(video[0].at - joined < ms(60), "after {:?}", video[0].at - joined);
    assert!(
        video.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq),
        "without holes, in order"
    );

    let frames = watched.frames();
    assert!(
        frames.iter().all(|frame| frame.is_complete())
            || frames.iter().rev().skip(1).all(|f| f.is_complete())
    );
    assert!(
        frames
            .windows(2)
            .all(|pair| pair[0].label.frame + 1 == pair[1].label.frame)
    );
    let steps: Vec<u32> = frames
        .windows(2)
        .map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp))
        .collect();
    assert!(steps.iter().all(|step| (1..=3100).contains(step)), "{steps:?}");
    // Stored pictures first, a millisecond apart; then live, a thirtieth of a second apart.
    let stored = steps.iter().take_while(|step| **step == 90).count();
    assert!((140..200).contains(&stored), "{stored} stored pictures");
    assert!(
        steps[stored..].iter().all(|step| (2990..=3010).contains(step)),
        "{:?}",
        &steps[stored..]
    );

    let audio = watched.audio();
    assert!(
        audio[0].label.captured + ms(60) > joined - world.start,
        "sound is live from the first packet on"
    );

    // 20 Mbit/s, and what goes at once.
    let burst: Vec<_> = video
        .iter()
        .take_while(|seen| seen.label.captured < joined - world.start)
        .collect();
    let took = burst.last().unwrap().at - burst[0].at;
    let bytes = burst.len() as f64 * 1000.0;
    assert!(
        took.as_secs_f64() > (bytes - 110_000.0) * 8.0 / 20e6,
        "{bytes} bytes in {took:?}"
    );
    assert!(took < ms(600), "{took:?}");
    world
}

#[test]
fn a_group_of_pictures_beyond_ten_seconds_is_waited_out() {
    let mut world = World::new(12, 1);
    let spec = PublisherSpec::obs().video(|video| video.gop = seconds(15));
    waits_for_the_next_keyframe(&mut world, spec, seconds(12));
}

#[test]
fn a_group_of_pictures_beyond_eight_megabytes_is_waited_out() {
    let mut world = World::new(13, 1);
    let spec = PublisherSpec::obs().video(|video| {
        video.gop = seconds(9);
        video.delta_packets = 40;
    });
    waits_for_the_next_keyframe(&mut world, spec, seconds(8));
}

fn waits_for_the_next_keyframe(world: &mut World, spec: PublisherSpec, after: std::time::Duration) {
    let publisher = world.publish("a", spec, 0);
    world.connect(publisher);
    world.run_for(after);
    let asked = world.publisher(publisher).asked.len();
    let viewer = world.watch("a", ViewerSpec::chromium(), 0);
    world.connect(viewer);
    world.run_for(ms(900));
    let pause = world.viewer(viewer);
    assert_eq!(
        pause.of(MediaKind::Video).count(),
        0,
        "nothing that cannot be decoded"
    );
    assert!(pause.of(MediaKind::Audio).count() > 30, "audio needs no keyframe");
    assert!(
        world.publisher(publisher).asked.len() > asked,
        "the publisher is asked"
    );
    world.run_for(seconds(3));
    assert_live_from_a_keyframe(world, viewer);
}

fn assert_live_from_a_keyframe(world: &World, viewer: Id) {
    let frames = world.viewer(viewer).frames();
    assert!(frames.len() > 10, "{} pictures", frames.len());
    assert!(frames[0].label.keyframe && frames[0].label.frame > 0);
    let steps = frames
        .windows(2)
        .map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp));
    assert!(steps.into_iter().all(|step| (2990..=3010).contains(&step)));
}
