//! SRTP and SRTCP in place (RFC 3711, RFC 7714): the profiles browsers offer, for one direction of one session.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::{constant_time, hmac};

use super::rtp;

const GCM_TAG: usize = 16;
const CM_TAG: usize = 10;
/// The most a packet grows by: the GCM tag and, for SRTCP, the index.
pub const MAX_GROWTH: usize = GCM_TAG + 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Profile {
    #[serde(rename = "AES_CM_128_HMAC_SHA1_80")]
    Cm128Sha1,
    #[serde(rename = "AEAD_AES_128_GCM")]
    Gcm128,
    #[serde(rename = "AEAD_AES_256_GCM")]
    Gcm256,
}

impl Profile {
    pub fn key_len(self) -> usize {
        match self {
            Profile::Cm128Sha1 | Profile::Gcm128 => 16,
            Profile::Gcm256 => 32,
        }
    }

    pub fn salt_len(self) -> usize {
        match self {
            Profile::Cm128Sha1 => 14,
            Profile::Gcm128 | Profile::Gcm256 => 12,
        }
    }

    /// Bytes the DTLS exporter must give: both keys, both salts (RFC 5764 §4.2).
    pub fn exporter_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SrtpError {
    #[error("the packet is too short")]
    Short,
    #[error("authentication failed")]
    Authentication,
    #[error("the cipher refused the key")]
    Key,
}

/// The keys of both directions, as (ours, theirs), from what the DTLS exporter gave.
pub fn split_keys(profile: Profile, material: &[u8], client: bool) -> Result<(SrtpKey, SrtpKey), SrtpError> {
    let (key, salt) = (profile.key_len(), profile.salt_len());
    if material.len() != profile.exporter_len() {
        return Err(SrtpError::Key);
    }
    let (keys, salts) = material.split_at(2 * key);
    let of_client = SrtpKey::new(profile, &keys[..key], &salts[..salt])?;
    let of_server = SrtpKey::new(profile, &keys[key..], &salts[salt..])?;
    Ok(if client {
        (of_client, of_server)
    } else {
        (of_server, of_client)
    })
}

/// One direction's session keys.
pub struct SrtpKey {
    rtp: Cipher,
    rtcp: Cipher,
}

enum Cipher {
    Gcm {
        key: LessSafeKey,
        salt: [u8; 12],
    },
    /// Boxed: the key schedules are 1.7 KB, and most viewers use GCM.
    Cm(Box<CmKeys>),
}

struct CmKeys {
    key: EncryptingKey,
    salt: [u8; 14],
    auth: hmac::Key,
}

impl SrtpKey {
    pub fn new(profile: Profile, master_key: &[u8], master_salt: &[u8]) -> Result<Self, SrtpError> {
        Ok(Self {
            rtp: Cipher::derive(profile, master_key, master_salt, 0)?,
            rtcp: Cipher::derive(profile, master_key, master_salt, 3)?,
        })
    }

    /// Bytes a sealed RTP packet is longer by.
    pub fn rtp_growth(&self) -> usize {
        match self.rtp {
            Cipher::Gcm { .. } => GCM_TAG,
            Cipher::Cm(_) => CM_TAG,
        }
    }

