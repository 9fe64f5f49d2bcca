//! One outgoing RTP stream of a publisher: numbers its packets, keeps them, and sends again what is asked for.

use std::time::Instant;

use super::peer::Peer;
use super::publisher::PublisherStats;
use super::rtp::{FIXED_HEADER, Header};

/// Packets kept for retransmission: some seconds of any stream here, and a power of two.
const HISTORY: usize = 2048;

pub struct Sender {
    pub ssrc: u32,
    /// As the answer says; None when it was not accepted.
    pub pt: Option<u8>,
    pub rtx: Option<Rtx>,
    pub timestamp_base: u32,
    pub packets: u32,
    pub octets: u32,
    /// Header extensions of every packet (RFC 8285), or nothing.
    pub extension: Vec<u8>,
    number: u64,
    history: Vec<Stored>,
}

/// Where retransmissions go (RFC 4588).
pub struct Rtx {
    pub ssrc: u32,
    pub pt: Option<u8>,
    pub extension: Vec<u8>,
    number: u64,
}

#[derive(Clone, Default)]
struct Stored {
    number: Option<u64>,
    /// Without header extensions.
    packet: Vec<u8>,
}

/// A packet to be sent.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    pub timestamp: u32,
    pub marker: bool,
    pub payload: &'a [u8],
    /// It may be asked for again.
    pub keep: bool,
    /// Probability that it is not sent the first time.
    pub loss: f64,
}

impl Sender {
    pub fn new(rtx: bool) -> Self {
        Self {
            ssrc: rand::random(),
            pt: None,
            rtx: rtx.then(|| Rtx {
                ssrc: rand::random(),
                pt: None,
                extension: Vec::new(),
                number: 1,
            }),
            timestamp_base: rand::random(),
            packets: 0,
            octets: 0,
            extension: Vec::new(),
            // In the lower half, so that the rollover counter surely starts at 0 on both sides.
            number: u64::from(rand::random::<u16>() >> 1),
            history: Vec::new(),
        }
    }

    /// `rate` in Hz, `start` when the media clock began.
    pub fn timestamp_at(&self, now: Instant, start: Instant, rate: f64) -> u32 {
        let elapsed = now.saturating_duration_since(start).as_secs_f64();
        self.timestamp_base.wrapping_add((elapsed * rate) as u64 as u32)
    }

    /// Does nothing when the server did not accept the stream.
    pub fn send(&mut self, peer: &mut Peer, packet: Outgoing<'_>, stats: &mut PublisherStats) {
        let Some(pt) = self.pt else { return };
        let number = self.number;
        self.number += 1;
        let header = Header {
            marker: packet.marker,
            pt,
            seq: number as u16,
            timestamp: packet.timestamp,
            ssrc: self.ssrc,
            len: FIXED_HEADER,
            padding: false,
        };
        if packet.keep {
            self.store(number, &header, packet.payload);
        }
        if packet.loss > 0.0 && rand::random::<f64>() < packet.loss {
            stats.dropped_on_purpose += 1;
        } else {
            write(peer, &header, number, &self.extension, [&[], packet.payload]);
        }
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        stats.packets += 1;
        stats.bytes += (FIXED_HEADER + packet.payload.len()) as u64;
    }

    fn store(&mut self, number: u64, header: &Header, payload: &[u8]) {
        if self.history.is_empty() {
            self.history.resize(HISTORY, Stored::default());
        }
        if let Some(stored) = self.history.get_mut(number as usize & (HISTORY - 1)) {
            stored.number = Some(number);
            stored.packet.clear();
            header.write(&mut stored.packet);
            stored.packet.extend_from_slice(payload);
        }
    }

    /// Sends a kept packet again, as RTX where that was negotiated.
    pub fn retransmit(&mut self, peer: &mut Peer, seq: u16, stats: &mut PublisherStats) {
        let slot = usize::from(seq) & (HISTORY - 1);
        let Some(stored) = self.history.get(slot) else {
            return;
        };
        let Some(number) = stored.number.filter(|number| *number as u16 == seq) else {
            return;
        };
        let Some(mut header) = Header::parse(&stored.packet) else {
            return;
        };
        let payload = stored.packet.get(FIXED_HEADER..).unwrap_or_default();
        match self.rtx.as_mut().and_then(|rtx| rtx.pt.map(|pt| (rtx, pt))) {
            Some((rtx, pt)) => {
                let original = header.seq.to_be_bytes();
                (header.pt, header.ssrc, header.seq) = (pt, rtx.ssrc, rtx.number as u16);
                write(peer, &header, rtx.number, &rtx.extension, [&original, payload]);
                rtx.number += 1;
            }
            None => write(peer, &header, number, &self.extension, [&[], payload]),
        }
        stats.retransmitted += 1;
    }
}

fn write(peer: &mut Peer, header: &Header, number: u64, extension: &[u8], payload: [&[u8]; 2]) {
    let roc = (number >> 16) as u32;
    peer.send_rtp(FIXED_HEADER + extension.len(), roc, |out| {
        let start = out.len();
        header.write(out);
        if let (false, Some(first)) = (extension.is_empty(), out.get_mut(start)) {
            *first |= 0x10;
        }
        out.extend_from_slice(extension);
        payload.iter().for_each(|part| out.extend_from_slice(part));
    });
}

/// A one-byte header extension block (RFC 8285 §4.2) of the given ids and values, each of 1 to 16 bytes.
pub fn extension_block(elements: &[(u8, &str)]) -> Vec<u8> {
    let mut elements_bytes = Vec::new();
    for (id, value) in elements {
        elements_bytes.push(id << 4 | (value.len() as u8).wrapping_sub(1) & 0x0f);
        elements_bytes.extend_from_slice(value.as_bytes());
    }
    elements_bytes.resize(elements_bytes.len().next_multiple_of(4), 0);
    let words = (elements_bytes.len() / 4) as u16;
    let mut block = vec![0xbe, 0xde];
    block.extend_from_slice(&words.to_be_bytes());
    block.extend_from_slice(&elements_bytes);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_block_is_whole_words() {
        let block = extension_block(&[(9, "1"), (10, "q")]);
        assert_eq!(block, [0xbe, 0xde, 0, 1, 0x90, b'1', 0xa0, b'q']);
        assert_eq!(extension_block(&[(9, "12")]).len(), 8);
    }
}
