//! The stamp every synthetic packet carries in its payload: which packet of which frame it is, and when its frame
//! was captured. A viewer on the same machine reads one-way latency and end-to-end loss from it.
//!
//! Every byte has its top bit set (7 bits of value each), so that no H.264 start code can arise inside.

/// Bytes of a whole stamp.
pub const LEN: usize = 4 + 3 + 1 + 5 + 3 + 3 + 8;
/// Never a legal run in our filler, and unlikely in anybody's video.
const MAGIC: [u8; 4] = [0xF5, 0xC1, 0xB7, 0xD3];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Tells streams of one run apart; 21 bits.
    pub stream: u32,
    /// Of a simulcast, worst first; 7 bits.
    pub layer: u8,
    pub frame: u32,
    /// Of the frame, from 0; 21 bits.
    pub packet: u32,
    /// In the frame; 21 bits.
    pub packets: u32,
    /// µs since 1970 (CLOCK_REALTIME).
    pub captured: u64,
}

impl Stamp {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        put(out, u64::from(self.stream), 3);
        put(out, u64::from(self.layer), 1);
        put(out, u64::from(self.frame), 5);
        put(out, u64::from(self.packet), 3);
        put(out, u64::from(self.packets), 3);
        put(out, self.captured, 8);
    }

    /// Looks for a stamp at the end of a payload, and in its first bytes behind whatever the codec puts there.
    pub fn find(payload: &[u8]) -> Option<Self> {
        /// More than any descriptor plus frame header ahead of a stamp.
        const SEARCHED: usize = 64;
        let end = payload.len().checked_sub(LEN)?;
        let at = if payload.get(end..)?.starts_with(&MAGIC) {
            end
        } else {
            let head = payload.get(..payload.len().min(SEARCHED))?;
            head.windows(MAGIC.len()).position(|window| window == MAGIC)?
        };
        let mut rest = payload.get(at + MAGIC.len()..at + LEN)?.iter();
        let mut take = |count: usize| {
            rest.by_ref()
                .take(count)
                .fold(0u64, |value, byte| value << 7 | u64::from(byte & 0x7f))
        };
        Some(Self {
            stream: take(3) as u32,
            layer: take(1) as u8,
            frame: take(5) as u32,
            packet: take(3) as u32,
            packets: take(3) as u32,
            captured: take(8),
        })
    }
}

fn put(out: &mut Vec<u8>, value: u64, count: u32) {
    out.extend((0..count).rev().map(|place| 0x80 | (value >> (7 * place)) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_behind_a_descriptor() {
        let stamp = Stamp {
            stream: 3,
            layer: 2,
            frame: 70_000,
            packet: 2,
            packets: 9,
            captured: 1_770_000_000_123_456,
        };
        let mut payload = vec![0x10, 0x00, 0x00];
        stamp.write(&mut payload);
        payload.extend([0xff; 20]);
        assert_eq!(Stamp::find(&payload), Some(stamp));
        assert_eq!(Stamp::find(&payload[..20]), None);
        assert_eq!(Stamp::find(&[]), None);
    }
}
