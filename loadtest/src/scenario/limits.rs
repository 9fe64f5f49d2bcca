//! What must hold at a scenario's end, and what did not.

use serde::{Deserialize, Serialize};

use super::limited::Limited;
use super::outcome::{Ending, Outcome};
use super::values::{Percent, Time};
use crate::client::behaviour::Kind;
use crate::report::totals::ViewerTotals;

/// Each is checked only when given. Loss, freezes and latency are those of viewers that behave well, unless the name
/// says otherwise.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// Of all viewers.
    pub max_failed: Option<Percent>,
    /// Of the viewers that had [`Ending::GRACE_MS`]: those that never saw a keyframe (or packet, without video).
    pub max_unserved: Option<Percent>,
    /// Of the viewers that did not stop reading: those without a new picture in the last two seconds.
    pub max_dark_at_end: Option<Percent>,
    pub max_first_packet_p99: Option<Time>,
    pub max_first_keyframe_p99: Option<Time>,
    pub max_loss_after_repair: Option<Percent>,
    /// Of the video of lossy viewers; their audio is never asked for again.
    pub max_lossy_loss_after_repair: Option<Percent>,
    /// Mean over viewers.
    pub max_freezes: Option<f64>,
    /// Of the time viewers were there.
    pub max_frozen_time: Option<Percent>,
    pub max_latency_p50: Option<Time>,
    pub max_latency_p99: Option<Time>,
    pub max_failed_publishers: Option<usize>,
    /// The next six are of viewers on limited lines, always of the worst of them. This one: of the best layer that
    /// fits, in the last third of the run.
    pub min_link_use: Option<Percent>,
    pub max_link_freezes: Option<u64>,
    pub max_link_frozen_time: Option<Percent>,
    pub max_link_audio_loss: Option<Percent>,
    pub max_link_latency_p99: Option<Time>,
    pub max_layer_switches: Option<u64>,
    /// Needs the server's process.
    pub max_cpu_us_per_packet: Option<f64>,
    /// Percent of the server's memory, from the end of the first quarter to the end of the run. Needs its process.
    pub max_memory_growth: Option<f64>,
}

/// A limit that did not hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Broken {
    /// As it is written in the scenario.
    pub limit: &'static str,
    pub allowed: f64,
    /// None when there was nothing to measure, which breaks a limit too.
    pub found: Option<f64>,
    /// Percent, ms, µs, or empty.
    pub unit: &'static str,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            limit,
            allowed,
            found,
            unit,
        } = self;
        let allowed_is = if is_minimum(limit) { "at least" } else { "allowed" };
        match found {
            Some(found) => write!(out, "{limit}: {found:.3} {unit}, {allowed_is} {allowed} {unit}"),
            None => write!(
                out,
                "{limit}: nothing was measured, {allowed_is} {allowed} {unit}"
            ),
        }
    }
}

fn is_minimum(limit: &str) -> bool {
    limit.starts_with("min-")
}

