//! The publisher's clocks. Each track's sender reports tie its RTP timestamps to one clock of the publisher's;
//! viewers get sender reports of ours that keep those ties, so that audio and video play in sync.

use std::time::{Duration, Instant};

use crate::core::time::{Epoch, Ntp};

/// One sender report's tie between RTP time and the publisher's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockPoint {
    pub ntp: Ntp,
    /// The RTP timestamp at `ntp`, unwrapped.
    pub timestamp: u64,
    pub arrival: Instant,
}

impl ClockPoint {
    /// The RTP time on `other`'s track at the time that is `timestamp` on this one's. Both count the same clock.
    pub fn on(&self, other: &ClockPoint, timestamp: u64, clock_rate: u32) -> u64 {
        let ahead = self.ntp.seconds_since(other.ntp) * f64::from(clock_rate);
        let since = timestamp.wrapping_sub(self.timestamp);
        other
            .timestamp
            .wrapping_add(since)
            .wrapping_add_signed(ahead.round() as i64)
    }
}

/// When a layer's pictures come at the earliest, by their timestamps: a picture that was sent again, or waited
/// somewhere, comes later and tells nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrivals {
    /// A picture of which others are counted from: its arrival and timestamp.
    base: Option<(Instant, u64)>,
    /// Seconds that pictures come after what the base would have them, at the least.
    earliest: f64,
    last: Option<Instant>,
}

/// Two clocks drift apart by less than 0.2 ms/s.
const MAX_DRIFT: f64 = 0.000_2;

impl Arrivals {
    pub fn arrived(&mut self, timestamp: u64, at: Instant, clock_rate: u32) {
        let Some(base) = self.base else {
            self.base = Some((at, timestamp));
            self.last = Some(at);
            return;
        };
        let seen = seconds_between(base.0, at) - ticks_between(base.1, timestamp) / f64::from(clock_rate);
        let passed = self
            .last
            .map_or(0.0, |last| at.saturating_duration_since(last).as_secs_f64());
        self.earliest = seen.min(self.earliest + passed * MAX_DRIFT);
        self.last = Some(at);
    }

    /// The timestamp that `other`'s pictures have which come at the same time as this layer's of `timestamp`.
    pub fn on(&self, other: &Arrivals, timestamp: u64, clock_rate: u32) -> Option<u64> {
        let (base, others) = (self.base?, other.base?);
        let rate = f64::from(clock_rate);
        let comes = self.earliest + ticks_between(base.1, timestamp) / rate;
        let ticks = (seconds_between(others.0, base.0) + comes - other.earliest) * rate;
        Some(others.1.wrapping_add_signed(ticks.round() as i64))
    }
}

fn seconds_between(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() - from.saturating_duration_since(to).as_secs_f64()
}

fn ticks_between(from: u64, to: u64) -> f64 {
    to.wrapping_sub(from) as i64 as f64
}

/// How far our clock is ahead of the publisher's, path delay included, in seconds. One for all tracks of a
/// publisher: an error shifts them together and the sync between them stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublisherClock {
    offset: Option<f64>,
}

/// A later offset replaces a smaller one only at this pace: reports delayed by a queue look like a larger offset,
/// while real drift between two clocks is below 0.2 ms/s.
const MAX_RISE_PER_REPORT: f64 = 0.000_5;

impl PublisherClock {
    pub fn report(&mut self, epoch: &Epoch, point: &ClockPoint) {
        let seen = epoch.ntp(point.arrival).seconds_since(point.ntp);
        self.offset = Some(match self.offset {
            // A step of the publisher's clock: start over.
            Some(offset) if (seen - offset).abs() > 5.0 => seen,
            Some(offset) => seen.min(offset + MAX_RISE_PER_REPORT),
            None => seen,
        });
    }

    /// How many seconds the publisher's clock is ahead of ours. Half of the round trip, where that is known, is the
    /// path's; without, the publisher seems behind by the path. `None` before its first report.
    pub fn ahead(&self, round_trip: Option<Duration>) -> Option<f64> {
        let path = round_trip.unwrap_or_default().as_secs_f64() / 2.0;
        self.offset.map(|offset| path - offset)
    }

    /// The publisher's RTP time at `now` on the track that `point` belongs to.
    pub fn timestamp_at(&self, epoch: &Epoch, point: &ClockPoint, now: Instant, clock_rate: u32) -> u64 {
        let elapsed = match self.offset {
            Some(offset) => epoch.ntp(now).seconds_since(point.ntp) - offset,
            None => now.saturating_duration_since(point.arrival).as_secs_f64(),
        };
        let ticks = (elapsed * f64::from(clock_rate)).round() as i64;
        point.timestamp.wrapping_add_signed(ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn layers_are_aligned_by_their_earliest_pictures_however_late_single_ones_come() {
        let start = start();
        let (mut large, mut small) = (Arrivals::default(), Arrivals::default());
        let mut late = 3;
        for n in 0..300u64 {
            let captured = start + Duration::from_millis(n * 33);
            late = (late * 7 + 1) % 40;
            large.arrived(
                1_000_000 + n * 2970,
                captured + Duration::from_millis(20 + late),
                90_000,
            );
            small.arrived(
                5_000 + n * 2970,
                captured + Duration::from_millis(20 + late / 2),
                90_000,
            );
        }
        let timestamp = small.on(&large, 5_000 + 299 * 2970, 90_000).unwrap();
        let off = timestamp.abs_diff(1_000_000 + 299 * 2970);
        assert!(off < 90 * 3, "{off} ticks off");
        assert_eq!(small.on(&Arrivals::default(), 0, 90_000), None);
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn two_tracks_reported_at_different_delays_stay_in_sync() {
        let start = Instant::now();
        let epoch = Epoch::new(start, UNIX_EPOCH + Duration::from_secs(1_000_000));
        let ms = |n: u64| start + Duration::from_millis(n);
        let mut clock = PublisherClock::default();
        // The publisher's clock says X at our 0 ms; video's report takes 10 ms to arrive, audio's 60 ms.
        let publisher = |n: u64| Ntp(epoch.ntp(ms(n)).0.wrapping_sub(77 << 32));
        let video = ClockPoint {
            ntp: publisher(1000),
            timestamp: 90_000,
            arrival: ms(1010),
        };
        let audio = ClockPoint {
            ntp: publisher(1000),
            timestamp: 48_000,
            arrival: ms(1060),
        };
        clock.report(&epoch, &video);
        clock.report(&epoch, &audio);
        let v = clock.timestamp_at(&epoch, &video, ms(3000), 90_000) as f64 / 90_000.0;
        let a = clock.timestamp_at(&epoch, &audio, ms(3000), 48_000) as f64 / 48_000.0;
        assert!((v - a).abs() < 0.001, "video {v} s, audio {a} s");
        assert!((v - 2.99).abs() < 0.002, "video {v} s");
    }
}
