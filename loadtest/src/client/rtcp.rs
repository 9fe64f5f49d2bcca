//! RTCP (RFC 3550 §6, RFC 4585, RFC 5104): the reports and feedback a client sends and understands.

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

/// One report block (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    pub ssrc: u32,
    /// Of 256.
    pub fraction_lost: u8,
    pub total_lost: u32,
    pub highest_seq: u32,
    /// RTP clock ticks.
    pub jitter: u32,
    /// The middle 32 bits of the last sender report's NTP time; 0 when there was none.
    pub last_sr: u32,
    /// 1/65536 s.
    pub delay_since_last_sr: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    pub ssrc: u32,
    pub ntp: u64,
    pub rtp: u32,
    pub packets: u32,
    pub octets: u32,
}

/// What arrives and matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    SenderReport(SenderInfo),
    ReportBlock(ReportBlock),
    Nack { media: u32, pairs: NackPairs<'a> },
    Pli { media: u32 },
    Fir { media: u32 },
    Bye { ssrc: u32 },
}

/// The sequence numbers a generic NACK names (RFC 4585 §6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NackPairs<'a>(&'a [u8]);

impl NackPairs<'_> {
    pub fn numbers(&self) -> impl Iterator<Item = u16> {
        self.0.as_chunks::<4>().0.iter().flat_map(|pair| {
            let first = u16::from_be_bytes([pair[0], pair[1]]);
            let mask = u16::from_be_bytes([pair[2], pair[3]]);
            std::iter::once(first).chain(
                (0..16u16)
                    .filter(move |bit| mask >> bit & 1 == 1)
                    .map(move |bit| first.wrapping_add(bit + 1)),
            )
        })
    }
}

/// Calls `each` for everything understood in a compound packet; stops at the first malformed part.
pub fn read<'a>(mut bytes: &'a [u8], mut each: impl FnMut(Event<'a>)) {
    while let Some((part, rest)) = split(bytes) {
        read_part(part, &mut each);
        bytes = rest;
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let head = bytes.first_chunk::<4>()?;
    if head[0] >> 6 != 2 {
        return None;
    }
    bytes.split_at_checked(4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]])))
}

fn read_part<'a>(part: &'a [u8], each: &mut impl FnMut(Event<'a>)) {
    let (Some(count), Some(kind)) = (part.first().map(|byte| byte & 0x1f), part.get(1)) else {
        return;
    };
    let Some(ssrc) = word(part, 1) else { return };
    match (*kind, count) {
        (SENDER_REPORT, _) => {
            let (Some(high), Some(low)) = (word(part, 2), word(part, 3)) else {
                return;
            };
            let (Some(rtp), Some(packets), Some(octets)) = (word(part, 4), word(part, 5), word(part, 6))
            else {
                return;
            };
            let ntp = u64::from(high) << 32 | u64::from(low);
            each(Event::SenderReport(SenderInfo {
                ssrc,
                ntp,
                rtp,
                packets,
                octets,
            }));
            read_blocks(part, 7, count, each);
        }
        (RECEIVER_REPORT, _) => read_blocks(part, 2, count, each),
        (BYE, 1..) => each(Event::Bye { ssrc }),
        (TRANSPORT_FEEDBACK, 1) => {
            if let (Some(media), Some(pairs)) = (word(part, 2), part.get(12..)) {
                each(Event::Nack {
                    media,
                    pairs: NackPairs(pairs),
                });
            }
        }
        (PAYLOAD_FEEDBACK, 1) => {
            if let Some(media) = word(part, 2) {
                each(Event::Pli { media });
            }
        }
        (PAYLOAD_FEEDBACK, 4) => {
            if let Some(media) = word(part, 3) {
                each(Event::Fir { media });
            }
        }
        _ => {}
    }
}

fn read_blocks<'a>(part: &'a [u8], first_word: usize, count: u8, each: &mut impl FnMut(Event<'a>)) {
    for block in 0..usize::from(count) {
        let at = first_word + 6 * block;
        let words: [Option<u32>; 6] = std::array::from_fn(|i| word(part, at + i));
        let [
            Some(ssrc),
            Some(lost),
            Some(highest_seq),
            Some(jitter),
            Some(last_sr),
            Some(delay),
        ] = words
        else {
            return;
        };
        each(Event::ReportBlock(ReportBlock {
            ssrc,
            fraction_lost: (lost >> 24) as u8,
            total_lost: lost & 0x00ff_ffff,
            highest_seq,
            jitter,
            last_sr,
            delay_since_last_sr: delay,
        }));
    }
}

fn word(part: &[u8], index: usize) -> Option<u32> {
    part.get(4 * index..4 * index + 4)?
        .try_into()
        .ok()
        .map(u32::from_be_bytes)
}

