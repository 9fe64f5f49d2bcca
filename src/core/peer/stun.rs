//! The little of STUN (RFC 8489) that an ICE-lite agent needs: read Binding requests, check their
//! MESSAGE-INTEGRITY, write the answers. Nothing allocates but the answer itself.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;

pub(super) const HEADER_LEN: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
/// RFC 8489 §14.7.
const FINGERPRINT_XOR: u32 = 0x5354_554E;
/// An HMAC-SHA1's length.
const INTEGRITY_LEN: usize = 20;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

mod attribute {
    pub const USERNAME: u16 = 0x0006;
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub const ERROR_CODE: u16 = 0x0009;
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub const PRIORITY: u16 = 0x0024;
    pub const USE_CANDIDATE: u16 = 0x0025;
    pub const FINGERPRINT: u16 = 0x8028;
    pub const ICE_CONTROLLED: u16 = 0x8029;
}

/// A Binding request, well-formed but not yet authenticated.
pub(super) struct BindingRequest<'a> {
    datagram: &'a [u8],
    /// Our user fragment and theirs (RFC 8445 §7.2.2).
    pub username: (&'a str, &'a str),
    pub transaction: [u8; 12],
    /// Zero where the attribute is missing (older FFmpeg).
    pub priority: u32,
    pub use_candidate: bool,
    /// The peer believes to be the controlled side, which a lite agent always is.
    pub claims_controlled: bool,
    /// Where MESSAGE-INTEGRITY starts, and where FINGERPRINT does.
    integrity_at: usize,
    fingerprint_at: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reject {
    /// Not a STUN message, or one whose lengths contradict each other.
    Malformed,
    /// A response, an indication, another method.
    NotBindingRequest,
    /// No USERNAME of the form `ours:theirs`, or no MESSAGE-INTEGRITY.
    NoCredentials,
}

impl<'a> BindingRequest<'a> {
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Reject> {
        let header: &[u8; HEADER_LEN] = datagram.first_chunk().ok_or(Reject::Malformed)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[4..8] != MAGIC_COOKIE || !length.is_multiple_of(4) || datagram.len() != HEADER_LEN + length
        {
            return Err(Reject::Malformed);
        }
        if u16::from_be_bytes([header[0], header[1]]) != BINDING_REQUEST {
            return Err(Reject::NotBindingRequest);
        }
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&header[8..20]);

        let (mut username, mut integrity_at, mut fingerprint_at) = (None, None, None);
        let (mut priority, mut use_candidate, mut claims_controlled) = (0, false, false);
        let mut at = HEADER_LEN;
        while at < datagram.len() {
            let (kind, value, next) = read_attribute(datagram, at).ok_or(Reject::Malformed)?;
            match kind {
                attribute::FINGERPRINT => {
                    // It is the last attribute (RFC 8489 §14.7).
                    if value.len() != 4 || next != datagram.len() {
                        return Err(Reject::Malformed);
                    }
                    fingerprint_at = Some(at);
                }
                // Whatever follows MESSAGE-INTEGRITY is not covered by it (RFC 8489 §14.5).
                _ if integrity_at.is_some() => {}
                attribute::MESSAGE_INTEGRITY => {
                    if value.len() != INTEGRITY_LEN {
                        return Err(Reject::Malformed);
                    }
                    integrity_at = Some(at);
                }
                attribute::USERNAME => username = username.or(Some(value)),
                attribute::PRIORITY => {
                    priority = value
                        .try_into()
                        .map(u32::from_be_bytes)
                        .map_err(|_| Reject::Malformed)?;
                }
                attribute::USE_CANDIDATE => use_candidate = true,
                attribute::ICE_CONTROLLED => claims_controlled = true,
                _ => {}
            }
            at = next;
        }
        let username = username
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .and_then(|text| text.split_once(':'))
            .ok_or(Reject::NoCredentials)?;
        let integrity_at = integrity_at.ok_or(Reject::NoCredentials)?;
        Ok(Self {
            datagram,
            username,
            transaction,
            priority,
            use_candidate,
            claims_controlled,
            integrity_at,
            fingerprint_at,
        })
    }

    /// Checks FINGERPRINT, where present, and MESSAGE-INTEGRITY, the latter in constant time.
    pub fn is_authentic(&self, key: &hmac::Key) -> bool {
        let Some(claimed) = self
            .datagram
            .get(self.integrity_at + 4..self.integrity_at + 4 + INTEGRITY_LEN)
        else {
            return false;
        };
        if let Some(at) = self.fingerprint_at
            && self.datagram.get(at + 4..) != Some(&fingerprint(&self.datagram[..at]).to_be_bytes()[..])
        {
            return false;
        }
        let expected = integrity(key, &self.datagram[..self.integrity_at]);
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected, claimed).is_ok()
    }
}

