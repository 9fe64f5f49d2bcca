//! Viewers on limited lines, held against the best that their line has room for.

use serde::Serialize;

use super::values::Links;
use crate::client::link::Link;
use crate::client::publisher::PublisherMedia;
use crate::client::viewer::ViewerStats;

/// Of a line's rate, what a server may be expected to use in the long run: the rest is for repair and probing.
const USABLE: f64 = 0.9;
/// RTP, UDP, IP and SRTP around the payload of full-size packets.
const OVERHEAD: f64 = 1.06;
/// 50 packets a second with their headers.
const AUDIO: f64 = 72_000.0;

/// How one of them fared.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Limited {
    /// As it was asked for.
    pub link: String,
    /// Of the best layer that fits the line as it is at the end; 0 when none does, null when layers are not known.
    pub wanted_kbit: Option<f64>,
    /// Video that arrived in the last third of its time, and that a player could show.
    pub got_kbit: f64,
    /// Percent of what was wanted.
    pub share: Option<f64>,
    pub freezes: u64,
    /// Percent of its time; all of it when there never was a picture.
    pub frozen: f64,
    /// Percent.
    pub audio_loss: f64,
    /// Packets of each layer, worst first.
    pub layers: Vec<u64>,
    pub layer_switches: u64,
    pub latency_p50_ms: Option<f64>,
    pub latency_p99_ms: Option<f64>,
    /// Packets the full queue dropped.
    pub overflowed: u64,
    pub longest_queue_ms: f64,
    /// The same in each second since it came.
    pub video_kbit: Vec<u32>,
}

impl Limited {
    /// A layer fits: where none does, the picture cannot but stand still.
    pub fn has_room(&self) -> bool {
        self.wanted_kbit != Some(0.0)
    }
}

pub fn all(viewers: &[ViewerStats], links: &Links, media: &PublisherMedia) -> Vec<Limited> {
    let rates = media.layer_rates();
    let audio = if media.audio { AUDIO } else { 0.0 };
    let entry = |viewer: &ViewerStats| {
        let stats = viewer.link.as_ref()?;
        let link = links.0.iter().flatten().find(|link| link.text() == stats.link)?;
        let wanted = wanted(link, viewer.lived_ms, &rates, audio);
        let got = last_third(&stats.video_kbit);
        let expected = viewer.audio.packets + viewer.audio.lost;
        Some(Limited {
            link: stats.link.clone(),
            wanted_kbit: wanted.map(|wanted| wanted / 1e3),
            got_kbit: got,
            share: wanted
                .filter(|wanted| *wanted > 0.0)
                .map(|wanted| got * 1e5 / wanted),
            freezes: viewer.video.frames.freezes,
            frozen: match viewer.video.frames.complete {
                0 => 100.0,
                _ => viewer.video.frames.freeze_ms as f64 / viewer.lived_ms.max(1.0) * 100.0,
            },
            audio_loss: viewer.audio.lost as f64 / expected.max(1) as f64 * 100.0,
            layers: viewer.layers.clone(),
            layer_switches: viewer.layer_switches,
            latency_p50_ms: viewer.latency_p50.map(|micros| micros as f64 / 1e3),
            latency_p99_ms: viewer.latency_p99.map(|micros| micros as f64 / 1e3),
            overflowed: stats.overflowed,
            longest_queue_ms: stats.longest_queue_ms,
            video_kbit: stats.video_kbit.clone(),
        })
    };
    viewers.iter().filter_map(entry).collect()
}

/// Bits per second of the best layer that fits.
fn wanted(link: &Link, lived_ms: f64, rates: &[f64], audio: f64) -> Option<f64> {
    let line = link.line_at(std::time::Duration::from_secs_f64(lived_ms.max(0.0) / 1e3));
    let room = line.rate.map_or(f64::INFINITY, |rate| rate as f64) * (1.0 - line.loss) * USABLE - audio;
    let best = rates.iter().rfind(|rate| **rate * OVERHEAD <= room);
    (!rates.is_empty()).then_some(best.copied().unwrap_or(0.0))
}

/// Mean over the last third of the seconds that are over.
fn last_third(seconds: &[u32]) -> f64 {
    let over = seconds.split_last().map_or(&[][..], |(_, over)| over);
    let last = over.get(over.len() - over.len() / 3..).unwrap_or_default();
    last.iter().map(|kbit| f64::from(*kbit)).sum::<f64>() / last.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_layer_that_fits_is_wanted() {
        let rates = [250e3, 750e3, 2500e3];
        let wants = |link: &str| {
            let link: Link = link.parse().expect("a link");
            wanted(&link, 60e3, &rates, AUDIO).map(|rate| rate as u64 / 1000)
        };
        assert_eq!(wants("200kbit"), Some(0));
        assert_eq!(wants("500kbit, 1% loss"), Some(250));
        assert_eq!(wants("1mbit"), Some(750));
        assert_eq!(wants("50ms"), Some(2500));
        assert_eq!(wants("5M; 700kbit, from 10s"), Some(250), "as it is at the end");
    }

    #[test]
    fn the_last_third_is_of_whole_seconds() {
        assert_eq!(last_third(&[0, 0, 0, 0, 300, 500, 9]), 400.0);
        assert_eq!(last_third(&[]), 0.0);
    }
}
