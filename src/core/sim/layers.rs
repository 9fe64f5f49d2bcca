//! Simulcast: who gets which layer, and going from one to another without a break.

use std::time::Duration;

use super::network::Conditions;
use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{Id, World, ms, seconds};
use crate::control::{LayerRequest, NoLayer};
use crate::core::ids::{Rid, WorkerId};
use crate::core::media::{LayerChoice, MediaKind};
use crate::core::route::Message;

/// A thirtieth of a second.
const PICTURE: i64 = 3000;

fn published(seed: u64, spec: PublisherSpec) -> (World, Id) {
    let mut world = World::new(seed, 2);
    let publisher = world.publish("a", spec, 0);
    world.connect(publisher);
    world.run_for(seconds(3));
    (world, publisher)
}

fn watching(world: &mut World, worker: usize) -> Id {
    let viewer = world.watch("a", ViewerSpec::chromium(), worker);
    world.connect(viewer)
}

fn named(rid: &str) -> LayerChoice {
    LayerChoice {
        rid: Some(Rid(rid.into())),
        ..LayerChoice::default()
    }
}

fn choose(world: &mut World, viewer: Id, choice: LayerChoice) {
    let (session, worker) = (world.client(viewer).session, world.client(viewer).worker);
    let message = Message::ChooseLayer { session, choice };
    world.post(WorkerId(worker as u16), message);
}

/// As HTTP has it done.
fn request(world: &mut World, viewer: Id, rid: Option<&str>) -> Result<(), NoLayer> {
    let request = LayerRequest {
        rid: rid.map(str::to_owned),
        ..LayerRequest::default()
    };
    let outcome = world
        .control
        .choose_layer(&world.client(viewer).session, &request);
    world.take_posted();
    outcome
}

/// The layer of the newest packet.
fn plays(world: &World, viewer: Id) -> u8 {
    world
        .viewer(viewer)
        .video()
        .last()
        .expect("there is video")
        .label
        .layer
}

/// Numbers without holes, pictures in order and whole where they are not cut by a switch, each layer from a keyframe
/// on, and nothing of a layer that was left.
fn is_seamless(world: &World, viewer: Id) {
    let watched = world.viewer(viewer);
    let video = watched.video();
    assert_eq!(watched.holes(MediaKind::Video), 0);
    let mut packets = video.clone();
    packets.sort_by_key(|seen| seen.seq);
    for pair in packets.windows(2) {
        let (old, new) = (pair[0], pair[1]);
        let step = i64::from(new.timestamp.wrapping_sub(old.timestamp) as i32);
        // A keyframe may cut a run-up short: the time that it took is on the timeline.
        let most = if new.label.keyframe {
            8 * PICTURE
        } else {
            2 * PICTURE
        };
        assert!((0..most).contains(&step), "{step} ticks: {old:?}, {new:?}");
        if old.label.layer != new.label.layer {
            assert!(
                new.label.keyframe && new.label.index == 0,
                "{new:?} after {old:?}"
            );
            assert!(step > 0, "{new:?} after {old:?}");
        }
        if let (Some((old_id, old_base)), Some((id, base))) = (old.numbers, new.numbers) {
            let same = step == 0;
            let expected = if same { old_id } else { (old_id + 1) & 0x7fff };
            assert_eq!(id, expected, "{new:?} after {old:?}");
            assert_eq!(base, if same { old_base } else { old_base.wrapping_add(1) });
        }
    }
    let frames = watched.frames();
    for pair in frames.windows(2) {
        let (old, new) = (&pair[0], &pair[1]);
        assert!(old.is_complete() || new.label.keyframe, "{old:?}");
    }
}

/// The longest time without a packet of video, from `since` on.
fn longest_gap(world: &World, viewer: Id, since: Duration) -> Duration {
    let since = world.start + since;
    let mut times: Vec<_> = world.viewer(viewer).video().iter().map(|seen| seen.at).collect();
    times.retain(|at| *at >= since);
    times.sort_unstable();
    times.push(world.now);
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().expect("there is video")
}

