//! Why an offer is not answered, in words that reach the person who sent it.

use crate::core::media::{Codec, MediaKind};

/// The text is not an SDP offer (or fragment) that WebRTC knows: HTTP 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    #[error("the body is empty")]
    Empty,
    #[error("the SDP is longer than {0} bytes")]
    TooLong(usize),
    #[error("line {0} contains control characters; SDP is text")]
    Binary(usize),
    #[error("line {0} is not of the form <letter>=<value>")]
    Line(usize),
    #[error("the SDP does not start with v=0")]
    Version,
    #[error("the SDP has no valid o= line")]
    Origin,
    #[error("the SDP has no m= line")]
    NoMedia,
    #[error("the SDP has more than {0} m= lines")]
    TooManySections(usize),
    #[error("an m= line has more than {0} payload types")]
    TooManyFormats(usize),
    #[error("m= line {0} (counted from 0) is malformed")]
    MediaLine(usize),
    #[error("the SDP cannot be parsed: {0}")]
    Syntax(String),
    #[error("the mid of m= line {0} (counted from 0) is not a short token")]
    Mid(usize),
    #[error("two m= lines have the same mid")]
    DuplicateMid,
    #[error("a=ice-ufrag or a=ice-pwd is missing")]
    NoIce,
    #[error("a=ice-ufrag must have 4 to 256 characters and a=ice-pwd 22 to 256, without spaces or colons")]
    Ice,
    #[error("an a=fingerprint line is malformed")]
    Fingerprint,
    #[error("the SDP has more than {0} fingerprints")]
    TooManyFingerprints(usize),
    #[error("a=setup must be actpass, active or passive in an offer")]
    Setup,
}

impl OfferError {
    /// The HTTP status that says so.
    pub fn status(&self) -> u16 {
        400
    }
}

/// The offer is understood and cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    #[error(transparent)]
    Malformed(#[from] OfferError),
    #[error("a publisher offers sendonly or sendrecv; this offer has a {kind} m-line that is {direction}", kind = kind_name(*.kind))]
    NotSending {
        kind: MediaKind,
        direction: &'static str,
    },
    #[error("a viewer offers recvonly or sendrecv; this offer has a {kind} m-line that is {direction}", kind = kind_name(*.kind))]
    NotReceiving {
        kind: MediaKind,
        direction: &'static str,
    },
    #[error("a publisher has at most one {kind} m-line; this offer has more", kind = kind_name(*.0))]
    TooManyTracks(MediaKind),
    #[error("the offer has no audio or video m-line to serve")]
    NothingOffered,
    #[error("none of the {kind} codecs offered can be passed through; {supported} can", kind = kind_name(*.0), supported = supported(*.0))]
    NoCommonCodec(MediaKind),
    #[error("the stream is {name}; this viewer did not offer it", name = spoken_name(*.0))]
    CodecNotOffered(Codec),
    #[error("RTP and RTCP must share a port: the offer lacks a=rtcp-mux")]
    NoRtcpMux,
    #[error(
        "all media share one transport: the offer's m-lines differ in ICE credentials and are not in a BUNDLE group"
    )]
    NotBundled,
    #[error("the offer has no a=fingerprint of sha-256, sha-384 or sha-512")]
    NoFingerprint,
    #[error("media must be UDP/TLS/RTP/SAVPF; the offer has {0}")]
    Protocol(String),
    #[error("payload type {0} stands for two different things in the offer's m-lines")]
    PayloadTypeReused(u8),
    #[error("the offer has more than {0} simulcast layers")]
    TooManyLayers(usize),
    #[error("the answer to this offer would be longer than {0} bytes")]
    AnswerTooLong(usize),
}

impl Reject {
    /// The HTTP status that says so.
    pub fn status(&self) -> u16 {
        match self {
            Reject::Malformed(error) => error.status(),
            _ => 422,
        }
    }
}

fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

fn supported(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "Opus",
        MediaKind::Video => "H264, H265, VP8, VP9 (profiles 0 and 2) and AV1 (profile 0)",
    }
}

/// The codec as a person says it: with the profile where the profile is what was missing.
fn spoken_name(codec: Codec) -> String {
    match codec {
        Codec::Vp9 { profile_id } if profile_id != 0 => format!("VP9 profile {profile_id}"),
        Codec::Av1 { profile } if profile != 0 => format!("AV1 profile {profile}"),
        Codec::Opus => "Opus".to_owned(),
        other => other.name().to_owned(),
    }
}
