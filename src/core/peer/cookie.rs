//! The cookie of a DTLS server (RFC 6347 §4.2.1), told before it is asked for.
//!
//! A cookie proves that a client is where it says it is. ICE has proven that by the time DTLS begins, but rtc-dtls insists
//! (version 0.21.1), and its HelloVerifyRequest costs each join a round trip. So that request goes out right after the answer
//! to the first check: it meets the client when its first ClientHello is on the way, and the second follows the first
//! at once. Who was told too early or not at all is told again a tenth of a second after
//! its first ClientHello.

use std::sync::{Arc, Mutex, PoisonError};

use rtc::crypto::{CryptoError, RTCCrypto, RTCCryptoProvider, RTCRandom};

/// What rtc-dtls takes for a cookie, and nothing else that it draws is as long.
const LENGTH: usize = 20;

/// Record and message headers of a HelloVerifyRequest (RFC 6347 §4.1, §4.2.1, §4.2.2) up to the cookie: a handshake
/// record of DTLS 1.2, epoch 0; the message has number 0 and is in one piece.
const HEAD: [u8; 28] = [
    22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 35, // record: version, epoch and number, length
    3, 0, 0, 23, 0, 0, 0, 0, 0, 0, 0, 23, // message: kind, length, number, offset, length of the piece
    0xfe, 0xfd, 20, // server's version, length of the cookie
];

/// A cookie drawn by us, for a handshake to come.
pub(super) struct Cookie([u8; LENGTH]);

impl Cookie {
    /// `None`: there is no randomness to be had.
    pub fn draw(provider: &Arc<dyn RTCCryptoProvider>) -> Option<Self> {
        let mut cookie = [0; LENGTH];
        provider.random().fill(&mut cookie).ok()?;
        Some(Self(cookie))
    }

    /// The datagram that tells the client. Its record number is for the caller to set.
    pub fn request(&self) -> Vec<u8> {
        [&HEAD[..], &self.0].concat()
    }

    /// `inner`, but the first cookie that is drawn from it is this one.
    pub fn provider(self, inner: Arc<dyn RTCCryptoProvider>) -> Arc<dyn RTCCryptoProvider> {
        let random = Drawn {
            inner: inner.clone(),
            cookie: Mutex::new(Some(self.0)),
        };
        Arc::new(WithCookie { inner, random })
    }
}

struct WithCookie {
    inner: Arc<dyn RTCCryptoProvider>,
    random: Drawn,
}

struct Drawn {
    inner: Arc<dyn RTCCryptoProvider>,
    cookie: Mutex<Option<[u8; LENGTH]>>,
}

impl RTCCryptoProvider for WithCookie {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self.inner.crypto()
    }

    fn random(&self) -> &dyn RTCRandom {
        &self.random
    }
}

impl RTCRandom for Drawn {
    fn fill(&self, output: &mut [u8]) -> Result<(), CryptoError> {
        if output.len() == LENGTH {
            let drawn = self.cookie.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(cookie) = drawn {
                output.copy_from_slice(&cookie);
                return Ok(());
            }
        }
        self.inner.random().fill(output)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::BytesMut;
    use rtc::dtls::endpoint::Endpoint;
    use rtc::shared::TransportProtocol;

    use super::super::identity::Identity;
    use super::super::{SrtpProfile, dtls::PEER};
    use super::*;
    use crate::core::media::Fingerprint;

    /// What we tell a client ahead is what rtc-dtls tells it, byte for byte but for the record's number; and the next
    /// cookie is another one.
    #[test]
    fn the_request_is_the_one_that_rtc_dtls_makes() {
        let identity = Identity::generate().unwrap();
        let nobody: Arc<[Fingerprint]> = Arc::new([]);
        let now = any_instant();
        let mut client = Endpoint::new(PEER, TransportProtocol::UDP, None);
        let config = identity.client_config(&nobody).unwrap();
        client.connect(now, PEER, config, None).unwrap();
        let mut hello = Vec::new();
        while let Some(transmit) = client.poll_transmit() {
            hello.push(transmit.message);
        }
        let cookie = identity.draw_cookie().unwrap();
        let ours = cookie.request();
        assert_ne!(identity.draw_cookie().unwrap().request(), ours);
        let config = identity.server_config(SrtpProfile::AeadAes128Gcm, &nobody, Some(cookie));
        let mut server = Endpoint::new(PEER, TransportProtocol::UDP, Some(config.unwrap()));
        for datagram in hello {
            server
                .read(now, PEER, None, BytesMut::from(&datagram[..]))
                .unwrap();
        }
        let theirs = server.poll_transmit().expect("it asks for its cookie").message;
        assert_eq!(ours, theirs.to_vec());
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn any_instant() -> Instant {
        Instant::now()
    }
}
