//! What came of a scenario at one server. This is what stands in JSON; `loadtest/README.md` documents it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::limited::Limited;
use super::limits::Broken;
use crate::client::behaviour::Kind;
use crate::client::peer::PeerState;
use crate::client::publisher::PublisherStats;
use crate::client::viewer::ViewerStats;
use crate::driver::plan::Snapshot;
use crate::measure::own::OwnReport;
use crate::report::totals::{ServerInterval, ViewerTotals};

#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    pub scenario: String,
    pub description: String,
    pub server_name: String,
    /// The reduced form was run.
    pub short: bool,
    /// Ctrl-C ended it early.
    pub interrupted: bool,
    /// From the first viewer to the end.
    pub seconds: f64,
    pub totals: ViewerTotals,
    /// The same by behaviour, where viewers differ.
    pub by_kind: BTreeMap<&'static str, ViewerTotals>,
    /// Viewers on limited lines, one entry each.
    pub limited: Vec<Limited>,
    pub ending: Ending,
    /// None without a process to measure.
    pub server: Option<ServerInterval>,
    /// Percent, of the server's resident memory from the end of the first quarter to the end.
    pub memory_growth: Option<f64>,
    pub failed_publishers: usize,
    pub publishers: Vec<PublisherStats>,
    pub publisher_thread: OwnReport,
    /// One each second.
    pub samples: Vec<Sample>,
    /// Reasons why the result says more about us than about the server.
    pub objections: Vec<String>,
    pub broken: Vec<Broken>,
    pub viewers: Vec<ViewerStats>,
}

/// One second of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Seconds since the first viewer.
    pub at: f64,
    pub connected: usize,
    pub connecting: usize,
    pub failed: usize,
    pub packets_per_second: f64,
    pub mbit_per_second: f64,
    /// Percent.
    pub loss_before_repair: f64,
    pub loss_after_repair: f64,
    pub latency_p50_ms: Option<f64>,
    pub latency_p99_ms: Option<f64>,
    pub freezes: u64,
    pub nacks: u64,
    pub plis: u64,
    /// Percent of a core.
    pub server_cpu: Option<f64>,
    pub server_rss_bytes: Option<u64>,
    /// Percent of a core, of the viewers' thread.
    pub own_cpu: f64,
}

/// How it stood at the end.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Ending {
    /// Viewers that had time to be served, failed ones not counted.
    pub due: usize,
    /// Of those, never saw a keyframe (or packet, without video).
    pub unserved: usize,
    /// Viewers connected through the last two seconds that went on getting pictures, or packets.
    pub lit: usize,
    /// Those that did not.
    pub dark: usize,
}

impl Outcome {
    pub fn of_kind(&self, kind: Kind) -> Option<&ViewerTotals> {
        self.by_kind.get(kind.name())
    }

    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    /// Our own limits do not matter to whether the short form is correct.
    pub fn is_valid(&self) -> bool {
        self.short || self.objections.is_empty()
    }
}

impl Sample {
    pub fn of(at: f64, totals: &ViewerTotals, server: Option<&ServerInterval>) -> Self {
        Self {
            at,
            connected: totals.connected,
            connecting: totals.connecting,
            failed: totals.failed,
            packets_per_second: totals.packets as f64 / totals.seconds.max(1e-9),
            mbit_per_second: totals.bits_per_second / 1e6,
            loss_before_repair: totals.loss_before_repair,
            loss_after_repair: totals.loss_after_repair,
            latency_p50_ms: totals.latency_ms.p50,
            latency_p99_ms: totals.latency_ms.p99,
            freezes: totals.freezes,
            nacks: totals.nacks,
            plis: totals.plis,
            server_cpu: server.map(|server| server.cpu_share * 100.0),
            server_rss_bytes: server.map(|server| server.rss_bytes),
            own_cpu: totals.own.cpu_share * 100.0,
        }
    }
}

impl Ending {
    /// Who was there for a shorter time cannot be expected to have seen anything.
    pub const GRACE_MS: f64 = 3000.0;

    /// `before` is a snapshot from some seconds before the end.
    pub fn between(before: &Snapshot, end: &Snapshot, video: bool) -> Self {
        let mut ending = Self::default();
        let is_over =
            |viewer: &ViewerStats| matches!(viewer.state, PeerState::Failed(_) | PeerState::ClosedByServer);
        let seen = |viewer: &ViewerStats| match video {
            true => viewer.video.frames.complete,
            false => viewer.packets(),
        };
        for viewer in end.viewers.iter().filter(|viewer| !is_over(viewer)) {
            if viewer.lived_ms >= Self::GRACE_MS {
                ending.due += 1;
                ending.unserved += usize::from(seen(viewer) == 0);
            }
        }
        for (before, viewer) in before.viewers.iter().zip(&end.viewers) {
            let connected = [before, viewer]
                .iter()
                .all(|viewer| viewer.state == PeerState::Connected);
            if connected && viewer.kind != Kind::Stalled {
                match seen(viewer) > seen(before) {
                    true => ending.lit += 1,
                    false => ending.dark += 1,
                }
            }
        }
        ending
    }
}
