//! `bench`: starts a server, one publisher and many viewers, and measures what a forwarded packet costs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::args::{StreamArgs, duration};
use super::pace::{rest, until};
use crate::client::dtls::SrtpChoice;
use crate::client::offer::{ALL_VIDEO, Feedback};
use crate::client::peer::PeerState;
use crate::client::viewer::ViewerMedia;
use crate::driver::plan::Snapshot;
use crate::driver::{PublisherConfig, Publishers, ViewerConfig, Viewers};
use crate::measure::floor::{self, Floor};
use crate::measure::live_floor::{self, LiveFloor};
use crate::measure::own::OwnReport;
use crate::measure::process::ServerProcess;
use crate::measure::server::ServerUse;
use crate::report::table;
use crate::report::totals::{ServerInterval, ViewerTotals};
use crate::source::VideoSource;

#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// The server's binary; it is started with `--http ADDRESS --media-port PORT --log warn`
    #[arg(long)]
    server: PathBuf,
    /// Number of viewers; several numbers give a line each
    #[arg(long, value_delimiter = ',', default_value = "100")]
    viewers: Vec<usize>,
    /// New viewers per second
    #[arg(long, default_value_t = 200.0)]
    ramp_per_second: f64,
    /// Between the last viewer's connection and the measurement
    #[arg(long, default_value = "3s", value_parser = duration)]
    warm_up: Duration,
    /// Time measured
    #[arg(long, default_value = "10s", value_parser = duration)]
    measure: Duration,
    /// Repetitions, each with a fresh server
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// SRTP profiles the viewers offer
    #[arg(long, value_enum, default_value_t = SrtpChoice::Both)]
    srtp: SrtpChoice,
    /// What viewers tell the server of their lines
    #[arg(long, value_enum, default_value_t = Feedback::TransportCc)]
    feedback: Feedback,
    #[command(flatten)]
    stream: StreamArgs,
    /// Write all figures as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Clone, Debug, serde::Serialize)]
struct Round {
    viewers: usize,
    totals: ViewerTotals,
    server: ServerInterval,
    /// CPU time of the server from before the first viewer until all were served, without the packets' part.
    cpu_ms_per_join: f64,
    publisher: OwnReport,
    objections: Vec<String>,
}

pub fn run(args: &BenchArgs) -> anyhow::Result<bool> {
    let media = args.stream.media()?;
    let plan = media.video.as_ref().and_then(VideoSource::synthetic);
    let plan = plan.context("bench needs synthetic video")?;
    let mut valid = true;
    let mut all = Vec::new();
    for viewers in &args.viewers {
        let mut rounds = Vec::new();
        for repetition in 1..=args.repeat.max(1) {
            let round = round(args, *viewers)
                .with_context(|| format!("{viewers} viewers, repetition {repetition}"))?;
            println!(
                "{viewers} viewers, {repetition} of {}: {}, loss {:.3} %, latency {} / {}",
                args.repeat,
                table::optional(round.server.cpu_us_per_packet, 2, "µs per packet"),
                round.totals.loss_after_repair,
                table::optional(round.totals.latency_ms.p50, 2, "ms"),
                table::optional(round.totals.latency_ms.p99, 2, "ms"),
            );
            for objection in &round.objections {
                println!("  INVALID: {objection}");
            }
            valid &= round.objections.is_empty() && round.totals.connected == *viewers;
            rounds.push(round);
        }
        let floor =
            floor::measure(plan, media.audio, *viewers, floor::PACKETS).context("measuring the floor")?;
        let live = live_floor::measure(plan, media.audio, *viewers, LIVE_FLOOR)
            .context("measuring the floor in the stream's time")?;
        print!("{}", summary(&rounds, &floor, &live));
        all.push(
            serde_json::json!({ "viewers": viewers, "rounds": rounds, "floor": floor, "live_floor": live }),
        );
    }
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&all)?)?;
    }
    Ok(valid)
}

/// A few keyframe intervals.
const LIVE_FLOOR: Duration = Duration::from_secs(6);

