//! The STUN messages ICE needs (RFC 8489, RFC 8445 §7): binding requests and responses, nothing else.

use aws_lc_rs::hmac;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const MAGIC_COOKIE: u32 = 0x2112_A442;
const HEADER: usize = 20;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLING: u16 = 0x802A;
/// RFC 8489 §14.7.
const FINGERPRINT_XOR: u32 = 0x5354_554e;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionId(pub [u8; 12]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Request,
    Success,
    Error,
    Indication,
}

/// A binding message as received; its integrity has not been checked yet.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    pub class: Class,
    pub transaction: TransactionId,
    bytes: &'a [u8],
    integrity_at: Option<usize>,
}

/// Whether a datagram's first byte says STUN (RFC 7983 §7).
pub fn is_stun(first: u8) -> bool {
    first < 4
}

impl<'a> Binding<'a> {
    /// `None` for anything that is not a well-formed binding message.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER>()?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let cookie = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        if cookie != MAGIC_COOKIE || length + HEADER != bytes.len() || !length.is_multiple_of(4) {
            return None;
        }
        let class = match kind {
            0x0001 => Class::Request,
            0x0011 => Class::Indication,
            0x0101 => Class::Success,
            0x0111 => Class::Error,
            _ => return None,
        };
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&header[8..]);
        let mut integrity_at = None;
        let mut at = HEADER;
        while at < bytes.len() {
            let (attribute, value) = attribute_at(bytes, at)?;
            if attribute == MESSAGE_INTEGRITY && value.len() == 20 && integrity_at.is_none() {
                integrity_at = Some(at);
            }
            at += 4 + value.len().next_multiple_of(4);
        }
        Some(Self {
            class,
            transaction: TransactionId(transaction),
            bytes,
            integrity_at,
        })
    }

    /// Checks MESSAGE-INTEGRITY with the password of the agent that receives requests.
    pub fn is_signed_with(&self, key: &hmac::Key) -> bool {
        let Some(at) = self.integrity_at else { return false };
        let (Some(covered), Some(tag)) = (self.bytes.get(..at), self.bytes.get(at + 4..at + 24)) else {
            return false;
        };
        let mut signed = covered.to_vec();
        let length = (at + 24 - HEADER) as u16;
        signed[2..4].copy_from_slice(&length.to_be_bytes());
        hmac::verify(key, &signed, tag).is_ok()
    }
}

fn attribute_at(bytes: &[u8], at: usize) -> Option<(u16, &[u8])> {
    let head = bytes.get(at..at + 4)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let value = bytes.get(at + 4..at + 4 + length)?;
    Some((u16::from_be_bytes([head[0], head[1]]), value))
}

/// The key that signs with an ICE password (RFC 8489 §9.1.1, short-term credentials).
pub fn integrity_key(password: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes())
}

/// A connectivity or consent check from the controlling side.
pub fn write_request(
    transaction: TransactionId,
    username: &str,
    key: &hmac::Key,
    priority: u32,
    tie_breaker: u64,
    nominate: bool,
) -> Vec<u8> {
    let mut message = start(0x0001, transaction);
    push(&mut message, USERNAME, username.as_bytes());
    push(&mut message, PRIORITY, &priority.to_be_bytes());
    push(&mut message, ICE_CONTROLLING, &tie_breaker.to_be_bytes());
    if nominate {
        push(&mut message, USE_CANDIDATE, &[]);
    }
    finish(message, key)
}

/// The answer to a peer's check, with its address as we see it.
pub fn write_success(transaction: TransactionId, from: SocketAddr, key: &hmac::Key) -> Vec<u8> {
    let mut message = start(0x0101, transaction);
    let mut mask = MAGIC_COOKIE.to_be_bytes().to_vec();
    mask.extend_from_slice(&transaction.0);
    let port = from.port() ^ (MAGIC_COOKIE >> 16) as u16;
    let (family, address): (u8, Vec<u8>) = match from.ip() {
        IpAddr::V4(ip) => (1, Ipv4Addr::octets(&ip).to_vec()),
        IpAddr::V6(ip) => (2, Ipv6Addr::octets(&ip).to_vec()),
    };
    let mut value = vec![0, family];
    value.extend_from_slice(&port.to_be_bytes());
    value.extend(address.iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
    push(&mut message, XOR_MAPPED_ADDRESS, &value);
    finish(message, key)
}

fn start(kind: u16, transaction: TransactionId) -> Vec<u8> {
    let mut message = Vec::with_capacity(128);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 0]);
    message.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
    message.extend_from_slice(&transaction.0);
    message
}

fn push(message: &mut Vec<u8>, attribute: u16, value: &[u8]) {
    message.extend_from_slice(&attribute.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn finish(mut message: Vec<u8>, key: &hmac::Key) -> Vec<u8> {
    set_length(&mut message, 24);
    let tag = hmac::sign(key, &message);
    push(&mut message, MESSAGE_INTEGRITY, tag.as_ref());
    set_length(&mut message, 8);
    let crc = crc32(&message) ^ FINGERPRINT_XOR;
    push(&mut message, FINGERPRINT, &crc.to_be_bytes());
    message
}

fn set_length(message: &mut [u8], still_to_come: usize) {
    let length = (message.len() - HEADER + still_to_come) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

/// CRC-32 (ISO 3309) bit by bit: some hundred bytes a few hundred times a second.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_signed() {
        let key = integrity_key("password");
        let id = TransactionId([7; 12]);
        let bytes = write_request(id, "them:us", &key, 1, 2, true);
        let read = Binding::parse(&bytes).expect("well-formed");
        assert_eq!((read.class, read.transaction), (Class::Request, id));
        assert!(read.is_signed_with(&key));
        assert!(!read.is_signed_with(&integrity_key("another")));
    }

    #[test]
    fn an_independent_reader_accepts_what_is_written() {
        use rtc::stun::{fingerprint::FINGERPRINT, message::Message, xoraddr::XorMappedAddress};
        let peer: SocketAddr = "192.0.2.7:40000".parse().expect("an address");
        let bytes = write_success(TransactionId([9; 12]), peer, &integrity_key("password"));
        let mut message = Message::new();
        message.unmarshal_binary(&bytes).expect("well-formed");
        FINGERPRINT.check(&message).expect("the right CRC");
        let mut mapped = XorMappedAddress::default();
        mapped
            .get_from_as(&message, rtc::stun::attributes::ATTR_XORMAPPED_ADDRESS)
            .expect("an address");
        assert_eq!(SocketAddr::new(mapped.ip, mapped.port), peer);
    }

    #[test]
    fn cut_messages_are_refused() {
        let bytes = write_request(TransactionId([1; 12]), "a:b", &integrity_key("p"), 1, 2, false);
        for end in 0..bytes.len() {
            assert!(Binding::parse(&bytes[..end]).is_none());
        }
    }
}
