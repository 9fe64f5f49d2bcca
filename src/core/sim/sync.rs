//! Sound and picture stay together: sender reports tell viewers which sound belongs to which picture.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::publisher::PublisherSpec;
use super::viewer::{Report, Seen, ViewerSpec};
use super::world::{Id, World, ms, seconds};
use crate::core::media::MediaKind;

const TOLERANCE: f64 = 0.005;

#[test]
fn reports_that_take_different_times_to_arrive_leave_sound_and_picture_together() {
    for (seed, workers, worker) in [(80, 1, 0), (81, 2, 1)] {
        let mut world = World::new(seed, workers);
        let spec = PublisherSpec {
            report_delays: [ms(120), ms(5)],
            ..PublisherSpec::chromium()
        };
        let publisher = world.publish("a", spec, 0);
        world.connect(publisher);
        let viewer = world.watch("a", ViewerSpec::chromium(), worker);
        world.connect(viewer);
        world.run_for(seconds(10));
        let from = world.start + seconds(2);
        assert!(together(&world, viewer, from, world.now) >= 7);
    }
}

#[test]
fn during_a_run_up_and_after_it() {
    let mut world = World::new(82, 1);
    let spec = PublisherSpec {
        report_delays: [ms(10), ms(90)],
        ..PublisherSpec::obs()
    };
    let publisher = world.publish("a", spec, 0);
    world.connect(publisher);
    world.run_for(seconds(8));
    let viewer = world.watch("a", ViewerSpec::chromium(), 0);
    world.connect(viewer);
    let joined = world.now;
    world.run_for(seconds(1));
    assert!(
        together(&world, viewer, joined, world.now) >= 1,
        "a report comes with the first second"
    );
    world.run_for(seconds(5));
    assert!(together(&world, viewer, joined, world.now) >= 5);
}

#[test]
fn after_a_takeover() {
    let mut world = World::new(83, 2);
    let first = PublisherSpec {
        report_delays: [ms(50), ms(0)],
        ..PublisherSpec::chromium()
    };
    let second = PublisherSpec {
        report_delays: [ms(0), ms(150)],
        ..PublisherSpec::obs()
    };
    let old = world.publish("a", first, 0);
    world.connect(old);
    let viewers = [0, 1].map(|worker| world.watch("a", ViewerSpec::chromium(), worker));
    for viewer in viewers {
        world.connect(viewer);
    }
    world.run_for(seconds(4));
    let new = world.publish("a", second, 1);
    world.connect(new);
    let since = world.now;
    world.run_for(seconds(8));
    for viewer in viewers {
        assert!(together(&world, viewer, since + seconds(2), world.now) >= 5);
    }
}

/// Whoever watches two clocks drift apart must not see the sound drift from the picture.
#[test]
fn a_report_from_long_ago_still_holds() {
    let mut world = World::new(84, 1);
    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(publisher);
    let viewer = world.watch("a", ViewerSpec::chromium(), 0);
    world.connect(viewer);
    world.run_for(seconds(120));
    assert!(together(&world, viewer, world.now - seconds(20), world.now) >= 18);
}

/// Checks each pair of reports between two instants against the packets: what was captured at once is mapped to the
/// same instant. Returns how many pairs there were.
fn together(world: &World, viewer: Id, from: Instant, to: Instant) -> usize {
    let watched = world.viewer(viewer);
    let (video, audio) = (
        watched.ssrc(MediaKind::Video).unwrap(),
        watched.ssrc(MediaKind::Audio).unwrap(),
    );
    let mut pairs: BTreeMap<Duration, (Option<Report>, Option<Report>)> = BTreeMap::new();
    for report in watched
        .reports
        .iter()
        .filter(|report| report.at >= from && report.at <= to)
    {
        let pair = pairs.entry(report.at - world.start).or_default();
        if report.ssrc == video {
            pair.0 = Some(*report);
        } else if report.ssrc == audio {
            pair.1 = Some(*report);
        }
    }
    let mut checked = 0;
    for (at, pair) in pairs {
        let (Some(of_video), Some(of_audio)) = pair else {
            continue;
        };
        let near = |kind| {
            let live = watched
                .of(kind)
                .filter(|seen| seen.playout.as_deref() != Some(&[0, 0, 0][..]));
            live.min_by_key(|seen| (seen.at - world.start).abs_diff(at))
                .expect("there is live media")
        };
        let lag = |seen: &Seen, report: &Report, clock_rate: f64| {
            let behind = f64::from(seen.timestamp.wrapping_sub(report.rtp) as i32) / clock_rate;
            // Where on the server's clock this was captured, less where it was on the publisher's.
            report.ntp as f64 / 4_294_967_296.0 + behind - seen.label.captured.as_secs_f64()
        };
        let difference = lag(near(MediaKind::Video), &of_video, 90_000.0)
            - lag(near(MediaKind::Audio), &of_audio, 48_000.0);
        assert!(
            difference.abs() < TOLERANCE,
            "picture and sound are {difference} s apart at {at:?}"
        );
        checked += 1;
    }
    checked
}
