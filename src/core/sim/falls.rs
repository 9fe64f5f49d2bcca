//! A way that falls from 5 to 0.7 Mbit/s for 20 s and rises again.

use std::time::Duration;

use super::adaptation::{
    CHROMIUM, THIRDS, browser, height, height_of, obs, published, sound_is_whole, watching, way,
};
use super::publisher::PublisherSpec;
use super::world::{ms, seconds};

/// What became of a viewer.
#[derive(Clone, Copy, Debug)]
struct Fall {
    /// A lower layer was on the screen after.
    lower: Option<Duration>,
    /// Frozen for so long, in sum: while it was narrow, and once it was wide again.
    frozen: [Duration; 2],
    /// The share of the way that was used while it was narrow, but for the first three seconds.
    used: f64,
    /// The best layer was on the screen again after.
    back: Option<Duration>,
}

impl Fall {
    /// What is wanted of all.
    fn holds(&self, back: Duration) {
        assert!(self.lower.is_some_and(|after| after <= seconds(2)), "{self:?}");
        assert!(self.frozen[0] <= ms(500), "on the way down: {self:?}");
        assert!(self.frozen[1].is_zero(), "on the way up: {self:?}");
        assert!(self.used >= 0.75, "{self:?}");
        assert!(self.back.is_some_and(|after| after <= back), "{self:?}");
    }
}

/// `phase` is where between two keyframes the way falls.
fn fall(seed: u64, spec: PublisherSpec, phase: Duration) -> Fall {
    let mut world = published(seed, spec);
    let viewer = watching(&mut world, 5_000_000);
    world.run_for(seconds(20) + phase);
    assert_eq!(height(&world, viewer), 720, "on top to begin with");

    let fell = world.now;
    world.client_mut(viewer).down.conditions = way(700_000);
    world.run_for(seconds(3));
    let before = world.client(viewer).down.carried;
    world.run_for(seconds(17));
    let used = (world.client(viewer).down.carried - before) as f64 * 8.0 / 17.0 / 700_000.0;

    let rose = world.now;
    world.client_mut(viewer).down.conditions = way(5_000_000);
    world.run_for(seconds(20));
    sound_is_whole(&world, viewer);
    let watched = world.viewer(viewer);
    let shown = watched.shown();
    let after = |since, wanted: &dyn Fn(u16) -> bool| {
        let mut shown = shown.iter().filter(|shown| shown.at >= since);
        let found = shown.find(|shown| wanted(height_of(&world, shown.label.layer)));
        found.map(|shown| shown.at - since)
    };
    Fall {
        lower: after(fell, &|height| height < 720),
        frozen: [watched.frozen(fell, rose), watched.frozen(rose, world.now)],
        used,
        back: after(rose, &|height| height == 720),
    }
}

#[test]
fn a_browser_publishes() {
    for (seed, phase) in [(500, 0), (501, 137), (502, 411)] {
        fall(seed, browser(), ms(phase)).holds(seconds(10));
    }
}

#[test]
fn a_browser_publishes_with_temporal_layers() {
    let spec = browser().video(|video| video.within = (1, 3));
    fall(503, spec, ms(50)).holds(seconds(10));
}

#[test]
fn a_deaf_publishers_keyframes_are_two_seconds_apart() {
    for (seed, phase) in [(504, 0), (505, 500), (506, 1000), (507, 1500)] {
        fall(seed, obs(THIRDS, seconds(2)), ms(phase)).holds(seconds(10));
    }
    fall(508, obs(CHROMIUM, seconds(2)), ms(700)).holds(seconds(10));
}

#[test]
fn a_deaf_publishers_keyframes_are_four_seconds_apart() {
    for (seed, phase) in [(509, 0), (510, 2000), (511, 3000)] {
        fall(seed, obs(THIRDS, seconds(4)), ms(phase)).holds(seconds(10));
    }
}

/// Up goes it with the next keyframe, once it is known that there is room.
#[test]
fn a_deaf_publishers_keyframes_are_as_far_apart_as_obs_has_them() {
    for (seed, phase) in [(512, 0), (513, 4166)] {
        fall(seed, obs(THIRDS, ms(8333)), ms(phase)).holds(seconds(13));
    }
}

/// The table in docs/quality.md.
#[test]
#[ignore = "prints a table"]
fn table() {
    let cases = [
        ("browser", None),
        ("OBS, 2 s", Some((THIRDS, 2000))),
        ("OBS, 4 s", Some((THIRDS, 4000))),
        ("OBS, 8.33 s", Some((THIRDS, 8333))),
        ("deaf, a browser's layers, 2 s", Some((CHROMIUM, 2000))),
        ("deaf, a browser's layers, 8.33 s", Some((CHROMIUM, 8333))),
    ];
    for (name, of) in cases {
        let runs: Vec<Fall> = (0..12u64)
            .map(|run| match of {
                None => fall(600 + run, browser(), ms(37 * run)),
                Some((of, gop)) => fall(600 + run, obs(of, ms(gop)), ms(gop * run / 12)),
            })
            .collect();
        let spread = |of: &dyn Fn(&Fall) -> f64, digits: usize| {
            let mut all: Vec<f64> = runs.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            format!(
                "{:.digits$} / {:.digits$}",
                all[all.len() / 2],
                all[all.len() - 1]
            )
        };
        let least = runs.iter().map(|run| run.used).fold(1.0, f64::min);
        let time = |time: Option<Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64());
        println!(
            "| {name} | {} | {} | {} | {:.0} % | {} |",
            spread(&|run| time(run.lower), 2),
            spread(&|run| run.frozen[0].as_millis() as f64, 0),
            spread(&|run| run.frozen[1].as_millis() as f64, 0),
            least * 100.0,
            spread(&|run| time(run.back), 1),
        );
    }
}