    /// Seals the packet that starts at `start` in `packet` and appends its tag. `roc` is the rollover counter.
    pub fn seal_rtp(
        &self,
        packet: &mut Vec<u8>,
        start: usize,
        header_len: usize,
        roc: u32,
    ) -> Result<(), SrtpError> {
        let bytes = packet.get_mut(start..).ok_or(SrtpError::Short)?;
        let (ssrc, seq) = (rtp::ssrc(bytes).ok_or(SrtpError::Short)?, rtp::sequence(bytes));
        let (header, payload) = bytes.split_at_mut_checked(header_len).ok_or(SrtpError::Short)?;
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let nonce = gcm_rtp_nonce(salt, ssrc, roc, seq);
                let tag = key
                    .seal_in_place_separate_tag(nonce, Aad::from(&*header), payload)
                    .map_err(|_| SrtpError::Key)?;
                packet.extend_from_slice(tag.as_ref());
            }
            Cipher::Cm(keys) => {
                let CmKeys { key, salt, auth } = &**keys;
                cm_crypt(key, salt, ssrc, (u64::from(roc) << 16) | u64::from(seq), payload)?;
                let tag = cm_tag(auth, bytes, &roc.to_be_bytes());
                packet.extend_from_slice(&tag);
            }
        }
        Ok(())
    }

    /// Opens an RTP packet in place; returns the payload's length.
    pub fn open_rtp(&self, packet: &mut [u8], header_len: usize, roc: u32) -> Result<usize, SrtpError> {
        let (ssrc, seq) = (rtp::ssrc(packet).ok_or(SrtpError::Short)?, rtp::sequence(packet));
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let (header, payload) = packet.split_at_mut_checked(header_len).ok_or(SrtpError::Short)?;
                let nonce = gcm_rtp_nonce(salt, ssrc, roc, seq);
                key.open_in_place(nonce, Aad::from(&*header), payload)
                    .map(|plain| plain.len())
                    .map_err(|_| SrtpError::Authentication)
            }
            Cipher::Cm(keys) => {
                let CmKeys { key, salt, auth } = &**keys;
                let end = packet.len().checked_sub(CM_TAG).ok_or(SrtpError::Short)?;
                let (body, tag) = packet.split_at_mut(end);
                let expected = cm_tag(auth, body, &roc.to_be_bytes());
                constant_time::verify_slices_are_equal(&expected, tag)
                    .map_err(|_| SrtpError::Authentication)?;
                let payload = body.get_mut(header_len..).ok_or(SrtpError::Short)?;
                cm_crypt(key, salt, ssrc, (u64::from(roc) << 16) | u64::from(seq), payload)?;
                Ok(payload.len())
            }
        }
    }

    /// Seals a compound RTCP packet; `index` is its 31-bit SRTCP index.
    pub fn seal_rtcp(&self, packet: &mut Vec<u8>, index: u32) -> Result<(), SrtpError> {
        let ssrc = rtcp_ssrc(packet).ok_or(SrtpError::Short)?;
        let word = (index | 1 << 31).to_be_bytes();
        let (header, payload) = packet.split_at_mut_checked(8).ok_or(SrtpError::Short)?;
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let aad = gcm_rtcp_aad(header, word);
                let tag = key
                    .seal_in_place_separate_tag(gcm_rtcp_nonce(salt, ssrc, index), Aad::from(aad), payload)
                    .map_err(|_| SrtpError::Key)?;
                packet.extend_from_slice(tag.as_ref());
                packet.extend_from_slice(&word);
            }
            Cipher::Cm(keys) => {
                let CmKeys { key, salt, auth } = &**keys;
                cm_crypt(key, salt, ssrc, u64::from(index), payload)?;
                packet.extend_from_slice(&word);
                let tag = cm_tag(auth, packet, &[]);
                packet.extend_from_slice(&tag);
            }
        }
        Ok(())
    }

    /// Opens a compound RTCP packet in place; returns its plain length.
    pub fn open_rtcp(&self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = rtcp_ssrc(packet).ok_or(SrtpError::Short)?;
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let end = packet.len().checked_sub(4).ok_or(SrtpError::Short)?;
                let (body, trailer) = packet.split_at_mut(end);
                let word = *trailer.first_chunk::<4>().ok_or(SrtpError::Short)?;
                let index = u32::from_be_bytes(word) & !(1 << 31);
                let (header, payload) = body.split_at_mut_checked(8).ok_or(SrtpError::Short)?;
                let aad = gcm_rtcp_aad(header, word);
                key.open_in_place(gcm_rtcp_nonce(salt, ssrc, index), Aad::from(aad), payload)
                    .map(|plain| plain.len() + 8)
                    .map_err(|_| SrtpError::Authentication)
            }
            Cipher::Cm(keys) => {
                let CmKeys { key, salt, auth } = &**keys;
                let end = packet.len().checked_sub(CM_TAG).ok_or(SrtpError::Short)?;
                let (body, tag) = packet.split_at_mut(end);
                let expected = cm_tag(auth, body, &[]);
                constant_time::verify_slices_are_equal(&expected, tag)
                    .map_err(|_| SrtpError::Authentication)?;
                let (body, trailer) = body.split_last_chunk_mut::<4>().ok_or(SrtpError::Short)?;
                let word = u32::from_be_bytes(*trailer);
                if word & (1 << 31) != 0 {
                    let payload = body.get_mut(8..).ok_or(SrtpError::Short)?;
                    cm_crypt(key, salt, ssrc, u64::from(word & !(1 << 31)), payload)?;
                }
                Ok(body.len())
            }
        }
    }
}

