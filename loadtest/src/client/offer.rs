//! The offers we make (RFC 8829, RFC 9725): what a browser or OBS would offer, as far as it matters to a server.

use std::fmt::Write;
use std::net::SocketAddr;

use super::transport_cc;

/// A video codec that can be offered or published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    H264,
    Vp8,
    Vp9,
    Av1,
    H265,
}

impl VideoCodec {
    /// The name in an rtpmap, compared without case.
    pub fn name(self) -> &'static str {
        match self {
            VideoCodec::H264 => "H264",
            VideoCodec::Vp8 => "VP8",
            VideoCodec::Vp9 => "VP9",
            VideoCodec::Av1 => "AV1",
            VideoCodec::H265 => "H265",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        ALL_VIDEO
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    }
}

pub const ALL_VIDEO: [VideoCodec; 5] = [
    VideoCodec::Vp8,
    VideoCodec::Vp9,
    VideoCodec::H264,
    VideoCodec::Av1,
    VideoCodec::H265,
];

/// (codec, payload type, retransmission payload type, fmtp)
const VIDEO_FORMATS: [(VideoCodec, u8, u8, &str); 6] = [
    (VideoCodec::Vp8, 96, 97, ""),
    (VideoCodec::Vp9, 98, 99, "profile-id=0"),
    (
        VideoCodec::H264,
        102,
        103,
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    ),
    (
        VideoCodec::H264,
        108,
        109,
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f",
    ),
    (VideoCodec::Av1, 45, 46, "level-idx=5;profile=0;tier=0"),
    (
        VideoCodec::H265,
        49,
        50,
        "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST",
    ),
];

/// Our side of the transport, as the offer names it.
#[derive(Clone, Debug)]
pub struct LocalTransport {
    pub ufrag: String,
    pub pwd: String,
    /// `sha-256 AB:CD:…`
    pub fingerprint: String,
    /// None offers no candidate at all, as OBS does: the server learns the address from our checks.
    pub candidate: Option<SocketAddr>,
}

/// What a publisher sends.
#[derive(Clone, Debug)]
pub struct SendMedia {
    pub cname: String,
    pub video: Option<SendVideo>,
    pub audio: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct SendVideo {
    pub codec: VideoCodec,
    /// One; or several, told apart by their rids (RFC 8853), worst first.
    pub layers: Vec<SendLayer>,
}

#[derive(Clone, Copy, Debug)]
pub struct SendLayer {
    pub rid: Option<&'static str>,
    pub ssrc: u32,
    /// Where retransmissions go by RTX.
    pub rtx: Option<u32>,
}

/// How a viewer tells the server what its line can take.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Feedback {
    /// Transport-wide feedback, and REMB where the server wants that: what browsers offer.
    #[default]
    TransportCc,
    /// REMB alone.
    Remb,
    /// Neither: receiver reports are all the server gets.
    None,
}

/// Ids of header extensions in all our offers.
pub const SEND_TIME_EXTENSION: u8 = 2;
pub const TRANSPORT_CC_EXTENSION: u8 = 3;
pub const MID_EXTENSION: u8 = 9;
pub const RID_EXTENSION: u8 = 10;
pub const REPAIRED_RID_EXTENSION: u8 = 11;

/// A `sendonly` offer.
pub fn publish(local: &LocalTransport, media: &SendMedia) -> String {
    let mut mids = Vec::new();
    let mut sections = String::new();
    if let Some(ssrc) = media.audio {
        let mid = mids.len();
        mids.push(mid);
        section(&mut sections, local, "audio", "111", mid, "sendonly", mid == 0);
        audio_formats(&mut sections);
        ssrc_lines(&mut sections, &media.cname, "audio", ssrc, None);
    }
    if let Some(video) = &media.video {
        let has_rtx = video.layers.iter().any(|layer| layer.rtx.is_some());
        let mid = mids.len();
        mids.push(mid);
        let formats: Vec<_> = VIDEO_FORMATS
            .iter()
            .filter(|format| format.0 == video.codec)
            .take(1)
            .collect();
        let list = format_list(&formats, has_rtx);
        section(&mut sections, local, "video", &list, mid, "sendonly", mid == 0);
        video_formats(&mut sections, &formats, has_rtx);
        match video.layers.as_slice() {
            [layer] => ssrc_lines(&mut sections, &media.cname, "video", layer.ssrc, layer.rtx),
            layers => rid_lines(&mut sections, &media.cname, layers),
        }
    }
    session(&mids) + &sections
}

