//! The publisher's clocks. Each track's sender reports tie its RTP timestamps to one clock of the publisher's;
//! viewers get sender reports of ours that keep those ties, so that audio and video play in sync.

use std::time::Instant;

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
