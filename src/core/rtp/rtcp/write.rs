//! RTCP packets appended to a buffer. A compound starts with a report and has a CNAME (RFC 3550 §6.1), except where
//! reduced size was agreed (RFC 5506): keeping to that is the caller's business.

use super::{ReportBlock, format, packet_type};
use crate::core::ids::Ssrc;

/// A sender report without blocks (RFC 3550 §6.4.1). `ntp` is 32.32 fixed point, `rtp` the stream's timestamp at
/// that instant; `packets` and `octets` (payload only) count from the beginning, modulo 2³².
pub fn sender_report(out: &mut Vec<u8>, ssrc: Ssrc, ntp: u64, rtp: u32, packets: u32, octets: u32) {
    header(out, 0, packet_type::SR, 6);
    word(out, ssrc.0);
    out.extend(ntp.to_be_bytes());
    word(out, rtp);
    word(out, packets);
    word(out, octets);
}

/// A receiver report by `ssrc` (RFC 3550 §6.4.2). A packet holds 31 blocks; what is beyond is left out.
pub fn receiver_report(out: &mut Vec<u8>, ssrc: Ssrc, blocks: &[ReportBlock]) {
    let blocks = blocks.get(..31).unwrap_or(blocks);
    header(
        out,
        blocks.len() as u8,
        packet_type::RR,
        1 + 6 * blocks.len() as u16,
    );
    word(out, ssrc.0);
    for block in blocks {
        let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        word(out, block.ssrc.0);
        word(out, u32::from(block.fraction_lost) << 24 | lost);
        word(out, block.highest_seq);
        word(out, block.jitter);
        word(out, block.lsr);
        word(out, block.dlsr);
    }
}

/// The canonical name of `ssrc` (RFC 3550 §6.5.1); of more than 255 bytes, the first 255.
pub fn sdes_cname(out: &mut Vec<u8>, ssrc: Ssrc, cname: &str) {
    const CNAME: u8 = 1;
    let text = cname.as_bytes();
    let text = text.get(..255).unwrap_or(text);
    // Item type, length and text, then one to four zeros: the end of the list, on a word's boundary.
    let padded = (2 + text.len() + 1).next_multiple_of(4);
    header(out, 1, packet_type::SDES, 1 + (padded / 4) as u16);
    word(out, ssrc.0);
    let end = out.len() + padded;
    out.extend([CNAME, text.len() as u8]);
    out.extend(text);
    out.resize(end, 0);
}

/// A picture loss indication by `sender` about `media` (RFC 4585 §6.3.1).
pub fn pli(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc) {
    header(out, format::PLI, packet_type::PSFB, 2);
    word(out, sender.0);
    word(out, media.0);
}

/// A full intra request by `sender` to `media` (RFC 5104 §4.3.1); `seq` goes up by one with each new request.
pub fn fir(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, seq: u8) {
    header(out, format::FIR, packet_type::PSFB, 4);
    word(out, sender.0);
    word(out, 0);
    word(out, media.0);
    word(out, u32::from(seq) << 24);
}

/// A generic NACK by `sender` for the `lost` sequence numbers of `media` (RFC 4585 §6.2.1), ascending (modulo 2¹⁶)
/// for the fewest pairs. Nothing is written if there are none; beyond 256 pairs (1 KiB, to stay within a datagram)
/// the rest is left out and has to be asked for again.
pub fn nack(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, lost: impl Iterator<Item = u16>) {
    const MAX_PAIRS: u16 = 256;
    let start = out.len();
    let mut pairs = 0;
    let mut open: Option<(u16, u16)> = None;
    let mut append = |out: &mut Vec<u8>, (pid, blp): (u16, u16)| {
        if pairs == 0 {
            header(out, format::NACK, packet_type::RTPFB, 2);
            word(out, sender.0);
            word(out, media.0);
        }
        word(out, u32::from(pid) << 16 | u32::from(blp));
        pairs += 1;
        pairs < MAX_PAIRS
    };
    for seq in lost {
        match &mut open {
            Some((pid, blp)) if seq.wrapping_sub(*pid) <= 16 => {
                if let Some(bit) = seq.wrapping_sub(*pid).checked_sub(1) {
                    *blp |= 1 << bit;
                }
            }
            _ => {
                if let Some(pair) = open.replace((seq, 0))
                    && !append(out, pair)
                {
                    open = None;
                    break;
                }
            }
        }
    }
    if let Some(pair) = open {
        append(out, pair);
    }
    if pairs > 0 {
        let words = 2 + pairs;
        out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }
}

/// An extended report by `sender` that answers `receiver`'s reference time (RFC 3611 §4.5): the middle 32 bits of it,
/// and how long ago it came, in 1/65536 s.
pub fn dlrr(out: &mut Vec<u8>, sender: Ssrc, receiver: Ssrc, lrr: u32, delay: u32) {
    const DLRR: u8 = 5;
    header(out, 0, packet_type::XR, 5);
    word(out, sender.0);
    out.extend([DLRR, 0]);
    out.extend(3u16.to_be_bytes());
    word(out, receiver.0);
    word(out, lrr);
    word(out, delay);
}

/// A goodbye of one source (RFC 3550 §6.6).
pub fn bye(out: &mut Vec<u8>, ssrc: Ssrc) {
    header(out, 1, packet_type::BYE, 1);
    word(out, ssrc.0);
}

/// `words`: the packet's length in 32-bit words, less this one.
fn header(out: &mut Vec<u8>, count_or_format: u8, packet_type: u8, words: u16) {
    out.extend([0x80 | count_or_format, packet_type]);
    out.extend(words.to_be_bytes());
}

fn word(out: &mut Vec<u8>, word: u32) {
    out.extend(word.to_be_bytes());
}
