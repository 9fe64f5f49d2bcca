//! The session keys of one direction and what they do to a packet: AEAD_AES_128_GCM (RFC 7714) and
//! AES_CM_128_HMAC_SHA1_80 (RFC 3711).

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{constant_time, hmac, iv::FixedLength};

use super::SrtpProfile;

/// RFC 7714 §5.1 and RFC 3711 §4.2.
pub(super) const GCM_TAG_LEN: usize = 16;
const SHA1_80_TAG_LEN: usize = 10;
/// E flag and 31-bit index.
pub(super) const SRTCP_INDEX_LEN: usize = 4;
/// What of an SRTCP packet stays in the clear: the first header and its SSRC.
pub(super) const RTCP_CLEAR_LEN: usize = 8;
pub(super) const SRTCP_E: u32 = 0x8000_0000;

/// The session keys of one direction.
pub(super) struct Keys {
    pub cipher: Cipher,
}

pub(super) enum Cipher {
    /// AEAD_AES_128_GCM (RFC 7714).
    Gcm {
        rtp: LessSafeKey,
        rtp_salt: [u8; 12],
        rtcp: LessSafeKey,
        rtcp_salt: [u8; 12],
    },
    /// AES_CM_128_HMAC_SHA1_80 (RFC 3711).
    Cm { rtp: Box<CmKeys>, rtcp: Box<CmKeys> },
}

/// Boxed in [`Cipher`]: prepared HMAC keys are large, and GCM has none.
pub(super) struct CmKeys {
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
                let keys = |labels: u8| -> Result<Box<CmKeys>, Unspecified> {
                    let key: [u8; 16] = derive(&master, &salt, LABEL_ENCRYPTION + labels)?;
                    let auth: [u8; 20] = derive(&master, &salt, LABEL_AUTHENTICATION + labels)?;
                    Ok(Box::new(CmKeys {
                        cipher: EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &key)?)?,
                        salt: derive(&master, &salt, LABEL_SALT + labels)?,
                        auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth),
                    }))
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
    pub fn tag_len(&self) -> usize {
        match self {
            Cipher::Gcm { .. } => GCM_TAG_LEN,
            Cipher::Cm { .. } => SHA1_80_TAG_LEN,
        }
    }

    pub fn seal_rtp(
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

    pub fn open_rtp(
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

    pub fn seal_rtcp(&self, buf: &mut Vec<u8>, ssrc: u32, index: u32) -> Result<(), Unspecified> {
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
    pub fn open_rtcp(&self, packet: &mut [u8], len: usize, ssrc: u32, word: u32) -> Result<(), Unspecified> {
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
