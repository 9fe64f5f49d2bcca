//! The answer to a WHEP offer: the live stream's codec first, then what else a later publisher might send.

use super::answer::{Accepted, AnswerParams, CODEC_LIMITS, check_payload_types, write};
use super::codec::match_codec;
use super::error::Reject;
use super::extension::{Extension, OfferedExtension, ids};
use super::offer::Offer;
use super::section::{Direction, Section};
use crate::core::ids::Ssrc;
use crate::core::media::{Codec, MediaKind, NegotiatedCodec, StreamCodecs, ViewerMedia, ViewerTrack};

/// What we may write into a viewer's packets.
const EXTENSIONS: [Extension; 8] = [
    Extension::Mid,
    Extension::TransportCc,
    Extension::AbsSendTime,
    Extension::AudioLevel,
    Extension::VideoOrientation,
    Extension::PlayoutDelay,
    Extension::AbsCaptureTime,
    Extension::DependencyDescriptor,
];

/// Answers a viewer of a stream that carries `stream` (`None`: nothing is published yet, so anything may come).
/// `ssrcs` hands out the numbers to send with, each at most once.
///
/// An m-line that cannot carry the stream's codec is rejected; when none is left the whole offer is.
pub fn answer_viewer(
    offer: &Offer,
    params: &AnswerParams,
    stream: Option<&StreamCodecs>,
    ssrcs: &mut dyn FnMut() -> Ssrc,
) -> Result<(String, ViewerMedia), Reject> {
    if offer.media().next().is_none() {
        return Err(Reject::NothingOffered);
    }
    for (_, kind, section) in offer.media() {
        if !matches!(section.direction, Direction::RecvOnly | Direction::SendRecv) {
            return Err(Reject::NotReceiving {
                kind,
                direction: section.direction.name(),
            });
        }
    }
    offer.check_transport()?;

    let mut chosen = choose(offer, stream)?;
    for entry in &mut chosen {
        entry.track.ssrc = ssrcs();
        entry.track.rtx_ssrc = entry
            .track
            .codecs
            .iter()
            .any(|codec| codec.rtx.is_some())
            .then(&mut *ssrcs);
    }
    let mut rejection = Reject::NothingOffered;
    for limit in CODEC_LIMITS {
        for entry in &mut chosen {
            entry.track.codecs.truncate(limit);
            if entry.track.codecs.iter().all(|codec| codec.rtx.is_none()) {
                entry.track.rtx_ssrc = None;
            }
        }
        match write_answer(offer, params, &chosen) {
            Err(reject @ Reject::AnswerTooLong(_)) => rejection = reject,
            Err(reject) => return Err(reject),
            Ok(text) => {
                let tracks = chosen.into_iter().map(|entry| entry.track).collect();
                let media = ViewerMedia {
                    tracks,
                    ..ViewerMedia::default()
                };
                return Ok((text, media));
            }
        }
    }
    Err(rejection)
}

/// An m-section that is served.
struct Chosen {
    index: usize,
    extensions: Vec<OfferedExtension>,
    track: ViewerTrack,
}

