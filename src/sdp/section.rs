//! One m-section of an offer, taken apart.

use rtc::sdp::description::common::Attribute;
use rtc::sdp::description::media::MediaDescription;

use super::codec::{identify, parameter};
use super::error::OfferError;
use super::extension::{Extension, OfferedExtension};
use crate::core::ids::{Mid, PayloadType, Rid, Ssrc};
use crate::core::media::{Codec, Feedback, MediaKind, NegotiatedCodec};

/// More than any client announces (simulcast of three layers with RTX: 6); the rest is ignored.
const MAX_SSRCS: usize = 32;
/// What comes back in the answer has to be short.
const MAX_TOKEN: usize = 64;

pub(super) struct Section {
    /// `None` for `application`, `text` and the like, which are never accepted.
    pub kind: Option<MediaKind>,
    /// The `<media>`, `<proto>` and first valid `<fmt>` of the m-line, to repeat.
    pub media: String,
    pub proto: String,
    pub first_format: String,
    /// False when the offerer has switched it off: port 0 and not `a=bundle-only`.
    pub enabled: bool,
    pub mid: Option<Mid>,
    pub direction: Direction,
    pub rtcp_mux: bool,
    pub rtcp_rsize: bool,
    pub extmap_allow_mixed: bool,
    pub payloads: Vec<Payload>,
    pub extensions: Vec<OfferedExtension>,
    pub ssrcs: Vec<Ssrc>,
    /// (media, retransmission) pairs of `a=ssrc-group:FID`.
    pub rtx_ssrcs: Vec<(Ssrc, Ssrc)>,
    pub rids: Vec<OfferedRid>,
    /// The send list of `a=simulcast`: streams, each with its alternatives.
    pub simulcast: Vec<Vec<Rid>>,
}

/// Seen from the offerer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    fn read(attributes: &[Attribute]) -> Option<Self> {
        attributes
            .iter()
            .find_map(|attribute| match attribute.key.as_str() {
                "sendrecv" => Some(Self::SendRecv),
                "sendonly" => Some(Self::SendOnly),
                "recvonly" => Some(Self::RecvOnly),
                "inactive" => Some(Self::Inactive),
                _ => None,
            })
    }
}

/// A payload type that has an rtpmap.
pub(super) struct Payload {
    pub pt: PayloadType,
    /// `H264/90000`, as offered.
    pub rtpmap: String,
    pub fmtp: Option<String>,
    pub feedback: Vec<FeedbackKind>,
    pub format: Format,
}

pub(super) enum Format {
    Media(Codec),
    /// RFC 4588: repeats packets of this payload type.
    Rtx(PayloadType),
    /// RFC 2198: packets of this payload type with earlier ones repeated in them.
    Red(PayloadType),
    /// Not passed through: FEC, comfort noise, DTMF, anything unknown.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FeedbackKind {
    Nack,
    Pli,
    Fir,
    Remb,
    TransportCc,
}

impl FeedbackKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nack => "nack",
            Self::Pli => "nack pli",
            Self::Fir => "ccm fir",
            Self::Remb => "goog-remb",
            Self::TransportCc => "transport-cc",
        }
    }

    pub fn agreed(self, feedback: Feedback) -> bool {
        match self {
            Self::Nack => feedback.nack,
            Self::Pli => feedback.pli,
            Self::Fir => feedback.fir,
            Self::Remb => feedback.remb,
            Self::TransportCc => feedback.transport_cc,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        match (words.next()?, words.next(), words.next()) {
            ("nack", None, None) => Some(Self::Nack),
            ("nack", Some("pli"), None) => Some(Self::Pli),
            ("ccm", Some("fir"), None) => Some(Self::Fir),
            ("goog-remb", None, None) => Some(Self::Remb),
            ("transport-cc", None, None) => Some(Self::TransportCc),
            _ => None,
        }
    }
}

/// `a=rid:<rid> send [<restrictions>]`
pub(super) struct OfferedRid {
    pub rid: Rid,
    pub restrictions: String,
}

