//! DTLS for SRTP keys (RFC 5764) over rtc's endpoint: one association, either role.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use bytes::BytesMut;
use rtc::crypto::RTCCryptoProvider;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::shared::TransportProtocol;

use super::srtp::{self, Profile, SrtpError, SrtpKey};

/// RFC 5764 §4.2.
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";
/// A lost flight is repeated after this; what browsers do, and far below RFC 6347's default second.
const FLIGHT_INTERVAL: Duration = Duration::from_millis(100);
/// The endpoint keys associations by address; ours is one, whatever address ICE finds.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// Which SRTP profiles are offered.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum SrtpChoice {
    /// As Chromium: AES_CM_128_HMAC_SHA1_80, AEAD_AES_256_GCM, AEAD_AES_128_GCM. The server chooses.
    #[default]
    Both,
    Gcm,
    Cm,
}

impl SrtpChoice {
    fn profiles(self) -> Vec<SrtpProtectionProfile> {
        use SrtpProtectionProfile::*;
        match self {
            SrtpChoice::Both => {
                vec![
                    Srtp_Aes128_Cm_Hmac_Sha1_80,
                    Srtp_Aead_Aes_256_Gcm,
                    Srtp_Aead_Aes_128_Gcm,
                ]
            }
            SrtpChoice::Gcm => vec![Srtp_Aead_Aes_128_Gcm],
            SrtpChoice::Cm => vec![Srtp_Aes128_Cm_Hmac_Sha1_80],
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DtlsError {
    #[error("DTLS: {0}")]
    Protocol(String),
    #[error("the server's certificate does not match the answer's fingerprint")]
    Fingerprint,
    #[error("the server chose no SRTP profile we offered")]
    Profile,
    #[error(transparent)]
    Srtp(#[from] SrtpError),
}

impl From<rtc::shared::error::Error> for DtlsError {
    fn from(error: rtc::shared::error::Error) -> Self {
        DtlsError::Protocol(error.to_string())
    }
}

/// A certificate and what follows from it, made once and shared by all clients of a run.
pub struct Identity {
    client: Arc<HandshakeConfig>,
    server: Arc<HandshakeConfig>,
    /// As it stands in SDP: `sha-256 AB:CD:…`
    pub fingerprint: String,
}

impl Identity {
    pub fn generate(choice: SrtpChoice) -> Result<Arc<Self>, DtlsError> {
        let provider =
            rtc::crypto::default_provider().map_err(|error| DtlsError::Protocol(error.to_string()))?;
        let certificate =
            Certificate::generate_self_signed(vec!["shibuki-loadtest".to_owned()], provider.crypto())?;
        let der = certificate
            .certificate
            .first()
            .map(|der| der.as_ref().to_vec())
            .unwrap_or_default();
        let fingerprint = digest::digest(&digest::SHA256, &der)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect::<Vec<_>>()
            .join(":");
        Ok(Arc::new(Self {
            client: config(&provider, &certificate, choice, true)?,
            server: config(&provider, &certificate, choice, false)?,
            fingerprint: format!("sha-256 {fingerprint}"),
        }))
    }
}

fn config(
    provider: &Arc<dyn RTCCryptoProvider>,
    certificate: &Certificate,
    choice: SrtpChoice,
    client: bool,
) -> Result<Arc<HandshakeConfig>, DtlsError> {
    // The chain is self-signed on both sides; the fingerprint is checked when the handshake is done.
    let config = ConfigBuilder::default()
        .with_crypto_provider(provider.clone())
        .with_certificates(vec![certificate.clone()])
        .with_srtp_protection_profiles(choice.profiles())
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        .with_insecure_skip_verify(true)
        .with_extended_master_secret(ExtendedMasterSecretType::Request)
        .with_flight_interval(FLIGHT_INTERVAL)
        .build(client, None)?;
    Ok(Arc::new(config))
}

/// Keys that came out of a handshake.
pub struct Keys {
    pub profile: Profile,
    pub ours: SrtpKey,
    pub theirs: SrtpKey,
}

pub enum DtlsEvent {
    Connected(Box<Keys>),
    PeerClosed,
}

pub struct Dtls {
    endpoint: Endpoint,
    fingerprints: Vec<(String, Vec<u8>)>,
    client: bool,
}

impl Dtls {
    /// Starts the handshake; as client, the ClientHello waits in [`Self::poll_transmit`].
    pub fn start(
        now: Instant,
        identity: &Identity,
        client: bool,
        fingerprints: Vec<(String, Vec<u8>)>,
    ) -> Result<Self, DtlsError> {
        let server = (!client).then(|| identity.server.clone());
        let local = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let mut endpoint = Endpoint::new(local, TransportProtocol::UDP, server);
        if client {
            endpoint.connect(now, PEER, identity.client.clone(), None)?;
        }
        Ok(Self {
            endpoint,
            fingerprints,
            client,
        })
    }

    pub fn handle(&mut self, now: Instant, datagram: &[u8]) -> Result<Option<DtlsEvent>, DtlsError> {
        let events = self.endpoint.read(now, PEER, None, BytesMut::from(datagram))?;
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => {
                    return Ok(Some(DtlsEvent::Connected(Box::new(self.keys()?))));
                }
                EndpointEvent::PeerClosed => return Ok(Some(DtlsEvent::PeerClosed)),
                _ => {}
            }
        }
        Ok(None)
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        if self.deadline().is_some_and(|at| now >= at) {
            self.endpoint.handle_timeout(PEER, now)?;
        }
        Ok(())
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.endpoint.poll_timeout(&PEER)
    }

    pub fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message)
    }

    /// Queues close_notify.
    pub fn close(&mut self, now: Instant) {
        let _ = self.endpoint.close(now);
    }

    fn keys(&self) -> Result<Keys, DtlsError> {
        let state = self
            .endpoint
            .get_connection_state(PEER)
            .ok_or_else(|| DtlsError::Protocol("the association is gone".to_owned()))?;
        let certificate = state
            .peer_certificates
            .first()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let matches = |(hash, expected): &(String, Vec<u8>)| {
            let algorithm = match hash.as_str() {
                "sha-256" => &digest::SHA256,
                "sha-384" => &digest::SHA384,
                _ => &digest::SHA512,
            };
            digest::digest(algorithm, certificate).as_ref() == expected.as_slice()
        };
        if !self.fingerprints.iter().any(matches) {
            return Err(DtlsError::Fingerprint);
        }
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Profile::Cm128Sha1,
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Profile::Gcm128,
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => Profile::Gcm256,
            _ => return Err(DtlsError::Profile),
        };
        let material = state.export_keying_material(EXPORTER_LABEL, &[], profile.exporter_len())?;
        let (ours, theirs) = srtp::split_keys(profile, material.as_ref(), self.client)?;
        Ok(Keys {
            profile,
            ours,
            theirs,
        })
    }
}
