//! The RTP header (RFC 3550 §5.1) and its extension elements (RFC 8285), read where they lie; and the first look
//! at a datagram that says which protocol it speaks (RFC 7983, RFC 5761).

use crate::core::ids::{PayloadType, Ssrc};

/// What a datagram's first byte says it is (RFC 7983 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Stun,
    Dtls,
    /// RTP or RTCP, in the clear or protected: [`is_rtcp`] tells them apart.
    Media,
    /// ZRTP, TURN channel data, anything unassigned, or nothing at all.
    Other,
}

/// The protocol a datagram on a multiplexed port belongs to, by its first byte (RFC 7983 §7).
pub fn classify(datagram: &[u8]) -> Class {
    match datagram.first() {
        Some(0..=3) => Class::Stun,
        Some(20..=63) => Class::Dtls,
        Some(128..=191) => Class::Media,
        _ => Class::Other,
    }
}

/// True if the bytes look like RTCP rather than RTP: version 2 and a packet type of 192–223, a range that RTP
/// payload types on a shared port stay out of (RFC 5761 §4). Works on protected packets too: SRTCP leaves the
/// first eight bytes in the clear.
pub fn is_rtcp(packet: &[u8]) -> bool {
    matches!(packet, [first, 192..=223, ..] if first >> 6 == 2)
}

/// A packet's RTP header, as offsets into the packet it was read from.
#[derive(Clone, Copy, Debug)]
pub struct RtpHeader {
    pub marker: bool,
    pub pt: PayloadType,
    pub seq: u16,
    pub timestamp: u32,
    pub ssrc: Ssrc,
    /// Bytes before the payload: fixed part, CSRCs and extension. At most the packet's length.
    pub header_len: usize,
    /// Where the header extension's elements lie, if the packet has one.
    pub extension: Option<ExtensionBlock>,
    /// Bytes of padding at the packet's end, at most what follows the header; all of that if the count written
    /// there is absurd (zero, or more than there is). The count is the payload's last byte and so encrypted in
    /// SRTP: on a protected packet with the padding bit this number means nothing; parse again once decrypted.
    pub padding_len: usize,
}

/// The fixed part of the header (RFC 3550 §5.1).
const FIXED_LEN: usize = 12;

impl RtpHeader {
    /// Reads a header. `None` if the packet isn't RTP version 2 or ends before its header does.
    pub fn parse(packet: &[u8]) -> Option<RtpHeader> {
        let fixed: &[u8; FIXED_LEN] = packet.first_chunk()?;
        let [flags, marker_pt, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if flags >> 6 != 2 {
            return None;
        }
        let mut header_len = FIXED_LEN + 4 * usize::from(flags & 0x0f);
        let mut extension = None;
        if flags & 0x10 != 0 {
            let &[p0, p1, l0, l1] = packet.get(header_len..)?.first_chunk()?;
            let block = ExtensionBlock {
                profile: u16::from_be_bytes([p0, p1]),
                start: header_len + 4,
                len: 4 * usize::from(u16::from_be_bytes([l0, l1])),
            };
            header_len = block.start + block.len;
            extension = Some(block);
        }
        let after_header = packet.get(header_len..)?;
        let padding_len = match after_header.last() {
            Some(&count) if flags & 0x20 != 0 => match usize::from(count) {
                count if (1..=after_header.len()).contains(&count) => count,
                _ => after_header.len(),
            },
            _ => 0,
        };
        Some(RtpHeader {
            marker: marker_pt & 0x80 != 0,
            pt: PayloadType(marker_pt & 0x7f),
            seq: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: Ssrc(u32::from_be_bytes([c0, c1, c2, c3])),
            header_len,
            extension,
            padding_len,
        })
    }

    /// The payload without its padding. Empty if the packet carries nothing else, or absurd padding.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        let end = packet.len().saturating_sub(self.padding_len);
        packet.get(self.header_len..end).unwrap_or_default()
    }
}

/// A header extension's place in its packet: everything after the four bytes of profile and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionBlock {
    /// 0xBEDE (one-byte element headers) or 0x1000–0x100F (two-byte); other profiles have no elements.
    pub profile: u16,
    pub start: usize,
    pub len: usize,
}

/// The profile of one-byte element headers (RFC 8285 §4.2).
pub(super) const ONE_BYTE: u16 = 0xbede;
/// The profile of two-byte element headers; the low four bits are the application's (RFC 8285 §4.3).
pub(super) const TWO_BYTE: u16 = 0x1000;

