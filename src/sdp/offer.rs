//! An SDP offer, checked and taken apart; the transport half of the negotiation.

use rtc::sdp::description::common::Attribute;

use super::error::{OfferError, Reject};
use super::section::{Section, values};
use super::text;
use crate::core::media::{DtlsRole, Fingerprint, HashAlgorithm, IceCredentials, MediaKind};

/// aiortc sends three a section, everyone else one.
const MAX_FINGERPRINTS: usize = 32;

/// A well-formed offer. Whether it can be served is for [`answer_publisher`](super::answer_publisher) and
/// [`answer_viewer`](super::answer_viewer) to say.
pub struct Offer {
    pub(super) sections: Vec<Section>,
    /// The offer has a BUNDLE group (RFC 9143).
    pub(super) bundle: bool,
    /// `a=extmap-allow-mixed` at session level (RFC 8285 §6).
    pub(super) extmap_allow_mixed: bool,
    /// Media sections that would need transports of their own.
    split_transports: bool,
    ice: IceCredentials,
    fingerprints: Vec<Fingerprint>,
    role: DtlsRole,
}

impl Offer {
    /// Reads an offer of up to 64 KiB, 32 m-lines and 128 payload types an m-line.
    pub fn parse(text: &str) -> Result<Offer, OfferError> {
        let description = text::session(text)?;
        let session = description.attributes.as_slice();
        let media = description.media_descriptions.as_slice();
        let mut sections = Vec::with_capacity(media.len());
        for (index, entry) in media.iter().enumerate() {
            sections.push(Section::read(entry, index, session)?);
        }
        for (index, section) in sections.iter().enumerate() {
            let same = |other: &Section| section.mid.is_some() && other.mid == section.mid;
            if sections.iter().take(index).any(same) {
                return Err(OfferError::DuplicateMid);
            }
        }
        let bundle = values(session, "group").any(|group| group.split_whitespace().next() == Some("BUNDLE"));

        // The transport is that of the first m-section in use (the BUNDLE tag in every client's offer); its
        // attributes stand there or at session level.
        let tagged = sections
            .iter()
            .position(|section| section.enabled && section.kind.is_some())
            .unwrap_or(0);
        let tagged = media
            .get(tagged)
            .map_or(&[][..], |entry| entry.attributes.as_slice());
        let mut ufrags = sections
            .iter()
            .zip(media)
            .filter(|(section, _)| section.enabled && section.kind.is_some())
            .map(|(_, entry)| {
                values(&entry.attributes, "ice-ufrag")
                    .chain(values(session, "ice-ufrag"))
                    .next()
            });
        let first = ufrags.next().flatten();
        let split_transports = !bundle && ufrags.any(|other| other != first);

        Ok(Offer {
            bundle,
            extmap_allow_mixed: session
                .iter()
                .any(|attribute| attribute.key == "extmap-allow-mixed"),
            split_transports,
            ice: read_ice(tagged, session)?.ok_or(OfferError::NoIce)?,
            fingerprints: read_fingerprints(
                values(session, "fingerprint").chain(
                    media
                        .iter()
                        .flat_map(|entry| values(&entry.attributes, "fingerprint")),
                ),
            )?,
            role: read_setup(tagged, session)?,
            sections,
        })
    }

    pub fn remote_ice(&self) -> &IceCredentials {
        &self.ice
    }

