//! A compound RTCP packet taken apart in place.

use super::{ReportBlock, format, packet_type};
use crate::core::ids::{Bitrate, Ssrc};

/// One thing a compound packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rtcp<'a> {
    /// RFC 3550 §6.4.1. `rtp` is the RTP timestamp of the instant `ntp` (32.32 fixed point).
    SenderReport {
        ssrc: Ssrc,
        ntp: u64,
        rtp: u32,
        packets: u32,
        octets: u32,
        /// What the sender in turn reports about what it receives; not repeated as [`Rtcp::ReceiverReport`]s.
        blocks: ReportBlocks<'a>,
    },
    /// One block of a receiver report (RFC 3550 §6.4.2) by `ssrc`. A report without blocks is not seen.
    ReceiverReport { ssrc: Ssrc, block: ReportBlock },
    /// One pair of a generic NACK (RFC 4585 §6.2.1): see [`lost`].
    Nack { media: Ssrc, pid: u16, blp: u16 },
    /// RFC 4585 §6.3.1.
    Pli { media: Ssrc },
    /// One entry of a full intra request (RFC 5104 §4.3.1); a repetition has the same `seq`.
    Fir { media: Ssrc, seq: u8 },
    /// The receiver's estimate for all of `ssrcs` together (draft-alvestrand-rmcat-remb-03).
    Remb { bitrate: Bitrate, ssrcs: Ssrcs<'a> },
    /// Transport-wide congestion control feedback: the whole packet, header included, without padding.
    TransportCc(&'a [u8]),
    /// One source of a goodbye (RFC 3550 §6.6).
    Bye { ssrc: Ssrc },
    /// An extended report (RFC 3611): the whole packet, header included, without padding.
    Xr(&'a [u8]),
}

/// What a decrypted compound packet says, in its order. Packets of unknown type or format are passed over; the
/// first malformed one ends it, since nothing tells where another would begin. Takes reduced-size packets too
/// (RFC 5506).
pub fn feedback(compound: &[u8]) -> impl Iterator<Item = Rtcp<'_>> {
    Reader {
        rest: compound,
        entries: Entries::None,
    }
}

/// The sequence numbers that a NACK's pair names as lost: `pid` and those after it whose bit in `blp` is set.
pub fn lost(pid: u16, blp: u16) -> impl Iterator<Item = u16> {
    let following = (0..16)
        .filter(move |bit| blp >> bit & 1 == 1)
        .map(move |bit| pid.wrapping_add(bit + 1));
    std::iter::once(pid).chain(following)
}

/// A receiver's own time in an extended report (RFC 3611 §4.4), and who says it: by it the receiver measures the round
/// trip, once it is told how long its report lay here.
pub fn reference_time(xr: &[u8]) -> Option<(Ssrc, u64)> {
    const REFERENCE_TIME: u8 = 4;
    let (sender, mut blocks) = ssrc(xr.get(4..)?)?;
    loop {
        let (&[kind, _, l0, l1], rest) = blocks.split_first_chunk()?;
        let (block, rest) = rest.split_at_checked(4 * usize::from(u16::from_be_bytes([l0, l1])))?;
        if let (REFERENCE_TIME, Ok(ntp)) = (kind, <[u8; 8]>::try_from(block)) {
            return Some((sender, u64::from_be_bytes(ntp)));
        }
        blocks = rest;
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    entries: Entries<'a>,
}

/// The rest of a packet that says several things.
enum Entries<'a> {
    None,
    Reports(Ssrc, ReportBlocks<'a>),
    Nacks(Ssrc, &'a [u8]),
    Firs(&'a [u8]),
    Byes(Ssrcs<'a>),
}

impl<'a> Iterator for Reader<'a> {
    type Item = Rtcp<'a>;

    fn next(&mut self) -> Option<Rtcp<'a>> {
        loop {
            if let Some(item) = self.entries.next() {
                return Some(item);
            }
            let rest = std::mem::take(&mut self.rest);
            let (packet, rest) = split(rest)?;
            self.rest = rest;
            self.entries = Entries::None;
            if let Some(item) = self.open(packet) {
                return Some(item);
            }
        }
    }
}

impl<'a> Reader<'a> {
    /// The one thing a packet says; or sets `entries` to the several. Too short for its type: says nothing.
    fn open(&mut self, packet: &'a [u8]) -> Option<Rtcp<'a>> {
        let (&[flags, kind, _, _], body) = packet.split_first_chunk()?;
        let count = usize::from(flags & 0x1f);
        match kind {
            packet_type::SR => {
                let (sender, info) = ssrc(body)?;
                let (info, blocks) = info.split_first_chunk::<20>()?;
                let [n0, n1, n2, n3, n4, n5, n6, n7, rest @ ..] = *info;
                let [rtp, packets, octets] = words(rest);
                return Some(Rtcp::SenderReport {
                    ssrc: sender,
                    ntp: u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
                    rtp,
                    packets,
                    octets,
                    blocks: ReportBlocks::new(blocks, count),
                });
            }
            packet_type::RR => {
                let (sender, blocks) = ssrc(body)?;
                self.entries = Entries::Reports(sender, ReportBlocks::new(blocks, count));
            }
            packet_type::BYE => self.entries = Entries::Byes(Ssrcs::new(body, count)),
            packet_type::XR => return Some(Rtcp::Xr(packet)),
            packet_type::RTPFB | packet_type::PSFB => {
                return self.open_feedback(packet, flags & 0x1f, kind, body);
            }
            _ => {}
        }
        None
    }

    fn open_feedback(&mut self, packet: &'a [u8], fmt: u8, kind: u8, body: &'a [u8]) -> Option<Rtcp<'a>> {
        let (_sender, body) = ssrc(body)?;
        let (media, entries) = ssrc(body)?;
        match (kind, fmt) {
            (packet_type::RTPFB, format::NACK) => self.entries = Entries::Nacks(media, entries),
            (packet_type::RTPFB, format::TRANSPORT_CC) => return Some(Rtcp::TransportCc(packet)),
            (packet_type::PSFB, format::PLI) => return Some(Rtcp::Pli { media }),
            // The media SSRC of the packet is unused; each entry has its own.
            (packet_type::PSFB, format::FIR) => self.entries = Entries::Firs(entries),
            (packet_type::PSFB, format::AFB) => return remb(entries),
            _ => {}
        }
        None
    }
}

impl<'a> Entries<'a> {
    fn next(&mut self) -> Option<Rtcp<'a>> {
        match self {
            Entries::None => None,
            Entries::Reports(ssrc, blocks) => blocks
                .next()
                .map(|block| Rtcp::ReceiverReport { ssrc: *ssrc, block }),
            Entries::Nacks(media, entries) => {
                let (&[p0, p1, b0, b1], rest) = entries.split_first_chunk()?;
                *entries = rest;
                let (pid, blp) = (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([b0, b1]));
                Some(Rtcp::Nack {
                    media: *media,
                    pid,
                    blp,
                })
            }
            Entries::Firs(entries) => {
                let (media, rest) = ssrc(entries)?;
                let (&[seq, _, _, _], rest) = rest.split_first_chunk()?;
                *entries = rest;
                Some(Rtcp::Fir { media, seq })
            }
            Entries::Byes(ssrcs) => ssrcs.next().map(|ssrc| Rtcp::Bye { ssrc }),
        }
    }
}

/// A report block's length in bytes.
const BLOCK_LEN: usize = 24;

/// A sender or receiver report's blocks; fewer than it claims if it is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> ReportBlocks<'a> {
    fn new(bytes: &'a [u8], count: usize) -> Self {
        // What follows the blocks is a profile's extension.
        Self {
            rest: bytes.get(..count * BLOCK_LEN).unwrap_or(bytes),
        }
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.rest.split_first_chunk::<BLOCK_LEN>()?;
        self.rest = rest;
        let [ssrc, loss, highest_seq, jitter, lsr, dlsr] = words(*block);
        Some(ReportBlock {
            ssrc: Ssrc(ssrc),
            fraction_lost: (loss >> 24) as u8,
            // Sign-extends the low 24 bits.
            cumulative_lost: (loss << 8) as i32 >> 8,
            highest_seq,
            jitter,
            lsr,
            dlsr,
        })
    }
}

/// A list of SSRCs; shorter than claimed if its packet is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssrcs<'a> {
    rest: &'a [u8],
}

impl<'a> Ssrcs<'a> {
    fn new(bytes: &'a [u8], count: usize) -> Self {
        Self {
            rest: bytes.get(..count * 4).unwrap_or(bytes),
        }
    }
}

impl Iterator for Ssrcs<'_> {
    type Item = Ssrc;

    fn next(&mut self) -> Option<Ssrc> {
        let (first, rest) = ssrc(self.rest)?;
        self.rest = rest;
        Some(first)
    }
}