/// Our user fragment and theirs, from a Binding request's USERNAME, without any state or authentication: for
/// finding the session an unknown address speaks of.
pub fn stun_username(datagram: &[u8]) -> Option<(&str, &str)> {
    BindingRequest::parse(datagram)
        .ok()
        .map(|request| request.username)
}

/// Whether `datagram` is a Binding request made by someone who knows `pwd`.
pub fn stun_authentic(datagram: &[u8], pwd: &str) -> bool {
    BindingRequest::parse(datagram).is_ok_and(|request| request.is_authentic(&integrity_key(pwd)))
}

/// The HMAC-SHA1 key of a short-term credential (RFC 8489 §9.1.1), prepared so that a check hashes only the message.
pub(super) fn integrity_key(pwd: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, pwd.as_bytes())
}

/// The success response: XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY, FINGERPRINT.
pub(super) fn success(transaction: &[u8; 12], mapped: SocketAddr, key: &hmac::Key) -> Vec<u8> {
    let mut message = start(BINDING_SUCCESS, transaction);
    let port = (mapped.port() ^ 0x2112).to_be_bytes();
    // A socket bound to `::` sees IPv4 peers as mapped addresses; the peer knows itself as IPv4.
    match mapped.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let mut value = [0, 1, port[0], port[1], 0, 0, 0, 0];
            xor_into(&mut value[4..], &ip.octets(), &MAGIC_COOKIE);
            push_attribute(&mut message, attribute::XOR_MAPPED_ADDRESS, &value);
        }
        IpAddr::V6(ip) => {
            let mut value = [0; 20];
            value[1] = 2;
            value[2..4].copy_from_slice(&port);
            let mut mask = [0; 16];
            mask[..4].copy_from_slice(&MAGIC_COOKIE);
            mask[4..].copy_from_slice(transaction);
            xor_into(&mut value[4..], &ip.octets(), &mask);
            push_attribute(&mut message, attribute::XOR_MAPPED_ADDRESS, &value);
        }
    }
    seal(message, key)
}

/// 487 Role Conflict (RFC 8445 §7.3.1.1): the peer is to become the controlling side.
pub(super) fn role_conflict(transaction: &[u8; 12], key: &hmac::Key) -> Vec<u8> {
    let mut message = start(BINDING_ERROR, transaction);
    let mut value = vec![0, 0, 4, 87];
    value.extend_from_slice(b"Role Conflict");
    push_attribute(&mut message, attribute::ERROR_CODE, &value);
    seal(message, key)
}

/// The attribute at `at`: its type, its value, and where the next one starts.
fn read_attribute(datagram: &[u8], at: usize) -> Option<(u16, &[u8], usize)> {
    let header: &[u8; 4] = datagram.get(at..)?.first_chunk()?;
    let kind = u16::from_be_bytes([header[0], header[1]]);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let value = datagram.get(at + 4..at + 4 + length)?;
    let next = at + 4 + length.next_multiple_of(4);
    (next <= datagram.len()).then_some((kind, value, next))
}

/// HMAC-SHA1 over `covered` with the length field as if the message ended right after MESSAGE-INTEGRITY.
fn integrity(key: &hmac::Key, covered: &[u8]) -> [u8; INTEGRITY_LEN] {
    let length = (covered.len() - HEADER_LEN + 4 + INTEGRITY_LEN) as u16;
    let mut context = hmac::Context::with_key(key);
    context.update(&covered[..2]);
    context.update(&length.to_be_bytes());
    context.update(&covered[4..]);
    let mut out = [0; INTEGRITY_LEN];
    out.copy_from_slice(context.sign().as_ref());
    out
}

fn start(kind: u16, transaction: &[u8; 12]) -> Vec<u8> {
    let mut message = Vec::with_capacity(80);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 0]);
    message.extend_from_slice(&MAGIC_COOKIE);
    message.extend_from_slice(transaction);
    message
}

fn push_attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn seal(mut message: Vec<u8>, key: &hmac::Key) -> Vec<u8> {
    let tag = integrity(key, &message);
    push_attribute(&mut message, attribute::MESSAGE_INTEGRITY, &tag);
    // FINGERPRINT's CRC covers the final length, itself included.
    let length = (message.len() - HEADER_LEN + 8) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
    let crc = fingerprint(&message);
    push_attribute(&mut message, attribute::FINGERPRINT, &crc.to_be_bytes());
    message
}

fn xor_into(out: &mut [u8], value: &[u8], mask: &[u8]) {
    for (out, (value, mask)) in out.iter_mut().zip(value.iter().zip(mask)) {
        *out = value ^ mask;
    }
}

fn fingerprint(covered: &[u8]) -> u32 {
    let crc = covered.iter().fold(u32::MAX, |crc, byte| {
        CRC[((crc ^ u32::from(*byte)) & 0xFF) as usize] ^ (crc >> 8)
    });
    !crc ^ FINGERPRINT_XOR
}

/// CRC-32 of ISO HDLC, byte by byte.
const CRC: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xEDB8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};
