//! What stands on a packet because of when it was sent: its number among all packets to the viewer, and the time.

use std::time::Instant;

use super::pacer::Pacer;
use super::playout::PlayoutRange;
use crate::core::bwe::Estimator;
use crate::core::media::{ExtensionIds, MediaKind};

/// A viewer's packets in the order they are sent: audio, video, retransmissions and padding together.
#[derive(Debug)]
pub struct Transport {
    pub estimator: Estimator,
    pub pacer: Pacer,
    numbering: Numbering,
    /// What abs-send-time counts from.
    origin: Instant,
}

/// Which packets the estimator is told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// None: the viewer gives no feedback.
    Off,
    /// All: the viewer estimates itself, and names no packets.
    Silent,
    /// Those that carry their number.
    Written,
}

/// What one packet carries of it. A packet that is sent again on its own SSRC carries the same again: it is sealed
/// with the same nonce, so it has to be the same to the byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub number: Option<u16>,
    /// 24 bits: seconds in 6.18 fixed point.
    pub time: u32,
    pub playout: Option<PlayoutRange>,
    /// The packet before it is repeated in it.
    pub redundant: bool,
}

impl Transport {
    pub fn new(estimator: Estimator, numbering: Numbering, now: Instant) -> Self {
        Self {
            estimator,
            pacer: Pacer::new(now),
            numbering,
            origin: now,
        }
    }

    /// For a packet with so much payload that goes out now, on a track with these extensions.
    #[inline]
    pub fn stamp(&mut self, ids: &ExtensionIds, payload: usize, now: Instant) -> Stamp {
        let number = match self.numbering {
            Numbering::Off => None,
            Numbering::Silent => {
                self.estimator.sent(now, payload + PACKET_OVERHEAD);
                None
            }
            Numbering::Written => ids
                .transport_cc
                .map(|_| self.estimator.sent(now, payload + PACKET_OVERHEAD)),
        };
        let time = match ids.abs_send_time {
            Some(_) => {
                let micros = now.saturating_duration_since(self.origin).as_micros() as u64;
                ((micros << 18) / 1_000_000) as u32 & 0x00ff_ffff
            }
            None => 0,
        };
        Stamp {
            number,
            time,
            playout: None,
            redundant: false,
        }
    }
}

/// RTP header, the usual extensions, and the authentication tag.
pub const PACKET_OVERHEAD: usize = 12 + 8 + 16;

/// The stamps of a track's latest packets by sequence number.
#[derive(Debug)]
pub struct Stamps {
    slots: Vec<(u64, Stamp)>,
    kept: usize,
}

/// Packets that can be sent again on their own SSRC: two seconds of 8 Mbit/s, five of sound.
const KEPT_VIDEO: usize = 2048;
const KEPT_AUDIO: usize = 256;

impl Stamps {
    pub fn new(kind: MediaKind) -> Self {
        Self {
            slots: Vec::new(),
            kept: match kind {
                MediaKind::Audio => KEPT_AUDIO,
                MediaKind::Video => KEPT_VIDEO,
            },
        }
    }

    pub fn keep(&mut self, seq: u64, stamp: Stamp) {
        if self.slots.is_empty() {
            self.slots = vec![(u64::MAX, Stamp::default()); self.kept];
        }
        if let Some(slot) = self.slots.get_mut(seq as usize % self.kept) {
            *slot = (seq, stamp);
        }
    }

    pub fn of(&self, seq: u64) -> Option<Stamp> {
        let slot = self.slots.get(seq as usize % self.kept)?;
        (slot.0 == seq).then_some(slot.1)
    }
}
