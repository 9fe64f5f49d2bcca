//! A viewer's line as it might be in the world, in front of the receiving viewer: a bottleneck with a queue, so that
//! delay grows first and then packets are dropped; a delay; and loss. It may change over time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::viewer::Now;
use crate::cmd::args;

/// IPv4 and UDP headers, which take their share of a line too.
const HEADERS: usize = 28;
/// What a line without a stated queue can hold back.
const DEFAULT_QUEUE: Duration = Duration::from_millis(300);
/// However long the delay is, no viewer holds more than this back.
const MAX_HELD: usize = 32 << 20;

/// `500kbit, 100ms, 1% loss, 300ms queue`; further phases behind semicolons, each with `from 10s` (after the viewer
/// came) and what changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    text: String,
    phases: Vec<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Phase {
    from: Duration,
    line: Line,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Bits per second, headers included; None for any number.
    pub rate: Option<u64>,
    /// Of each packet towards the viewer.
    pub delay: Duration,
    /// 0 to 1.
    pub loss: f64,
    /// The longest a packet waits for the line; it is dropped instead.
    pub queue: Duration,
}

impl Link {
    pub fn line_at(&self, since: Duration) -> Line {
        let phase = self.phases.iter().rev().find(|phase| phase.from <= since);
        phase
            .or(self.phases.first())
            .map_or(Line::FREE, |phase| phase.line)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Line {
    const FREE: Self = Self {
        rate: None,
        delay: Duration::ZERO,
        loss: 0.0,
        queue: DEFAULT_QUEUE,
    };

    fn change(&mut self, part: &str) -> Result<(), String> {
        let wrong = || format!("{part:?} is none of 500kbit, 100ms, 1% loss, 300ms queue");
        let (value, what) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        match what.trim() {
            "loss" => {
                let percent: f64 = value.trim_end_matches('%').parse().map_err(|_| wrong())?;
                if !(0.0..=100.0).contains(&percent) {
                    return Err(wrong());
                }
                self.loss = percent / 100.0;
            }
            "queue" => self.queue = args::duration(value).map_err(|_| wrong())?,
            "" => match value.strip_suffix("bit").unwrap_or(value) {
                rate if rate.ends_with(['k', 'K', 'm', 'M']) => {
                    // 10m would be minutes of delay, which nobody means.
                    self.rate = Some(args::bitrate(rate).map_err(|_| wrong())?);
                }
                delay => self.delay = args::duration(delay).map_err(|_| wrong())?,
            },
            _ => return Err(wrong()),
        }
        if self.delay.max(self.queue) > Duration::from_secs(60) {
            return Err("a delay and a queue are at most a minute".to_owned());
        }
        Ok(())
    }
}

impl std::str::FromStr for Link {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut line = Line::FREE;
        let mut phases: Vec<Phase> = Vec::new();
        for (index, phase) in text.split(';').enumerate() {
            let mut from = None;
            for part in phase.split(',').map(str::trim) {
                match part.strip_prefix("from ") {
                    Some(time) => from = Some(args::duration(time)?),
                    None => line.change(part)?,
                }
            }
            let from = match (index, from) {
                (0, from) => from.unwrap_or_default(),
                (_, Some(from)) => from,
                (_, None) => return Err(format!("{:?} does not say from when on: from 10s", phase.trim())),
            };
            if phases.last().is_some_and(|last| last.from >= from) {
                return Err("the phases of a link follow each other in time".to_owned());
            }
            phases.push(Phase { from, line });
        }
        Ok(Self {
            text: text.trim().to_owned(),
            phases,
        })
    }
}

/// What became of a viewer's packets on its line.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct LinkStats {
    /// As it was asked for.
    pub link: String,
    pub passed: u64,
    /// Lost at random.
    pub lost: u64,
    /// Dropped because the queue was full.
    pub overflowed: u64,
    /// The longest a packet waited for the line.
    pub longest_queue_ms: f64,
    /// Video that a player could show, in each second since the viewer came, in kbit; the last one is not over.
    pub video_kbit: Vec<u32>,
}