#[test]
fn a_viewer_gets_the_largest_picture_wherever_it_stands_in_the_list() {
    for (seed, spec, best) in [
        (400, PublisherSpec::chromium_simulcast(), 2),
        (401, PublisherSpec::obs_simulcast(), 0),
    ] {
        let (mut world, _) = published(seed, spec);
        for worker in [0, 1] {
            let viewer = watching(&mut world, worker);
            world.run_for(seconds(2));
            let video = world.viewer(viewer).video();
            assert!(video.iter().all(|seen| seen.label.layer == best));
            assert!(world.viewer(viewer).frames().len() > 50);
            is_seamless(&world, viewer);
        }
    }
}

#[test]
fn a_browsers_layers_are_changed_at_the_next_picture() {
    let (mut world, _) = published(402, PublisherSpec::chromium_simulcast());
    for worker in [0, 1] {
        let viewer = watching(&mut world, worker);
        world.run_for(seconds(2));
        let since = world.elapsed();
        for (rid, layer) in [("q", 0), ("f", 2), ("h", 1), ("q", 0), ("h", 1)] {
            choose(&mut world, viewer, named(rid));
            world.run_for(ms(400));
            assert_eq!(plays(&world, viewer), layer, "{rid}");
            world.run_for(ms(600));
        }
        choose(&mut world, viewer, LayerChoice::default());
        world.run_for(seconds(1));
        assert_eq!(plays(&world, viewer), 2, "automatic again");
        is_seamless(&world, viewer);
        let gap = longest_gap(&world, viewer, since);
        assert!(gap < ms(60), "{gap:?}");
    }
}

/// The pictures' times stay true however often it goes to and fro: an offset would be latency.
#[test]
fn fifty_switches_do_not_move_the_timeline() {
    for (seed, spec, low, high) in [
        (403, PublisherSpec::chromium_simulcast(), "q", "f"),
        (404, PublisherSpec::obs_simulcast(), "2", "0"),
    ] {
        let (mut world, _) = published(seed, spec);
        let viewer = watching(&mut world, 0);
        world.run_for(seconds(1));
        let offset = |world: &World| {
            let video = world.viewer(viewer).video();
            let last = video.last().unwrap();
            last.timestamp
                .wrapping_sub((last.label.captured.as_micros() * 90 / 1000) as u32)
        };
        let before = offset(&world);
        for round in 0..50 {
            choose(&mut world, viewer, named(if round % 2 == 0 { low } else { high }));
            world.run_for(ms(700));
        }
        world.run_for(seconds(1));
        let moved = offset(&world).wrapping_sub(before) as i32;
        assert!(moved.abs() < 500, "{moved} ticks");
        let video = world.viewer(viewer).video();
        let switches = video
            .windows(2)
            .filter(|pair| pair[0].label.layer != pair[1].label.layer);
        assert_eq!(switches.count(), 50);
        is_seamless(&world, viewer);
    }
}

#[test]
fn a_deaf_publishers_layers_are_changed_from_the_stored_keyframe_on() {
    let (mut world, publisher) = published(405, PublisherSpec::obs_simulcast());
    for worker in [0, 1] {
        let viewer = watching(&mut world, worker);
        world.run_for(ms(1500));
        let since = world.elapsed();
        for (rid, layer) in [("2", 2), ("1", 1), ("0", 0), ("2", 2)] {
            choose(&mut world, viewer, named(rid));
            world.run_for(ms(100));
            assert_eq!(plays(&world, viewer), layer, "{rid}");
            world.run_for(ms(900));
        }
        is_seamless(&world, viewer);
        let gap = longest_gap(&world, viewer, since);
        assert!(gap < ms(60), "{gap:?}");
    }
    let asked = world.publisher(publisher).asked.len();
    assert!(asked < 12, "{asked} requests to one that never answers");
}

