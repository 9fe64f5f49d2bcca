//! RTP headers (RFC 3550 §5.1): as much as a client that measures must read and write.

use std::ops::Range;

/// The fixed header's length without contributing sources or extensions.
pub const FIXED_HEADER: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub marker: bool,
    pub pt: u8,
    pub seq: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Up to where SRTP leaves the packet in the clear.
    pub len: usize,
    pub padding: bool,
}

impl Header {
    /// `None` when the bytes are no RTP packet or end inside the header.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let fixed = bytes.first_chunk::<FIXED_HEADER>()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut len = FIXED_HEADER + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let words = bytes.get(len + 2..len + 4)?;
            len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        (len <= bytes.len()).then_some(Self {
            marker: fixed[1] & 0x80 != 0,
            pt: fixed[1] & 0x7f,
            seq: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            len,
            padding: fixed[0] & 0x20 != 0,
        })
    }

    /// Appends the fixed header.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0x80, self.pt | if self.marker { 0x80 } else { 0 }]);
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
    }

    /// Where the payload lies in an opened packet of `len` payload bytes, padding taken off.
    pub fn payload(&self, opened: &[u8], len: usize) -> Option<Range<usize>> {
        let end = self.len + len;
        let padding = if self.padding {
            usize::from(*opened.get(end.checked_sub(1)?)?)
        } else {
            0
        };
        let end = end.checked_sub(padding)?;
        (end >= self.len && end <= opened.len()).then_some(self.len..end)
    }
}

/// The value of a header extension in the one-byte or two-byte form (RFC 8285 §4.2, §4.3).
pub fn extension(packet: &[u8], wanted: u8) -> Option<&[u8]> {
    let first = *packet.first()?;
    if first & 0x10 == 0 {
        return None;
    }
    let at = FIXED_HEADER + 4 * usize::from(first & 0x0f);
    let head = packet.get(at..at + 4)?;
    let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let mut rest = packet.get(at + 4..at + 4 + 4 * words)?;
    let two_byte = match u16::from_be_bytes([head[0], head[1]]) {
        0xbede => false,
        profile if profile >> 4 == 0x100 => true,
        _ => return None,
    };
    while let Some((head, after)) = rest.split_first() {
        if *head == 0 {
            // Padding.
            rest = after;
            continue;
        }
        let (id, len, after) = match two_byte {
            false => (head >> 4, usize::from(head & 0x0f) + 1, after),
            true => {
                let (len, after) = after.split_first()?;
                (*head, usize::from(*len), after)
            }
        };
        let (value, after) = after.split_at_checked(len)?;
        if id == wanted {
            return Some(value);
        }
        rest = after;
    }
    None
}

pub fn ssrc(bytes: &[u8]) -> Option<u32> {
    bytes.get(8..12)?.try_into().ok().map(u32::from_be_bytes)
}

/// 0 for a packet that is too short to have one.
pub fn sequence(bytes: &[u8]) -> u16 {
    bytes
        .get(2..4)
        .and_then(|seq| seq.try_into().ok())
        .map_or(0, u16::from_be_bytes)
}

/// Continues 16-bit sequence numbers to 64 bits (RFC 3711 §3.3.1 and its appendix A).
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrapper {
    highest: Option<u64>,
}

impl Unwrapper {
    /// The full number `seq` stands for; nothing is remembered before [`Self::accept`].
    pub fn unwrap(&self, seq: u16) -> u64 {
        let Some(highest) = self.highest else {
            // One cycle of room below, so that an earlier packet of a reordered start has a number too.
            return u64::from(seq);
        };
        let distance = seq.wrapping_sub(highest as u16) as i16;
        highest.saturating_add_signed(i64::from(distance))
    }

    /// Takes an authenticated packet's number into account.
    pub fn accept(&mut self, full: u64) {
        self.highest = Some(self.highest.map_or(full, |highest| highest.max(full)));
    }

    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_as_written() {
        let header = Header {
            marker: true,
            pt: 111,
            seq: 65535,
            timestamp: 7,
            ssrc: 9,
            len: 12,
            padding: false,
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        assert_eq!(Header::parse(&bytes), Some(header));
        assert_eq!(Header::parse(&bytes[..11]), None);
    }

    #[test]
    fn extensions_are_found_in_both_forms() {
        let packet = |block: &[u8]| [&[0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1], block].concat();
        let one = packet(&[0xbe, 0xde, 0, 2, 0x22, 1, 2, 3, 0x31, 7, 8, 0]);
        assert_eq!(extension(&one, 3), Some(&[7, 8][..]));
        assert_eq!(
            (extension(&one, 2), extension(&one, 4)),
            (Some(&[1, 2, 3][..]), None)
        );
        let two = packet(&[0x10, 0, 0, 2, 5, 0, 0, 3, 2, 7, 8, 0]);
        assert_eq!(
            (extension(&two, 3), extension(&two, 5)),
            (Some(&[7, 8][..]), Some(&[][..]))
        );
        for end in 0..one.len() {
            extension(&one[..end], 3);
            extension(&two[..end], 3);
        }
    }

    #[test]
    fn numbers_continue_across_the_wrap_in_both_directions() {
        let mut numbers = Unwrapper::default();
        numbers.accept(numbers.unwrap(65534));
        assert_eq!(numbers.unwrap(1), 65537);
        numbers.accept(65537);
        assert_eq!(numbers.unwrap(65535), 65535);
        assert_eq!(numbers.highest(), Some(65537));
    }
}