fn summary(rounds: &[Round], floor: &Floor, live: &LiveFloor) -> String {
    let spread = |value: fn(&Round) -> Option<f64>, digits: usize, unit: &str| {
        let mut values: Vec<f64> = rounds.iter().filter_map(value).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.get(values.len() / 2).copied();
        let text = [values.first().copied(), middle, values.last().copied()]
            .map(|value| table::optional(value, digits, unit));
        (text.join(" / "), middle)
    };
    let (cost, median) = spread(|round| round.server.cpu_us_per_packet, 2, "µs");
    let ratio =
        |floor: f64| table::optional(median.map(|median| median / floor.max(f64::MIN_POSITIVE)), 2, "");
    table::pairs(&[
        ("server CPU per forwarded packet, min/median/max", cost),
        (
            "floor (AES-128-GCM and GSO)",
            format!("{:.2} µs", floor.cpu_us_per_packet),
        ),
        ("ratio to the floor", ratio(floor.cpu_us_per_packet)),
        (
            "floor in the stream's time, receivers asleep",
            format!("{:.2} µs", live.cpu_us_per_packet),
        ),
        ("ratio to that", ratio(live.cpu_us_per_packet)),
        (
            "its latency, p50 / p99",
            format!("{:.2} ms / {:.2} ms", live.latency_p50_ms, live.latency_p99_ms),
        ),
        (
            "latency p50",
            spread(|round| round.totals.latency_ms.p50, 2, "ms").0,
        ),
        (
            "latency p99",
            spread(|round| round.totals.latency_ms.p99, 2, "ms").0,
        ),
        (
            "loss after repair",
            spread(|round| Some(round.totals.loss_after_repair), 3, "%").0,
        ),
        (
            "memory per viewer",
            spread(|round| Some(round.server.bytes_per_viewer? / 1024.0), 0, "KB").0,
        ),
        (
            "CPU per join",
            spread(|round| Some(round.cpu_ms_per_join), 2, "ms").0,
        ),
        (
            "first packet p50",
            spread(|round| round.totals.first_packet_ms.p50, 1, "ms").0,
        ),
        (
            "viewer thread CPU",
            spread(|round| Some(round.totals.own.cpu_share * 100.0), 0, "%").0,
        ),
    ])
}

fn round(args: &BenchArgs, count: usize) -> anyhow::Result<Round> {
    let server = ServerProcess::start(&args.server)?;
    let publishers = Publishers::start(PublisherConfig::steady(
        vec![server.url("/whip/bench")],
        args.stream.media()?,
        SrtpChoice::Both,
    ))?;
    until("the publisher did not connect", || {
        Ok(publishers.snapshot()?.publishers.iter().all(|p| p.packets > 0))
    })?;
    let idle = ServerUse::read(server.pid())?;
    let media = ViewerMedia {
        video: ALL_VIDEO.to_vec(),
        audio: args.stream.media()?.audio,
        rtx: true,
        feedback: args.feedback,
    };
    let arrivals = ViewerConfig::ramp(&server.url("/whep/bench"), count, args.ramp_per_second);
    let viewers = Viewers::start(ViewerConfig {
        arrivals,
        token: None,
        media,
        srtp: args.srtp,
    })?;
    until("not every viewer was served", || {
        let now = viewers.snapshot()?;
        if let Some(reason) = now.viewers.iter().find_map(failure) {
            anyhow::bail!("a viewer failed: {reason}");
        }
        Ok(now.viewers.len() == count && now.viewers.iter().all(|viewer| viewer.packets() > 0))
    })?;
    let joined = ServerUse::read(server.pid())?;
    let packets_while_joining = ViewerTotals::between(None, &viewers.snapshot()?, 1.0).packets;
    rest(args.warm_up);
    let take = || -> anyhow::Result<(ServerUse, Snapshot, Snapshot)> {
        Ok((
            ServerUse::read(server.pid())?,
            viewers.snapshot()?,
            publishers.snapshot()?,
        ))
    };
    let from = take()?;
    rest(args.measure);
    let to = take()?;
    let seconds = to.1.at.saturating_duration_since(from.1.at).as_secs_f64();
    let totals = ViewerTotals::between(Some(&from.1), &to.1, seconds);
    let publisher = OwnReport::between(&from.2.own, &to.2.own, seconds);
    let mut objections = totals.own.objections("viewer");
    objections.extend(publisher.objections("publisher"));
    let server = ServerInterval::between(&idle, &from.0, &to.0, &totals);
    let forwarding = packets_while_joining as f64 * server.cpu_us_per_packet.unwrap_or(0.0) / 1e6;
    let joining = (joined.cpu_seconds - idle.cpu_seconds - forwarding).max(0.0);
    Ok(Round {
        viewers: count,
        server,
        cpu_ms_per_join: joining * 1e3 / count.max(1) as f64,
        totals,
        publisher,
        objections,
    })
}

fn failure(viewer: &crate::client::viewer::ViewerStats) -> Option<&str> {
    match &viewer.state {
        PeerState::Failed(reason) => Some(reason),
        _ => None,
    }
}