/// Each of its wishes would cost a group of pictures.
#[test]
fn a_viewer_that_cannot_make_up_its_mind_gets_two_run_ups_a_second() {
    let (mut world, _) = published(413, PublisherSpec::obs_simulcast());
    let viewer = watching(&mut world, 0);
    world.run_for(seconds(1));
    for round in 0..100 {
        choose(&mut world, viewer, named(["2", "1", "0"][round % 3]));
        world.run_for(ms(30));
    }
    let video = world.viewer(viewer).video();
    let switches = video
        .windows(2)
        .filter(|pair| pair[0].label.layer != pair[1].label.layer);
    let switches = switches.count();
    assert!((3..=8).contains(&switches), "{switches} in three seconds");
    is_seamless(&world, viewer);
}

#[test]
fn loss_on_both_ways_leaves_no_hole() {
    let mut world = World::new(406, 1);
    let rough = Conditions::delay(15).jitter(10).loss(0.02);
    let publisher = world.publish_over("a", PublisherSpec::chromium_simulcast(), 0, rough, rough);
    world.connect(publisher);
    world.run_for(seconds(3));
    for spec in [ViewerSpec::chromium(), ViewerSpec::without_rtx()] {
        let viewer = world.watch_over("a", spec, 0, rough, rough);
        world.connect(viewer);
        world.run_for(seconds(2));
        for rid in ["q", "f", "h", "f", "q", "h"] {
            choose(&mut world, viewer, named(rid));
            world.run_for(seconds(1));
        }
        world.run_for(seconds(1));
        assert_eq!(plays(&world, viewer), 1);
        let watched = world.viewer(viewer);
        let holes = watched.holes(MediaKind::Video);
        assert!(holes < 5, "{holes} holes");
    }
}

/// OBS repeats what was lost of its first layer alone, and answers no PLI: below, what is lost on the way to the server
/// stays lost, and nothing else is.
#[test]
fn what_obs_loses_of_a_lower_layer_is_missing_and_nothing_more() {
    let mut world = World::new(415, 1);
    let (lossy, good) = (Conditions::delay(15).loss(0.01), Conditions::delay(15));
    let publisher = world.publish_over("a", PublisherSpec::obs_simulcast(), 0, lossy, good);
    world.connect(publisher);
    world.run_for(seconds(3));
    let [above, below] = [watching(&mut world, 0), watching(&mut world, 0)];
    choose(&mut world, below, named("1"));
    world.run_for(seconds(1));
    let since = world.elapsed();
    world.run_for(seconds(20));
    let (all, some) = (world.viewer(above), world.viewer(below));
    let holes = all.holes(MediaKind::Video);
    assert!(holes < 3, "{holes} holes in the first layer");
    let (holes, seen) = (some.holes(MediaKind::Video), some.video().len());
    assert!(
        holes > 3 && holes * 40 < seen,
        "{holes} holes among {seen} packets"
    );
    let broken = some.frames().iter().filter(|frame| !frame.is_complete()).count();
    assert!(broken <= holes, "{broken} pictures in part, {holes} holes");
    let gap = longest_gap(&world, below, since);
    assert!(gap < ms(150), "{gap:?}");
    let asked = world.publisher(publisher).asked.len();
    assert!(asked < 8, "{asked} requests to one that never answers");
}

#[test]
fn at_most_so_high() {
    for (seed, spec, expected) in [
        (
            407,
            PublisherSpec::chromium_simulcast(),
            [(2000, 2), (720, 2), (719, 1), (360, 1), (180, 0), (10, 0)],
        ),
        (
            408,
            PublisherSpec::obs_simulcast(),
            [(2000, 0), (720, 0), (719, 1), (360, 1), (180, 2), (10, 2)],
        ),
    ] {
        let (mut world, _) = published(seed, spec);
        for (max, layer) in expected {
            let choice = LayerChoice {
                max_height: Some(max),
                ..LayerChoice::default()
            };
            let viewer = world.watch_layer("a", ViewerSpec::chromium(), 1, choice);
            world.connect(viewer);
            world.run_for(seconds(1));
            let video = world.viewer(viewer).video();
            assert!(!video.is_empty());
            assert!(video.iter().all(|seen| seen.label.layer == layer), "{max}");
        }
    }
}

