//! What one layer of a publisher's came to: counted per packet, summed up once a second.

use std::time::{Duration, Instant};

use crate::core::ids::{Bitrate, SeqNo};
use crate::core::statistics::Pace;

#[derive(Debug)]
pub struct Meter {
    packets: u64,
    bytes: u64,
    pictures: u64,
    /// Sequence numbers that were passed over when a later one came.
    skipped: u64,
    /// Of those, what came after all: sent again, or overtaken.
    late: u64,
    /// Of `late`, what came as itself although retransmissions are packets of their own: overtaken, not lost.
    overtaken: u64,
    newest_timestamp: Option<u64>,
    keyframe_at: Option<Instant>,
    keyframe_interval: Option<Duration>,
    byte_pace: Pace,
    picture_pace: Pace,
    /// `packets + skipped` and what was lost at the last report.
    before: (u64, u64),
}

/// A layer's last second.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub packets: u64,
    pub bytes: u64,
    pub lost: u64,
    pub bitrate: Bitrate,
    pub rate: f32,
    /// Packets expected and lost on the line in this second.
    pub expected: u64,
    pub missing: u64,
}

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// As itself; retransmissions of this codec are packets of their own.
    Itself,
    /// As itself, for the first time or again.
    PerhapsAgain,
    /// In a retransmission.
    Again,
}

impl Meter {
    pub fn new(now: Instant) -> Self {
        Self {
            packets: 0,
            bytes: 0,
            pictures: 0,
            skipped: 0,
            late: 0,
            overtaken: 0,
            newest_timestamp: None,
            keyframe_at: None,
            keyframe_interval: None,
            byte_pace: Pace::new(now),
            picture_pace: Pace::new(now),
            before: (0, 0),
        }
    }

    /// `highest` is the highest sequence number before this packet; `None` at the start of a sequence.
    pub fn packet(&mut self, highest: Option<SeqNo>, seq: SeqNo, timestamp: u64, bytes: usize, came: Came) {
        self.packets += 1;
        self.bytes += bytes as u64;
        match highest {
            Some(highest) if seq > highest => self.skipped += seq.0 - highest.0 - 1,
            Some(_) => {
                self.late += 1;
                self.overtaken += u64::from(came == Came::Itself);
            }
            None => {}
        }
        if self.newest_timestamp != Some(timestamp) && highest.is_none_or(|highest| seq > highest) {
            self.newest_timestamp = Some(timestamp);
            self.pictures += 1;
        }
    }

    pub fn keyframe(&mut self, now: Instant) {
        let since = self.keyframe_at.map(|at| now.saturating_duration_since(at));
        self.keyframe_interval = since.or(self.keyframe_interval);
        self.keyframe_at = Some(now);
    }

    pub fn keyframe_interval(&self) -> Option<Duration> {
        self.keyframe_interval
    }

    pub fn keyframe_age(&self, now: Instant) -> Option<Duration> {
        self.keyframe_at.map(|at| now.saturating_duration_since(at))
    }

    pub fn measure(&mut self, now: Instant) -> Measured {
        let on_line = self.skipped.saturating_sub(self.overtaken);
        let expected = self.packets.saturating_sub(self.late) + self.skipped;
        let (expected_before, lost_before) = std::mem::replace(&mut self.before, (expected, on_line));
        Measured {
            packets: self.packets,
            bytes: self.bytes,
            lost: self.skipped.saturating_sub(self.late),
            bitrate: self.byte_pace.bitrate(self.bytes, now),
            rate: self.picture_pace.per_second(self.pictures, now) as f32,
            expected: expected.saturating_sub(expected_before),
            missing: on_line.saturating_sub(lost_before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_late_was_lost_on_the_line_but_not_for_good() {
        let start = origin();
        let mut meter = Meter::new(start);
        let mut highest = None;
        for (seq, came) in [
            (1, Came::Itself),
            (2, Came::Itself),
            // 3, 4 and 5 are missing; 4 was only overtaken, 5 is sent again, 3 never comes.
            (6, Came::Itself),
            (4, Came::Itself),
            (5, Came::Again),
        ] {
            meter.packet(highest, SeqNo(seq), seq / 2, 100, came);
            highest = highest.max(Some(SeqNo(seq)));
        }
        let measured = meter.measure(start + Duration::from_secs(1));
        assert_eq!((measured.packets, measured.lost), (5, 1));
        assert_eq!((measured.expected, measured.missing), (6, 2));
        assert_eq!(measured.bitrate, Bitrate(4000));
        let quiet = meter.measure(start + Duration::from_secs(2));
        assert_eq!((quiet.expected, quiet.missing, quiet.bitrate), (0, 0, Bitrate(0)));
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }
}
