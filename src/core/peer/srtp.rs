//! SRTP and SRTCP (RFC 3711, RFC 7714) for the two profiles we negotiate, in place and without allocation.
//!
//! A direction has one [`Keys`], derived from the DTLS exporter's output. [`SrtpSender`] seals; [`SrtpReceiver`]
//! opens, and keeps state for an SSRC only once a packet of it proved authentic.

use std::time::{Duration, Instant};

use aws_lc_rs::error::Unspecified;

use super::replay::ReplayWindow;
use super::srtp_keys::{Cipher, GCM_TAG_LEN, Keys, RTCP_CLEAR_LEN, SRTCP_E, SRTCP_INDEX_LEN};

/// RFC 3550 §5.1.
const RTP_HEADER_LEN: usize = 12;

/// Sources a session may have. Three simulcast layers and audio, each with retransmission, are eight.
const MAX_SSRCS: usize = 32;
/// A source this long silent makes room for a new one when the table is full.
const SSRC_IDLE: Duration = Duration::from_secs(30);

/// Why a packet was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("shorter than an RTCP header")]
    TooShort,
    #[error("2^31 RTCP packets were sent with this key")]
    IndexExhausted,
    #[error("the cipher failed")]
    Cipher,
}

/// Why a packet was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenError {
    Malformed,
    Replayed,
    Unauthenticated,
    TooManySsrcs,
}

/// Seals outgoing packets in place. Hot: no allocation, no locks.
pub struct SrtpSender {
    keys: Keys,
    srtcp_index: u32,
}

impl SrtpSender {
    /// The room a buffer needs behind a packet: the longest tag and SRTCP's index word.
    pub const MAX_OVERHEAD: usize = GCM_TAG_LEN + SRTCP_INDEX_LEN;

    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, srtcp_index: 0 }
    }

    /// `buf[..len]` is a complete RTP packet with a header of `header_len` bytes (CSRCs and extensions included);
    /// encrypts it and appends the tag. `index` is the packet's 48-bit index, `roc << 16 | sequence number`: the
    /// caller counts it per SSRC, and must never use one twice.
    ///
    /// Returns the new length, or `None` when the lengths don't fit `buf`.
    pub fn seal_rtp(&mut self, buf: &mut [u8], header_len: usize, len: usize, index: u64) -> Option<usize> {
        if header_len < RTP_HEADER_LEN || header_len > len {
            return None;
        }
        let ssrc = read_u32(buf, 8)?;
        let sealed_len = len + self.keys.cipher.tag_len();
        let (header, rest) = buf.get_mut(..sealed_len)?.split_at_mut(header_len);
        let (payload, tag) = rest.split_at_mut(len - header_len);
        self.keys
            .cipher
            .seal_rtp(header, payload, tag, ssrc, index)
            .ok()?;
        Some(sealed_len)
    }

    /// `buf` is a compound RTCP packet; encrypts it and appends E flag, index and tag. Keeps the SRTCP index.
    pub fn seal_rtcp(&mut self, buf: &mut Vec<u8>) -> Result<(), SealError> {
        if buf.len() < RTCP_CLEAR_LEN {
            return Err(SealError::TooShort);
        }
        let ssrc = read_u32(buf, 4).ok_or(SealError::TooShort)?;
        let index = self.srtcp_index;
        if index >= SRTCP_E {
            return Err(SealError::IndexExhausted);
        }
        self.srtcp_index += 1;
        self.keys
            .cipher
            .seal_rtcp(buf, ssrc, index)
            .map_err(|Unspecified| SealError::Cipher)
    }
}

/// Opens incoming packets in place.
pub(super) struct SrtpReceiver {
    keys: Keys,
    rtp: Sources,
    rtcp: Sources,
}

