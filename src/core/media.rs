//! What was negotiated for a session: the agreement between the SDP side, which writes it, and the media path,
//! which lives by it.

use std::net::IpAddr;

use super::ids::{Mid, PayloadType, Rid, SessionId, Ssrc, StreamName};

/// Everything a worker needs to serve one session.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    pub id: SessionId,
    pub stream: StreamName,
    pub transport: TransportSpec,
    pub role: RoleSpec,
}

#[derive(Clone, Debug)]
pub enum RoleSpec {
    Publisher(PublisherMedia),
    Viewer(ViewerMedia),
}

/// One ICE + DTLS transport (everything is bundled on it).
#[derive(Clone, Debug)]
pub struct TransportSpec {
    pub local_ice: IceCredentials,
    pub remote_ice: IceCredentials,
    /// What *we* are in the DTLS handshake.
    pub dtls_role: DtlsRole,
    /// The peer's certificate must match one of these (sha-256 or stronger, any position).
    pub remote_fingerprints: Vec<Fingerprint>,
}

/// ICE user fragment and password (RFC 8445 §5.3).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    pub ufrag: String,
    pub pwd: String,
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IceCredentials({}, …)", self.ufrag)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// We answered `setup:passive`: the peer sends the ClientHello.
    Server,
    /// We answered `setup:active`: we send the ClientHello once ICE has a path.
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    Sha256,
    Sha384,
    Sha512,
}

/// A certificate's fingerprint (RFC 8122 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    pub algorithm: HashAlgorithm,
    pub digest: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    Audio,
    Video,
}

/// A codec we pass through, with the parameters that decide whether two sides speak the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 6184. `profile` is the profile-level-id's three bytes; absent means 42 00 0a.
    H264 {
        packetization_mode: u8,
        profile: [u8; 3],
    },
    /// RFC 7798.
    H265 { profile_id: u8 },
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9 { profile_id: u8 },
    /// AV1 RTP payload specification, v1.0.
    Av1 { profile: u8 },
    /// RFC 7587.
    Opus,
}

impl Codec {
    pub fn kind(self) -> MediaKind {
        match self {
            Codec::Opus => MediaKind::Audio,
            _ => MediaKind::Video,
        }
    }

    /// The name as SDP's rtpmap has it: `H264`, `H265`, `VP8`, `VP9`, `AV1`, `opus`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::H264 { .. } => "H264",
            Codec::H265 { .. } => "H265",
            Codec::Vp8 => "VP8",
            Codec::Vp9 { .. } => "VP9",
            Codec::Av1 { .. } => "AV1",
            Codec::Opus => "opus",
        }
    }

    /// RTP clock ticks per second.
    pub fn clock_rate(self) -> u32 {
        match self {
            Codec::Opus => 48_000,
            _ => 90_000,
        }
    }
}

/// One payload type both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedCodec {
    pub pt: PayloadType,
    pub codec: Codec,
    /// The retransmission payload type of this one (RFC 4588), where offered and accepted.
    pub rtx: Option<PayloadType>,
    /// The payload type under which this one goes with an earlier packet repeated in it (RFC 2198), where offered and
    /// accepted.
    pub red: Option<PayloadType>,
    pub feedback: Feedback,
}

/// RTCP feedback agreed for a payload type (RFC 4585, RFC 5104).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    pub nack: bool,
    pub pli: bool,
    pub fir: bool,
    pub transport_cc: bool,
    pub remb: bool,
}

/// Header extension ids agreed for an m-section, 1–14 (one-byte form) or up to 255 (two-byte form).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionIds {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid`
    pub mid: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`
    pub rid: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id`
    pub repaired_rid: Option<u8>,
    /// `http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01`
    pub transport_cc: Option<u8>,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time`
    pub abs_send_time: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (passed through)
    pub audio_level: Option<u8>,
    /// `urn:3gpp:video-orientation` (passed through)
    pub video_orientation: Option<u8>,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/playout-delay` (written by us, to viewers)
    pub playout_delay: Option<u8>,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time` (passed through)
    pub abs_capture_time: Option<u8>,
    /// `https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension` (passed through)
    pub dependency_descriptor: Option<u8>,
}

/// What a publisher sends.
#[derive(Clone, Debug, Default)]
pub struct PublisherMedia {
    /// At most one audio and one video track, in m-line order.
    pub tracks: Vec<PublisherTrack>,
}

#[derive(Clone, Debug)]
pub struct PublisherTrack {
    pub kind: MediaKind,
    pub mid: Mid,
    /// Every payload type the publisher may send media with, its preferred one first.
    pub codecs: Vec<NegotiatedCodec>,
    pub extensions: ExtensionIds,
    /// Media SSRCs announced by `a=ssrc` (may be empty: then the first packet with a known payload type tells).
    pub ssrcs: Vec<Ssrc>,
    /// (media, retransmission) pairs announced by `a=ssrc-group:FID`.
    pub rtx_ssrcs: Vec<(Ssrc, Ssrc)>,
    /// Simulcast layers in the order offered; empty without simulcast.
    pub rids: Vec<Rid>,
}

/// What a viewer receives.
#[derive(Clone, Debug, Default)]
pub struct ViewerMedia {
    /// At most one audio and one video track, in m-line order. Rejected m-lines are not here.
    pub tracks: Vec<ViewerTrack>,
    pub layers: LayerChoice,
    pub latency: LatencyWish,
}

/// What a viewer would rather have. The player is told by the playout-delay extension, where it was offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LatencyWish {
    /// No delay on a link that loses nothing; elsewhere enough for lost packets to be sent again.
    #[default]
    Auto,
    /// Each picture as soon as it is there, whatever is lost.
    Low,
    /// A delay from the beginning, and more of it.
    Smooth,
}

/// What a viewer asks for besides the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewerWishes {
    pub layers: LayerChoice,
    pub latency: LatencyWish,
    /// The server's address as the viewer knows it, if it knows it by number: one that works.
    pub reached_at: Option<IpAddr>,
}

/// Which of a stream's layers a viewer wants. By default the best one, chosen automatically.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerChoice {
    /// This one, while it is there; otherwise as if none had been named.
    pub rid: Option<Rid>,
    /// The largest picture not higher than this, in pixels; where all are higher, the smallest.
    pub max_height: Option<u16>,
    /// Within the layer, no spatial layer above this one.
    pub max_spatial: Option<u8>,
    /// And no temporal layer above this one.
    pub max_temporal: Option<u8>,
}

#[derive(Clone, Debug)]
pub struct ViewerTrack {
    pub kind: MediaKind,
    pub mid: Mid,
    /// Every payload type we may send, best match for the stream's codec first.
    pub codecs: Vec<NegotiatedCodec>,
    pub extensions: ExtensionIds,
    /// The SSRC we send with, as announced in the answer.
    pub ssrc: Ssrc,
    /// The SSRC of retransmissions, present when any codec has `rtx`.
    pub rtx_ssrc: Option<Ssrc>,
}

/// The codecs a live stream carries, as far as known: what viewers are matched against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCodecs {
    pub video: Option<Codec>,
    pub audio: Option<Codec>,
}
