//! The RTP header written: fixed part and extension elements, no CSRCs.

use super::header::{ONE_BYTE, TWO_BYTE};
use crate::core::ids::{PayloadType, Ssrc};

/// The header fields of a packet to be sent.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingHeader {
    pub marker: bool,
    pub pt: PayloadType,
    pub seq: u16,
    pub timestamp: u32,
    pub ssrc: Ssrc,
}

/// Writes the header and the given extension elements to the start of `out`; returns the bytes written, which is
/// where the payload goes.
///
/// Elements take the one-byte form where it can hold them all (ids 1–14, 1 to 16 bytes each), else the two-byte
/// form (RFC 8285 §4). The latter must have been agreed (`extmap-allow-mixed`) or be all the peer ever sees.
/// `None` if it does not fit, or an element has id 0 or more than 255 bytes.
pub fn write_header(out: &mut [u8], header: &OutgoingHeader, extensions: &[(u8, &[u8])]) -> Option<usize> {
    let (fixed, rest) = out.split_first_chunk_mut::<12>()?;
    fixed[0] = if extensions.is_empty() { 0x80 } else { 0x90 };
    fixed[1] = u8::from(header.marker) << 7 | (header.pt.0 & 0x7f);
    fixed[2..4].copy_from_slice(&header.seq.to_be_bytes());
    fixed[4..8].copy_from_slice(&header.timestamp.to_be_bytes());
    fixed[8..12].copy_from_slice(&header.ssrc.0.to_be_bytes());
    if extensions.is_empty() {
        return Some(fixed.len());
    }
    Some(fixed.len() + write_extension(rest, extensions)?)
}

fn write_extension(out: &mut [u8], elements: &[(u8, &[u8])]) -> Option<usize> {
    let one_byte = elements
        .iter()
        .all(|(id, data)| (1..=14).contains(id) && (1..=16).contains(&data.len()));
    let (prefix, body) = out.split_first_chunk_mut::<4>()?;
    let mut len = 0;
    for &(id, data) in elements {
        let size = u8::try_from(data.len()).ok().filter(|_| id != 0)?;
        let head = if one_byte {
            [id << 4 | (size - 1), 0]
        } else {
            [id, size]
        };
        let head = if one_byte { &head[..1] } else { &head[..] };
        body.get_mut(len..)?.get_mut(..head.len())?.copy_from_slice(head);
        len += head.len();
        body.get_mut(len..)?.get_mut(..data.len())?.copy_from_slice(data);
        len += data.len();
    }
    let padded = len.next_multiple_of(4);
    body.get_mut(len..padded)?.fill(0);
    let words = u16::try_from(padded / 4).ok()?;
    prefix[..2].copy_from_slice(&if one_byte { ONE_BYTE } else { TWO_BYTE }.to_be_bytes());
    prefix[2..].copy_from_slice(&words.to_be_bytes());
    Some(prefix.len() + padded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rtp::header::RtpHeader;
    use proptest::prelude::*;
    use rtc::shared::marshal::Unmarshal;

    const HEADER: OutgoingHeader = OutgoingHeader {
        marker: true,
        pt: PayloadType(96),
        seq: 7,
        timestamp: 8,
        ssrc: Ssrc(9),
    };

    #[test]
    fn the_one_byte_form_to_the_byte() {
        let mut out = [0xff; 64];
        let len = write_header(&mut out, &HEADER, &[(1, &[0xaa]), (14, &[1, 2, 3])]).unwrap();
        let expected = [
            0x90,
            0x80 | 96,
            0,
            7,
            0,
            0,
            0,
            8,
            0,
            0,
            0,
            9,
            0xbe,
            0xde,
            0,
            2,
            0x10,
            0xaa,
            0xe2,
            1,
            2,
            3,
            0,
            0,
        ];
        assert_eq!(out[..len], expected);
    }

    #[test]
    fn a_high_id_or_a_long_or_empty_element_takes_the_two_byte_form() {
        for (id, data) in [(15, &[1][..]), (1, &[1; 17]), (1, &[])] {
            let mut out = [0xff; 64];
            let len = write_header(&mut out, &HEADER, &[(2, &[5]), (id, data)]).unwrap();
            let block = RtpHeader::parse(&out[..len]).unwrap().extension.unwrap();
            assert_eq!(block.profile, 0x1000);
            assert_eq!(
                block.elements(&out).collect::<Vec<_>>(),
                [(2, &[5][..]), (id, data)]
            );
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let mut out = [0; 2000];
        assert!(write_header(&mut out, &HEADER, &[(0, &[1])]).is_none());
        assert!(write_header(&mut out, &HEADER, &[(1, &[1; 256])]).is_none());
        assert!(write_header(&mut out[..11], &HEADER, &[]).is_none());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_here_and_by_another_parser(
            marker: bool, pt in 0..128u8, seq: u16, timestamp: u32, ssrc: u32,
            elements in proptest::collection::vec((1..=16u8, proptest::collection::vec(any::<u8>(), 0..20)), 0..6),
        ) {
            let header = OutgoingHeader { marker, pt: PayloadType(pt), seq, timestamp, ssrc: Ssrc(ssrc) };
            let given: Vec<(u8, &[u8])> = elements.iter().map(|(id, data)| (*id, &data[..])).collect();
            let mut out = [0xff; 300];
            let len = write_header(&mut out, &header, &given).unwrap();
            for short in 0..len {
                prop_assert!(write_header(&mut out[..short].to_vec(), &header, &given).is_none());
            }
            let read = RtpHeader::parse(&out[..len]).unwrap();
            prop_assert_eq!(read.header_len, len);
            let read_back = (read.marker, read.pt, read.seq, read.timestamp, read.ssrc);
            prop_assert_eq!(read_back, (marker, header.pt, seq, timestamp, header.ssrc));
            let found: Vec<_> = read.extension.iter().flat_map(|block| block.elements(&out)).collect();
            prop_assert_eq!(&found, &given);

            let other = rtc::rtp::header::Header::unmarshal(&mut &out[..len]).unwrap();
            prop_assert_eq!((other.marker, other.payload_type, other.sequence_number), (marker, pt, seq));
            prop_assert_eq!((other.timestamp, other.ssrc), (timestamp, ssrc));
            let found: Vec<_> = other.extensions.iter().map(|e| (e.id, &e.payload[..])).collect();
            prop_assert_eq!(found, given);
        }
    }
}