/// A receiver report with its source description: the beginning every compound packet must have.
pub fn write_receiver_report(out: &mut Vec<u8>, from: u32, cname: &str, blocks: &[ReportBlock]) {
    head(out, blocks.len() as u8, RECEIVER_REPORT, 1 + 6 * blocks.len());
    out.extend_from_slice(&from.to_be_bytes());
    for block in blocks {
        let lost = u32::from(block.fraction_lost) << 24 | block.total_lost.min(0x00ff_ffff);
        for value in [
            block.ssrc,
            lost,
            block.highest_seq,
            block.jitter,
            block.last_sr,
            block.delay_since_last_sr,
        ] {
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
    write_cname(out, from, cname);
}

/// A sender report with its source description.
pub fn write_sender_report(out: &mut Vec<u8>, info: &SenderInfo, cname: &str) {
    head(out, 0, SENDER_REPORT, 6);
    out.extend_from_slice(&info.ssrc.to_be_bytes());
    out.extend_from_slice(&info.ntp.to_be_bytes());
    for value in [info.rtp, info.packets, info.octets] {
        out.extend_from_slice(&value.to_be_bytes());
    }
    write_cname(out, info.ssrc, cname);
}

fn write_cname(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let cname = &cname.as_bytes()[..cname.len().min(255)];
    // Item type, length, text and at least one terminating zero, padded to words (RFC 3550 §6.5).
    let chunk = (2 + cname.len() + 1).next_multiple_of(4);
    head(out, 1, SOURCE_DESCRIPTION, 1 + chunk / 4);
    out.extend_from_slice(&ssrc.to_be_bytes());
    let end = out.len() + chunk;
    out.extend_from_slice(&[1, cname.len() as u8]);
    out.extend_from_slice(cname);
    out.resize(end, 0);
}

/// A generic NACK for `numbers`, which must ascend; none makes no packet.
pub fn write_nack(out: &mut Vec<u8>, from: u32, media: u32, numbers: &[u16]) {
    let mut pairs: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match pairs.last_mut() {
            Some((first, mask)) if (1..=16).contains(&number.wrapping_sub(*first)) => {
                *mask |= 1 << (number.wrapping_sub(*first) - 1);
            }
            _ => pairs.push((*number, 0)),
        }
    }
    if pairs.is_empty() {
        return;
    }
    head(out, 1, TRANSPORT_FEEDBACK, 2 + pairs.len());
    out.extend_from_slice(&from.to_be_bytes());
    out.extend_from_slice(&media.to_be_bytes());
    for (first, mask) in pairs {
        out.extend_from_slice(&first.to_be_bytes());
        out.extend_from_slice(&mask.to_be_bytes());
    }
}

/// A picture loss indication.
pub fn write_pli(out: &mut Vec<u8>, from: u32, media: u32) {
    head(out, 1, PAYLOAD_FEEDBACK, 2);
    out.extend_from_slice(&from.to_be_bytes());
    out.extend_from_slice(&media.to_be_bytes());
}

/// A receiver's estimate of its line in bits per second (draft-alvestrand-rmcat-remb §2.2).
pub fn write_remb(out: &mut Vec<u8>, from: u32, bits_per_second: u64, ssrcs: &[u32]) {
    const MANTISSA_BITS: u32 = 18;
    let exponent = (u64::BITS - bits_per_second.leading_zeros()).saturating_sub(MANTISSA_BITS);
    let mantissa = (bits_per_second >> exponent) as u32;
    head(out, 15, PAYLOAD_FEEDBACK, 4 + ssrcs.len());
    out.extend_from_slice(&from.to_be_bytes());
    out.extend_from_slice(&0u32.to_be_bytes());
    out.extend_from_slice(b"REMB");
    out.extend_from_slice(&((ssrcs.len() as u32) << 24 | exponent << 18 | mantissa).to_be_bytes());
    for ssrc in ssrcs {
        out.extend_from_slice(&ssrc.to_be_bytes());
    }
}

fn head(out: &mut Vec<u8>, count: u8, kind: u8, words: usize) {
    out.extend_from_slice(&[0x80 | count, kind]);
    out.extend_from_slice(&(words as u16).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;

    use super::*;

    #[test]
    fn a_compound_packet_reads_back() {
        let block = ReportBlock {
            ssrc: 5,
            fraction_lost: 1,
            total_lost: 2,
            highest_seq: 3,
            jitter: 4,
            last_sr: 6,
            delay_since_last_sr: 7,
        };
        let mut bytes = Vec::new();
        write_receiver_report(&mut bytes, 1, "name", &[block]);
        let lost = [65530, 65531, 1, 20];
        write_nack(&mut bytes, 1, 5, &lost);
        write_pli(&mut bytes, 1, 5);
        let mut seen = Vec::new();
        read(&bytes, |event| match event {
            Event::Nack { media, pairs } => {
                assert_eq!((media, pairs.numbers().collect::<Vec<_>>()), (5, lost.to_vec()));
                seen.push("nack");
            }
            Event::ReportBlock(read) => {
                assert_eq!(read, block);
                seen.push("report");
            }
            Event::Pli { media: 5 } => seen.push("pli"),
            other => panic!("unexpected {other:?}"),
        });
        assert_eq!(seen, ["report", "nack", "pli"]);
    }

    #[test]
    fn an_independent_reader_accepts_what_is_written() {
        let mut bytes = Vec::new();
        write_sender_report(
            &mut bytes,
            &SenderInfo {
                ssrc: 1,
                ntp: 2,
                rtp: 3,
                packets: 4,
                octets: 5,
            },
            "c",
        );
        write_pli(&mut bytes, 1, 9);
        write_remb(&mut bytes, 1, 1_234_567, &[7, 8]);
        let packets = rtc::rtcp::packet::unmarshal(&mut &bytes[..]).expect("well-formed");
        assert_eq!(packets.len(), 4);
        let remb = packets[3]
            .as_any()
            .downcast_ref::<ReceiverEstimatedMaximumBitrate>();
        let remb = remb.expect("an estimate");
        assert!(
            (remb.bitrate - 1_234_567.0).abs() < 10.0 && remb.ssrcs == [7, 8],
            "{remb:?}"
        );
    }
}