impl Limits {
    /// The limits that `outcome` breaks.
    pub fn broken_by(&self, outcome: &Outcome) -> Vec<Broken> {
        let all = &outcome.totals;
        let well = outcome.of_kind(Kind::Well).unwrap_or(all);
        let lossy = outcome.of_kind(Kind::Lossy);
        let viewers = all.viewers.max(1) as f64;
        let Ending {
            due,
            unserved,
            lit,
            dark,
        } = outcome.ending;
        let of = |part: usize, whole: usize| Some(part as f64 / whole.max(1) as f64 * 100.0);
        let per_viewer =
            |totals: &ViewerTotals, value: u64| Some(value as f64 / totals.viewers.max(1) as f64);
        let percent = |limit: Option<Percent>| limit.map(|limit| limit.0);
        let time = |limit: Option<Time>| limit.map(Time::as_millis);
        let frozen = (well.lived_ms > 0.0).then(|| well.freeze_ms as f64 / well.lived_ms * 100.0);
        let worst =
            |value: fn(&Limited) -> Option<f64>| outcome.limited.iter().filter_map(value).reduce(f64::max);
        let least =
            |value: fn(&Limited) -> Option<f64>| outcome.limited.iter().filter_map(value).reduce(f64::min);
        let checks: [(&'static str, Option<f64>, Option<f64>, &'static str); 20] = [
            (
                "max-failed",
                percent(self.max_failed),
                Some(all.failed as f64 / viewers * 100.0),
                "%",
            ),
            ("max-unserved", percent(self.max_unserved), of(unserved, due), "%"),
            (
                "max-dark-at-end",
                percent(self.max_dark_at_end),
                of(dark, lit + dark),
                "%",
            ),
            (
                "max-first-packet-p99",
                time(self.max_first_packet_p99),
                all.first_packet_ms.p99,
                "ms",
            ),
            (
                "max-first-keyframe-p99",
                time(self.max_first_keyframe_p99),
                all.first_keyframe_ms.p99,
                "ms",
            ),
            (
                "max-loss-after-repair",
                percent(self.max_loss_after_repair),
                Some(well.loss_after_repair),
                "%",
            ),
            (
                "max-lossy-loss-after-repair",
                percent(self.max_lossy_loss_after_repair),
                lossy.map(|lossy| lossy.video_loss_after_repair),
                "%",
            ),
            (
                "max-freezes",
                self.max_freezes,
                per_viewer(well, well.freezes),
                "",
            ),
            ("max-frozen-time", percent(self.max_frozen_time), frozen, "%"),
            (
                "max-latency-p50",
                time(self.max_latency_p50),
                well.latency_ms.p50,
                "ms",
            ),
            (
                "max-latency-p99",
                time(self.max_latency_p99),
                well.latency_ms.p99,
                "ms",
            ),
            (
                "max-failed-publishers",
                self.max_failed_publishers.map(|count| count as f64),
                Some(outcome.failed_publishers as f64),
                "",
            ),
            (
                "min-link-use",
                percent(self.min_link_use),
                least(|limited| limited.share),
                "%",
            ),
            (
                "max-link-freezes",
                self.max_link_freezes.map(|count| count as f64),
                worst(|limited| limited.has_room().then_some(limited.freezes as f64)),
                "",
            ),
            (
                "max-link-frozen-time",
                percent(self.max_link_frozen_time),
                worst(|limited| limited.has_room().then_some(limited.frozen)),
                "%",
            ),
            (
                "max-link-audio-loss",
                percent(self.max_link_audio_loss),
                worst(|limited| Some(limited.audio_loss)),
                "%",
            ),
            (
                "max-link-latency-p99",
                time(self.max_link_latency_p99),
                worst(|limited| limited.latency_p99_ms),
                "ms",
            ),
            (
                "max-layer-switches",
                self.max_layer_switches.map(|count| count as f64),
                worst(|limited| Some(limited.layer_switches as f64)),
                "",
            ),
            (
                "max-cpu-us-per-packet",
                self.max_cpu_us_per_packet,
                outcome.server.and_then(|server| server.cpu_us_per_packet),
                "µs",
            ),
            (
                "max-memory-growth",
                self.max_memory_growth,
                outcome.memory_growth,
                "%",
            ),
        ];
        // A server elsewhere has no process to measure: what needs one is left out, not broken.
        let measurable = |name: &str| {
            outcome.server.is_some() || !matches!(name, "max-cpu-us-per-packet" | "max-memory-growth")
        };
        checks
            .into_iter()
            .filter(|(name, ..)| measurable(name))
            .filter_map(|(limit, allowed, found, unit)| {
                let allowed = allowed?;
                let kept = found.is_some_and(|found| match is_minimum(limit) {
                    true => found >= allowed,
                    false => found <= allowed,
                });
                (!kept).then_some(Broken {
                    limit,
                    allowed,
                    found,
                    unit,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(text: &str) -> Limits {
        toml::from_str(text).expect("limits")
    }

    fn totals(loss_after_repair: f64) -> ViewerTotals {
        ViewerTotals {
            viewers: 10,
            failed: 1,
            loss_after_repair,
            ..ViewerTotals::default()
        }
    }

    fn names(limits: &Limits, outcome: &Outcome) -> Vec<&'static str> {
        limits
            .broken_by(outcome)
            .iter()
            .map(|broken| broken.limit)
            .collect()
    }

    #[test]
    fn what_is_within_its_limit_or_has_none_is_not_broken() {
        let outcome = Outcome {
            totals: totals(0.5),
            ..Outcome::default()
        };
        assert_eq!(names(&limits(""), &outcome), [""; 0]);
        assert_eq!(
            names(&limits("max-failed = 10\nmax-loss-after-repair = 0.5"), &outcome),
            [""; 0]
        );
        let broken = limits("max-failed = 9.9\nmax-loss-after-repair = 0.4");
        assert_eq!(names(&broken, &outcome), ["max-failed", "max-loss-after-repair"]);
        let said = broken.broken_by(&outcome)[1].to_string();
        assert_eq!(said, "max-loss-after-repair: 0.500 %, allowed 0.4 %");
    }

    #[test]
    fn the_worst_viewer_on_a_limited_line_counts() {
        let viewer = |share, freezes| Limited {
            share: Some(share),
            freezes,
            ..Limited::default()
        };
        let outcome = Outcome {
            limited: vec![viewer(95.0, 0), viewer(55.0, 3)],
            ..Outcome::default()
        };
        assert_eq!(
            names(&limits("min-link-use = 55\nmax-link-freezes = 3"), &outcome),
            [""; 0]
        );
        let broken = limits("min-link-use = 60\nmax-link-freezes = 2").broken_by(&outcome);
        assert_eq!(broken[0].to_string(), "min-link-use: 55.000 %, at least 60 %");
        assert_eq!(broken[1].limit, "max-link-freezes");
        assert_eq!(
            names(&limits("min-link-use = 60"), &Outcome::default()),
            ["min-link-use"]
        );
    }

    #[test]
    fn a_line_that_no_layer_fits_may_freeze() {
        let viewer = |wanted_kbit| Limited {
            wanted_kbit,
            freezes: 9,
            frozen: 90.0,
            ..Limited::default()
        };
        let strict = limits("max-link-freezes = 0\nmax-link-frozen-time = 1");
        let fits = |wanted: Option<f64>| Outcome {
            limited: vec![viewer(wanted), Limited::default()],
            ..Outcome::default()
        };
        assert_eq!(names(&strict, &fits(Some(0.0))), [""; 0]);
        let both = ["max-link-freezes", "max-link-frozen-time"];
        assert_eq!(names(&strict, &fits(Some(250.0))), both);
        assert_eq!(names(&strict, &fits(None)), both);
    }

    #[test]
    fn lossy_viewers_do_not_spoil_the_others_figures() {
        let outcome = Outcome {
            totals: totals(5.0),
            by_kind: [("well", totals(0.0)), ("lossy", totals(5.0))].into(),
            ..Outcome::default()
        };
        assert_eq!(names(&limits("max-loss-after-repair = 0.1"), &outcome), [""; 0]);
    }

    #[test]
    fn what_should_have_been_measured_and_was_not_breaks_its_limit() {
        let outcome = Outcome::default();
        assert_eq!(
            names(&limits("max-latency-p99 = '1s'"), &outcome),
            ["max-latency-p99"]
        );
        // Without a process there is nothing to measure it by.
        assert_eq!(names(&limits("max-memory-growth = 1"), &outcome), [""; 0]);
    }

    #[test]
    fn dark_and_unserved_viewers_are_counted_in_percent() {
        let outcome = Outcome {
            ending: Ending {
                due: 10,
                unserved: 1,
                lit: 3,
                dark: 1,
            },
            ..Outcome::default()
        };
        let broken = limits("max-unserved = 9\nmax-dark-at-end = 24").broken_by(&outcome);
        let found: Vec<Option<f64>> = broken.iter().map(|broken| broken.found).collect();
        assert_eq!(found, [Some(10.0), Some(25.0)]);
    }
}
