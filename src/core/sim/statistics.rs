//! What the control plane gets to know of sessions: totals, rates, and how a join went.

use super::network::Conditions;
use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{Id, World, ms, seconds};
use crate::control::{SessionState, SessionView};
use crate::core::media::MediaKind;
use crate::core::statistics::{MediaReport, PublisherReport, ViewerReport};

fn view(world: &World, id: Id) -> SessionView {
    world
        .control
        .view(world.client(id).session)
        .expect("the session lives")
}

fn publisher(world: &World, id: Id) -> PublisherReport {
    match view(world, id).report.expect("there was a report").media {
        MediaReport::Publisher(report) => report,
        other => panic!("{other:?}"),
    }
}

fn viewer(world: &World, id: Id) -> ViewerReport {
    match view(world, id).report.expect("there was a report").media {
        MediaReport::Viewer(report) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_join_is_followed_step_by_step() {
    let mut world = World::new(900, 2);
    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(publisher);
    world.run_for(seconds(1));
    let watching = world.watch("a", ViewerSpec::chromium(), 1);
    assert_eq!(view(&world, watching).state, SessionState::Accepted);
    world.connect(watching);
    world.run_for(seconds(2));
    for id in [publisher, watching] {
        let view = view(&world, id);
        assert_eq!(view.state, SessionState::Connected);
        let steps = view.steps;
        let in_order = [
            steps.first_check,
            steps.connected,
            steps.first_packet,
            steps.first_keyframe,
        ];
        let times: Vec<_> = in_order
            .into_iter()
            .map(|step| step.expect("the step was taken"))
            .collect();
        assert!(times.is_sorted(), "{steps:?}");
        // The first check takes one way of 10 ms, DTLS two round trips more.
        assert!(times[0] >= ms(10) && times[0] < ms(20), "{steps:?}");
        assert!(times[1] >= ms(40) && times[1] < ms(120), "{steps:?}");
        assert!(times[3] < ms(400), "{steps:?}");
        let address = view.report.unwrap().remote;
        assert_eq!(address, Some(world.client(id).address));
    }
}

#[test]
fn what_comes_in_and_goes_out_is_counted() {
    let mut world = World::new(901, 1);
    let published = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(published);
    let watching = world.watch("a", ViewerSpec::chromium(), 0);
    world.connect(watching);
    world.run_for(seconds(5));
    let report = publisher(&world, published);
    let video = report
        .layers
        .iter()
        .find(|layer| layer.kind == MediaKind::Video)
        .unwrap();
    let audio = report
        .layers
        .iter()
        .find(|layer| layer.kind == MediaKind::Audio)
        .unwrap();
    assert_eq!((video.codec.name(), video.size), ("VP8", Some((640, 360))));
    assert!(
        (29.0..31.0).contains(&video.rate) && (49.0..51.0).contains(&audio.rate),
        "{report:?}"
    );
    // 3 packets of 1000 bytes thirty times a second, and keyframes of 12.
    assert!((650_000..1_100_000).contains(&video.bitrate.0), "{video:?}");
    let interval = video.keyframe_interval.unwrap();
    assert!(interval >= seconds(2) && interval < ms(2100), "{interval:?}");
    assert_eq!((report.lost, report.loss), (0, 0.0));
    assert_eq!(report.answers_pli, Some(true));
    let report = viewer(&world, watching);
    let seen = world.viewer(watching).seen.len() as u64;
    assert!(
        report.packets.abs_diff(seen) < 150 && report.bitrate.0 > 650_000,
        "{report:?}"
    );
    let layer = report.layer.unwrap();
    assert_eq!((layer.index, layer.size), (0, Some((640, 360))));
}

/// Without capture times it counts from arrival: the way to the viewer, and what its player is told to wait.
#[test]
fn how_old_a_viewers_picture_is() {
    let mut world = World::new(903, 1);
    let published = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(published);
    let far = Conditions::delay(40);
    let watching = world.watch_over("a", ViewerSpec::chromium(), 0, far, far);
    let lossy = Conditions::delay(40).loss(0.05);
    let suffering = world.watch_over("a", ViewerSpec::chromium(), 0, lossy, lossy);
    for id in [watching, suffering] {
        world.connect(id);
    }
    world.run_for(seconds(10));
    let near = viewer(&world, watching).latency.expect("it plays");
    assert!(!near.exact, "the publisher tells no capture times");
    assert!((38..=45).contains(&near.delay.as_millis()), "{near:?}");
    let far = viewer(&world, suffering).latency.expect("it plays");
    assert!((250..=450).contains(&far.delay.as_millis()), "{far:?}");
}

#[test]
fn losses_on_both_ways_are_told_apart() {
    let mut world = World::new(902, 1);
    let lossy = Conditions {
        loss: 0.05,
        ..Conditions::delay(10)
    };
    let published = world.publish_over("a", PublisherSpec::chromium(), 0, lossy, Conditions::delay(10));
    world.connect(published);
    let watching = world.watch_over("a", ViewerSpec::chromium(), 0, Conditions::delay(10), lossy);
    world.connect(watching);
    let mut losses = Vec::new();
    for _ in 0..10 {
        world.run_for(seconds(1));
        losses.push(publisher(&world, published).loss);
    }
    let mean = losses.iter().sum::<f32>() / losses.len() as f32;
    assert!((0.03..0.07).contains(&mean), "{losses:?}");
    let report = publisher(&world, published);
    assert!(report.nacked > 20 && report.retransmitted > 20, "{report:?}");
    // What was sent again came after all; sound is not asked for again.
    let lost = |kind| {
        let of_kind = report.layers.iter().filter(move |layer| layer.kind == kind);
        of_kind.map(|layer| layer.lost).sum::<u64>()
    };
    assert!(
        lost(MediaKind::Video) <= 2 && lost(MediaKind::Audio) > 10,
        "{report:?}"
    );
    let report = viewer(&world, watching);
    assert!(report.nacked > 20 && report.retransmitted > 20, "{report:?}");
}
