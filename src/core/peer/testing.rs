//! A client for tests: ICE controlling, DTLS in either role, SRTP. A state machine like [`Peer`](super::Peer), but
//! made of the rtc crates alone, so that it shares no code with what it tests.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use bytes::BytesMut;
use rtc::crypto::RTCCryptoProvider;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::rtp::header::Header;
use rtc::shared::TransportProtocol;
use rtc::shared::error::Error as RtcError;
use rtc::srtp::config::Config as SrtpConfig;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;
use rtc::stun::attributes::{
    ATTR_ICE_CONTROLLED, ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME,
};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Message, Setter, TransactionId};
use rtc::stun::textattrs::TextAttribute;

use crate::core::media::{DtlsRole, Fingerprint, HashAlgorithm, IceCredentials, TransportSpec};

use super::SrtpProfile;

/// Checks follow each other this fast until one is answered, and then this fast.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
const CONSENT_INTERVAL: Duration = Duration::from_millis(2500);
const FLIGHT_INTERVAL: Duration = Duration::from_millis(100);
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

/// How the client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub dtls_role: DtlsRole,
    /// In the order they are offered.
    pub profiles: Vec<SrtpProfile>,
    /// Whether checks carry USE-CANDIDATE.
    pub nominate: bool,
}

impl Default for ClientOptions {
    /// As browsers do it.
    fn default() -> Self {
        Self {
            dtls_role: DtlsRole::Client,
            profiles: vec![SrtpProfile::Aes128CmHmacSha1_80, SrtpProfile::AeadAes128Gcm],
            nominate: true,
        }
    }
}

/// What a datagram held.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientReceived {
    Nothing,
    Rtp(Vec<u8>),
    Rtcp(Vec<u8>),
}

/// One check's attributes, for those that deviate.
#[derive(Clone, Debug)]
pub struct Check {
    pub username: String,
    pub pwd: String,
    pub use_candidate: bool,
    pub controlling: bool,
    pub priority: Option<u32>,
    pub fingerprint: bool,
}

pub struct TestClient {
    provider: Arc<dyn RTCCryptoProvider>,
    certificate: Certificate,
    options: ClientOptions,
    local: IceCredentials,
    server: Option<IceCredentials>,
    config: Option<Arc<HandshakeConfig>>,
    endpoint: Option<Endpoint>,
    next_check: Option<Instant>,
    answered: bool,
    srtp: Option<(Context, Context)>,
    profile: Option<SrtpProfile>,
    closed: bool,
    failure: Option<String>,
    out: VecDeque<Vec<u8>>,
}

impl TestClient {
    pub fn new(options: ClientOptions) -> Self {
        let provider = rtc::crypto::default_provider().expect("a provider is built in");
        let certificate = Certificate::generate_self_signed(vec!["client".to_owned()], provider.crypto())
            .expect("a certificate can be made");
        Self {
            provider,
            certificate,
            options,
            local: random_credentials(),
            server: None,
            config: None,
            endpoint: None,
            next_check: None,
            answered: false,
            srtp: None,
            profile: None,
            closed: false,
            failure: None,
            out: VecDeque::new(),
        }
    }

    /// For the offer.
    pub fn local_ice(&self) -> &IceCredentials {
        &self.local
    }