impl Cipher {
    /// RFC 3711 §4.3.1; `label` 0 begins SRTP's three, 3 SRTCP's.
    fn derive(profile: Profile, key: &[u8], salt: &[u8], label: u8) -> Result<Self, SrtpError> {
        let session_key = kdf(key, salt, label, profile.key_len())?;
        let session_salt = kdf(key, salt, label + 2, profile.salt_len())?;
        Ok(match profile {
            Profile::Gcm128 | Profile::Gcm256 => {
                let algorithm = if profile == Profile::Gcm128 {
                    &AES_128_GCM
                } else {
                    &AES_256_GCM
                };
                let key = UnboundKey::new(algorithm, &session_key).map_err(|_| SrtpError::Key)?;
                let salt = session_salt.try_into().map_err(|_| SrtpError::Key)?;
                Cipher::Gcm {
                    key: LessSafeKey::new(key),
                    salt,
                }
            }
            Profile::Cm128Sha1 => {
                let auth = kdf(key, salt, label + 1, 20)?;
                let key = UnboundCipherKey::new(&AES_128, &session_key).map_err(|_| SrtpError::Key)?;
                Cipher::Cm(Box::new(CmKeys {
                    key: EncryptingKey::ctr(key).map_err(|_| SrtpError::Key)?,
                    salt: session_salt.try_into().map_err(|_| SrtpError::Key)?,
                    auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth),
                }))
            }
        })
    }
}

fn kdf(key: &[u8], salt: &[u8], label: u8, length: usize) -> Result<Vec<u8>, SrtpError> {
    let mut counter = [0u8; 16];
    counter
        .get_mut(..salt.len())
        .ok_or(SrtpError::Key)?
        .copy_from_slice(salt);
    counter[7] ^= label;
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    let key = UnboundCipherKey::new(algorithm, key).map_err(|_| SrtpError::Key)?;
    let key = EncryptingKey::ctr(key).map_err(|_| SrtpError::Key)?;
    let mut out = vec![0; length];
    key.less_safe_encrypt(&mut out, EncryptionContext::Iv128((&counter).into()))
        .map_err(|_| SrtpError::Key)?;
    Ok(out)
}