impl Section {
    /// Reads m-section number `index`; `session` holds the session-level attributes, which it inherits.
    pub fn read(media: &MediaDescription, index: usize, session: &[Attribute]) -> Result<Self, OfferError> {
        let name = &media.media_name;
        let attributes = media.attributes.as_slice();
        let proto = name.protos.join("/");
        let kind = match name.media.as_str() {
            "audio" => Some(MediaKind::Audio),
            "video" => Some(MediaKind::Video),
            _ => None,
        };
        let usable = |format: &&String| kind.is_none() || payload_type(format).is_some();
        let first_format = name.formats.iter().find(usable).cloned().unwrap_or_default();
        if !is_token(&proto) || !is_token(&first_format) {
            return Err(OfferError::MediaLine(index));
        }
        let inherited = |key: &str| {
            attributes
                .iter()
                .chain(session)
                .any(|attribute| attribute.key == key)
        };
        let (ssrcs, rtx_ssrcs) = read_ssrcs(attributes);
        let rids = read_rids(attributes);
        Ok(Self {
            kind,
            media: name.media.clone(),
            proto,
            first_format,
            // GStreamer writes port 0 and bundle-only into each m-line after the first (RFC 9143 §6).
            enabled: name.port.value != 0
                || attributes.iter().any(|attribute| attribute.key == "bundle-only"),
            mid: read_mid(attributes, index)?,
            direction: Direction::read(attributes)
                .or_else(|| Direction::read(session))
                .unwrap_or(Direction::SendRecv),
            rtcp_mux: inherited("rtcp-mux"),
            rtcp_rsize: inherited("rtcp-rsize"),
            extmap_allow_mixed: attributes
                .iter()
                .any(|attribute| attribute.key == "extmap-allow-mixed"),
            payloads: read_payloads(&name.formats, attributes),
            extensions: read_extensions(attributes, session),
            ssrcs,
            rtx_ssrcs,
            simulcast: read_simulcast(attributes, &rids),
            rids,
        })
    }

    /// Where no mid is given, the place in the offer names the section inside the server.
    pub fn mid_or(&self, index: usize) -> Mid {
        self.mid.clone().unwrap_or_else(|| Mid(index.to_string().into()))
    }

    pub fn payload(&self, pt: PayloadType) -> Option<&Payload> {
        self.payloads.iter().find(|payload| payload.pt == pt)
    }

    pub fn extension(&self, extension: Extension) -> Option<&OfferedExtension> {
        self.extensions.iter().find(|entry| entry.extension == extension)
    }

    /// Every payload type of a codec that passes through, with its RTX, in the offer's order. Transport-wide
    /// feedback counts only with `transport_cc`: it needs the header extension too.
    pub fn codecs(&self, transport_cc: bool) -> Vec<NegotiatedCodec> {
        let entry = |payload: &Payload| {
            let Format::Media(codec) = payload.format else {
                return None;
            };
            if self.kind != Some(codec.kind()) {
                return None;
            }
            let has = |kind| payload.feedback.contains(&kind);
            Some(NegotiatedCodec {
                pt: payload.pt,
                codec,
                rtx: self
                    .payloads
                    .iter()
                    .find(|other| matches!(other.format, Format::Rtx(apt) if apt == payload.pt))
                    .map(|rtx| rtx.pt),
                red: self
                    .payloads
                    .iter()
                    .find(|other| matches!(other.format, Format::Red(of) if of == payload.pt))
                    .map(|red| red.pt),
                feedback: Feedback {
                    nack: has(FeedbackKind::Nack),
                    pli: has(FeedbackKind::Pli),
                    fir: has(FeedbackKind::Fir),
                    transport_cc: transport_cc && has(FeedbackKind::TransportCc),
                    remb: has(FeedbackKind::Remb),
                },
            })
        };
        self.payloads.iter().filter_map(entry).collect()
    }
}

/// A short word of printable ASCII: what an answer may repeat.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TOKEN && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The values of every attribute called `key`.
pub(super) fn values<'a>(attributes: &'a [Attribute], key: &'a str) -> impl Iterator<Item = &'a str> {
    attributes
        .iter()
        .filter(move |attribute| attribute.key == key)
        .filter_map(|attribute| attribute.value.as_deref())
        .map(str::trim)
}

