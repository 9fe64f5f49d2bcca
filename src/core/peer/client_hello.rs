//! Reads which SRTP profiles a ClientHello offers, before rtc-dtls is set up to answer it.

use super::SrtpProfile;
use super::guard::{Message, Records};

const CLIENT_HELLO: u8 = 1;
/// RFC 5764 §9.
const USE_SRTP: u16 = 14;
/// RFC 7714 §14.2.
const AEAD_AES_128_GCM: u16 = 0x0007;

/// Client's version and random (RFC 5246 §7.4.1.2).
const VERSION_AND_RANDOM: usize = 2 + 32;

/// The body of a ClientHello.
pub(super) struct ClientHello(Vec<u8>);

impl ClientHello {
    /// Puts the client's message with this number together from the records of `datagrams`, 0 for the first, 1 for the one
    /// with a cookie; `None` while parts are missing.
    pub fn reassemble(datagrams: &[Vec<u8>], number: u16) -> Option<Self> {
        let mut fragments: Vec<Message<'_>> = datagrams
            .iter()
            .flat_map(|datagram| Records { rest: datagram })
            .flat_map(|record| record.messages())
            .filter(|message| message.kind == CLIENT_HELLO && message.sequence == number)
            .collect();
        fragments.sort_by_key(|fragment| fragment.offset);
        let length = fragments.first()?.length;
        let mut body = Vec::with_capacity(length.min(4096));
        for fragment in fragments.iter().filter(|fragment| fragment.length == length) {
            // Repetitions may cut the message elsewhere: take what is new of each.
            let known = body.len().checked_sub(fragment.offset)?;
            body.extend_from_slice(fragment.body.get(known..).unwrap_or_default());
        }
        (body.len() == length).then_some(Self(body))
    }

    /// AEAD_AES_128_GCM wherever it stands in the list: sealing with it costs a third of AES_CM and HMAC-SHA1.
    pub fn preferred_profile(&self) -> SrtpProfile {
        let offers_gcm = self.srtp_profiles().is_some_and(|list| {
            list.chunks_exact(2)
                .any(|id| u16::from_be_bytes([id[0], id[1]]) == AEAD_AES_128_GCM)
        });
        if offers_gcm {
            SrtpProfile::AeadAes128Gcm
        } else {
            SrtpProfile::Aes128CmHmacSha1_80
        }
    }

    /// A datagram with the ClientHello that came before this one: the same without the cookie (RFC 6347 §4.2.1).
    pub fn before_the_cookie(&self) -> Option<Vec<u8>> {
        let (head, rest) = self.0.split_at_checked(VERSION_AND_RANDOM)?;
        let (session_id, _) = take_vector::<1>(rest)?;
        let (cookie_at, rest) = rest.split_at_checked(1 + session_id.len())?;
        let (_cookie, rest) = take_vector::<1>(rest)?;
        Self([head, cookie_at, &[0], rest].concat()).datagram(0)
    }

    /// A datagram of nothing else, in one piece, whatever its length; `None`: it is longer than a record can be.
    pub fn datagram(&self, number: u8) -> Option<Vec<u8>> {
        let length = u16::try_from(self.0.len()).ok()?.to_be_bytes();
        let record = u16::try_from(self.0.len() + 12).ok()?.to_be_bytes();
        // Record: DTLS 1.2, epoch 0, its number that of the message. Message: kind, length, number, offset, length.
        let mut datagram = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, number, record[0], record[1]];
        datagram.extend([
            CLIENT_HELLO,
            0,
            length[0],
            length[1],
            0,
            number,
            0,
            0,
            0,
            0,
            length[0],
            length[1],
        ]);
        datagram.extend(&self.0);
        Some(datagram)
    }

    /// The use_srtp extension's list of two-byte profile ids (RFC 5764 §4.1.1).
    fn srtp_profiles(&self) -> Option<&[u8]> {
        let rest = self.0.get(VERSION_AND_RANDOM..)?;
        let (_session_id, rest) = take_vector::<1>(rest)?;
        let (_cookie, rest) = take_vector::<1>(rest)?;
        let (_cipher_suites, rest) = take_vector::<2>(rest)?;
        let (_compression, rest) = take_vector::<1>(rest)?;
        let (mut extensions, _) = take_vector::<2>(rest)?;
        while let Some((kind, rest)) = extensions.split_first_chunk::<2>() {
            let (value, rest) = take_vector::<2>(rest)?;
            if u16::from_be_bytes(*kind) == USE_SRTP {
                return take_vector::<2>(value).map(|(list, _)| list);
            }
            extensions = rest;
        }
        None
    }
}

/// Splits off a vector with a length prefix of `N` bytes (RFC 5246 §4.3).
fn take_vector<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = bytes.split_first_chunk::<N>()?;
    let length = prefix
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}