/// A `recvonly` offer for one video (none when `codecs` is empty) and, if `audio`, one audio track.
pub fn watch(
    local: &LocalTransport,
    codecs: &[VideoCodec],
    audio: bool,
    rtx: bool,
    feedback: Feedback,
) -> String {
    let mut mids = Vec::new();
    let mut sections = String::new();
    if !codecs.is_empty() {
        mids.push(mids.len());
        let formats: Vec<_> = VIDEO_FORMATS
            .iter()
            .filter(|format| codecs.contains(&format.0))
            .collect();
        section(
            &mut sections,
            local,
            "video",
            &format_list(&formats, rtx),
            0,
            "recvonly",
            true,
        );
        video_formats(&mut sections, &formats, rtx);
        feedback_lines(&mut sections, formats.iter().map(|format| format.1), feedback);
    }
    if audio {
        let mid = mids.len();
        mids.push(mid);
        section(&mut sections, local, "audio", "111", mid, "recvonly", mid == 0);
        audio_formats(&mut sections);
        feedback_lines(&mut sections, [111].into_iter(), feedback);
    }
    session(&mids) + &sections
}

// Writing to a String cannot fail; the results are dropped for that reason throughout.

fn session(mids: &[usize]) -> String {
    let mut text = String::from("v=0\r\n");
    let _ = write!(text, "o=- {} 2 IN IP4 127.0.0.1\r\n", rand::random::<u64>() >> 1);
    text.push_str("s=-\r\nt=0 0\r\na=group:BUNDLE");
    for mid in mids {
        let _ = write!(text, " {mid}");
    }
    text.push_str("\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS *\r\n");
    text
}

fn section(
    text: &mut String,
    local: &LocalTransport,
    kind: &str,
    formats: &str,
    mid: usize,
    direction: &str,
    first: bool,
) {
    let _ = write!(
        text,
        "m={kind} 9 UDP/TLS/RTP/SAVPF {formats}\r\nc=IN IP4 0.0.0.0\r\n"
    );
    let _ = write!(text, "a=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\n", local.ufrag);
    let _ = write!(text, "a=ice-pwd:{}\r\na=ice-options:trickle\r\n", local.pwd);
    let _ = write!(
        text,
        "a=fingerprint:{}\r\na=setup:actpass\r\na=mid:{mid}\r\n",
        local.fingerprint
    );
    let _ = write!(
        text,
        "a=extmap:{MID_EXTENSION} urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
    );
    let _ = write!(text, "a={direction}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n");
    if let (Some(candidate), true) = (local.candidate, first) {
        let _ = write!(
            text,
            "a=candidate:1 1 udp 2130706431 {} {} typ host\r\na=end-of-candidates\r\n",
            candidate.ip(),
            candidate.port()
        );
    }
}

fn format_list(formats: &[&(VideoCodec, u8, u8, &str)], rtx: bool) -> String {
    let numbers = formats
        .iter()
        .flat_map(|format| [Some(format.1), rtx.then_some(format.2)]);
    numbers
        .flatten()
        .map(|pt| pt.to_string())
        .collect::<Vec<_>>()
        .join(" ")
}

fn video_formats(text: &mut String, formats: &[&(VideoCodec, u8, u8, &str)], rtx: bool) {
    for (codec, pt, rtx_pt, fmtp) in formats {
        let _ = write!(text, "a=rtpmap:{pt} {}/90000\r\n", codec.name());
        for feedback in ["ccm fir", "nack", "nack pli"] {
            let _ = write!(text, "a=rtcp-fb:{pt} {feedback}\r\n");
        }
        if !fmtp.is_empty() {
            let _ = write!(text, "a=fmtp:{pt} {fmtp}\r\n");
        }
        if rtx {
            let _ = write!(
                text,
                "a=rtpmap:{rtx_pt} rtx/90000\r\na=fmtp:{rtx_pt} apt={pt}\r\n"
            );
        }
    }
}