fn read_mid(attributes: &[Attribute], index: usize) -> Result<Option<Mid>, OfferError> {
    let Some(mid) = values(attributes, "mid").next() else {
        return Ok(None);
    };
    if is_token(mid) {
        Ok(Some(Mid(mid.into())))
    } else {
        Err(OfferError::Mid(index))
    }
}

fn payload_type(format: &str) -> Option<u8> {
    // A number's sign would pass `parse`, but not the peer's parser when it comes back.
    format
        .parse::<u8>()
        .ok()
        .filter(|pt| *pt < 128 && !format.starts_with('+'))
}

/// The payload types of the m-line that have an rtpmap, in the m-line's order.
fn read_payloads(formats: &[String], attributes: &[Attribute]) -> Vec<Payload> {
    #[derive(Default)]
    struct Lines<'a> {
        rtpmap: Option<&'a str>,
        fmtp: Option<&'a str>,
        feedback: Vec<FeedbackKind>,
    }
    let mut lines: Vec<Lines> = (0..128).map(|_| Lines::default()).collect();
    let mut for_all = Vec::new();
    for attribute in attributes {
        let Some(value) = attribute.value.as_deref() else {
            continue;
        };
        let Some((number, rest)) = value.trim().split_once(char::is_whitespace) else {
            continue;
        };
        let rest = rest.trim();
        let entry = number.parse::<usize>().ok().and_then(|pt| lines.get_mut(pt));
        match (attribute.key.as_str(), entry) {
            ("rtpmap", Some(entry)) => entry.rtpmap = entry.rtpmap.or(Some(rest)),
            ("fmtp", Some(entry)) => entry.fmtp = entry.fmtp.or(Some(rest)),
            ("rtcp-fb", entry) => {
                let Some(kind) = FeedbackKind::parse(rest) else {
                    continue;
                };
                let list = match entry {
                    Some(entry) => &mut entry.feedback,
                    None if number == "*" => &mut for_all,
                    None => continue,
                };
                if !list.contains(&kind) {
                    list.push(kind);
                }
            }
            _ => {}
        }
    }

    let mut payloads: Vec<Payload> = Vec::new();
    for format in formats {
        let Some(pt) = format.parse::<u8>().ok().filter(|pt| *pt < 128) else {
            continue;
        };
        // `take` leaves nothing for the same payload type named twice.
        let Some(Lines {
            rtpmap: Some(rtpmap),
            fmtp,
            mut feedback,
        }) = lines.get_mut(usize::from(pt)).map(std::mem::take)
        else {
            continue;
        };
        for kind in &for_all {
            if !feedback.contains(kind) {
                feedback.push(*kind);
            }
        }
        payloads.push(Payload {
            pt: PayloadType(pt),
            format: read_format(rtpmap, fmtp),
            rtpmap: rtpmap.to_owned(),
            fmtp: fmtp.map(str::to_owned),
            feedback,
        });
    }
    payloads
}

fn read_format(rtpmap: &str, fmtp: Option<&str>) -> Format {
    // `<name>/<clock rate>[/<channels>]`; it is repeated in the answer.
    let mut parts = rtpmap.split('/');
    let (Some(name), Some(clock_rate), channels, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Format::Other;
    };
    let Ok(clock_rate) = clock_rate.parse::<u32>() else {
        return Format::Other;
    };
    if !is_token(rtpmap)
        || rtpmap.contains('+')
        || channels.is_some_and(|channels| channels.parse::<u8>().is_err())
    {
        return Format::Other;
    }
    if name.eq_ignore_ascii_case("rtx") {
        let apt = fmtp
            .and_then(|text| parameter(text, "apt"))
            .and_then(|text| text.parse::<u8>().ok());
        return apt.map_or(Format::Other, |apt| Format::Rtx(PayloadType(apt)));
    }
    if name.eq_ignore_ascii_case("red") {
        // `111/111`: the types its blocks are of. Of several, none could be read without the others.
        let mut types = fmtp
            .unwrap_or_default()
            .split('/')
            .map(|pt| pt.trim().parse::<u8>().ok());
        let first = types.next().flatten();
        let same = types.all(|pt| pt == first);
        return first
            .filter(|_| same)
            .map_or(Format::Other, |pt| Format::Red(PayloadType(pt)));
    }
    identify(name, clock_rate, fmtp).map_or(Format::Other, Format::Media)
}