    /// For the offer.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            algorithm: HashAlgorithm::Sha256,
            digest: sha256(self.certificate.certificate[0].as_ref()),
        }
    }

    /// What the server would have negotiated with this client, had there been an offer and an answer.
    pub fn transport_spec(&self, server: &IceCredentials) -> TransportSpec {
        TransportSpec {
            local_ice: server.clone(),
            remote_ice: self.local.clone(),
            dtls_role: match self.options.dtls_role {
                DtlsRole::Client => DtlsRole::Server,
                DtlsRole::Server => DtlsRole::Client,
            },
            remote_fingerprints: vec![self.fingerprint()],
        }
    }

    /// The answer is there: begins to check and, as DTLS client, to shake hands once a check was answered.
    pub fn start(&mut self, now: Instant, server: &IceCredentials, server_fingerprint: &Fingerprint) {
        let is_client = self.options.dtls_role == DtlsRole::Client;
        let profiles = self
            .options
            .profiles
            .iter()
            .map(|profile| dtls_profile(*profile))
            .collect();
        let expected = server_fingerprint.digest.clone();
        let mut builder = ConfigBuilder::default()
            .with_crypto_provider(self.provider.clone())
            .with_certificates(vec![self.certificate.clone()])
            .with_srtp_protection_profiles(profiles)
            .with_flight_interval(FLIGHT_INTERVAL)
            .with_insecure_skip_verify(true)
            .with_server_name("server".to_owned())
            .with_verify_peer_certificate(Some(Arc::new(move |chain: &[Vec<u8>], _: &_| {
                match chain.first() {
                    Some(certificate) if sha256(certificate) == expected => Ok(()),
                    _ => Err(RtcError::ErrNoMatchingCertificateFingerprint),
                }
            })));
        if !is_client {
            builder = builder.with_client_auth(ClientAuthType::RequireAnyClientCert);
        }
        self.config = Some(Arc::new(
            builder
                .build(is_client, None)
                .expect("the configuration is valid"),
        ));
        self.server = Some(server.clone());
        self.next_check = Some(now);
        self.handle_timeout(now);
    }

    /// New credentials on both sides; checks start over.
    pub fn restart_ice(&mut self, now: Instant, server: &IceCredentials) -> IceCredentials {
        self.local = random_credentials();
        self.server = Some(server.clone());
        self.answered = false;
        self.next_check = Some(now);
        self.local.clone()
    }

    /// The server's credentials, where they come after the client's own.
    pub fn answer_restart(&mut self, now: Instant, server: &IceCredentials) {
        self.server = Some(server.clone());
        self.next_check = Some(now);
    }

    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> ClientReceived {
        match datagram.first() {
            Some(0..=3) => self.handle_stun(now, datagram),
            Some(20..=63) => self.handle_dtls(now, datagram),
            Some(128..=191) => return self.handle_media(datagram),
            _ => {}
        }
        ClientReceived::Nothing
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_check.is_some_and(|at| now >= at) {
            self.send_check();
            self.next_check = Some(
                now + if self.answered {
                    CONSENT_INTERVAL
                } else {
                    CHECK_INTERVAL
                },
            );
        }
        if let Some(endpoint) = &mut self.endpoint
            && endpoint.poll_timeout(&PEER).is_some_and(|at| now >= at)
        {
            if let Err(error) = endpoint.handle_timeout(PEER, now) {
                self.failure = Some(error.to_string());
            }
            self.drain();
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let dtls = self
            .endpoint
            .as_ref()
            .and_then(|endpoint| endpoint.poll_timeout(&PEER));
        match (self.next_check, dtls) {
            (Some(check), Some(dtls)) => Some(check.min(dtls)),
            (check, dtls) => check.or(dtls),
        }
    }

    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    pub fn is_connected(&self) -> bool {
        self.srtp.is_some()
    }

    /// The server said close_notify.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Why the handshake failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub fn profile(&self) -> Option<SrtpProfile> {
        self.profile
    }

    /// Seals an RTP packet; `None` before the handshake is through.
    pub fn seal_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let (local, _) = self.srtp.as_mut()?;
        local.encrypt_rtp(packet).ok().map(|sealed| sealed.to_vec())
    }

    /// Seals an RTP packet with a header of `header_len` bytes, whatever these say beyond the fixed part.
    pub fn seal_rtp_unread(&mut self, packet: &[u8], header_len: usize) -> Option<Vec<u8>> {
        let (local, _) = self.srtp.as_mut()?;
        let header = Header {
            sequence_number: u16::from_be_bytes(*packet.get(2..)?.first_chunk()?),
            ssrc: u32::from_be_bytes(*packet.get(8..)?.first_chunk()?),
            // The cipher takes nothing else from it but its length.
            csrc: vec![0; header_len.checked_sub(12)? / 4],
            ..Header::default()
        };
        let sealed = local.encrypt_rtp_with_header(packet, &header).ok()?;
        Some(sealed.to_vec())
    }

    pub fn seal_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let (local, _) = self.srtp.as_mut()?;
        local.encrypt_rtcp(packet).ok().map(|sealed| sealed.to_vec())
    }

    /// Queues a close_notify, and stops checking.
    pub fn close(&mut self, now: Instant) {
        self.next_check = None;
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.close(now).expect("closing only queues an alert");
        }
        self.drain();
    }

    /// Stops checking: the client falls silent.
    pub fn stop_checks(&mut self) {
        self.next_check = None;
    }

    /// The check this client would send now.
    pub fn check(&self) -> Check {
        let server = self.server.as_ref().expect("the client was started");
        Check {
            username: format!("{}:{}", server.ufrag, self.local.ufrag),
            pwd: server.pwd.clone(),
            use_candidate: self.options.nominate,
            controlling: true,
            priority: Some(0x6E00_01FF),
            fingerprint: true,
        }
    }

    fn send_check(&mut self) {
        self.out.push_back(self.check().encode());
    }

    fn handle_stun(&mut self, now: Instant, datagram: &[u8]) {
        let Some(server) = &self.server else { return };
        let mut message = Message::new();
        if message.unmarshal_binary(datagram).is_err() || message.typ != BINDING_SUCCESS {
            return;
        }
        let authentic =
            MessageIntegrity::check(&mut message, server.pwd.as_bytes(), self.provider.crypto()).is_ok();
        if !authentic || FINGERPRINT.check(&message).is_err() {
            self.failure = Some("an answer to a check is not authentic".to_owned());
            return;
        }
        self.answered = true;
        if self.endpoint.is_some() {
            return;
        }
        let Some(config) = self.config.clone() else { return };
        self.endpoint = Some(if self.options.dtls_role == DtlsRole::Client {
            let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, None);
            endpoint
                .connect(now, PEER, config, None)
                .expect("a ClientHello can be sent");
            endpoint
        } else {
            Endpoint::new(PEER, TransportProtocol::UDP, Some(config))
        });
        self.drain();
    }

    fn handle_dtls(&mut self, now: Instant, datagram: &[u8]) {
        let Some(endpoint) = &mut self.endpoint else {
            return;
        };
        match endpoint.read(now, PEER, None, BytesMut::from(datagram)) {
            Ok(events) => {
                for event in events {
                    match event {
                        EndpointEvent::HandshakeComplete => self.secure(),
                        EndpointEvent::PeerClosed => self.closed = true,
                        _ => {}
                    }
                }
            }
            Err(error) => self.failure = Some(error.to_string()),
        }
        self.drain();
    }

    fn secure(&mut self) {
        let state = self
            .endpoint
            .as_ref()
            .and_then(|endpoint| endpoint.get_connection_state(PEER));
        let state = state.expect("a completed association has a state");
        let (profile, srtp_profile) = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => {
                (SrtpProfile::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm)
            }
            _ => (
                SrtpProfile::Aes128CmHmacSha1_80,
                ProtectionProfile::Aes128CmHmacSha1_80,
            ),
        };
        let mut config = SrtpConfig {
            profile: srtp_profile,
            ..Default::default()
        };
        let material = state
            .export_keying_material("EXTRACTOR-dtls_srtp", &[], config.keying_material_len())
            .expect("a completed association has keys");
        config
            .set_session_keys_from_keying_material(material.as_ref(), state.is_client())
            .expect("the length is the profile's");
        let context = |key: &[u8], salt: &[u8]| {
            Context::new(key, salt, srtp_profile, None, None, self.provider.crypto()).expect("the keys fit")
        };
        let local = context(&config.keys.local_master_key, &config.keys.local_master_salt);
        let remote = context(&config.keys.remote_master_key, &config.keys.remote_master_salt);
        self.srtp = Some((local, remote));
        self.profile = Some(profile);
    }

    fn handle_media(&mut self, datagram: &[u8]) -> ClientReceived {
        let Some((_, remote)) = &mut self.srtp else {
            return ClientReceived::Nothing;
        };
        if matches!(datagram.get(1), Some(192..=223)) {
            remote
                .decrypt_rtcp(datagram)
                .map_or(ClientReceived::Nothing, |plain| {
                    ClientReceived::Rtcp(plain.to_vec())
                })
        } else {
            remote
                .decrypt_rtp(datagram)
                .map_or(ClientReceived::Nothing, |plain| {
                    ClientReceived::Rtp(plain.to_vec())
                })
        }
    }

    fn drain(&mut self) {
        if let Some(endpoint) = &mut self.endpoint {
            while let Some(transmit) = endpoint.poll_transmit() {
                self.out.push_back(transmit.message.to_vec());
            }
        }
    }
}