/// The compound's first packet without its padding, and the rest.
fn split(compound: &[u8]) -> Option<(&[u8], &[u8])> {
    let &[flags, _, l0, l1] = compound.first_chunk()?;
    if flags >> 6 != 2 {
        return None;
    }
    let len = 4 * (usize::from(u16::from_be_bytes([l0, l1])) + 1);
    let (packet, rest) = compound.split_at_checked(len)?;
    if flags & 0x20 == 0 {
        return Some((packet, rest));
    }
    let padding = usize::from(*packet.last()?);
    let end = packet
        .len()
        .checked_sub(padding)
        .filter(|end| padding > 0 && *end >= 4)?;
    Some((packet.get(..end)?, rest))
}

fn ssrc(bytes: &[u8]) -> Option<(Ssrc, &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((Ssrc(u32::from_be_bytes(*first)), rest))
}

fn words<const BYTES: usize, const WORDS: usize>(bytes: [u8; BYTES]) -> [u32; WORDS] {
    const { assert!(BYTES == 4 * WORDS) };
    std::array::from_fn(|i| {
        u32::from_be_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
    })
}

/// "REMB", a count of SSRCs, 6 bits of exponent, 18 of mantissa, the SSRCs.
fn remb(message: &[u8]) -> Option<Rtcp<'_>> {
    let (&[b'R', b'E', b'M', b'B', count, e, m1, m2], ssrcs) = message.split_first_chunk()? else {
        return None;
    };
    let mantissa = u64::from(u32::from_be_bytes([0, e & 3, m1, m2]));
    let exponent = u32::from(e >> 2);
    let bitrate = if exponent <= mantissa.leading_zeros() {
        mantissa.unbounded_shl(exponent)
    } else {
        u64::MAX
    };
    Some(Rtcp::Remb {
        bitrate: Bitrate(bitrate),
        ssrcs: Ssrcs::new(ssrcs, count.into()),
    })
}
