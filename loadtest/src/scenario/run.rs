//! Carries a scenario out against one server.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::Context;

use super::outcome::{Ending, Outcome, Sample};
use super::{Scenario, arrivals, limited};
use crate::client::behaviour::Kind;
use crate::client::peer::PeerState;
use crate::cmd::pace::{Beat, Pace, until};
use crate::driver::plan::Snapshot;
use crate::driver::{PublisherConfig, Publishers, ViewerConfig, Viewers};
use crate::measure::moment::Moment;
use crate::measure::own::OwnReport;
use crate::measure::server::ServerUse;
use crate::report::totals::ViewerTotals;

/// A server to carry scenarios out against.
#[derive(Clone, Debug)]
pub struct Target {
    /// For reports.
    pub name: String,
    /// With `{stream}` where the stream's name belongs.
    pub whip: String,
    pub whep: String,
    pub token: Option<String>,
    /// Its process, if it runs on this machine.
    pub pid: Option<u32>,
}

/// A publisher that lost its connection tries again after this time, as OBS does.
const RETRY: Duration = Duration::from_secs(1);
/// Who has no new picture at the end had none in this time.
const DARK_SECONDS: usize = 2;

/// `progress` gets a line each second.
pub fn run(
    scenario: &Scenario,
    short: bool,
    target: &Target,
    mut progress: impl FnMut(&str),
) -> anyhow::Result<Outcome> {
    let streams: Vec<String> = (0..scenario.publishers.count)
        .map(|n| format!("loadtest-{n}"))
        .collect();
    let urls = |pattern: &str| -> Vec<String> {
        streams
            .iter()
            .map(|stream| pattern.replace("{stream}", stream))
            .collect()
    };
    let media = scenario.published()?;
    let publishers = Publishers::start(PublisherConfig {
        urls: urls(&target.whip),
        token: target.token.clone(),
        media: media.clone(),
        srtp: scenario.publishers.srtp,
        presence: arrivals::presence(scenario.publishers.restart),
        retry: Some(RETRY),
    })?;
    wait_for(&publishers, streams.len())?;
    let idle = target.pid.map(ServerUse::read).transpose()?;
    let duration = scenario.duration.0;
    let viewers = Viewers::start(ViewerConfig {
        arrivals: arrivals::viewers(&scenario.viewers, duration, &urls(&target.whep)),
        token: target.token.clone(),
        media: scenario.watched(),
        srtp: scenario.viewers.srtp,
    })?;
    let take = || Moment::take(&viewers, target.pid);
    let publisher_start = publishers.snapshot()?.own;
    let start = take()?;
    let mut pace = Pace::start(Duration::from_secs(1), Some(duration))?;
    let mut recent = VecDeque::from([start.snapshot.clone()]);
    let mut before = start.clone();
    let mut samples = Vec::new();
    let end = loop {
        let beat = pace.wait();
        let now = take()?;
        let (totals, server) = now.since(&before, idle);
        // A last piece of a second says nothing.
        if totals.seconds > 0.5 {
            progress(&totals.live_line(server.as_ref()));
            samples.push(Sample::of(pace.elapsed().as_secs_f64(), &totals, server.as_ref()));
            recent.push_back(now.snapshot.clone());
        }
        if beat == Beat::Over {
            break now;
        }
        if recent.len() > DARK_SECONDS + 1 {
            recent.pop_front();
        }
        before = now;
    };
    let interrupted = pace.elapsed() + Duration::from_millis(100) < duration;
    let published = publishers.snapshot()?;
    let (totals, server) = end.since(&start, idle);
    let publisher_thread = OwnReport::between(&publisher_start, &published.own, totals.seconds);
    let mut objections = totals.own.objections("viewer");
    objections.extend(publisher_thread.objections("publisher"));
    let video = !scenario.watched().video.is_empty() && media.video.is_some();
    let mut outcome = Outcome {
        scenario: scenario.name.clone(),
        description: scenario.description.clone(),
        server_name: target.name.clone(),
        short,
        interrupted,
        seconds: totals.seconds,
        limited: limited::all(&end.snapshot.viewers, &scenario.viewers.link, &media),
        by_kind: by_kind(&start.snapshot, &end.snapshot, totals.seconds),
        totals,
        ending: recent
            .front()
            .map(|before| Ending::between(before, &end.snapshot, video))
            .unwrap_or_default(),
        server,
        memory_growth: memory_growth(&samples),
        failed_publishers: failed(&published),
        publishers: published.publishers,
        publisher_thread,
        samples,
        objections,
        broken: Vec::new(),
        viewers: end.snapshot.viewers,
    };
    outcome.broken = scenario.limits.broken_by(&outcome);
    Ok(outcome)
}

/// Until every publisher sends; says why one does not.
fn wait_for(publishers: &Publishers, count: usize) -> anyhow::Result<()> {
    let mut reason = None;
    let waited = until("not every publisher connected", || {
        let now = publishers.snapshot()?;
        reason = now
            .publishers
            .iter()
            .find_map(|publisher| match &publisher.state {
                PeerState::Failed(reason) => Some(format!("{}: {reason}", publisher.stream)),
                _ => None,
            });
        // It would be tried again, but a server that refuses the first publisher will go on.
        if let Some(reason) = &reason {
            anyhow::bail!("{reason}");
        }
        Ok(now
            .publishers
            .iter()
            .filter(|publisher| publisher.packets > 0)
            .count()
            >= count)
    });
    waited.context("publishing failed")
}

fn by_kind(from: &Snapshot, to: &Snapshot, seconds: f64) -> BTreeMap<&'static str, ViewerTotals> {
    let kinds: std::collections::BTreeSet<Kind> = to.viewers.iter().map(|viewer| viewer.kind).collect();
    let totals = kinds.iter().map(|kind| {
        let totals = ViewerTotals::of_kind(*kind, Some(from), to, seconds);
        (kind.name(), totals)
    });
    totals.collect()
}

fn memory_growth(samples: &[Sample]) -> Option<f64> {
    let early = samples.get(samples.len() / 4)?.server_rss_bytes? as f64;
    let late = samples.last()?.server_rss_bytes? as f64;
    Some((late / early.max(1.0) - 1.0) * 100.0)
}

/// Streams whose latest publisher is not connected. One that was replaced on purpose does not count.
fn failed(published: &Snapshot) -> usize {
    let mut latest = BTreeMap::new();
    for publisher in &published.publishers {
        latest.insert(&publisher.stream, publisher.state == PeerState::Connected);
    }
    latest.values().filter(|connected| !**connected).count()
}
