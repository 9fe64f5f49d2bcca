//! One interval of a run summed up: what changed between two snapshots.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::table;
use crate::client::behaviour::Kind;
use crate::client::peer::PeerState;
use crate::client::srtp::Profile;
use crate::client::track::TrackStats;
use crate::client::viewer::ViewerStats;
use crate::driver::plan::Snapshot;
use crate::measure::own::{self, OwnReport};
use crate::measure::server::ServerUse;

/// Percentiles of some values.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Spread {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = values.len().checked_sub(1)?;
            values.get((last as f64 * share).round() as usize).copied()
        };
        Self {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
        }
    }

    fn text(&self) -> String {
        let values = [self.p50, self.p95, self.p99].map(|value| table::optional(value, 1, "ms"));
        values.join(" / ")
    }
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    pub packets: u64,
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
}

/// Viewers over an interval.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ViewerTotals {
    pub seconds: f64,
    /// All that ever came.
    pub viewers: usize,
    pub connected: usize,
    /// They came, saw and left.
    pub left: usize,
    /// Still on their way to a connection.
    pub connecting: usize,
    pub failed: usize,
    /// Reason → viewers.
    pub failures: BTreeMap<String, usize>,
    /// Profile → viewers.
    pub srtp: BTreeMap<String, usize>,
    pub first_packet_ms: Spread,
    pub first_keyframe_ms: Spread,
    pub packets: u64,
    pub bits_per_second: f64,
    pub missing: u64,
    pub repaired: u64,
    pub lost: u64,
    /// Of the packets there should have been, in percent.
    pub loss_before_repair: f64,
    pub loss_after_repair: f64,
    /// The same of video alone: nobody asks for audio again.
    pub video_loss_after_repair: f64,
    pub duplicates: u64,
    pub reordered: u64,
    pub unauthentic: u64,
    /// Came before the handshake was done.
    pub early: u64,
    pub rtx_packets: u64,
    pub nacks: u64,
    pub plis: u64,
    pub frames: u64,
    pub keyframes: u64,
    pub broken_frames: u64,
    pub undecodable_frames: u64,
    pub freezes: u64,
    pub freeze_ms: u64,
    /// Time that viewers were there, from POST to leaving, summed up.
    pub lived_ms: f64,
    pub latency_ms: Latency,
    pub own: OwnReport,
}

impl ViewerTotals {
    /// `from` is an earlier snapshot of the same viewers, or None for everything since the start.
    pub fn between(from: Option<&Snapshot>, to: &Snapshot, seconds: f64) -> Self {
        Self::among(|_| true, from, to, seconds)
    }

    /// Only those of one behaviour.
    pub fn of_kind(kind: Kind, from: Option<&Snapshot>, to: &Snapshot, seconds: f64) -> Self {
        Self::among(|viewer| viewer.kind == kind, from, to, seconds)
    }

    fn among(
        counts: impl Fn(&ViewerStats) -> bool,
        from: Option<&Snapshot>,
        to: &Snapshot,
        seconds: f64,
    ) -> Self {
        let mut totals = Self {
            seconds,
            ..Self::default()
        };
        let (mut bytes, mut video, mut video_lost) = (0, 0, 0);
        let mut well = false;
        for (index, viewer) in to.viewers.iter().enumerate().filter(|(_, viewer)| counts(viewer)) {
            totals.viewers += 1;
            totals.count_state(viewer);
            totals.add(viewer, 1);
            well |= viewer.kind == Kind::Well;
            totals.lived_ms += viewer.lived_ms;
            bytes += viewer.video.bytes + viewer.audio.bytes;
            video += viewer.video.packets;
            video_lost += viewer.video.lost;
            if let Some(before) = from.and_then(|from| from.viewers.get(index)) {
                totals.add(before, -1);
                totals.lived_ms -= before.lived_ms;
                bytes -= before.video.bytes + before.audio.bytes;
                video -= before.video.packets;
                video_lost -= before.video.lost;
            }
        }
        totals.bits_per_second = bytes as f64 * 8.0 / seconds.max(1e-9);
        // What is missing now and not given up yet was to come as well.
        let absent = totals.lost.max(totals.missing.saturating_sub(totals.repaired));
        let expected = (totals.packets + absent).max(1) as f64;
        totals.loss_before_repair = totals.missing as f64 / expected * 100.0;
        totals.loss_after_repair = totals.lost as f64 / expected * 100.0;
        totals.video_loss_after_repair = video_lost as f64 / (video + video_lost).max(1) as f64 * 100.0;
        let each = |value: fn(&ViewerStats) -> Option<f64>| {
            Spread::of(
                to.viewers
                    .iter()
                    .filter(|viewer| counts(viewer))
                    .filter_map(value)
                    .collect(),
            )
        };
        totals.first_packet_ms = each(|viewer| viewer.first_packet_ms);
        totals.first_keyframe_ms = each(|viewer| viewer.first_keyframe_ms);
        let histogram = |snapshot: &Snapshot| match well {
            true => snapshot.latency.clone(),
            false => snapshot.impaired_latency.clone(),
        };
        totals.latency_ms = latency_between(from.map(histogram), histogram(to));
        if let Some(from) = from {
            totals.own = OwnReport::between(&from.own, &to.own, seconds);
        } else {
            totals.own = OwnReport::between(&own::OwnUse::start(), &to.own, seconds);
        }
        totals
    }

