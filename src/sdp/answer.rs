//! What publishers' and viewers' answers have in common.

use std::net::{IpAddr, SocketAddr};

use rtc::sdp::description::common::{Address, Attribute, ConnectionInformation};
use rtc::sdp::description::media::{MediaDescription, MediaName, RangedPort};
use rtc::sdp::description::session::{Origin, SessionDescription, TimeDescription};

use super::codec::answer_fmtp;
use super::error::Reject;
use super::extension::OfferedExtension;
use super::offer::Offer;
use super::section::Section;
use crate::core::ids::{PayloadType, StreamName};
use crate::core::media::{DtlsRole, Fingerprint, HashAlgorithm, IceCredentials, NegotiatedCodec};

/// FFmpeg reads no more of an answer than 8 KiB.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024;

/// How many codecs an m-line of the answer lists: the first of these that keeps the answer short enough. Browsers
/// offer up to 20 that pass through; the least wanted come last.
pub(super) const CODEC_LIMITS: [usize; 4] = [24, 12, 6, 2];

/// What every answer needs from the server.
pub struct AnswerParams<'a> {
    pub ice: &'a IceCredentials,
    /// Of our certificate.
    pub fingerprint: &'a Fingerprint,
    /// UDP host candidates, best first.
    pub candidates: &'a [SocketAddr],
    /// The session id of the `o=` line.
    pub session: u64,
    /// Stream id and cname of what viewers receive.
    pub stream: &'a StreamName,
}

/// An m-section of the answer that is not rejected.
pub(super) struct Accepted<'a> {
    /// `recvonly` or `sendonly`.
    pub direction: &'static str,
    pub codecs: &'a [NegotiatedCodec],
    pub extensions: &'a [OfferedExtension],
    /// Lines of the one kind of answer only: `(key, value)`.
    pub more: Vec<(&'static str, String)>,
}

/// Writes the answer: one entry of `accepted` for each m-section of the offer, `None` rejects it.
pub(super) fn write(
    offer: &Offer,
    params: &AnswerParams,
    accepted: &[Option<Accepted>],
) -> Result<String, Reject> {
    let mut attributes = vec![flag("ice-lite")];
    let in_use = || {
        offer
            .sections
            .iter()
            .zip(accepted)
            .filter(|(_, accepted)| accepted.is_some())
    };
    let mids: Vec<&str> = in_use()
        .filter_map(|(section, _)| Some(section.mid.as_ref()?.as_str()))
        .collect();
    // A group that leaves out a section in use would split the transport.
    if (offer.bundle || offer.sections.len() > 1) && !mids.is_empty() && mids.len() == in_use().count() {
        attributes.push(value("group", format!("BUNDLE {}", mids.join(" "))));
    }
    if offer.extmap_allow_mixed {
        attributes.push(flag("extmap-allow-mixed"));
    }

    let first = accepted.iter().position(Option::is_some);
    let media_descriptions = offer
        .sections
        .iter()
        .zip(accepted)
        .enumerate()
        .map(|(index, (section, accepted))| match accepted {
            Some(accepted) => write_section(offer, params, section, accepted, first == Some(index)),
            None => write_rejected(section),
        })
        .collect();

    let text = SessionDescription {
        version: 0,
        origin: Origin {
            username: "-".to_owned(),
            session_id: params.session,
            session_version: 0,
            network_type: "IN".to_owned(),
            address_type: "IP4".to_owned(),
            unicast_address: "127.0.0.1".to_owned(),
        },
        session_name: "-".to_owned(),
        time_descriptions: vec![TimeDescription::default()],
        attributes,
        media_descriptions,
        ..SessionDescription::default()
    }
    .marshal();
    if text.len() < MAX_ANSWER_BYTES {
        Ok(text)
    } else {
        Err(Reject::AnswerTooLong(MAX_ANSWER_BYTES))
    }
}

fn write_section(
    offer: &Offer,
    params: &AnswerParams,
    section: &Section,
    accepted: &Accepted,
    first: bool,
) -> MediaDescription {
    let mut lines = Vec::new();
    lines.extend(
        section
            .mid
            .as_ref()
            .map(|mid| value("mid", mid.as_str().to_owned())),
    );
    lines.push(value("ice-ufrag", params.ice.ufrag.clone()));
    lines.push(value("ice-pwd", params.ice.pwd.clone()));
    lines.push(value("fingerprint", fingerprint(params.fingerprint)));
    let setup = match offer.dtls_role() {
        DtlsRole::Server => "passive",
        DtlsRole::Client => "active",
    };
    lines.push(value("setup", setup.to_owned()));
    lines.push(flag(accepted.direction));
    lines.push(flag("rtcp-mux"));
    if section.rtcp_rsize {
        lines.push(flag("rtcp-rsize"));
    }
    if section.extmap_allow_mixed {
        lines.push(flag("extmap-allow-mixed"));
    }
    lines.extend(
        accepted
            .extensions
            .iter()
            .map(|entry| value("extmap", entry.answer())),
    );
    for codec in accepted.codecs {
        write_codec(section, codec, &mut lines);
    }
    lines.extend(accepted.more.iter().map(|(key, text)| value(key, text.clone())));
    if first {
        lines.extend(
            candidates(params.candidates)
                .into_iter()
                .map(|text| value("candidate", text)),
        );
        lines.push(flag("end-of-candidates"));
    }
    // A publisher sends what stands first: sound with its past in it, where it can.
    let receives = accepted.direction == "recvonly";
    let formats = accepted.codecs.iter().flat_map(|codec| match receives {
        true => [codec.red, Some(codec.pt), codec.rtx],
        false => [Some(codec.pt), codec.rtx, codec.red],
    });
    let formats = formats.flatten();
    description(section, 9, formats.map(|pt| pt.to_string()).collect(), lines)
}

