//! Offers captured from shipping clients, answered, and the answers read back by a parser that is not ours
//! (Mozilla's `webrtc-sdp`). Test names carry the numbers of the points of the WHIP/WHEP checklist they check.
//!
//! - `answers`: what stands in an answer. `rejections`: every reason to refuse.
//! - `fragments`: trickle and ICE restart. `hostile`: any bytes, mutated offers.

#[path = "offers/answers.rs"]
mod answers;
#[path = "offers/fragments.rs"]
mod fragments;
#[path = "offers/hostile.rs"]
mod hostile;
#[path = "offers/rejections.rs"]
mod rejections;

use std::net::SocketAddr;

use shibuki::core::ids::{Ssrc, StreamName};
use shibuki::core::media::{
    Codec, Fingerprint, HashAlgorithm, IceCredentials, MediaKind, PublisherMedia, PublisherTrack,
    StreamCodecs, ViewerMedia, ViewerTrack,
};
use shibuki::sdp::{AnswerParams, Offer, Reject, answer_publisher, answer_viewer};
use webrtc_sdp::SdpSession;
use webrtc_sdp::attribute_type::{SdpAttribute, SdpAttributeType};
use webrtc_sdp::media_type::{SdpFormatList, SdpMedia};

macro_rules! captured {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("offers/", $name, ".sdp")))),*] };
}

/// Offers of clients that publish.
const PUBLISHERS: &[(&str, &str)] = captured![
    "aiortc-1.16-sendonly",
    "chromium-156-sendonly",
    "chromium-156-simulcast",
    "ffmpeg-9.0-h264-opus",
    "firefox-153-simulcast",
    "gstreamer-1.28-whipclientsink",
    "gstreamer-1.28-whipsink",
    "obs-30.2-h264-opus",
    "obs-32.2-h264-opus",
    "obs-32.2-simulcast-3",
];

/// Offers of clients that watch.
const VIEWERS: &[(&str, &str)] = captured![
    "aiortc-1.16-recvonly",
    "chromium-156-recvonly",
    "firefox-153-recvonly",
    "firefox-153-recvonly-h264",
    "gstreamer-1.28-whepclientsrc",
    "gstreamer-1.28-whepsrc",
    "wrtc-0.10-recvonly",
];

const H264: Codec = Codec::H264 {
    packetization_mode: 1,
    profile: [0x42, 0xe0, 0x1f],
};
const H264_AND_OPUS: StreamCodecs = StreamCodecs {
    video: Some(H264),
    audio: Some(Codec::Opus),
};
const VP8_AND_OPUS: StreamCodecs = StreamCodecs {
    video: Some(Codec::Vp8),
    audio: Some(Codec::Opus),
};

fn captured(name: &str) -> &'static str {
    let found = PUBLISHERS.iter().chain(VIEWERS).find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no offer {name}")).1
}

/// A minimal publisher's offer; `audio` and `video` replace the attributes of its m-sections.
fn made(sections: &[&str]) -> String {
    let mut text = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n".to_owned();
    for section in sections {
        text.push_str(&section.replace('\n', "\r\n"));
    }
    text
}

const TRANSPORT: &str = "a=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\na=setup:actpass\na=rtcp-mux\n\
    a=fingerprint:sha-256 68:79:6B:D6:11:55:52:BC:20:14:04:58:37:8C:C1:2F:A2:3B:D7:7D:79:8B:D7:30:8D:B3:F2:AC:8A:EC:AB:DD\n";

fn audio(direction: &str, more: &str) -> String {
    format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:0\na={direction}\n{TRANSPORT}a=rtpmap:111 opus/48000/2\n{more}"
    )
}

fn video(direction: &str, more: &str) -> String {
    format!(
        "m=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:1\na={direction}\n{TRANSPORT}a=rtpmap:96 VP8/90000\n{more}"
    )
}

fn publish(text: &str) -> Result<(String, PublisherMedia), Reject> {
    with_params(|params| answer_publisher(&Offer::parse(text)?, params))
}

/// SSRCs count up from 1000.
fn watch(text: &str, stream: Option<&StreamCodecs>) -> Result<(String, ViewerMedia), Reject> {
    let mut next = 999;
    let mut ssrcs = || {
        next += 1;
        Ssrc(next)
    };
    with_params(|params| answer_viewer(&Offer::parse(text)?, params, stream, &mut ssrcs))
}

fn with_params<T>(f: impl FnOnce(&AnswerParams) -> T) -> T {
    let candidates: Vec<SocketAddr> = ["203.0.113.7:8443", "[2001:db8::7]:8443", "192.0.2.2:8443"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let stream: StreamName = "live".parse().unwrap();
    f(&AnswerParams {
        ice: &server_ice(),
        fingerprint: &Fingerprint {
            algorithm: HashAlgorithm::Sha256,
            digest: (0..32).collect(),
        },
        candidates: &candidates,
        session: 1 << 62,
        stream: &stream,
    })
}

fn server_ice() -> IceCredentials {
    IceCredentials {
        ufrag: "srvufrag".to_owned(),
        pwd: "0123456789abcdef01234567".to_owned(),
    }
}

fn publisher_track(media: &PublisherMedia, kind: MediaKind) -> &PublisherTrack {
    media
        .tracks
        .iter()
        .find(|track| track.kind == kind)
        .expect("the track is negotiated")
}

fn viewer_track(media: &ViewerMedia, kind: MediaKind) -> &ViewerTrack {
    media
        .tracks
        .iter()
        .find(|track| track.kind == kind)
        .expect("the track is negotiated")
}

/// Reads with the independent parser.
fn read(text: &str) -> SdpSession {
    webrtc_sdp::parse_sdp(text, false).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn payload_types(media: &SdpMedia) -> Vec<u32> {
    match media.get_formats() {
        SdpFormatList::Integers(list) => list.clone(),
        _ => Vec::new(),
    }
}

/// The attributes of one kind, as the independent parser writes them.
fn attributes(media: &SdpMedia, kind: SdpAttributeType) -> Vec<String> {
    media
        .get_attributes_of_type(kind)
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// `id → URI` of each extmap line.
fn extmaps(media: &SdpMedia) -> Vec<(u16, String)> {
    let extmap = |attribute: &&SdpAttribute| match attribute {
        SdpAttribute::Extmap(extmap) => Some((extmap.id, extmap.url.clone())),
        _ => None,
    };
    media
        .get_attributes_of_type(SdpAttributeType::Extmap)
        .iter()
        .filter_map(extmap)
        .collect()
}
