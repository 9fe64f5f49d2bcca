//! Our certificate and the DTLS configurations made from it.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use rtc::crypto::RTCCryptoProvider;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::shared::error::Error as RtcError;

use crate::core::media::{Fingerprint, HashAlgorithm};

use super::SrtpProfile;
use super::cookie::Cookie;

/// How long after sending a flight rtc-dtls is *able* to repeat it. When it does is decided by
/// [`super::dtls`], which backs off; this is only the shortest step it can take.
pub(super) const FLIGHT_INTERVAL: Duration = Duration::from_millis(50);

/// Handshake messages are cut to fit this many bytes: 1280 (the smallest IPv6 MTU) less IPv6 and UDP headers,
/// with some room for tunnels.
const MTU: usize = 1200;

/// Our certificate, made once for the whole server (self-signed ECDSA P-256) and shared by all peers.
pub struct Identity {
    fingerprint: Fingerprint,
    provider: Arc<dyn RTCCryptoProvider>,
    server_gcm: ConfigBuilder,
    server_cm: ConfigBuilder,
    client: ConfigBuilder,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("no cryptographic provider: {0}")]
    Provider(String),
    #[error("the certificate could not be made")]
    Certificate(#[source] RtcError),
    #[error("the certificate does not make a usable DTLS configuration")]
    Config(#[source] RtcError),
}

impl Identity {
    pub fn generate() -> Result<Self, IdentityError> {
        let provider =
            rtc::crypto::default_provider().map_err(|error| IdentityError::Provider(error.to_string()))?;
        let certificate = Certificate::generate_self_signed(vec!["shibuki".to_owned()], provider.crypto())
            .map_err(IdentityError::Certificate)?;
        let der = certificate
            .certificate
            .first()
            .map(|der| der.as_ref().to_vec())
            .unwrap_or_default();
        let builder = |profiles: Vec<SrtpProtectionProfile>| base(&provider, &certificate, profiles);
        let identity = Self {
            fingerprint: Fingerprint {
                algorithm: HashAlgorithm::Sha256,
                digest: fingerprint_digest(HashAlgorithm::Sha256, &der),
            },
            provider: provider.clone(),
            server_gcm: builder(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm])
                .with_client_auth(ClientAuthType::RequireAnyClientCert),
            server_cm: builder(vec![SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80])
                .with_client_auth(ClientAuthType::RequireAnyClientCert),
            client: builder(vec![
                SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
                SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
            ]),
        };
        // What can't be built later is better known at the start.
        let never: Arc<[Fingerprint]> = Arc::new([]);
        for config in [
            identity.server_config(SrtpProfile::AeadAes128Gcm, &never, None),
            identity.server_config(SrtpProfile::Aes128CmHmacSha1_80, &never, None),
            identity.client_config(&never),
        ] {
            config.map_err(IdentityError::Config)?;
        }
        Ok(identity)
    }

    /// The sha-256 fingerprint of our certificate, for the answer.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// A cookie for a server to come.
    pub(super) fn draw_cookie(&self) -> Option<Cookie> {
        Cookie::draw(&self.provider)
    }

    /// A server that takes only `profile`, and only a certificate matching one of `fingerprints`; it asks for `cookie`,
    /// where one was drawn for it.
    pub(super) fn server_config(
        &self,
        profile: SrtpProfile,
        fingerprints: &Arc<[Fingerprint]>,
        cookie: Option<Cookie>,
    ) -> Result<Arc<HandshakeConfig>, RtcError> {
        let builder = match profile {
            SrtpProfile::AeadAes128Gcm => &self.server_gcm,
            SrtpProfile::Aes128CmHmacSha1_80 => &self.server_cm,
        };
        let builder = builder.clone();
        let builder = match cookie {
            Some(cookie) => builder.with_crypto_provider(cookie.provider(self.provider.clone())),
            None => builder,
        };
        finish(builder, false, fingerprints)
    }

    pub(super) fn client_config(
        &self,
        fingerprints: &Arc<[Fingerprint]>,
    ) -> Result<Arc<HandshakeConfig>, RtcError> {
        finish(self.client.clone(), true, fingerprints)
    }
}

/// Whether the end-entity certificate of `chain` matches one of `fingerprints` (RFC 8122 §5: any one is enough).
pub(super) fn certificate_matches(chain: &[Vec<u8>], fingerprints: &[Fingerprint]) -> bool {
    let Some(certificate) = chain.first() else {
        return false;
    };
    fingerprints
        .iter()
        .any(|line| fingerprint_digest(line.algorithm, certificate) == line.digest)
}

fn fingerprint_digest(algorithm: HashAlgorithm, der: &[u8]) -> Vec<u8> {
    let algorithm = match algorithm {
        HashAlgorithm::Sha256 => &digest::SHA256,
        HashAlgorithm::Sha384 => &digest::SHA384,
        HashAlgorithm::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, der).as_ref().to_vec()
}

fn base(
    provider: &Arc<dyn RTCCryptoProvider>,
    certificate: &Certificate,
    profiles: Vec<SrtpProtectionProfile>,
) -> ConfigBuilder {
    ConfigBuilder::default()
        .with_crypto_provider(provider.clone())
        .with_certificates(vec![certificate.clone()])
        .with_srtp_protection_profiles(profiles)
        .with_flight_interval(FLIGHT_INTERVAL)
        .with_mtu(MTU)
        // Certificates are self-signed: SDP's fingerprint is what authenticates them (RFC 8827 §6.5).
        .with_insecure_skip_verify(true)
        .with_server_name("shibuki".to_owned())
}

/// The certificate check is the one part that differs from session to session, and rtc-dtls takes it only at
/// build time. Building costs some ten microseconds, once for a handshake.
fn finish(
    builder: ConfigBuilder,
    is_client: bool,
    fingerprints: &Arc<[Fingerprint]>,
) -> Result<Arc<HandshakeConfig>, RtcError> {
    let fingerprints = fingerprints.clone();
    builder
        .with_verify_peer_certificate(Some(Arc::new(move |chain, _| {
            if certificate_matches(chain, &fingerprints) {
                Ok(())
            } else {
                Err(RtcError::ErrNoMatchingCertificateFingerprint)
            }
        })))
        .build(is_client, None)
        .map(Arc::new)
}