/// RFC 7714 §8.1.
fn gcm_rtp_nonce(salt: &[u8; 12], ssrc: u32, roc: u32, seq: u16) -> Nonce {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[6..10], &roc.to_be_bytes());
    xor(&mut nonce[10..12], &seq.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 §9.1.
fn gcm_rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> Nonce {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[8..12], &index.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn gcm_rtcp_aad(header: &[u8], index: [u8; 4]) -> [u8; 12] {
    let mut aad = [0; 12];
    aad[..8].copy_from_slice(header);
    aad[8..].copy_from_slice(&index);
    aad
}

/// RFC 3711 §4.1.1; the same operation both ways.
fn cm_crypt(
    key: &EncryptingKey,
    salt: &[u8; 14],
    ssrc: u32,
    index: u64,
    payload: &mut [u8],
) -> Result<(), SrtpError> {
    let mut iv = [0u8; 16];
    iv[..14].copy_from_slice(salt);
    xor(&mut iv[4..8], &ssrc.to_be_bytes());
    xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
    key.less_safe_encrypt(payload, EncryptionContext::Iv128((&iv).into()))
        .map(|_| ())
        .map_err(|_| SrtpError::Key)
}

fn cm_tag(auth: &hmac::Key, body: &[u8], suffix: &[u8]) -> [u8; CM_TAG] {
    let mut context = hmac::Context::with_key(auth);
    context.update(body);
    context.update(suffix);
    let mut tag = [0; CM_TAG];
    tag.copy_from_slice(&context.sign().as_ref()[..CM_TAG]);
    tag
}

fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    packet.get(4..8)?.try_into().ok().map(u32::from_be_bytes)
}

fn xor(target: &mut [u8], mask: &[u8]) {
    target.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::srtp::{context::Context, protection_profile::ProtectionProfile};

    const PROFILES: [(Profile, ProtectionProfile); 3] = [
        (Profile::Cm128Sha1, ProtectionProfile::Aes128CmHmacSha1_80),
        (Profile::Gcm128, ProtectionProfile::AeadAes128Gcm),
        (Profile::Gcm256, ProtectionProfile::AeadAes256Gcm),
    ];

    fn pair(ours: Profile, theirs: ProtectionProfile) -> (SrtpKey, Context) {
        let key: Vec<u8> = (0..ours.key_len() as u8).collect();
        let salt: Vec<u8> = (100..100 + ours.salt_len() as u8).collect();
        let provider = rtc::crypto::default_provider().expect("a provider");
        let context = Context::new(&key, &salt, theirs, None, None, provider.crypto()).expect("a context");
        (SrtpKey::new(ours, &key, &salt).expect("a key"), context)
    }

    fn packet() -> Vec<u8> {
        let mut packet = vec![0x80, 96, 0x12, 0x34, 0, 0, 0, 9, 1, 2, 3, 4];
        packet.extend((0..100).map(|i| i as u8));
        packet
    }

    #[test]
    fn sealed_packets_open_in_an_independent_implementation_and_back() {
        for (ours, theirs) in PROFILES {
            let (key, mut context) = pair(ours, theirs);
            let mut sealed = packet();
            key.seal_rtp(&mut sealed, 0, 12, 0).expect("sealed");
            assert_eq!(&context.decrypt_rtp(&sealed).expect("authentic")[..], packet());

            let (key, mut context) = pair(ours, theirs);
            let mut sealed = context.encrypt_rtp(&packet()).expect("sealed").to_vec();
            let len = key.open_rtp(&mut sealed, 12, 0).expect("authentic");
            assert_eq!(sealed[..12 + len], packet());
        }
    }

    #[test]
    fn control_packets_open_in_an_independent_implementation_and_back() {
        let plain: Vec<u8> = [0x81, 206, 0, 2]
            .into_iter()
            .chain([1, 2, 3, 4, 5, 6, 7, 8])
            .collect();
        for (ours, theirs) in PROFILES {
            let (key, mut context) = pair(ours, theirs);
            let mut sealed = plain.clone();
            key.seal_rtcp(&mut sealed, 77).expect("sealed");
            assert_eq!(&context.decrypt_rtcp(&sealed).expect("authentic")[..], plain);

            let (key, mut context) = pair(ours, theirs);
            let mut sealed = context.encrypt_rtcp(&plain).expect("sealed").to_vec();
            let len = key.open_rtcp(&mut sealed).expect("authentic");
            assert_eq!(sealed[..len], plain);
        }
    }

    #[test]
    fn a_changed_or_cut_packet_is_refused() {
        for (ours, theirs) in PROFILES {
            let (key, _) = pair(ours, theirs);
            let mut sealed = packet();
            key.seal_rtp(&mut sealed, 0, 12, 0).expect("sealed");
            let mut changed = sealed.clone();
            changed[20] ^= 1;
            assert!(key.open_rtp(&mut changed, 12, 0).is_err());
            for end in 0..sealed.len() {
                assert!(key.open_rtp(&mut sealed[..end].to_vec(), 12, 0).is_err());
                assert!(key.open_rtcp(&mut sealed[..end].to_vec()).is_err());
            }
        }
    }
}
