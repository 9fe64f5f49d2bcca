//! Retransmissions on their own SSRC and payload type (RFC 4588): a copy of the packet whose payload starts with
//! the original sequence number (OSN).

use super::header::RtpHeader;
use crate::core::ids::{PayloadType, Ssrc};

/// Turns a retransmission, as described by `header`, back into the packet it repeats, in place; returns that
/// packet's length, counted from `packet`'s start.
///
/// `original` is the payload type and SSRC of the media it repeats. Padding goes: RFC 4588 §4 takes the original's
/// away before wrapping, so what is there belongs to the retransmission. Extension elements stay as they are (a
/// repaired-rid among them keeps its id).
///
/// `None`, and nothing changed, if there is no OSN: padding sent to probe the bandwidth, or a packet cut short.
pub fn unwrap(packet: &mut [u8], header: &RtpHeader, original: (PayloadType, Ssrc)) -> Option<usize> {
    let &osn = header.payload(packet).first_chunk::<2>()?;
    let end = packet.len() - header.padding_len;
    let (pt, ssrc) = original;
    let fixed = packet.first_chunk_mut::<12>()?;
    fixed[0] &= !0x20;
    fixed[1] = (fixed[1] & 0x80) | (pt.0 & 0x7f);
    fixed[2..4].copy_from_slice(&osn);
    fixed[8..12].copy_from_slice(&ssrc.0.to_be_bytes());
    packet.copy_within(header.header_len + 2..end, header.header_len);
    Some(end - 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rtp::writer::{OutgoingHeader, write_header};
    use proptest::prelude::*;

    const MEDIA: (PayloadType, Ssrc) = (PayloadType(96), Ssrc(1));

    #[test]
    fn padding_and_stumps_repeat_nothing() {
        for (flags, payload) in [
            (0xa0, &[0, 0, 0, 0, 5][..]),
            (0x80, &[]),
            (0x80, &[1]),
            (0xa0, &[1, 9]),
        ] {
            let mut packet = vec![flags, 97, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
            packet.extend(payload);
            let before = packet.clone();
            let header = RtpHeader::parse(&packet).unwrap();
            assert_eq!(unwrap(&mut packet, &header, MEDIA), None, "{payload:?}");
            assert_eq!(packet, before);
        }
    }

    proptest! {
        #[test]
        fn a_wrapped_packet_comes_back_as_it_was(
            marker: bool, seq: u16, rtx_seq: u16, timestamp: u32, padding in 0..20u8,
            payload in proptest::collection::vec(any::<u8>(), 0..100), extended: bool,
        ) {
            let elements: &[(u8, &[u8])] = if extended { &[(3, b"hi"), (5, &[1, 2, 3])] } else { &[] };
            let media = OutgoingHeader { marker, pt: MEDIA.0, seq, timestamp, ssrc: MEDIA.1 };
            let rtx = OutgoingHeader { pt: PayloadType(97), seq: rtx_seq, ssrc: Ssrc(2), ..media };
            let original = written(&media, elements, &payload);
            let mut packet = written(&rtx, elements, &[&seq.to_be_bytes(), &payload[..]].concat());
            if padding > 0 {
                packet[0] |= 0x20;
                packet.extend(vec![0; usize::from(padding) - 1]);
                packet.push(padding);
            }
            let header = RtpHeader::parse(&packet).unwrap();
            let len = unwrap(&mut packet, &header, MEDIA).unwrap();
            prop_assert_eq!(&packet[..len], &original[..]);
        }

        #[test]
        fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..100), other in 0..100usize) {
            if let Some(first) = bytes.first_mut() {
                *first = 0x80 | (*first & 0x33);
            }
            if let Some(header) = RtpHeader::parse(&bytes) {
                let mut short = bytes[..other.min(bytes.len())].to_vec();
                unwrap(&mut short, &header, MEDIA);
                if let Some(len) = unwrap(&mut bytes, &header, MEDIA) {
                    prop_assert!(RtpHeader::parse(&bytes[..len]).is_some());
                }
            }
        }
    }

    fn written(header: &OutgoingHeader, elements: &[(u8, &[u8])], payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 200];
        let len = write_header(&mut packet, header, elements).unwrap();
        packet.truncate(len);
        packet.extend(payload);
        packet
    }
}