#[test]
fn a_layer_that_stops_is_replaced_within_half_a_second_and_taken_up_again_when_it_comes_back() {
    for (seed, spec, best, next) in [
        (409, PublisherSpec::chromium_simulcast(), ("f", 2), 1),
        (410, PublisherSpec::obs_simulcast(), ("0", 0), 1),
    ] {
        let (mut world, publisher) = published(seed, spec);
        let viewers = [watching(&mut world, 0), watching(&mut world, 1)];
        world.run_for(seconds(2));
        let since = world.elapsed();
        world.publisher_mut(publisher).stop_layer(best.0, true);
        world.run_for(seconds(3));
        for viewer in viewers {
            assert_eq!(plays(&world, viewer), next);
            let gap = longest_gap(&world, viewer, since);
            assert!(gap <= ms(500), "{gap:?}");
        }
        world.publisher_mut(publisher).stop_layer(best.0, false);
        let since = world.elapsed();
        world.run_for(seconds(3));
        for viewer in viewers {
            assert_eq!(plays(&world, viewer), best.1);
            let gap = longest_gap(&world, viewer, since);
            assert!(gap < ms(80), "{gap:?}");
            assert_eq!(world.viewer(viewer).holes(MediaKind::Video), 0);
        }
    }
}

#[test]
fn a_publisher_that_pauses_altogether_has_not_stopped_a_layer() {
    let (mut world, publisher) = published(411, PublisherSpec::chromium_simulcast());
    let viewer = watching(&mut world, 0);
    world.run_for(seconds(1));
    world.publisher_mut(publisher).paused = true;
    world.run_for(seconds(2));
    world.publisher_mut(publisher).paused = false;
    world.run_for(seconds(1));
    let video = world.viewer(viewer).video();
    assert!(video.iter().all(|seen| seen.label.layer == 2));
}

#[test]
fn a_wish_counts_before_the_viewer_is_connected_and_after() {
    let (mut world, publisher) = published(414, PublisherSpec::obs_simulcast());
    let largest = LayerChoice {
        max_height: Some(360),
        ..LayerChoice::default()
    };
    let viewer = world.watch_layer("a", ViewerSpec::chromium(), 1, largest);
    assert_eq!(request(&mut world, viewer, Some("2")), Ok(()));
    world.connect(viewer);
    world.run_for(seconds(1));
    let video = world.viewer(viewer).video();
    assert!(!video.is_empty() && video.iter().all(|seen| seen.label.layer == 2));
    assert_eq!(request(&mut world, viewer, Some("0")), Ok(()));
    world.run_for(seconds(1));
    assert_eq!(plays(&world, viewer), 0);
    assert_eq!(request(&mut world, viewer, None), Ok(()));
    world.run_for(seconds(1));
    assert_eq!(plays(&world, viewer), 1, "as high as its POST said");
    assert_eq!(request(&mut world, viewer, Some("3")), Err(NoLayer::Rid));
    assert_eq!(request(&mut world, publisher, None), Err(NoLayer::Publisher));
    is_seamless(&world, viewer);
}

#[test]
fn one_viewers_choice_is_nobody_elses() {
    let (mut world, _) = published(412, PublisherSpec::chromium_simulcast());
    let chooser = watching(&mut world, 0);
    let other = watching(&mut world, 0);
    choose(&mut world, chooser, named("q"));
    world.run_for(seconds(1));
    choose(&mut world, chooser, named("no-such-layer"));
    assert_eq!((plays(&world, chooser), plays(&world, other)), (0, 2));
    world.run_for(seconds(1));
    assert_eq!(plays(&world, chooser), 2, "as if none had been named");
    is_seamless(&world, other);
}
