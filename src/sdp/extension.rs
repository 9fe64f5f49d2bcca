//! RTP header extensions (RFC 8285): which we know, and the ids an offer gives them.

use crate::core::media::ExtensionIds;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    Mid,
    Rid,
    RepairedRid,
    TransportCc,
    AbsSendTime,
    AudioLevel,
    VideoOrientation,
    PlayoutDelay,
    AbsCaptureTime,
    DependencyDescriptor,
}

const URIS: [(Extension, &str); 10] = [
    (Extension::Mid, "urn:ietf:params:rtp-hdrext:sdes:mid"),
    (Extension::Rid, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
    (
        Extension::RepairedRid,
        "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    ),
    (
        Extension::TransportCc,
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    ),
    (
        Extension::AbsSendTime,
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    ),
    (
        Extension::AudioLevel,
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    ),
    (Extension::VideoOrientation, "urn:3gpp:video-orientation"),
    (
        Extension::PlayoutDelay,
        "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    ),
    (
        Extension::AbsCaptureTime,
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    ),
    (
        Extension::DependencyDescriptor,
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    ),
];

/// Who writes the extension, seen from the offerer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Both,
    Offerer,
    Answerer,
}

/// One `a=extmap` line of an offer.
#[derive(Clone, Debug)]
pub(super) struct OfferedExtension {
    pub extension: Extension,
    pub id: u8,
    writer: Writer,
}

impl OfferedExtension {
    /// Reads `<id>[/<direction>] <uri> [<attributes>]`; `None` for what we don't know or can't use.
    pub fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split_whitespace();
        let first = fields.next()?;
        let (id, direction) = first.split_once('/').unwrap_or((first, "sendrecv"));
        let id = id.parse::<u8>().ok().filter(|id| !matches!(id, 0 | 15))?;
        let writer = match direction {
            "sendrecv" => Writer::Both,
            "sendonly" => Writer::Offerer,
            "recvonly" => Writer::Answerer,
            _ => return None,
        };
        let uri = fields.next()?;
        let extension = URIS.iter().find(|(_, known)| *known == uri)?.0;
        Some(Self {
            extension,
            id,
            writer,
        })
    }

    /// Whether the offerer may write it into the packets it sends.
    pub fn offerer_writes(&self) -> bool {
        self.writer != Writer::Answerer
    }

    /// Whether the offerer wants it in the packets it receives.
    pub fn offerer_reads(&self) -> bool {
        self.writer != Writer::Offerer
    }

    /// The line's value in the answer: a one-way extension keeps its way, so the words swap (RFC 8285 §6).
    pub fn answer(&self) -> String {
        let direction = match self.writer {
            Writer::Both => "",
            Writer::Offerer => "/recvonly",
            Writer::Answerer => "/sendonly",
        };
        let uri = URIS
            .iter()
            .find(|(known, _)| *known == self.extension)
            .map_or("", |(_, uri)| uri);
        format!("{}{direction} {uri}", self.id)
    }
}

pub(super) fn ids(extensions: &[OfferedExtension]) -> ExtensionIds {
    let mut ids = ExtensionIds::default();
    for entry in extensions {
        let slot = match entry.extension {
            Extension::Mid => &mut ids.mid,
            Extension::Rid => &mut ids.rid,
            Extension::RepairedRid => &mut ids.repaired_rid,
            Extension::TransportCc => &mut ids.transport_cc,
            Extension::AbsSendTime => &mut ids.abs_send_time,
            Extension::AudioLevel => &mut ids.audio_level,
            Extension::VideoOrientation => &mut ids.video_orientation,
            Extension::PlayoutDelay => &mut ids.playout_delay,
            Extension::AbsCaptureTime => &mut ids.abs_capture_time,
            Extension::DependencyDescriptor => &mut ids.dependency_descriptor,
        };
        *slot = Some(entry.id);
    }
    ids
}
