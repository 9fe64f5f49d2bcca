//! How far behind live viewers are: what players are told to wait on links that lose packets, and that it does not
//! grow by the hour.

use std::time::Duration;

use super::network::Conditions;
use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{Id, World, ms, seconds};
use crate::core::ids::{Rid, WorkerId};
use crate::core::media::{LatencyWish, LayerChoice, MediaKind};
use crate::core::route::Message;

/// Few, for two hours of them.
const PICTURES: u32 = 2;

#[test]
fn a_clean_link_is_told_nothing_whatever_its_round_trip() {
    let (world, viewer) = watched(1, Conditions::delay(125), LatencyWish::Auto);
    assert_eq!(told(&world, viewer), None);
}

#[test]
fn a_lossy_link_is_told_to_wait_for_what_is_sent_again() {
    let way = Conditions::delay(50).loss(0.05);
    let (world, viewer) = watched(2, way, LatencyWish::Auto);
    let least = told(&world, viewer).expect("it is told");
    assert!((230..=420).contains(&least), "{least} ms");
    // From nothing there, and never in a jump that would be seen.
    let values = all_told(&world, viewer);
    assert!(values[0] <= 30, "{values:?}");
    assert!(
        values.windows(2).all(|pair| pair[0].abs_diff(pair[1]) <= 50),
        "{values:?}"
    );
}

#[test]
fn who_wants_the_lowest_delay_is_told_not_to_wait_at_all() {
    let way = Conditions::delay(50).loss(0.05);
    let (world, viewer) = watched(3, way, LatencyWish::Low);
    let seen = world.viewer(viewer).video();
    assert_eq!(seen.last().unwrap().playout.as_deref(), Some(&[0, 0, 0][..]));
}

#[test]
fn who_wants_it_smooth_is_told_to_wait_on_a_clean_link_too() {
    let (world, viewer) = watched(4, Conditions::delay(10), LatencyWish::Smooth);
    assert!(told(&world, viewer).is_some_and(|least| least >= 400));
}

/// The sound of a lossy link comes twice: hardly any is missing, though nobody asks for it again.
#[test]
fn sound_is_repeated_where_packets_are_lost() {
    let way = Conditions::delay(50).loss(0.05);
    let (world, viewer) = watched(5, way, LatencyWish::Auto);
    let later = world.start + seconds(10);
    let audio = world.viewer(viewer).audio();
    let frames: Vec<u32> = audio
        .iter()
        .filter(|seen| seen.at > later)
        .map(|seen| seen.label.frame)
        .collect();
    let (first, last) = (*frames.iter().min().unwrap(), *frames.iter().max().unwrap());
    let came: std::collections::BTreeSet<u32> = frames.into_iter().collect();
    let missing = (last - first + 1) as usize - came.len();
    let share = missing as f64 / f64::from(last - first + 1);
    assert!(share < 0.01, "{missing} missing, {share}");
}

/// Broadcast servers are known to fall behind by seconds in hours. Two hours, 2 % loss each way, and another layer
/// each five minutes, from stored keyframes: what is shown is as old at the end as it was at the beginning.
#[test]
fn two_hours_of_loss_and_changing_layers_do_not_add_up() {
    let mut world = World::new(52, 1);
    let spec = PublisherSpec::obs_simulcast().video(|video| {
        video.fps = PICTURES;
        video.keyframe_packets = 2;
        for layer in &mut video.layers {
            layer.delta_packets = 1;
        }
    });
    let spec = PublisherSpec { audio: false, ..spec };
    let way = Conditions::delay(20).jitter(10).loss(0.02);
    let publisher = world.publish_over("a", spec, 0, way, way);
    world.connect(publisher);
    world.run_for(seconds(5));
    let viewer = world.watch_over("a", ViewerSpec::chromium(), 0, way, way);
    world.connect(viewer);
    world.run_for(seconds(10));

    let mut origin = None;
    let mut ages = Vec::new();
    let mut middles = Vec::new();
    for window in 0..24 {
        let rid = ["0", "1", "2"][window % 3];
        let session = world.client(viewer).session;
        let choice = LayerChoice {
            rid: Some(Rid(rid.into())),
            ..LayerChoice::default()
        };
        world.post(WorkerId(0), Message::ChooseLayer { session, choice });
        world.run_for(seconds(10));
        world.viewer_mut(viewer).seen.clear();
        world.run_for(seconds(290));
        let start = world.start;
        let seen = world.viewer(viewer).video();
        assert!(seen.len() > 500, "window {window}: {} packets", seen.len());
        // On the timeline the player plays by, against the time of capture.
        let mut behind: Vec<f64> = seen
            .iter()
            .map(|seen| {
                let captured = (seen.label.captured.as_secs_f64() * 90_000.0) as u64 as u32;
                let origin = *origin.get_or_insert(seen.timestamp.wrapping_sub(captured));
                f64::from(seen.timestamp.wrapping_sub(captured).wrapping_sub(origin) as i32) / 90.0
            })
            .collect();
        behind.sort_by(f64::total_cmp);
        let middle = behind[behind.len() / 2];
        // A stored picture of another layer goes after the last one, by one picture's time at most, and the next change
        // takes that back.
        assert!(
            middle.abs() < 1000.0 / f64::from(PICTURES) + 50.0,
            "window {window}: the timeline moved by {middle} ms"
        );
        middles.push(middle);
        let mut age: Vec<Duration> = seen
            .iter()
            .map(|seen| (seen.at - start) - seen.label.captured)
            .collect();
        age.sort();
        ages.push(age[age.len() / 2]);
        let told = told(&world, viewer).unwrap_or(0);
        assert!(told <= 300, "window {window}: told to wait {told} ms");
    }
    assert!(world.elapsed() >= seconds(7200));
    let (first, last) = (ages[0], ages[ages.len() - 1]);
    assert!(
        last.abs_diff(first) < ms(10),
        "{first:?} at first, {last:?} at last"
    );
}

fn watched(seed: u64, way: Conditions, latency: LatencyWish) -> (World, Id) {
    let mut world = World::new(seed, 1);
    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(publisher);
    world.run_for(seconds(1));
    let spec = ViewerSpec {
        latency,
        ..ViewerSpec::chromium()
    };
    let viewer = world.watch_over("a", spec, 0, way, way);
    world.connect(viewer);
    world.run_for(seconds(20));
    (world, viewer)
}

/// The least a player was last told to wait, in ms; `None` if it was told nothing in the last five seconds.
fn told(world: &World, viewer: Id) -> Option<u16> {
    let since = world.now - seconds(5);
    let seen = world
        .viewer(viewer)
        .of(MediaKind::Video)
        .filter(|seen| seen.at > since);
    seen.filter_map(|seen| least(seen.playout.as_deref()?)).last()
}

fn all_told(world: &World, viewer: Id) -> Vec<u16> {
    let seen = world
        .viewer(viewer)
        .of(MediaKind::Video)
        .filter(|seen| !seen.repeated);
    seen.filter_map(|seen| least(seen.playout.as_deref()?)).collect()
}

fn least(bytes: &[u8]) -> Option<u16> {
    let [a, b, _] = bytes else { return None };
    Some(10 * (u16::from(*a) << 4 | u16::from(*b) >> 4))
}
