//! The one conversion between the monotonic clock handed in and wall-clock NTP time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970), RFC 5905 §6.
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// An instant and the wall-clock time it stands for, read once at start. NTP times derived from it never jump,
/// whatever happens to the system's clock.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    instant: Instant,
    wall: Duration,
}

impl Epoch {
    pub fn new(instant: Instant, wall: SystemTime) -> Self {
        Self {
            instant,
            wall: wall.duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// Wall-clock time of `now` as a 64-bit NTP timestamp: seconds, and fractions of 2⁻³² s (RFC 5905 §6).
    pub fn ntp(&self, now: Instant) -> Ntp {
        let wall = self.wall + now.saturating_duration_since(self.instant);
        let seconds = wall.as_secs().wrapping_add(NTP_TO_UNIX_SECONDS);
        let fraction = (u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000;
        Ntp((seconds << 32) | fraction)
    }
}

/// A 64-bit NTP timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ntp(pub u64);

impl Ntp {
    /// Seconds from `earlier` to this one; negative when it is the other way round.
    pub fn seconds_since(self, earlier: Ntp) -> f64 {
        self.0.wrapping_sub(earlier.0) as i64 as f64 / 4_294_967_296.0
    }

    /// The middle 32 bits, as report blocks carry them (RFC 3550 §6.4.1, LSR).
    pub fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}
