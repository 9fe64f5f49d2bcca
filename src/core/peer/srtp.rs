//! SRTP and SRTCP (RFC 3711, RFC 7714) for the two profiles we negotiate, in place and without allocation.
//!
//! A direction has one [`Keys`], derived from the DTLS exporter's output. [`SrtpSender`] seals; [`SrtpReceiver`]
//! opens, and keeps state for an SSRC only once a packet of it proved authentic.

use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{constant_time, hmac, iv::FixedLength};

use super::SrtpProfile;
use super::replay::ReplayWindow;

/// RFC 7714 §5.1 and RFC 3711 §4.2.
const GCM_TAG_LEN: usize = 16;
const SHA1_80_TAG_LEN: usize = 10;
/// E flag and 31-bit index.
const SRTCP_INDEX_LEN: usize = 4;
const RTP_HEADER_LEN: usize = 12;
/// What of an SRTCP packet stays in the clear: the first header and its SSRC.
const RTCP_CLEAR_LEN: usize = 8;
const SRTCP_E: u32 = 0x8000_0000;

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

/// The session keys of one direction.
pub(super) struct Keys {
    cipher: Cipher,
}

enum Cipher {
    /// AEAD_AES_128_GCM (RFC 7714).
    Gcm {
        rtp: LessSafeKey,
        rtp_salt: [u8; 12],
        rtcp: LessSafeKey,
        rtcp_salt: [u8; 12],
    },
    /// AES_CM_128_HMAC_SHA1_80 (RFC 3711).
    Cm { rtp: CmKeys, rtcp: CmKeys },
}

struct CmKeys {
    cipher: EncryptingKey,
    salt: [u8; 14],
    auth: hmac::Key,
}

/// Key derivation labels (RFC 3711 §4.3.2), for RTP; RTCP's are three higher.
const LABEL_ENCRYPTION: u8 = 0;
const LABEL_AUTHENTICATION: u8 = 1;
const LABEL_SALT: u8 = 2;
const LABELS_RTCP: u8 = 3;

impl Keys {
    /// Derives the session keys (RFC 3711 §4.3, key derivation rate 0).
    pub fn derive(
        profile: SrtpProfile,
        master_key: &[u8; 16],
        master_salt: &[u8],
    ) -> Result<Self, Unspecified> {
        let master = EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, master_key)?)?;
        let salt_len = profile.salt_len();
        let mut salt = [0; 14];
        // A salt of 96 bits is padded with zeros at its end (RFC 7714 §11).
        salt[..salt_len].copy_from_slice(master_salt.get(..salt_len).ok_or(Unspecified)?);
        let cipher = match profile {
            SrtpProfile::AeadAes128Gcm => {
                let key = |label| -> Result<LessSafeKey, Unspecified> {
                    let bytes: [u8; 16] = derive(&master, &salt, label)?;
                    Ok(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &bytes)?))
                };
                Cipher::Gcm {
                    rtp: key(LABEL_ENCRYPTION)?,
                    rtp_salt: derive(&master, &salt, LABEL_SALT)?,
                    rtcp: key(LABEL_ENCRYPTION + LABELS_RTCP)?,
                    rtcp_salt: derive(&master, &salt, LABEL_SALT + LABELS_RTCP)?,
                }
            }
            SrtpProfile::Aes128CmHmacSha1_80 => {
                let keys = |labels: u8| -> Result<CmKeys, Unspecified> {
                    let key: [u8; 16] = derive(&master, &salt, LABEL_ENCRYPTION + labels)?;
                    let auth: [u8; 20] = derive(&master, &salt, LABEL_AUTHENTICATION + labels)?;
                    Ok(CmKeys {
                        cipher: EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &key)?)?,
                        salt: derive(&master, &salt, LABEL_SALT + labels)?,
                        auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth),
                    })
                };
                Cipher::Cm {
                    rtp: keys(0)?,
                    rtcp: keys(LABELS_RTCP)?,
                }
            }
        };
        Ok(Self { cipher })
    }
}

impl Cipher {
    fn tag_len(&self) -> usize {
        match self {
            Cipher::Gcm { .. } => GCM_TAG_LEN,
            Cipher::Cm { .. } => SHA1_80_TAG_LEN,
        }
    }

    fn seal_rtp(
        &self,
        header: &[u8],
        payload: &mut [u8],
        tag: &mut [u8],
        ssrc: u32,
        index: u64,
    ) -> Result<(), Unspecified> {
        match self {
            Cipher::Gcm { rtp, rtp_salt, .. } => {
                let made = rtp.seal_in_place_separate_tag(
                    rtp_nonce(rtp_salt, ssrc, index),
                    Aad::from(header),
                    payload,
                )?;
                tag.copy_from_slice(made.as_ref());
            }
            Cipher::Cm { rtp, .. } => {
                rtp.apply_keystream(payload, ssrc, index)?;
                tag.copy_from_slice(&rtp.tag(&[header, payload, &rollover(index)]));
            }
        }
        Ok(())
    }