    fn count_state(&mut self, viewer: &ViewerStats) {
        match &viewer.state {
            PeerState::Connected => self.connected += 1,
            PeerState::Failed(reason) => {
                self.failed += 1;
                *self.failures.entry(reason.clone()).or_default() += 1;
            }
            PeerState::ClosedByServer => {
                self.failed += 1;
                *self
                    .failures
                    .entry("the server closed the connection".to_owned())
                    .or_default() += 1;
            }
            PeerState::Closed => self.left += 1,
            PeerState::Offered | PeerState::Checking | PeerState::Handshaking => self.connecting += 1,
        }
        if let Some(profile) = viewer.srtp {
            let name = match profile {
                Profile::Cm128Sha1 => "AES_CM_128_HMAC_SHA1_80",
                Profile::Gcm128 => "AEAD_AES_128_GCM",
                Profile::Gcm256 => "AEAD_AES_256_GCM",
            };
            *self.srtp.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// Adds a viewer's counters, or with `sign` −1 takes them away again.
    fn add(&mut self, viewer: &ViewerStats, sign: i64) {
        let add = |to: &mut u64, value: u64| *to = to.wrapping_add_signed(sign * value as i64);
        for track in [&viewer.video, &viewer.audio] {
            let TrackStats {
                packets,
                duplicates,
                missing,
                repaired,
                lost,
                reordered,
                frames,
                ..
            } = track;
            add(&mut self.packets, *packets);
            add(&mut self.duplicates, *duplicates);
            add(&mut self.missing, *missing);
            add(&mut self.repaired, *repaired);
            add(&mut self.lost, *lost);
            add(&mut self.reordered, *reordered);
            add(&mut self.frames, frames.complete);
            add(&mut self.keyframes, frames.keyframes);
            add(&mut self.broken_frames, frames.broken);
            add(&mut self.undecodable_frames, frames.undecodable);
            add(&mut self.freezes, frames.freezes);
            add(&mut self.freeze_ms, frames.freeze_ms);
        }
        add(&mut self.rtx_packets, viewer.rtx_packets);
        add(&mut self.unauthentic, viewer.unauthentic);
        add(&mut self.early, viewer.early);
        add(&mut self.nacks, viewer.nacks);
        add(&mut self.plis, viewer.plis);
    }

    pub fn live_line(&self, server: Option<&ServerInterval>) -> String {
        let mut line = format!(
            "{:>5} of {} viewers  {:>8.1} Mbit/s  {:>8.0} packets/s  loss {:.2} → {:.2} %  latency {} / {}",
            self.connected,
            self.viewers,
            self.bits_per_second / 1e6,
            self.packets as f64 / self.seconds.max(1e-9),
            self.loss_before_repair,
            self.loss_after_repair,
            table::optional(self.latency_ms.p50, 2, "ms"),
            table::optional(self.latency_ms.p99, 2, "ms"),
        );
        if self.failed > 0 {
            line += &format!("  {} failed", self.failed);
        }
        if let Some(server) = server {
            line += &format!("  server {:.0} % CPU", server.cpu_share * 100.0);
        }
        line
    }

    pub fn table(&self) -> String {
        let latency = &self.latency_ms;
        let latencies = [latency.p50, latency.p99, latency.p999].map(|value| table::optional(value, 2, "ms"));
        let mut rows = vec![
            (
                "viewers",
                format!(
                    "{} came: {} connected, {} connecting, {} left, {} failed",
                    self.viewers, self.connected, self.connecting, self.left, self.failed
                ),
            ),
            ("first packet p50/p95/p99", self.first_packet_ms.text()),
            ("first keyframe p50/p95/p99", self.first_keyframe_ms.text()),
            (
                "received",
                format!(
                    "{} packets, {:.1} Mbit/s",
                    self.packets,
                    self.bits_per_second / 1e6
                ),
            ),
            (
                "loss before repair",
                format!("{:.3} % ({} packets)", self.loss_before_repair, self.missing),
            ),
            (
                "loss after repair",
                format!("{:.3} % ({} packets)", self.loss_after_repair, self.lost),
            ),
            (
                "repair",
                format!(
                    "{} repaired, {} as RTX, {} NACKs, {} PLIs",
                    self.repaired, self.rtx_packets, self.nacks, self.plis
                ),
            ),
            (
                "other packets",
                format!(
                    "{} duplicate, {} reordered, {} unauthentic, {} before keys",
                    self.duplicates, self.reordered, self.unauthentic, self.early
                ),
            ),
            (
                "frames",
                format!(
                    "{} complete ({} keyframes), {} broken, {} undecodable",
                    self.frames, self.keyframes, self.broken_frames, self.undecodable_frames
                ),
            ),
            ("freezes", format!("{} ({} ms)", self.freezes, self.freeze_ms)),
            ("latency p50/p99/p99.9", latencies.join(" / ")),
        ];
        let srtp: Vec<String> = self
            .srtp
            .iter()
            .map(|(name, count)| format!("{name} ×{count}"))
            .collect();
        rows.push(("SRTP", srtp.join(", ")));
        let own = &self.own;
        rows.push((
            "this viewer thread",
            format!(
                "{:.0} % of a core, {:.2} µs per datagram, timers {:.1} ms late (p99)",
                own.cpu_share * 100.0,
                own.cpu_us_per_datagram,
                own.timer_delay_p99_ms
            ),
        ));
        let failures: Vec<(&str, String)> = self
            .failures
            .iter()
            .map(|(reason, count)| ("failed", format!("{count} × {reason}")))
            .collect();
        rows.extend(failures);
        table::pairs(&rows)
    }
}

/// Of well-behaved viewers wherever there are any: the others are late by their own doing.
fn latency_between(from: Option<Histogram<u64>>, to: Histogram<u64>) -> Latency {
    let latency = match from {
        Some(from) => own::difference(&to, &from),
        None => to,
    };
    if latency.is_empty() {
        return Latency::default();
    }
    let at = |share: f64| Some(latency.value_at_quantile(share) as f64 / 1e3);
    Latency {
        packets: latency.len(),
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        max: Some(latency.max() as f64 / 1e3),
    }
}

/// What the server process used in an interval.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ServerInterval {
    /// Of one core.
    pub cpu_share: f64,
    pub cpu_seconds: f64,
    pub cpu_us_per_packet: Option<f64>,
    pub rss_bytes: u64,
    /// Growth since before the viewers came, shared among those connected.
    pub bytes_per_viewer: Option<f64>,
    pub threads: u64,
}

impl ServerInterval {
    /// `idle` is the server before any viewer came; `packets` is what the viewers received in the interval.
    pub fn between(idle: &ServerUse, from: &ServerUse, to: &ServerUse, totals: &ViewerTotals) -> Self {
        let cpu_seconds = to.cpu_seconds - from.cpu_seconds;
        let packets = (totals.packets > 0).then_some(totals.packets as f64);
        let viewers = (totals.connected > 0).then_some(totals.connected as f64);
        Self {
            cpu_share: cpu_seconds / totals.seconds.max(1e-9),
            cpu_seconds,
            cpu_us_per_packet: packets.map(|packets| cpu_seconds * 1e6 / packets),
            rss_bytes: to.rss_bytes,
            bytes_per_viewer: viewers
                .map(|viewers| to.rss_bytes.saturating_sub(idle.rss_bytes) as f64 / viewers),
            threads: to.threads,
        }
    }

    pub fn table(&self) -> String {
        table::pairs(&[
            (
                "server CPU",
                format!(
                    "{:.0} % of a core ({:.2} s)",
                    self.cpu_share * 100.0,
                    self.cpu_seconds
                ),
            ),
            (
                "server CPU per forwarded packet",
                table::optional(self.cpu_us_per_packet, 2, "µs"),
            ),
            (
                "server memory",
                format!(
                    "{:.1} MB, {} per viewer",
                    self.rss_bytes as f64 / 1e6,
                    table::optional(self.bytes_per_viewer.map(|bytes| bytes / 1024.0), 0, "KB")
                ),
            ),
            ("server threads", self.threads.to_string()),
        ])
    }
}