fn write_codec(section: &Section, codec: &NegotiatedCodec, lines: &mut Vec<Attribute>) {
    let Some(payload) = section.payload(codec.pt) else {
        return;
    };
    lines.push(value("rtpmap", format!("{} {}", codec.pt, payload.rtpmap)));
    if let Some(fmtp) = payload
        .fmtp
        .as_deref()
        .and_then(|fmtp| answer_fmtp(codec.codec, fmtp))
    {
        lines.push(value("fmtp", format!("{} {fmtp}", codec.pt)));
    }
    for kind in payload.feedback.iter().filter(|kind| kind.agreed(codec.feedback)) {
        lines.push(value("rtcp-fb", format!("{} {}", codec.pt, kind.name())));
    }
    if let Some(rtx) = codec.rtx.and_then(|pt| section.payload(pt)) {
        lines.push(value("rtpmap", format!("{} {}", rtx.pt, rtx.rtpmap)));
        lines.push(value("fmtp", format!("{} apt={}", rtx.pt, codec.pt)));
    }
    if let Some(red) = codec.red.and_then(|pt| section.payload(pt)) {
        lines.push(value("rtpmap", format!("{} {}", red.pt, red.rtpmap)));
        lines.push(value("fmtp", format!("{} {}/{}", red.pt, codec.pt, codec.pt)));
    }
}

/// Port 0 (RFC 3264 §6), with the m-line's own words.
fn write_rejected(section: &Section) -> MediaDescription {
    let mut lines = Vec::new();
    lines.extend(
        section
            .mid
            .as_ref()
            .map(|mid| value("mid", mid.as_str().to_owned())),
    );
    lines.push(flag("inactive"));
    description(section, 0, vec![section.first_format.clone()], lines)
}

fn description(
    section: &Section,
    port: isize,
    formats: Vec<String>,
    lines: Vec<Attribute>,
) -> MediaDescription {
    MediaDescription {
        media_name: MediaName {
            media: section.media.clone(),
            port: RangedPort {
                value: port,
                range: None,
            },
            protos: vec![section.proto.clone()],
            formats,
        },
        connection_information: Some(ConnectionInformation {
            network_type: "IN".to_owned(),
            address_type: "IP4".to_owned(),
            address: Some(Address {
                address: "0.0.0.0".to_owned(),
                ttl: None,
                range: None,
            }),
        }),
        attributes: lines,
        ..MediaDescription::default()
    }
}

/// The values of `a=candidate` (RFC 8839 §5.1), best first: FFmpeg reads only the first.
pub(super) fn candidates(addresses: &[SocketAddr]) -> Vec<String> {
    addresses
        .iter()
        .zip((0..=u16::MAX).rev())
        .enumerate()
        .map(|(index, (address, local_preference))| {
            // RFC 8445 §5.1.2.1: host candidates have type preference 126, RTP is component 1.
            let priority = (126 << 24) + (u32::from(local_preference) << 8) + 255;
            // Candidates of one base share a foundation; ports never differ here, so an address has its own.
            let earlier = addresses.iter().position(|other| other.ip() == address.ip());
            let foundation = earlier.unwrap_or(index) + 1;
            let ip: IpAddr = address.ip().to_canonical();
            format!("{foundation} 1 udp {priority} {ip} {} typ host", address.port())
        })
        .collect()
}

/// `sha-256 AB:CD:…` (RFC 8122 §5).
fn fingerprint(fingerprint: &Fingerprint) -> String {
    let algorithm = match fingerprint.algorithm {
        HashAlgorithm::Sha256 => "sha-256",
        HashAlgorithm::Sha384 => "sha-384",
        HashAlgorithm::Sha512 => "sha-512",
    };
    let digest: Vec<String> = fingerprint
        .digest
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    format!("{algorithm} {}", digest.join(":"))
}

/// Every payload type must mean one thing on the shared transport (RFC 9143 §9.1).
pub(super) fn check_payload_types<'a>(
    sections: impl Iterator<Item = &'a [NegotiatedCodec]>,
) -> Result<(), Reject> {
    let mut seen: Vec<PayloadType> = Vec::new();
    for codecs in sections {
        let mut own: Vec<PayloadType> = codecs
            .iter()
            .flat_map(|codec| [Some(codec.pt), codec.rtx, codec.red])
            .flatten()
            .collect();
        if let Some(pt) = own.iter().find(|pt| seen.contains(pt)) {
            return Err(Reject::PayloadTypeReused(pt.0));
        }
        seen.append(&mut own);
    }
    Ok(())
}

fn flag(key: &str) -> Attribute {
    Attribute::new(key.to_owned(), None)
}

fn value(key: &str, text: String) -> Attribute {
    Attribute::new(key.to_owned(), Some(text))
}