    /// Every sha-256, sha-384 and sha-512 line, of session and m-sections, without repetitions.
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.fingerprints
    }

    /// Ours: server wherever the offer leaves the choice, client for an offer of `setup:passive`.
    pub fn dtls_role(&self) -> DtlsRole {
        self.role
    }

    /// The m-sections that could carry media, with their places in the offer.
    pub(super) fn media(&self) -> impl Iterator<Item = (usize, MediaKind, &Section)> {
        self.sections
            .iter()
            .enumerate()
            .filter(|(_, section)| section.enabled)
            .filter_map(|(index, section)| Some((index, section.kind?, section)))
    }

    /// What publishers' and viewers' offers must have alike.
    pub(super) fn check_transport(&self) -> Result<(), Reject> {
        for (_, _, section) in self.media() {
            if !matches!(
                section.proto.as_str(),
                "UDP/TLS/RTP/SAVPF" | "UDP/TLS/RTP/SAVP" | "TCP/TLS/RTP/SAVPF" | "RTP/SAVPF"
            ) {
                return Err(Reject::Protocol(section.proto.clone()));
            }
            if !section.rtcp_mux {
                return Err(Reject::NoRtcpMux);
            }
        }
        if self.fingerprints.is_empty() {
            return Err(Reject::NoFingerprint);
        }
        if self.split_transports {
            return Err(Reject::NotBundled);
        }
        Ok(())
    }
}

/// The credentials among a section's attributes or, for what is missing there, the session's. `None` without any.
pub(super) fn read_ice(
    section: &[Attribute],
    session: &[Attribute],
) -> Result<Option<IceCredentials>, OfferError> {
    let ufrag = values(section, "ice-ufrag")
        .chain(values(session, "ice-ufrag"))
        .next();
    let pwd = values(section, "ice-pwd")
        .chain(values(session, "ice-pwd"))
        .next();
    ice_credentials(ufrag, pwd)
}

/// Checks lengths (RFC 8839 §5.4) and that the ufrag can stand in a STUN user name, where a colon separates.
pub(super) fn ice_credentials(
    ufrag: Option<&str>,
    pwd: Option<&str>,
) -> Result<Option<IceCredentials>, OfferError> {
    let (ufrag, pwd) = match (ufrag, pwd) {
        (Some(ufrag), Some(pwd)) => (ufrag, pwd),
        (None, None) => return Ok(None),
        _ => return Err(OfferError::NoIce),
    };
    let clean = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if !(4..=256).contains(&ufrag.len()) || !(22..=256).contains(&pwd.len()) || !clean(ufrag) || !clean(pwd) {
        return Err(OfferError::Ice);
    }
    Ok(Some(IceCredentials {
        ufrag: ufrag.to_owned(),
        pwd: pwd.to_owned(),
    }))
}

fn read_fingerprints<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Fingerprint>, OfferError> {
    let mut fingerprints: Vec<Fingerprint> = Vec::new();
    for line in lines {
        let (algorithm, digest) = line
            .split_once(char::is_whitespace)
            .ok_or(OfferError::Fingerprint)?;
        let (algorithm, length) = match algorithm.to_ascii_lowercase().as_str() {
            "sha-256" => (HashAlgorithm::Sha256, 32),
            "sha-384" => (HashAlgorithm::Sha384, 48),
            "sha-512" => (HashAlgorithm::Sha512, 64),
            // Weaker or unknown: no reason to refuse what else is there.
            _ => continue,
        };
        let byte = |hex: &str| {
            let digits = hex.len() == 2 && hex.bytes().all(|b| b.is_ascii_hexdigit());
            if digits {
                u8::from_str_radix(hex, 16).ok()
            } else {
                None
            }
        };
        let digest: Option<Vec<u8>> = digest.trim().split(':').map(byte).collect();
        let digest = digest
            .filter(|digest| digest.len() == length)
            .ok_or(OfferError::Fingerprint)?;
        let fingerprint = Fingerprint { algorithm, digest };
        if fingerprints.contains(&fingerprint) {
            continue;
        }
        if fingerprints.len() == MAX_FINGERPRINTS {
            return Err(OfferError::TooManyFingerprints(MAX_FINGERPRINTS));
        }
        fingerprints.push(fingerprint);
    }
    Ok(fingerprints)
}

/// RFC 8842 §5.2. Without the attribute the choice is ours.
fn read_setup(section: &[Attribute], session: &[Attribute]) -> Result<DtlsRole, OfferError> {
    match values(section, "setup").chain(values(session, "setup")).next() {
        None | Some("actpass" | "active") => Ok(DtlsRole::Server),
        Some("passive") => Ok(DtlsRole::Client),
        Some(_) => Err(OfferError::Setup),
    }
}