/// The first m-section of each kind that can carry the stream.
fn choose(offer: &Offer, stream: Option<&StreamCodecs>) -> Result<Vec<Chosen>, Reject> {
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut reasons: Vec<(MediaKind, Reject)> = Vec::new();
    for (index, kind, section) in offer.media() {
        if chosen.iter().any(|entry| entry.track.kind == kind) {
            continue;
        }
        let live = stream.and_then(|stream| match kind {
            MediaKind::Audio => stream.audio,
            MediaKind::Video => stream.video,
        });
        let usable =
            |entry: &&OfferedExtension| EXTENSIONS.contains(&entry.extension) && entry.offerer_reads();
        let transport_cc = section.extension(Extension::TransportCc).filter(usable).is_some();
        let codecs = match order(section, kind, live, transport_cc) {
            Ok(codecs) => codecs,
            Err(reason) => {
                reasons.push((kind, reason));
                continue;
            }
        };
        let transport_cc = codecs.iter().any(|codec| codec.feedback.transport_cc);
        let remb = codecs.iter().any(|codec| codec.feedback.remb);
        let wanted = |entry: &&OfferedExtension| match entry.extension {
            // The mid extension repeats the mid attribute; without one there is nothing to repeat.
            Extension::Mid => section.mid.is_some(),
            Extension::TransportCc => transport_cc,
            // A viewer that estimates itself does so by the time of sending.
            Extension::AbsSendTime => remb && !transport_cc,
            // With a keyframe it is longer than the one-byte form takes (RFC 8285 §4.1.2).
            Extension::DependencyDescriptor => offer.extmap_allow_mixed || section.extmap_allow_mixed,
            _ => true,
        };
        let extensions: Vec<OfferedExtension> = section
            .extensions
            .iter()
            .filter(usable)
            .filter(wanted)
            .cloned()
            .collect();
        let track = ViewerTrack {
            kind,
            mid: section.mid_or(index),
            codecs,
            extensions: ids(&extensions),
            ssrc: Ssrc(0),
            rtx_ssrc: None,
        };
        chosen.push(Chosen {
            index,
            extensions,
            track,
        });
    }
    if chosen.is_empty() {
        // The picture is what the viewer came for, so its reason is the one to hear.
        let video = reasons
            .iter()
            .position(|(kind, _)| *kind == MediaKind::Video)
            .unwrap_or(0);
        return Err(reasons
            .into_iter()
            .nth(video)
            .map_or(Reject::NothingOffered, |(_, reason)| reason));
    }
    check_payload_types(chosen.iter().map(|entry| entry.track.codecs.as_slice()))?;
    Ok(chosen)
}

/// The best match for the live codec, then the other codecs in the offer's order, without H.264 in
/// packetization-mode 0 where mode 1 is offered too: a depacketizer of mode 1 reads both. Transport-wide feedback
/// counts only with `transport_cc`.
fn order(
    section: &Section,
    kind: MediaKind,
    live: Option<Codec>,
    transport_cc: bool,
) -> Result<Vec<NegotiatedCodec>, Reject> {
    let mut codecs = section.codecs(transport_cc);
    if codecs.is_empty() {
        return Err(live.map_or(Reject::NoCommonCodec(kind), Reject::CodecNotOffered));
    }
    let best = match live {
        Some(live) => Some(
            match_codec(&codecs, live)
                .ok_or(Reject::CodecNotOffered(live))?
                .pt,
        ),
        None => None,
    };
    let has_mode_1 = codecs.iter().any(|entry| {
        matches!(
            entry.codec,
            Codec::H264 {
                packetization_mode: 1,
                ..
            }
        )
    });
    codecs.retain(|entry| {
        let mode_0 = matches!(
            entry.codec,
            Codec::H264 {
                packetization_mode: 0,
                ..
            }
        );
        Some(entry.pt) == best || !(mode_0 && has_mode_1)
    });
    codecs.sort_by_key(|entry| Some(entry.pt) != best);
    Ok(codecs)
}

fn write_answer(offer: &Offer, params: &AnswerParams, chosen: &[Chosen]) -> Result<String, Reject> {
    let mut accepted: Vec<Option<Accepted>> = offer.sections.iter().map(|_| None).collect();
    for entry in chosen {
        if let Some(place) = accepted.get_mut(entry.index) {
            *place = Some(Accepted {
                direction: "sendonly",
                codecs: &entry.track.codecs,
                extensions: &entry.extensions,
                more: sources(&entry.track, params.stream.as_str()),
            });
        }
    }
    write(offer, params, &accepted)
}

/// `a=msid` (RFC 8830) and the SSRCs (RFC 5576), for one stream with one track of each kind.
fn sources(track: &ViewerTrack, stream: &str) -> Vec<(&'static str, String)> {
    let name = match track.kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    };
    let mut lines = vec![("msid", format!("{stream} {name}"))];
    if let Some(rtx) = track.rtx_ssrc {
        lines.push(("ssrc-group", format!("FID {} {rtx}", track.ssrc)));
    }
    for ssrc in [Some(track.ssrc), track.rtx_ssrc].into_iter().flatten() {
        lines.push(("ssrc", format!("{ssrc} cname:{stream}")));
        lines.push(("ssrc", format!("{ssrc} msid:{stream} {name}")));
    }
    lines
}