    fn open_rtp(
        &self,
        header: &[u8],
        payload: &mut [u8],
        tag: &[u8],
        ssrc: u32,
        index: u64,
    ) -> Result<(), Unspecified> {
        match self {
            Cipher::Gcm { rtp, rtp_salt, .. } => {
                let nonce = rtp_nonce(rtp_salt, ssrc, index);
                rtp.open_in_place_separate_tag(nonce, Aad::from(header), tag, payload)
                    .map(|_| ())
            }
            Cipher::Cm { rtp, .. } => {
                constant_time::verify_slices_are_equal(&rtp.tag(&[header, payload, &rollover(index)]), tag)?;
                rtp.apply_keystream(payload, ssrc, index)
            }
        }
    }

    fn seal_rtcp(&self, buf: &mut Vec<u8>, ssrc: u32, index: u32) -> Result<(), Unspecified> {
        let word = (SRTCP_E | index).to_be_bytes();
        match self {
            Cipher::Gcm { rtcp, rtcp_salt, .. } => {
                let (clear, body) = buf.split_at_mut(RTCP_CLEAR_LEN);
                let aad = rtcp_aad(clear, word);
                let tag = rtcp.seal_in_place_separate_tag(rtcp_nonce(rtcp_salt, ssrc, index), aad, body)?;
                buf.extend_from_slice(tag.as_ref());
                buf.extend_from_slice(&word);
            }
            Cipher::Cm { rtcp, .. } => {
                let (_, body) = buf.split_at_mut(RTCP_CLEAR_LEN);
                rtcp.apply_keystream(body, ssrc, u64::from(index))?;
                buf.extend_from_slice(&word);
                let tag = rtcp.tag(&[buf]);
                buf.extend_from_slice(&tag);
            }
        }
        Ok(())
    }

    /// `packet[..len]` is to become the plain packet; tag and index word stand behind it.
    fn open_rtcp(&self, packet: &mut [u8], len: usize, ssrc: u32, word: u32) -> Result<(), Unspecified> {
        let index = word & !SRTCP_E;
        match self {
            Cipher::Gcm { rtcp, rtcp_salt, .. } => {
                let (clear, rest) = packet.split_at_mut(RTCP_CLEAR_LEN);
                let (body, trailer) = rest.split_at_mut(len - RTCP_CLEAR_LEN);
                let tag = trailer.get(..GCM_TAG_LEN).ok_or(Unspecified)?;
                let aad = rtcp_aad(clear, word.to_be_bytes());
                let nonce = rtcp_nonce(rtcp_salt, ssrc, index);
                rtcp.open_in_place_separate_tag(nonce, aad, tag, body).map(|_| ())
            }
            Cipher::Cm { rtcp, .. } => {
                let (covered, tag) = packet.split_at_mut(len + SRTCP_INDEX_LEN);
                constant_time::verify_slices_are_equal(&rtcp.tag(&[covered]), tag)?;
                let body = covered.get_mut(RTCP_CLEAR_LEN..len).ok_or(Unspecified)?;
                rtcp.apply_keystream(body, ssrc, u64::from(index))
            }
        }
    }
}

impl CmKeys {
    /// Encrypts or decrypts (RFC 3711 §4.1.1).
    fn apply_keystream(&self, data: &mut [u8], ssrc: u32, index: u64) -> Result<(), Unspecified> {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &ssrc.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        self.cipher.less_safe_encrypt(data, context).map(|_| ())
    }

    fn tag(&self, parts: &[&[u8]]) -> [u8; SHA1_80_TAG_LEN] {
        let mut context = hmac::Context::with_key(&self.auth);
        for part in parts {
            context.update(part);
        }
        let mut tag = [0; SHA1_80_TAG_LEN];
        tag.copy_from_slice(&context.sign().as_ref()[..SHA1_80_TAG_LEN]);
        tag
    }
}

impl SrtpProfile {
    /// Bytes of master salt (RFC 5764 §4.1.2, RFC 7714 §12).
    pub(super) fn salt_len(self) -> usize {
        match self {
            SrtpProfile::AeadAes128Gcm => 12,
            SrtpProfile::Aes128CmHmacSha1_80 => 14,
        }
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

fn derive<const N: usize>(
    master: &EncryptingKey,
    salt: &[u8; 14],
    label: u8,
) -> Result<[u8; N], Unspecified> {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    iv[7] ^= label;
    let mut out = [0; N];
    master.less_safe_encrypt(&mut out, EncryptionContext::Iv128(FixedLength::from(iv)))?;
    Ok(out)
}

fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// RFC 7714 §8.1.
fn rtp_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[6..12], &index.to_be_bytes()[2..]);
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 §9.1.
fn rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> Nonce {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[8..12], &index.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 §9.2: the clear part of the header, then the E flag and index.
fn rtcp_aad(clear: &[u8], word: [u8; 4]) -> Aad<[u8; RTCP_CLEAR_LEN + 4]> {
    let mut aad = [0; RTCP_CLEAR_LEN + 4];
    aad[..RTCP_CLEAR_LEN].copy_from_slice(clear);
    aad[RTCP_CLEAR_LEN..].copy_from_slice(&word);
    Aad::from(aad)
}

fn xor(out: &mut [u8], mask: &[u8]) {
    for (out, mask) in out.iter_mut().zip(mask) {
        *out ^= mask;
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