fn feedback_lines(text: &mut String, formats: impl Iterator<Item = u8>, feedback: Feedback) {
    const SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
    if feedback == Feedback::None {
        return;
    }
    let _ = write!(text, "a=extmap:{SEND_TIME_EXTENSION} {SEND_TIME}\r\n");
    if feedback == Feedback::TransportCc {
        let _ = write!(
            text,
            "a=extmap:{TRANSPORT_CC_EXTENSION} {}\r\n",
            transport_cc::URI
        );
    }
    for pt in formats {
        let _ = write!(text, "a=rtcp-fb:{pt} goog-remb\r\n");
        if feedback == Feedback::TransportCc {
            let _ = write!(text, "a=rtcp-fb:{pt} transport-cc\r\n");
        }
    }
}

fn audio_formats(text: &mut String) {
    text.push_str("a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n");
}

/// Layers announce rids and no SSRCs, as browsers do.
fn rid_lines(text: &mut String, cname: &str, layers: &[SendLayer]) {
    let _ = write!(text, "a=msid:{cname} {cname}-video\r\n");
    for (id, name) in [
        (RID_EXTENSION, "rtp-stream-id"),
        (REPAIRED_RID_EXTENSION, "repaired-rtp-stream-id"),
    ] {
        let _ = write!(text, "a=extmap:{id} urn:ietf:params:rtp-hdrext:sdes:{name}\r\n");
    }
    let rids: Vec<&str> = layers.iter().filter_map(|layer| layer.rid).collect();
    for rid in &rids {
        let _ = write!(text, "a=rid:{rid} send\r\n");
    }
    let _ = write!(text, "a=simulcast:send {}\r\n", rids.join(";"));
}

fn ssrc_lines(text: &mut String, cname: &str, track: &str, ssrc: u32, rtx: Option<u32>) {
    let _ = write!(text, "a=msid:{cname} {cname}-{track}\r\n");
    if let Some(rtx) = rtx {
        let _ = write!(text, "a=ssrc-group:FID {ssrc} {rtx}\r\n");
    }
    for ssrc in [Some(ssrc), rtx].into_iter().flatten() {
        let _ = write!(
            text,
            "a=ssrc:{ssrc} cname:{cname}\r\na=ssrc:{ssrc} msid:{cname} {cname}-{track}\r\n"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> LocalTransport {
        LocalTransport {
            ufrag: "uuuu".into(),
            pwd: "p".repeat(24),
            fingerprint: format!("sha-256 {}", ["AB"; 32].join(":")),
            candidate: Some("192.0.2.1:4000".parse().expect("an address")),
        }
    }

    fn layer(rid: Option<&'static str>) -> SendLayer {
        SendLayer {
            rid,
            ssrc: 1,
            rtx: Some(2),
        }
    }

    #[test]
    fn an_independent_parser_reads_our_offers() {
        let media = SendMedia {
            cname: "c".into(),
            video: Some(SendVideo {
                codec: VideoCodec::H264,
                layers: vec![layer(None)],
            }),
            audio: Some(3),
        };
        let mut simulcast = media.clone();
        simulcast.video = Some(SendVideo {
            codec: VideoCodec::Vp8,
            layers: vec![layer(Some("q")), layer(Some("f"))],
        });
        assert!(publish(&local(), &simulcast).contains("\r\na=simulcast:send q;f\r\n"));
        for offer in [
            publish(&local(), &media),
            publish(&local(), &simulcast),
            watch(&local(), &ALL_VIDEO, true, true, Feedback::TransportCc),
            watch(&local(), &ALL_VIDEO, true, true, Feedback::None),
        ] {
            let parsed = rtc::sdp::SessionDescription::unmarshal(&mut std::io::Cursor::new(&offer))
                .expect("valid SDP");
            assert_eq!(parsed.media_descriptions.len(), 2);
            assert!(offer.ends_with("\r\n") && !offer.replace("\r\n", "").contains('\n'));
        }
    }
}