/// A line with the packets that are on it.
pub struct Shaper {
    link: Arc<Link>,
    start: Option<Instant>,
    free_at: Option<Instant>,
    waiting: VecDeque<Held>,
    held_bytes: usize,
    /// Bits of video in the second that goes on.
    second_bits: u32,
    pub stats: LinkStats,
}

/// A datagram that comes out of the line at `at`.
pub struct Held {
    pub at: Now,
    pub from: SocketAddr,
    pub datagram: Vec<u8>,
}

impl Shaper {
    pub fn new(link: Arc<Link>) -> Self {
        Self {
            stats: LinkStats {
                link: link.text().to_owned(),
                ..LinkStats::default()
            },
            link,
            start: None,
            free_at: None,
            waiting: VecDeque::new(),
            held_bytes: 0,
            second_bits: 0,
        }
    }

    /// The viewer came: phases count from here.
    pub fn start(&mut self, now: Instant) {
        self.start = Some(now);
    }

    /// A datagram that reached the line's far end at `arrival`.
    pub fn push(&mut self, arrival: Now, from: SocketAddr, datagram: &[u8]) {
        let since = self.start.map_or(Duration::ZERO, |start| {
            arrival.instant.saturating_duration_since(start)
        });
        let line = self.link.line_at(since);
        let free_at = self
            .free_at
            .map_or(arrival.instant, |free_at| free_at.max(arrival.instant));
        let wait = free_at - arrival.instant;
        let len = datagram.len() + HEADERS;
        if wait > line.queue || self.held_bytes + len > MAX_HELD {
            self.stats.overflowed += 1;
            return;
        }
        self.stats.longest_queue_ms = self.stats.longest_queue_ms.max(wait.as_secs_f64() * 1e3);
        let time = line.rate.map_or(0.0, |rate| len as f64 * 8.0 / rate as f64);
        let time = Duration::from_secs_f64(time);
        self.free_at = Some(free_at + time);
        // Lost behind the bottleneck, as on the radio link of a phone: it took its time on the line.
        if line.loss > 0.0 && rand::random::<f64>() < line.loss {
            self.stats.lost += 1;
            return;
        }
        let on_its_way = wait + time + line.delay;
        // Where the delay fell, nothing overtakes what is on its way.
        let latest = self.waiting.back().map(|held| held.at);
        let mut at = Now {
            instant: arrival.instant + on_its_way,
            wall: arrival.wall + on_its_way.as_micros() as u64,
        };
        if let Some(latest) = latest.filter(|latest| latest.instant > at.instant) {
            at = latest;
        }
        self.held_bytes += len;
        self.waiting.push_back(Held {
            at,
            from,
            datagram: datagram.to_vec(),
        });
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|held| held.at.instant)
    }

    /// The next datagram that has come through by `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Held> {
        let held = self.waiting.pop_front_if(|held| held.at.instant <= now)?;
        self.held_bytes -= held.datagram.len() + HEADERS;
        self.stats.passed += 1;
        Some(held)
    }

    /// Counts video that arrived at `now` and can be decoded.
    pub fn count_video(&mut self, now: Instant, bytes: usize) {
        /// Two hours of seconds; what comes later is not plotted.
        const MAX_SECONDS: usize = 7200;
        let since = self
            .start
            .map_or(Duration::ZERO, |start| now.saturating_duration_since(start));
        let second = since.as_secs() as usize;
        if second < MAX_SECONDS {
            if self.stats.video_kbit.len() <= second {
                self.stats.video_kbit.resize(second + 1, 0);
                self.second_bits = 0;
            }
            self.second_bits = self.second_bits.saturating_add(bytes as u32 * 8);
            if let Some(kbit) = self.stats.video_kbit.get_mut(second) {
                *kbit = self.second_bits / 1000;
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
mod tests {
    use super::*;

    fn link(text: &str) -> Link {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn from() -> SocketAddr {
        "192.0.2.1:1".parse().expect("an address")
    }

    /// Pushes packets of 972 bytes (8 kbit on the line) each `every`; when each came out, in ms, and what it was.
    fn through(shaper: &mut Shaper, count: u64, every: Duration) -> Vec<(u64, u8)> {
        let start = Instant::now();
        shaper.start(start);
        for index in 0..count {
            let at = Now {
                instant: start + every * index as u32,
                wall: 1_000_000 + every.as_micros() as u64 * index,
            };
            shaper.push(at, from(), &[index as u8; 972]);
        }
        let mut out = Vec::new();
        while let Some(held) = shaper.pop(start + Duration::from_secs(3600)) {
            let since = held.at.instant - start;
            assert_eq!(held.at.wall, 1_000_000 + since.as_micros() as u64);
            out.push((since.as_millis() as u64, held.datagram[0]));
        }
        assert_eq!(shaper.held_bytes, 0);
        out
    }

    #[test]
    fn a_link_reads_as_it_is_written() {
        let line = link("500kbit, 100ms, 1% loss, 300ms queue").line_at(Duration::ZERO);
        let expected = Line {
            rate: Some(500_000),
            delay: Duration::from_millis(100),
            loss: 0.01,
            queue: Duration::from_millis(300),
        };
        assert_eq!(line, expected);
        let changing = link("5mbit, 20ms; 0.7M, from 10s; 5M, from 20s");
        let rates = [0, 9, 10, 19, 20, 99].map(|at| changing.line_at(Duration::from_secs(at)).rate);
        assert_eq!(
            rates,
            [5_000_000, 5_000_000, 700_000, 700_000, 5_000_000, 5_000_000].map(Some)
        );
        assert!(
            changing
                .phases
                .iter()
                .all(|phase| phase.line.delay.as_millis() == 20)
        );
        for wrong in [
            "",
            "fast",
            "1 loss queue",
            "101% loss",
            "5M; 1M",
            "5M; 1M, from 3s; 2M, from 2s",
            "2h",
        ] {
            assert!(wrong.parse::<Link>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn delay_grows_first_and_then_packets_drop() {
        // 8 kbit each 4 ms is twice what fits.
        let mut shaper = Shaper::new(Arc::new(link("1mbit, 50ms, 100ms queue")));
        let out = through(&mut shaper, 100, Duration::from_millis(4));
        let arrived: Vec<u64> = out.iter().map(|(at, _)| *at).collect();
        assert_eq!(arrived[..3], [58, 66, 74], "one each 8 ms, 50 ms late");
        assert!(arrived.windows(2).all(|pair| pair[1] - pair[0] == 8));
        let queued = arrived[20] - 58 - 4 * u64::from(out[20].1);
        assert_eq!(queued, 80, "the twenty-first waits for those before it");
        assert!(shaper.stats.overflowed > 30 && out.len() as u64 + shaper.stats.overflowed == 100);
        assert!(
            (96.0..=100.0).contains(&shaper.stats.longest_queue_ms),
            "{:?}",
            shaper.stats
        );
    }

    #[test]
    fn what_fits_passes_with_the_delay_alone() {
        let mut shaper = Shaper::new(Arc::new(link("10mbit, 20ms")));
        let out = through(&mut shaper, 50, Duration::from_millis(10));
        assert_eq!(out.len(), 50);
        assert!(out.iter().all(|(at, index)| *at == 10 * u64::from(*index) + 20));
    }

    #[test]
    fn loss_is_about_what_was_asked_for() {
        let mut shaper = Shaper::new(Arc::new(link("20% loss")));
        let out = through(&mut shaper, 2000, Duration::from_millis(1));
        assert_eq!(out.len() as u64 + shaper.stats.lost, 2000);
        assert!((300..=500).contains(&shaper.stats.lost), "{}", shaper.stats.lost);
    }

    #[test]
    fn video_is_counted_by_the_second() {
        let mut shaper = Shaper::new(Arc::new(link("1M")));
        let start = Instant::now();
        shaper.start(start);
        for (at, bytes) in [(0, 1000), (900, 250), (2100, 500)] {
            shaper.count_video(start + Duration::from_millis(at), bytes);
        }
        assert_eq!(shaper.stats.video_kbit, [10, 0, 4]);
    }
}
