//! What a viewer is sent again, and how often: retransmissions are paid by everybody, and on a thin link they take the
//! room of what they are to repair.

use std::time::{Duration, Instant};

use crate::core::media::MediaKind;

/// Of the media sent, this share may be sent again: 10 % loss each way with each retransmission doubled is half of
/// it, and a way that reorders has as much asked for that was not lost. A link that loses more is better served by less media than by more of the same.
const SHARE: f64 = 0.5;
/// Where little is sent, so many bytes a second may be sent again all the same: all of an audio track.
const FLOOR: f64 = 16_000.0;
/// Bytes that may be sent again at once: two seconds of 4 Mbit/s that a viewer started with, of which nothing arrived
/// in order.
const BURST: f64 = 1_000_000.0;
/// A packet that was sent again so shortly ago is on its way; asked for later than this, it is taken for lost again,
/// even before the round trip is over: a player that repeats itself sooner knows why.
const ON_ITS_WAY: Duration = Duration::from_millis(40);
/// Nor is a packet sent again more often.
const TIMES: u8 = 12;
/// Second copies are for links that lose more than this share.
const COPIES_FROM: f64 = 0.01;
/// A copy follows its original after this time, out of the burst that may have taken it.
pub const COPY_AFTER: Duration = Duration::from_millis(8);
/// Packets whose last retransmission is remembered.
const REMEMBERED: usize = 256;

#[derive(Debug)]
pub struct Retransmissions {
    left: f64,
    at: Instant,
    /// Payload bytes of media that had been sent by then, modulo 2³².
    media: u32,
    /// By sequence number; empty until something is asked for.
    sent: Vec<Sent>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    kind: MediaKind,
    seq: u64,
    at: Instant,
    times: u8,
}

impl Retransmissions {
    pub fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            at: now,
            media: 0,
            sent: Vec::new(),
        }
    }

    /// What has been sent entitles to its share. `media`: payload bytes of media sent so far, modulo 2³².
    pub fn earn(&mut self, media: u32, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        let bytes = f64::from(media.wrapping_sub(self.media));
        self.left = (self.left + elapsed * FLOOR + bytes * SHARE).min(BURST);
        self.at = now;
        self.media = media;
    }

    /// Whether a packet that is asked for, by its number unwrapped, is to be sent; then its `bytes` count as sent.
    /// `queue`: how long packets wait on the way at present.
    pub fn take(
        &mut self,
        kind: MediaKind,
        seq: u64,
        bytes: usize,
        round_trip: Duration,
        queue: Duration,
        now: Instant,
    ) -> bool {
        if self.left < bytes as f64 {
            return false;
        }
        if self.sent.is_empty() {
            let none = Sent {
                kind,
                seq: 0,
                at: now,
                times: 0,
            };
            self.sent = vec![none; REMEMBERED];
        }
        let Some(slot) = self.sent.get_mut(seq as usize % REMEMBERED) else {
            return false;
        };
        let again = slot.times > 0 && (slot.kind, slot.seq) == (kind, seq);
        if again {
            let soon = now.saturating_duration_since(slot.at) < (round_trip / 2).min(ON_ITS_WAY) + queue;
            if soon || slot.times >= TIMES {
                return false;
            }
        }
        let times = if again { slot.times + 1 } else { 1 };
        *slot = Sent {
            kind,
            seq,
            at: now,
            times,
        };
        self.left -= bytes as f64;
        true
    }

    /// Whether what was just taken is worth a second copy: it costs the share of what is lost, and spares most second
    /// rounds.
    pub fn take_copy(&mut self, bytes: usize, loss: f64) -> bool {
        let enough = self.left > BURST / 2.0;
        let worth = loss >= COPIES_FROM && enough;
        if worth {
            self.left -= bytes as f64;
        }
        worth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(100);

    #[test]
    fn a_packet_on_its_way_is_not_sent_again_until_it_may_be_lost_again() {
        let start = origin();
        let mut sent = Retransmissions::new(start);
        let mut take = |ms: u64| {
            let now = start + Duration::from_millis(ms);
            sent.take(MediaKind::Video, 7, 1000, ROUND_TRIP, Duration::ZERO, now)
        };
        assert!(take(0));
        assert!(!take(1), "asked for twice");
        assert!(!take(39));
        assert!(take(60), "the player knows better");
        assert!(take(160));
    }

    #[test]
    fn sound_and_picture_with_the_same_number_are_two_packets() {
        let start = origin();
        let mut sent = Retransmissions::new(start);
        assert!(sent.take(MediaKind::Video, 7, 1000, ROUND_TRIP, Duration::ZERO, start));
        assert!(sent.take(MediaKind::Audio, 7, 100, ROUND_TRIP, Duration::ZERO, start));
    }

    #[test]
    fn a_storm_gets_no_more_than_its_share() {
        let start = origin();
        let mut sent = Retransmissions::new(start);
        let (mut media, mut again) = (0u32, 0u64);
        // 2 Mbit/s for a minute, and everything asked for all the time.
        for ms in 0..60_000u64 {
            let now = start + Duration::from_millis(ms);
            media = media.wrapping_add(250);
            sent.earn(media, now);
            for n in 0..50 {
                if sent.take(
                    MediaKind::Video,
                    ms * 50 + n,
                    1000,
                    ROUND_TRIP,
                    Duration::ZERO,
                    now,
                ) {
                    again += 1000;
                }
            }
        }
        let most = f64::from(media) * SHARE + 60.0 * FLOOR + BURST;
        assert!((again as f64) <= most, "{again} of {most}");
        assert!((again as f64) > 0.9 * most);
    }

    #[test]
    fn one_packet_asked_for_for_ever_is_not() {
        let start = origin();
        let mut sent = Retransmissions::new(start);
        let times = (0..10_000u64).filter(|n| {
            let now = start + Duration::from_millis(n * 100);
            sent.take(MediaKind::Video, 7, 1000, ROUND_TRIP, Duration::ZERO, now)
        });
        assert_eq!(times.count(), usize::from(TIMES));
    }

    #[test]
    fn copies_are_for_lossy_links_with_room() {
        let start = origin();
        let mut sent = Retransmissions::new(start);
        assert!(!sent.take_copy(1000, 0.0));
        assert!(sent.take_copy(1000, 0.05));
        while sent.take_copy(1000, 0.05) {}
        assert!(
            sent.take(MediaKind::Video, 1, 1000, ROUND_TRIP, Duration::ZERO, start),
            "the packets themselves go first"
        );
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }
}