impl SrtpReceiver {
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            rtp: Sources::default(),
            rtcp: Sources::default(),
        }
    }

    /// Decrypts an SRTP packet; returns the length of the plain packet, which `packet` then starts with.
    pub fn open_rtp(&mut self, now: Instant, packet: &mut [u8]) -> Result<usize, OpenError> {
        let header_len = rtp_header_len(packet).ok_or(OpenError::Malformed)?;
        let tag_len = self.keys.cipher.tag_len();
        let len = packet
            .len()
            .checked_sub(tag_len)
            .filter(|len| *len >= header_len)
            .ok_or(OpenError::Malformed)?;
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = read_u32(packet, 8).ok_or(OpenError::Malformed)?;

        let source = self.rtp.find(ssrc);
        let index = match source {
            Some(source) => estimate_index(self.rtp.window(source).highest(), sequence),
            // RFC 3711 §3.3.1: the rollover counter starts at zero.
            None => u64::from(sequence),
        };
        if source.is_some_and(|source| !self.rtp.window(source).is_new(index)) {
            return Err(OpenError::Replayed);
        }
        let (header, rest) = packet.split_at_mut(header_len);
        let (payload, tag) = rest.split_at_mut(len - header_len);
        self.keys
            .cipher
            .open_rtp(header, payload, tag, ssrc, index)
            .map_err(|Unspecified| OpenError::Unauthenticated)?;
        self.rtp.accept(now, source, ssrc, index)?;
        Ok(len)
    }

    /// Decrypts an SRTCP packet; returns the length of the plain compound packet, which `packet` then starts with.
    pub fn open_rtcp(&mut self, now: Instant, packet: &mut [u8]) -> Result<usize, OpenError> {
        let overhead = self.keys.cipher.tag_len() + SRTCP_INDEX_LEN;
        let len = packet
            .len()
            .checked_sub(overhead)
            .filter(|len| *len >= RTCP_CLEAR_LEN)
            .ok_or(OpenError::Malformed)?;
        let ssrc = read_u32(packet, 4).ok_or(OpenError::Malformed)?;
        let word_at = match self.keys.cipher {
            Cipher::Gcm { .. } => len + GCM_TAG_LEN,
            Cipher::Cm { .. } => len,
        };
        let word = read_u32(packet, word_at).ok_or(OpenError::Malformed)?;
        let index = u64::from(word & !SRTCP_E);
        let source = self.rtcp.find(ssrc);
        if source.is_some_and(|source| !self.rtcp.window(source).is_new(index)) {
            return Err(OpenError::Replayed);
        }
        // Unencrypted SRTCP (E = 0) is not negotiated by either profile of RFC 5764.
        if word & SRTCP_E == 0 {
            return Err(OpenError::Unauthenticated);
        }
        self.keys
            .cipher
            .open_rtcp(packet, len, ssrc, word)
            .map_err(|Unspecified| OpenError::Unauthenticated)?;
        self.rtcp.accept(now, source, ssrc, index)?;
        Ok(len)
    }

    #[cfg(test)]
    pub fn sources(&self) -> usize {
        self.rtp.entries.len() + self.rtcp.entries.len()
    }
}

/// The sources heard, at most [`MAX_SSRCS`]. A linear search over so few is faster than hashing.
#[derive(Default)]
struct Sources {
    entries: Vec<Source>,
}

struct Source {
    ssrc: u32,
    last_heard: Instant,
    window: ReplayWindow,
}

impl Sources {
    fn find(&self, ssrc: u32) -> Option<usize> {
        self.entries.iter().position(|source| source.ssrc == ssrc)
    }

    fn window(&self, at: usize) -> &ReplayWindow {
        &self.entries[at].window
    }

    /// Notes an authentic packet; only here does a new SSRC get state.
    fn accept(&mut self, now: Instant, at: Option<usize>, ssrc: u32, index: u64) -> Result<(), OpenError> {
        if let Some(at) = at {
            let source = &mut self.entries[at];
            source.window.accept(index);
            source.last_heard = now;
            return Ok(());
        }
        if self.entries.len() >= MAX_SSRCS {
            let idle = |source: &Source| now.saturating_duration_since(source.last_heard) >= SSRC_IDLE;
            let at = self
                .entries
                .iter()
                .position(idle)
                .ok_or(OpenError::TooManySsrcs)?;
            self.entries.swap_remove(at);
        }
        self.entries.push(Source {
            ssrc,
            last_heard: now,
            window: ReplayWindow::starting_at(index),
        });
        Ok(())
    }
}

/// The length of an RTP packet's header with CSRCs and extension, if all of it is there.
pub(super) fn rtp_header_len(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    if first >> 6 != 2 {
        return None;
    }
    let mut len = RTP_HEADER_LEN + 4 * usize::from(first & 0x0F);
    if first & 0x10 != 0 {
        let words = packet.get(len + 2..len + 4)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    (len <= packet.len()).then_some(len)
}

/// The 48-bit index nearest to `highest` with the given low 16 bits (RFC 3711 §3.3.1).
fn estimate_index(highest: u64, sequence: u16) -> u64 {
    let candidate = (highest & !0xFFFF) | u64::from(sequence);
    if candidate > highest + 0x8000 && candidate >= 0x1_0000 {
        candidate - 0x1_0000
    } else if candidate + 0x8000 < highest {
        candidate + 0x1_0000
    } else {
        candidate
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
