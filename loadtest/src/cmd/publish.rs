//! `publish`: one or many synthetic publishers by WHIP.

use std::time::Duration;

use super::args::{StreamArgs, duration};
use super::pace::{Beat, Pace};
use crate::client::dtls::SrtpChoice;
use crate::client::peer::PeerState;
use crate::driver::plan::Snapshot;
use crate::driver::{PublisherConfig, Publishers};
use crate::measure::own::{OwnReport, OwnUse};
use crate::stack::{self, Stack};

#[derive(Clone, Debug, clap::Args)]
pub struct PublishArgs {
    /// WHIP endpoint; with --count, `{n}` in it stands for the publisher's number
    #[arg(long)]
    url: String,
    /// Bearer token
    #[arg(long, env = "SHIBUKI_LOADTEST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    stream: StreamArgs,
    /// Offered SRTP profiles
    #[arg(long, value_enum, default_value_t = SrtpChoice::Both)]
    srtp: SrtpChoice,
    /// Stop after this time; without it, at Ctrl-C
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Number of publishers
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// Replaces the URL's last part for each publisher: `live-{n}`, from 0
    #[arg(long)]
    stream_pattern: Option<String>,
    /// Whose clients: our own, or those of the async webrtc crate as an independent cross-check
    #[arg(long, value_enum, default_value_t = Stack::Own)]
    stack: Stack,
    /// Write the final figures as JSON
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

pub fn run(args: &PublishArgs) -> anyhow::Result<bool> {
    let urls = stream_urls(&args.url, args.stream_pattern.as_deref(), args.count);
    let media = args.stream.media()?;
    let publishers = match args.stack {
        Stack::Own => Crew::Own(Publishers::start(PublisherConfig {
            token: args.token.clone(),
            ..PublisherConfig::steady(urls, media, args.srtp)
        })?),
        Stack::Webrtc => Crew::Webrtc(stack::publish::Publishers::start(
            urls,
            args.token.clone(),
            media,
        )?),
    };
    let mut pace = Pace::start(Duration::from_secs(1), args.duration)?;
    let mut before: Option<Snapshot> = None;
    loop {
        let beat = pace.wait();
        let now = publishers.snapshot()?;
        println!("{}", live_line(before.as_ref(), &now));
        let all_failed = now
            .publishers
            .iter()
            .all(|publisher| is_failure(&publisher.state));
        if beat == Beat::Over || (all_failed && !now.publishers.is_empty()) {
            return finish(args, &now, pace.elapsed().as_secs_f64());
        }
        before = Some(now);
    }
}

/// Publishers of either stack.
enum Crew {
    Own(Publishers),
    Webrtc(stack::publish::Publishers),
}

impl Crew {
    fn snapshot(&self) -> anyhow::Result<Snapshot> {
        Ok(match self {
            Crew::Own(publishers) => publishers.snapshot()?,
            Crew::Webrtc(publishers) => publishers.snapshot(),
        })
    }
}

/// One URL for each publisher: `{n}` filled in, or the last path part replaced by `pattern`.
pub fn stream_urls(url: &str, pattern: Option<&str>, count: usize) -> Vec<String> {
    let template = match (pattern, url.rsplit_once('/')) {
        (Some(pattern), Some((base, _))) => format!("{base}/{pattern}"),
        _ => url.to_owned(),
    };
    (0..count)
        .map(|n| template.replace("{n}", &n.to_string()))
        .collect()
}

fn is_failure(state: &PeerState) -> bool {
    matches!(state, PeerState::Failed(_) | PeerState::ClosedByServer)
}

fn live_line(before: Option<&Snapshot>, now: &Snapshot) -> String {
    let sum = |snapshot: &Snapshot| -> (u64, u64) {
        snapshot.publishers.iter().fold((0, 0), |sum, publisher| {
            (sum.0 + publisher.packets, sum.1 + publisher.bytes)
        })
    };
    let (packets, bytes) = sum(now);
    let (packets_before, bytes_before) = before.map(sum).unwrap_or_default();
    let seconds = before.map_or(1.0, |before| {
        now.at.saturating_duration_since(before.at).as_secs_f64()
    });
    let connected = now
        .publishers
        .iter()
        .filter(|p| p.state == PeerState::Connected)
        .count();
    let total = |value: fn(&crate::client::publisher::PublisherStats) -> u64| -> u64 {
        now.publishers.iter().map(value).sum()
    };
    format!(
        "{connected} of {} publishers  {:.2} Mbit/s  {:.0} packets/s  {} keyframes  {} asked for again, {} sent  {} keyframe requests",
        now.publishers.len(),
        (bytes - bytes_before) as f64 * 8.0 / 1e6 / seconds,
        (packets - packets_before) as f64 / seconds,
        total(|p| p.keyframes),
        total(|p| p.nacked),
        total(|p| p.retransmitted),
        total(|p| p.keyframe_requests),
    )
}

/// True when every publisher was connected to the end and the result is not our own fault.
fn finish(args: &PublishArgs, end: &Snapshot, seconds: f64) -> anyhow::Result<bool> {
    let own = OwnReport::between(&OwnUse::start(), &end.own, seconds);
    let objections = own.objections("publisher");
    for publisher in &end.publishers {
        match &publisher.state {
            PeerState::Failed(reason) => eprintln!("{}: {reason}", publisher.stream),
            PeerState::ClosedByServer => eprintln!("{}: the server closed the connection", publisher.stream),
            _ => {}
        }
    }
    for objection in &objections {
        eprintln!("INVALID: {objection}");
    }
    if let Some(path) = &args.json {
        let json = serde_json::json!({
            "seconds": seconds, "publishers": end.publishers, "own": own, "objections": objections,
        });
        std::fs::write(path, serde_json::to_vec_pretty(&json)?)?;
    }
    Ok(objections.is_empty()
        && end
            .publishers
            .iter()
            .all(|publisher| !is_failure(&publisher.state)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_publisher_gets_its_own_url() {
        let urls = stream_urls("http://host/whip/live", Some("live-{n}"), 2);
        assert_eq!(urls, ["http://host/whip/live-0", "http://host/whip/live-1"]);
        assert_eq!(
            stream_urls("http://host/whip/a{n}", None, 1),
            ["http://host/whip/a0"]
        );
    }
}
