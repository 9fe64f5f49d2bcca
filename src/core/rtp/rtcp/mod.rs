//! RTCP: what peers report and ask for, and what we report and ask for.
//!
//! - [`read`]: a compound packet taken apart in place ([`feedback`]).
//! - [`write`](mod@write): packets appended to a buffer, one after another to form a compound.

pub mod read;
#[cfg(test)]
mod tests;
pub mod write;

pub use read::{ReportBlocks, Rtcp, Ssrcs, feedback, lost, reference_time};
pub use write::{bye, dlrr, fir, nack, pli, receiver_report, sdes_cname, sender_report};

use std::time::Duration;

use crate::core::ids::Ssrc;
use crate::core::time::Ntp;

/// What a receiver reports about one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source this is about.
    pub ssrc: Ssrc,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the beginning; 24 bits, negative when duplicates outweigh losses.
    pub cumulative_lost: i32,
    /// Sequence number cycles (high 16 bits) and the highest sequence number received.
    pub highest_seq: u32,
    /// Interarrival jitter in RTP clock ticks.
    pub jitter: u32,
    /// The middle 32 bits of the last sender report's NTP time; 0 if there was none.
    pub lsr: u32,
    /// Time since then in 1/65536 s; 0 if there was none.
    pub dlsr: u32,
}

impl ReportBlock {
    /// The time to the receiver and back (RFC 3550 §6.4.1), `now` being when the report came, by the clock that our
    /// sender reports go by. `None` if it heard none of ours yet, or says what cannot be.
    pub fn round_trip(&self, now: Ntp) -> Option<Duration> {
        /// What took longer was not a round trip.
        const MOST: u32 = 10 << 16;
        if self.lsr == 0 {
            return None;
        }
        let units = now.middle().wrapping_sub(self.lsr).checked_sub(self.dlsr)?;
        (units <= MOST).then(|| Duration::from_micros((u64::from(units) * 1_000_000) >> 16))
    }
}

/// Packet types (RFC 3550 §12.1, RFC 4585 §6.1, RFC 3611 §2).
mod packet_type {
    pub const SR: u8 = 200;
    pub const RR: u8 = 201;
    pub const SDES: u8 = 202;
    pub const BYE: u8 = 203;
    pub const RTPFB: u8 = 205;
    pub const PSFB: u8 = 206;
    pub const XR: u8 = 207;
}

/// Feedback message types: of RTPFB (RFC 4585 §6.2, transport-wide-cc-extensions-01 §3.1) and of PSFB (RFC 4585
/// §6.3, RFC 5104 §4.3.1).
mod format {
    pub const NACK: u8 = 1;
    pub const TRANSPORT_CC: u8 = 15;
    pub const PLI: u8 = 1;
    pub const FIR: u8 = 4;
    /// Application layer feedback; REMB by its identifier.
    pub const AFB: u8 = 15;
}