/// The extensions we know; of two lines for one extension, or with one id, the first counts.
fn read_extensions(attributes: &[Attribute], session: &[Attribute]) -> Vec<OfferedExtension> {
    let mut extensions: Vec<OfferedExtension> = Vec::new();
    for entry in values(attributes, "extmap")
        .chain(values(session, "extmap"))
        .filter_map(OfferedExtension::parse)
    {
        if !extensions
            .iter()
            .any(|known| known.extension == entry.extension || known.id == entry.id)
        {
            extensions.push(entry);
        }
    }
    extensions
}

fn read_ssrcs(attributes: &[Attribute]) -> (Vec<Ssrc>, Vec<(Ssrc, Ssrc)>) {
    let mut pairs: Vec<(Ssrc, Ssrc)> = Vec::new();
    for group in values(attributes, "ssrc-group") {
        let mut words = group.split_whitespace();
        if words.next() != Some("FID") {
            continue;
        }
        let numbers: Vec<u32> = words.take(3).filter_map(|word| word.parse().ok()).collect();
        if let [media, rtx] = numbers[..]
            && pairs.len() < MAX_SSRCS
        {
            pairs.push((Ssrc(media), Ssrc(rtx)));
        }
    }
    let mut ssrcs: Vec<Ssrc> = Vec::new();
    for line in values(attributes, "ssrc") {
        let number = line.split_whitespace().next().and_then(|word| word.parse().ok());
        let Some(ssrc) = number.map(Ssrc) else { continue };
        let repair = pairs.iter().any(|(_, rtx)| *rtx == ssrc);
        if !repair && ssrcs.len() < MAX_SSRCS && !ssrcs.contains(&ssrc) {
            ssrcs.push(ssrc);
        }
    }
    (ssrcs, pairs)
}

fn read_rids(attributes: &[Attribute]) -> Vec<OfferedRid> {
    let mut rids: Vec<OfferedRid> = Vec::new();
    for line in values(attributes, "rid") {
        let mut words = line.split_whitespace();
        let (Some(name), Some("send")) = (words.next(), words.next()) else {
            continue;
        };
        let token = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if name.len() > MAX_TOKEN
            || !name.bytes().all(token)
            || rids.iter().any(|known| known.rid.as_str() == name)
        {
            continue;
        }
        // Payload types may fall away in the answer, so their list is not repeated: without one, all are meant.
        let kept = |entry: &&str| is_token(entry) && !entry.starts_with("pt=");
        let restrictions: Vec<&str> = words.flat_map(|word| word.split(';')).filter(kept).collect();
        rids.push(OfferedRid {
            rid: Rid(name.into()),
            restrictions: restrictions.join(";"),
        });
    }
    rids
}

/// The send list of `a=simulcast:send 0;~1,2 recv …`, of declared rids only (RFC 8853 §5.1). The `~` of a layer that
/// starts paused is dropped: the answer would else ask the publisher to keep it paused.
fn read_simulcast(attributes: &[Attribute], rids: &[OfferedRid]) -> Vec<Vec<Rid>> {
    let Some(value) = values(attributes, "simulcast").next() else {
        return Vec::new();
    };
    let mut words = value.split_whitespace();
    while let (Some(direction), Some(list)) = (words.next(), words.next()) {
        if direction != "send" {
            continue;
        }
        let known = |name: &str| {
            let name = name.trim_start_matches('~');
            rids.iter()
                .find(|entry| entry.rid.as_str() == name)
                .map(|entry| entry.rid.clone())
        };
        return list
            .split(';')
            .take(MAX_SSRCS)
            .map(|alternatives| {
                alternatives
                    .split(',')
                    .take(MAX_SSRCS)
                    .filter_map(known)
                    .collect::<Vec<Rid>>()
            })
            .filter(|alternatives| !alternatives.is_empty())
            .collect();
    }
    Vec::new()
}
