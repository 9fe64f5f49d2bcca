//! Redundant audio (RFC 2198): each packet brings the sound of an earlier one once more.

/// A redundant block's header.
const BLOCK: usize = 4;
/// The last block's header: its payload type.
const PRIMARY: usize = 1;
/// What a redundant block can hold, and how far back it can be, in ticks.
const MAX_LENGTH: usize = 0x3ff;
const MAX_OFFSET: u64 = 0x3fff;
/// Chromium sends one or two.
const MAX_BLOCKS: usize = 8;

/// A payload taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redundant<'a> {
    /// What the packet is for.
    pub primary: &'a [u8],
    /// The latest of the earlier ones, with how much earlier it is, in ticks.
    pub earlier: Option<(u32, &'a [u8])>,
}

/// Takes a payload of payload type `pt` in all its blocks apart; `None` if it is malformed, or of several types.
pub fn parse(payload: &[u8], pt: u8) -> Option<Redundant<'_>> {
    let mut headers = payload;
    let mut blocks: [(u32, usize); MAX_BLOCKS] = [(0, 0); MAX_BLOCKS];
    let mut count = 0;
    loop {
        let first = *headers.first()?;
        if first & 0x7f != pt {
            return None;
        }
        if first & 0x80 == 0 {
            headers = headers.get(PRIMARY..)?;
            break;
        }
        let (&[_, a, b, c], rest) = headers.split_first_chunk::<BLOCK>()?;
        let word = u32::from_be_bytes([0, a, b, c]);
        *blocks.get_mut(count)? = (word >> 10, (word & 0x3ff) as usize);
        count += 1;
        headers = rest;
    }
    let mut rest = headers;
    let mut earlier = None;
    for (offset, len) in blocks.get(..count)? {
        let (data, after) = rest.split_at_checked(*len)?;
        rest = after;
        if *offset > 0 && !data.is_empty() {
            earlier = Some((*offset, data));
        }
    }
    (!rest.is_empty()).then_some(Redundant {
        primary: rest,
        earlier,
    })
}

/// Whether a payload of this length, so many ticks earlier, can be repeated in a packet.
pub fn fits(offset: u64, len: usize) -> bool {
    (1..=MAX_OFFSET).contains(&offset) && (1..=MAX_LENGTH).contains(&len)
}

/// What stands before the earlier payload and the packet's own, both of payload type `pt`.
pub fn header(pt: u8, offset: u64, len: usize) -> [u8; BLOCK + PRIMARY] {
    let word = (offset.min(MAX_OFFSET) as u32) << 10 | len.min(MAX_LENGTH) as u32;
    let [_, a, b, c] = word.to_be_bytes();
    [0x80 | (pt & 0x7f), a, b, c, pt & 0x7f]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut payload = header(111, 960, 3).to_vec();
        payload.extend(b"oldnewer");
        let read = parse(&payload, 111).unwrap();
        assert_eq!(read.primary, b"newer");
        assert_eq!(read.earlier, Some((960, &b"old"[..])));
    }

    #[test]
    fn chromiums_first_packet_has_nothing_earlier() {
        let read = parse(&[111, 1, 2, 3], 111).unwrap();
        assert_eq!((read.primary, read.earlier), (&[1, 2, 3][..], None));
    }

    #[test]
    fn the_latest_of_two_earlier_ones_counts() {
        let mut payload = vec![0x80 | 111, 0x1e, 0x00, 2, 0x80 | 111, 0x0f, 0x00, 2, 111];
        payload.extend(b"aabbcc");
        let read = parse(&payload, 111).unwrap();
        assert_eq!(read.primary, b"cc");
        assert_eq!(read.earlier, Some((960, &b"bb"[..])));
    }

    #[test]
    fn other_types_and_lengths_beyond_the_packet_are_refused() {
        assert_eq!(parse(&[112, 1, 2], 111), None);
        assert_eq!(parse(&[0x80 | 111, 0, 0, 200, 111, 1, 2], 111), None);
        assert_eq!(parse(&[0x80 | 111, 0, 0], 111), None);
        assert_eq!(parse(&[], 111), None);
        assert_eq!(parse(&[111], 111), None, "no sound in it");
        assert_eq!(parse(&[0x80 | 111; 200], 111), None);
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(payload in proptest::collection::vec(any::<u8>(), 0..200), pt in 0u8..128) {
            if let Some(read) = parse(&payload, pt) {
                prop_assert!(read.primary.len() <= payload.len());
            }
        }
    }
}
