//! What must hold at a scenario's end, and what did not.

use serde::{Deserialize, Serialize};

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
        match found {
            Some(found) => write!(out, "{limit}: {found:.3} {unit}, allowed {allowed} {unit}"),
            None => write!(out, "{limit}: nothing was measured, allowed {allowed} {unit}"),
        }
    }
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
        let checks: [(&'static str, Option<f64>, Option<f64>, &'static str); 14] = [
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
                let kept = found.is_some_and(|found| found <= allowed);
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
