//! Ways that are too narrow: they cost those behind them, and nobody else.

use super::network::Conditions;
use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{World, ms, seconds};
use crate::core::media::MediaKind;

/// 3 Mbit/s of video.
fn hd() -> PublisherSpec {
    PublisherSpec::obs().video(|video| video.delta_packets = 12)
}

#[test]
fn a_viewer_whose_way_is_too_narrow_costs_only_itself() {
    let mut world = World::new(400, 1);
    let publisher = world.publish("a", hd(), 0);
    world.connect(publisher);
    let narrow = Conditions::delay(20).rate(1_000_000, 50_000);
    // Without feedback nobody knows, and it gets everything.
    let silent = ViewerSpec {
        feedback: false,
        ..ViewerSpec::chromium()
    };
    let slow = world.watch_over("a", silent, 0, Conditions::delay(20), narrow);
    let fast = world.watch("a", ViewerSpec::chromium(), 0);
    world.connect(slow);
    world.connect(fast);
    world.run_for(seconds(15));
    let watched = world.viewer(fast);
    assert_eq!(watched.holes(MediaKind::Video), 0);
    let late = watched
        .video()
        .iter()
        .filter(|seen| seen.playout.as_deref() != Some(&[0, 0, 0]))
        .all(|seen| seen.at - (world.start + seen.label.captured) < ms(60));
    assert!(late, "the neighbour's pictures come on time");
    // What the slow one asks for again is within its budget.
    let seconds_watched = 15.0;
    let bound = (hd_bits() / 8.0 + 400.0 * 1_100.0) * seconds_watched + 1_000_000.0;
    assert!(
        (world.client(slow).down.bytes as f64) < bound,
        "{} bytes",
        world.client(slow).down.bytes
    );
    assert!(world.client(slow).down.lost > 1_000, "it is too narrow");
    assert!(!world.client(slow).test.is_closed());
}

#[test]
fn a_run_up_through_a_way_as_wide_as_it_takes_loses_nothing() {
    let mut world = World::new(401, 1);
    let publisher = world.publish("a", hd(), 0);
    world.connect(publisher);
    world.run_for(seconds(6));
    // 20 Mbit/s is the pace; a home connection with a modest queue.
    let home = Conditions::delay(10).rate(25_000_000, 128_000);
    let viewer = world.watch_over("a", ViewerSpec::chromium(), 0, Conditions::delay(10), home);
    world.connect(viewer);
    world.run_for(seconds(3));
    assert_eq!(world.client(viewer).down.lost, 0);
    let frames = world.viewer(viewer).frames();
    assert_eq!(frames[0].label.frame, 0);
    assert!(frames.iter().rev().skip(1).all(|frame| frame.is_complete()));
}

#[test]
fn a_run_up_through_a_narrower_way_settles() {
    let mut world = World::new(402, 1);
    let publisher = world.publish("a", hd(), 0);
    world.connect(publisher);
    world.run_for(seconds(6));
    let narrow = Conditions::delay(10).rate(8_000_000, 128_000);
    let viewer = world.watch_over("a", ViewerSpec::chromium(), 0, Conditions::delay(10), narrow);
    world.connect(viewer);
    world.run_for(seconds(6));
    let lost = world.client(viewer).down.lost;
    world.run_for(seconds(3));
    assert_eq!(world.client(viewer).down.lost, lost, "no more");
    let frames = world.viewer(viewer).frames();
    let lately: Vec<_> = frames
        .iter()
        .filter(|frame| frame.first_at > world.now - seconds(3))
        .rev()
        .skip(1)
        .collect();
    assert!(lately.len() > 80 && lately.iter().all(|frame| frame.is_complete()));
}

fn hd_bits() -> f64 {
    12.0 * 1_100.0 * 30.0 * 8.0
}
