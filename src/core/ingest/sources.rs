//! Which SSRC is what: announced in the offer, told by header extensions, or guessed from the payload type.

use std::collections::HashMap;

use crate::core::ids::{Mid, Rid, Ssrc};
use crate::core::media::{ExtensionIds, PublisherMedia, PublisherTrack};
use crate::core::rtp::RtpHeader;

/// SSRCs of one publisher that are told apart: media and RTX of six layers and audio, with room for restarts.
const MAX_SOURCES: usize = 32;

/// What an SSRC carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceRole {
    Media {
        track: usize,
        layer: u8,
    },
    /// Retransmissions of the given layer.
    Rtx {
        track: usize,
        layer: u8,
    },
}

#[derive(Debug)]
pub struct Sources {
    known: HashMap<Ssrc, SourceRole>,
    rids: Vec<(usize, Rid)>,
}

impl Sources {
    pub fn new(media: &PublisherMedia) -> Self {
        let mut sources = Self {
            known: HashMap::new(),
            rids: Vec::new(),
        };
        for (index, track) in media.tracks.iter().enumerate() {
            sources
                .rids
                .extend(track.rids.iter().map(|rid| (index, rid.clone())));
            // With simulcast the header extension decides: OBS announces only its first layer.
            if track.rids.is_empty() {
                for ssrc in track.ssrcs.iter().take(MAX_SOURCES / 4) {
                    let rtx = track.rtx_ssrcs.iter().any(|(_, rtx)| rtx == ssrc);
                    if !rtx {
                        sources.known.insert(
                            *ssrc,
                            SourceRole::Media {
                                track: index,
                                layer: 0,
                            },
                        );
                    }
                }
                for (_, rtx) in track.rtx_ssrcs.iter().take(MAX_SOURCES / 4) {
                    sources.known.insert(
                        *rtx,
                        SourceRole::Rtx {
                            track: index,
                            layer: 0,
                        },
                    );
                }
            }
        }
        sources
    }

    /// What the packet's SSRC carries; learned at its first packet.
    pub fn resolve(
        &mut self,
        media: &PublisherMedia,
        header: &RtpHeader,
        packet: &[u8],
    ) -> Option<SourceRole> {
        if let Some(role) = self.known.get(&header.ssrc) {
            return Some(*role);
        }
        let role = self.learn(media, header, packet)?;
        if self.known.len() >= MAX_SOURCES {
            return None;
        }
        self.known.insert(header.ssrc, role);
        Some(role)
    }

    /// What the publisher calls a layer; `None` without simulcast.
    pub fn rid(&self, track: usize, layer: u8) -> Option<&Rid> {
        let mut of_track = self.rids.iter().filter(|(index, _)| *index == track);
        of_track.nth(usize::from(layer)).map(|(_, rid)| rid)
    }

    fn learn(&mut self, media: &PublisherMedia, header: &RtpHeader, packet: &[u8]) -> Option<SourceRole> {
        let (track, is_rtx) = self.track_of(media, header, packet)?;
        let ids = &media.tracks.get(track)?.extensions;
        let layer = if is_rtx {
            text(packet, header, ids.repaired_rid).and_then(|rid| self.layer_of(track, rid))
        } else {
            text(packet, header, ids.rid).and_then(|rid| self.layer_of(track, rid))
        };
        let simulcast = self.rids.iter().any(|(index, _)| *index == track);
        let layer = match layer {
            Some(layer) => layer,
            // A layer that does not say which one it is cannot be placed.
            None if simulcast => return None,
            None => 0,
        };
        Some(if is_rtx {
            SourceRole::Rtx { track, layer }
        } else {
            SourceRole::Media { track, layer }
        })
    }

    fn track_of(&self, media: &PublisherMedia, header: &RtpHeader, packet: &[u8]) -> Option<(usize, bool)> {
        let by_pt = |track: &PublisherTrack| {
            let mut codecs = track.codecs.iter();
            let plain = codecs.any(|codec| codec.pt == header.pt || codec.red == Some(header.pt));
            let rtx = track.codecs.iter().any(|codec| codec.rtx == Some(header.pt));
            (plain || rtx).then_some(rtx && !plain)
        };
        for (index, track) in media.tracks.iter().enumerate() {
            let named = text(packet, header, track.extensions.mid).map(|mid| Mid(mid.into()));
            let fits = named.is_none_or(|mid| mid == track.mid);
            if let (true, Some(is_rtx)) = (fits, by_pt(track)) {
                return Some((index, is_rtx));
            }
        }
        None
    }

    /// The layer's place in the offered order; a rid that was not offered gets the next free place.
    fn layer_of(&mut self, track: usize, rid: &str) -> Option<u8> {
        let of_track = || self.rids.iter().filter(|(index, _)| *index == track);
        if let Some(position) = of_track().position(|(_, known)| known.as_str() == rid) {
            return u8::try_from(position).ok();
        }
        let next = of_track().count();
        if next >= crate::core::route::MAX_LAYERS {
            return None;
        }
        self.rids.push((track, Rid(rid.into())));
        u8::try_from(next).ok()
    }
}

fn text<'a>(packet: &'a [u8], header: &RtpHeader, id: Option<u8>) -> Option<&'a str> {
    let value = header.extension.as_ref()?.find(packet, id?)?;
    std::str::from_utf8(value).ok()
}

/// The extension ids of the track a role belongs to.
pub fn extensions(media: &PublisherMedia, role: SourceRole) -> Option<&ExtensionIds> {
    let (SourceRole::Media { track, .. } | SourceRole::Rtx { track, .. }) = role;
    media.tracks.get(track).map(|track| &track.extensions)
}