impl ExtensionBlock {
    /// The elements in the order they stand. Ends at the first malformed one.
    pub fn elements<'a>(&self, packet: &'a [u8]) -> Elements<'a> {
        let form = match self.profile {
            ONE_BYTE => Form::OneByte,
            profile if profile & 0xfff0 == TWO_BYTE => Form::TwoByte,
            _ => {
                return Elements {
                    form: Form::OneByte,
                    rest: &[],
                };
            }
        };
        let rest = packet
            .get(self.start..)
            .and_then(|rest| rest.get(..self.len))
            .unwrap_or_default();
        Elements { form, rest }
    }

    /// The first element with this id.
    pub fn find<'a>(&self, packet: &'a [u8], id: u8) -> Option<&'a [u8]> {
        self.elements(packet)
            .find_map(|(found, data)| (found == id).then_some(data))
    }
}

/// Header extension elements: id and data. See [`ExtensionBlock::elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    form: Form,
    rest: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Form {
    OneByte,
    TwoByte,
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // Zero bytes between elements are padding, in both forms.
        while let [0, rest @ ..] = self.rest {
            self.rest = rest;
        }
        let (id, len, data) = match (self.form, std::mem::take(&mut self.rest)) {
            // RFC 8285 §4.2: id 15, and id 0 with a length, end the processing of the whole extension.
            (Form::OneByte, [first, data @ ..]) if (1..=14).contains(&(first >> 4)) => {
                (first >> 4, usize::from(first & 0x0f) + 1, data)
            }
            (Form::TwoByte, [id, len, data @ ..]) => (*id, usize::from(*len), data),
            _ => return None,
        };
        let (data, rest) = data.split_at_checked(len)?;
        self.rest = rest;
        Some((id, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_packet_with_csrcs_extension_and_padding() {
        let mut packet = vec![
            0x80 | 0x20 | 0x10 | 2,
            0x80 | 96,
            0x12,
            0x34,
            0,
            0,
            0,
            9,
            0xde,
            0xad,
            0xbe,
            0xef,
        ];
        packet.extend([1, 1, 1, 1, 2, 2, 2, 2]);
        packet.extend([0xbe, 0xde, 0, 2, 0x10, 0xaa, 0, 0, 0x31, 0xbb, 0xcc, 0]);
        packet.extend([7, 8, 9, 0, 0, 3]);
        let header = RtpHeader::parse(&packet).unwrap();
        assert!(header.marker);
        assert_eq!(header.pt, PayloadType(96));
        assert_eq!(header.seq, 0x1234);
        assert_eq!(header.timestamp, 9);
        assert_eq!(header.ssrc, Ssrc(0xdead_beef));
        assert_eq!(header.header_len, 12 + 8 + 4 + 8);
        assert_eq!(header.padding_len, 3);
        assert_eq!(header.payload(&packet), [7, 8, 9]);
        let extension = header.extension.unwrap();
        let elements: Vec<_> = extension.elements(&packet).collect();
        assert_eq!(elements, [(1, &[0xaa][..]), (3, &[0xbb, 0xcc][..])]);
        assert_eq!(extension.find(&packet, 3), Some(&[0xbb, 0xcc][..]));
        assert_eq!(extension.find(&packet, 2), None);
    }

    #[test]
    fn headers_that_end_early_are_refused() {
        let packet = with_extension(0xbede, &[0x10, 0xaa, 0, 0], &[1, 2, 3]);
        for len in 0..12 + 4 + 4 {
            assert!(RtpHeader::parse(&packet[..len]).is_none(), "{len} bytes");
        }
        assert!(
            RtpHeader::parse(&packet[..12 + 4 + 4])
                .unwrap()
                .payload(&packet[..20])
                .is_empty()
        );
        let mut huge = packet.clone();
        huge[14..16].copy_from_slice(&[0xff, 0xff]);
        assert!(RtpHeader::parse(&huge).is_none());
        let mut csrcs = packet.clone();
        csrcs[0] = 0x8f;
        assert!(RtpHeader::parse(&csrcs).is_none());
        let mut version = packet;
        version[0] = 0x50;
        assert!(RtpHeader::parse(&version).is_none());
    }

    #[test]
    fn absurd_padding_leaves_no_payload() {
        for count in [0, 5, 255] {
            let mut packet = vec![0xa0; 12];
            packet.extend([1, 2, 3, count]);
            let header = RtpHeader::parse(&packet).unwrap();
            assert!(header.payload(&packet).is_empty(), "count {count}");
        }
        // The padding bit without a single byte after the header.
        let packet = [0xa0; 12];
        assert!(RtpHeader::parse(&packet).unwrap().payload(&packet).is_empty());
    }

    #[test]
    fn two_byte_elements_may_be_empty_or_long() {
        let mut elements = vec![1, 0, 0, 200, 20];
        elements.extend([0x55; 20]);
        elements.extend([15, 1, 9]);
        for profile in [0x1000, 0x100f] {
            let packet = with_extension(profile, &elements, &[]);
            let block = RtpHeader::parse(&packet).unwrap().extension.unwrap();
            let found: Vec<_> = block.elements(&packet).collect();
            assert_eq!(found, [(1, &[][..]), (200, &[0x55; 20][..]), (15, &[9][..])]);
        }
    }

    #[test]
    fn elements_end_at_malformed_ones() {
        let cases: [(u16, &[u8], &[u8]); 6] = [
            (0xbede, &[0x10, 1, 0xf0, 2, 0x20, 3, 0, 0], &[1]), // id 15 stops
            (0xbede, &[0x10, 1, 0x01, 2, 0x20, 3, 0, 0], &[1]), // id 0 with a length stops
            (0xbede, &[0x10, 1, 0x2f, 2], &[1]),                // longer than the block
            (0x1000, &[1, 1, 1, 2, 9, 9, 0, 0], &[1]),          // longer than the block
            (0x1000, &[1, 2, 9, 9, 0, 0, 0, 2], &[1]),          // an id without a length
            (0xabac, &[0x10, 1, 0, 0], &[]),                    // some other profile
        ];
        for (profile, elements, ids) in cases {
            let packet = with_extension(profile, elements, &[0x10; 40]);
            let block = RtpHeader::parse(&packet).unwrap().extension.unwrap();
            let found: Vec<_> = block.elements(&packet).map(|(id, _)| id).collect();
            assert_eq!(found, ids, "{profile:x} {elements:x?}");
        }
    }

    #[test]
    fn first_bytes_are_told_apart() {
        for first in 0..=255u8 {
            let class = match first {
                0..=3 => Class::Stun,
                20..=63 => Class::Dtls,
                128..=191 => Class::Media,
                _ => Class::Other,
            };
            assert_eq!(classify(&[first, 0]), class, "{first}");
        }
        assert_eq!(classify(&[]), Class::Other);
    }

    #[test]
    fn rtcp_is_told_from_rtp() {
        assert!(is_rtcp(&[0x80, 200, 0, 6]));
        assert!(is_rtcp(&[0x81, 206]));
        assert!(!is_rtcp(&[0x80, 0x80 | 96]));
        assert!(!is_rtcp(&[0x80, 111]));
        assert!(!is_rtcp(&[0x40, 200]));
        assert!(!is_rtcp(&[0x80]));
    }

    proptest! {
        #[test]
        fn a_packet_written_elsewhere_is_read_here(
            marker: bool, pt in 0..128u8, seq: u16, timestamp: u32, ssrc: u32,
            csrc in proptest::collection::vec(any::<u32>(), 0..=15), element in proptest::option::of(1..=14u8),
            payload in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            use rtc::shared::marshal::Marshal;
            let mut header = rtc::rtp::header::Header {
                version: 2, marker, payload_type: pt, sequence_number: seq, timestamp, ssrc, csrc, ..Default::default()
            };
            if let Some(id) = element {
                header.set_extension(id, bytes::Bytes::from_static(b"abc")).unwrap();
            }
            let packet = rtc::rtp::Packet { header, payload: payload.clone().into() }.marshal().unwrap();
            let read = RtpHeader::parse(&packet).unwrap();
            prop_assert_eq!((read.marker, read.pt, read.seq), (marker, PayloadType(pt), seq));
            prop_assert_eq!((read.timestamp, read.ssrc), (timestamp, Ssrc(ssrc)));
            prop_assert_eq!(read.payload(&packet), &payload[..]);
            let elements: Vec<_> = read.extension.iter().flat_map(|block| block.elements(&packet)).collect();
            let expected: Vec<_> = element.iter().map(|id| (*id, &b"abc"[..])).collect();
            prop_assert_eq!(elements, expected);
        }

        #[test]
        fn any_bytes_stay_in_bounds(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), rtp: bool) {
            if let (true, Some(first)) = (rtp, bytes.first_mut()) {
                *first = 0x80 | (*first & 0x33); // mostly headers that fit
            }
            if let Some(header) = RtpHeader::parse(&bytes) {
                prop_assert!(header.header_len + header.padding_len <= bytes.len());
                prop_assert_eq!(header.payload(&bytes).len(), bytes.len() - header.header_len - header.padding_len);
                prop_assert!(header.payload(&[]).is_empty());
                for profile in [0xbede, 0x1000] {
                    let block = header.extension.map(|block| ExtensionBlock { profile, ..block });
                    let len: usize = block.iter().flat_map(|b| b.elements(&bytes)).map(|(_, data)| data.len()).sum();
                    prop_assert!(len <= block.map_or(0, |block| block.len));
                }
            }
        }
    }

    fn with_extension(profile: u16, elements: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend(profile.to_be_bytes());
        packet.extend((elements.len().div_ceil(4) as u16).to_be_bytes());
        packet.extend(elements);
        packet.resize(packet.len().next_multiple_of(4), 0);
        packet.extend(payload);
        packet
    }
}
