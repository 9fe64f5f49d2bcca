//! The answer to a WHIP offer: everything that can be passed through is accepted, whole or not at all
//! (RFC 9725 allows no partial answers).

use super::answer::{Accepted, AnswerParams, CODEC_LIMITS, check_payload_types, write};
use super::error::Reject;
use super::extension::{Extension, OfferedExtension, ids};
use super::offer::Offer;
use super::section::{Direction, Section};
use crate::core::ids::Rid;
use crate::core::media::{MediaKind, NegotiatedCodec, PublisherMedia, PublisherTrack};

/// No client sends more than four; each layer costs the worker a ring buffer.
const MAX_LAYERS: usize = 8;

/// What a publisher may write into its packets. Playout delay is ours to set.
const EXTENSIONS: [Extension; 9] = [
    Extension::Mid,
    Extension::Rid,
    Extension::RepairedRid,
    Extension::TransportCc,
    Extension::AbsSendTime,
    Extension::AudioLevel,
    Extension::VideoOrientation,
    Extension::AbsCaptureTime,
    Extension::DependencyDescriptor,
];

/// Answers a publisher: all its m-lines `recvonly`, with every codec that passes through, in its order.
pub fn answer_publisher(offer: &Offer, params: &AnswerParams) -> Result<(String, PublisherMedia), Reject> {
    check(offer)?;
    let mut rejection = Reject::NothingOffered;
    for limit in CODEC_LIMITS {
        match answer_with(offer, params, limit) {
            Err(reject @ Reject::AnswerTooLong(_)) => rejection = reject,
            result => return result,
        }
    }
    Err(rejection)
}

fn check(offer: &Offer) -> Result<(), Reject> {
    for kind in [MediaKind::Audio, MediaKind::Video] {
        if offer.media().filter(|(_, other, _)| *other == kind).count() > 1 {
            return Err(Reject::TooManyTracks(kind));
        }
    }
    if offer.media().next().is_none() {
        return Err(Reject::NothingOffered);
    }
    for (_, kind, section) in offer.media() {
        if !matches!(section.direction, Direction::SendOnly | Direction::SendRecv) {
            return Err(Reject::NotSending {
                kind,
                direction: section.direction.name(),
            });
        }
    }
    offer.check_transport()?;
    for (_, kind, section) in offer.media() {
        if section.codecs(false).is_empty() {
            return Err(Reject::NoCommonCodec(kind));
        }
        if section.rids.len() > MAX_LAYERS
            || section.simulcast.iter().map(Vec::len).sum::<usize>() > MAX_LAYERS
        {
            return Err(Reject::TooManyLayers(MAX_LAYERS));
        }
    }
    Ok(())
}

fn answer_with(
    offer: &Offer,
    params: &AnswerParams,
    limit: usize,
) -> Result<(String, PublisherMedia), Reject> {
    let mut media = PublisherMedia::default();
    let mut extensions = Vec::new();
    for (index, kind, section) in offer.media() {
        let (codecs, accepted) = negotiate(section, limit);
        media.tracks.push(PublisherTrack {
            kind,
            mid: section.mid_or(index),
            codecs,
            extensions: ids(&accepted),
            ssrcs: section.ssrcs.clone(),
            rtx_ssrcs: section.rtx_ssrcs.clone(),
            rids: section.simulcast.iter().flatten().cloned().collect(),
        });
        extensions.push((index, section, accepted));
    }
    check_payload_types(media.tracks.iter().map(|track| track.codecs.as_slice()))?;

    let mut accepted: Vec<Option<Accepted>> = offer.sections.iter().map(|_| None).collect();
    for (track, (index, section, extensions)) in media.tracks.iter().zip(&extensions) {
        if let Some(place) = accepted.get_mut(*index) {
            *place = Some(Accepted {
                direction: "recvonly",
                codecs: &track.codecs,
                extensions,
                more: simulcast(section),
            });
        }
    }
    let text = write(offer, params, &accepted)?;
    Ok((text, media))
}

fn negotiate(section: &Section, limit: usize) -> (Vec<NegotiatedCodec>, Vec<OfferedExtension>) {
    let usable = |entry: &&OfferedExtension| EXTENSIONS.contains(&entry.extension) && entry.offerer_writes();
    let transport_cc = section.extension(Extension::TransportCc).filter(usable).is_some();
    let mut codecs = section.codecs(transport_cc);
    codecs.truncate(limit);
    let fed_back = codecs.iter().any(|codec| codec.feedback.transport_cc);
    let extensions = section
        .extensions
        .iter()
        .filter(usable)
        .filter(|entry| entry.extension != Extension::TransportCc || fed_back)
        // The mid extension repeats the mid attribute; without one there is nothing to repeat.
        .filter(|entry| entry.extension != Extension::Mid || section.mid.is_some())
        .cloned()
        .collect();
    (codecs, extensions)
}

/// All layers, in the offer's order (RFC 8851, RFC 8853): OBS gives up when one is missing.
fn simulcast(section: &Section) -> Vec<(&'static str, String)> {
    let rid = |entry: &super::section::OfferedRid| {
        let line = format!("{} recv {}", entry.rid.as_str(), entry.restrictions);
        ("rid", line.trim_end().to_owned())
    };
    let mut lines: Vec<(&'static str, String)> = section.rids.iter().map(rid).collect();
    if !section.simulcast.is_empty() {
        let alternatives = |list: &Vec<Rid>| list.iter().map(Rid::as_str).collect::<Vec<_>>().join(",");
        let list: Vec<String> = section.simulcast.iter().map(alternatives).collect();
        lines.push(("simulcast", format!("recv {}", list.join(";"))));
    }
    lines
}