impl Check {
    pub fn encode(&self) -> Vec<u8> {
        let provider = rtc::crypto::default_provider().expect("a provider is built in");
        let mut setters: Vec<Box<dyn Setter + '_>> = vec![
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId::new()),
            Box::new(TextAttribute::new(ATTR_USERNAME, self.username.clone())),
        ];
        let role = if self.controlling {
            ATTR_ICE_CONTROLLING
        } else {
            ATTR_ICE_CONTROLLED
        };
        setters.push(Box::new(Raw(role, vec![7; 8])));
        if let Some(priority) = self.priority {
            setters.push(Box::new(Raw(ATTR_PRIORITY, priority.to_be_bytes().to_vec())));
        }
        if self.use_candidate {
            setters.push(Box::new(Raw(ATTR_USE_CANDIDATE, Vec::new())));
        }
        setters.push(Box::new(
            MessageIntegrity::new_short_term_integrity_with_provider(self.pwd.clone(), provider.crypto()),
        ));
        if self.fingerprint {
            setters.push(Box::new(FINGERPRINT));
        }
        let mut message = Message::new();
        message.build(&setters).expect("the attributes fit");
        message.raw
    }
}

struct Raw(rtc::stun::attributes::AttrType, Vec<u8>);

impl Setter for Raw {
    fn add_to(&self, message: &mut Message) -> Result<(), RtcError> {
        message.add(self.0, &self.1);
        Ok(())
    }
}

/// Credentials as long as RFC 8445 §5.3 wants them.
pub fn random_credentials() -> IceCredentials {
    let ufrag: u64 = rand::random();
    let pwd: u128 = rand::random();
    IceCredentials {
        ufrag: format!("{ufrag:016x}"),
        pwd: format!("{pwd:032x}"),
    }
}

fn dtls_profile(profile: SrtpProfile) -> SrtpProtectionProfile {
    match profile {
        SrtpProfile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        SrtpProfile::Aes128CmHmacSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    }
}

fn sha256(der: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, der).as_ref().to_vec()
}
