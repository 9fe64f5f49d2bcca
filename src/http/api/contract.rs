//! The JSON of the API, type by type. The doc comments are its description.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use crate::control::{Diagnosis, SessionRole, SessionState, SessionView, StreamView};
use crate::core::media::{Codec, MediaKind};
use crate::core::peer::SrtpProfile;
use crate::core::route::Muted;
use crate::core::statistics::{
    self, LayerName, LayerReport, MediaReport, PublisherReport, SessionReport, ViewerReport,
};

/// An error (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemJson {
    #[schema(example = "about:blank")]
    r#type: String,
    /// The status in words.
    title: String,
    status: u16,
    /// What happened and what to do.
    detail: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    pub version: String,
    pub publish_key_required: bool,
    pub watch_key_required: bool,
    /// Without: operators work on the server's own machine.
    pub admin_key_required: bool,
    /// The UDP port of all media.
    pub media_port: u16,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Streams {
    pub streams: Vec<Stream>,
    /// There are more: ask again with `after` set to this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A stream that is published or waited for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stream {
    name: String,
    publishing: bool,
    viewers: usize,
    video: Option<Track>,
    audio: Option<Track>,
    /// When the publisher connected. RFC 3339, UTC, whole seconds.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// What viewers do not get, although it is published.
    muted: MutedJson,
    /// What comes from the publisher; a second after it connected at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<Publisher>,
    /// What was found wrong with the publisher; also what is over (`active` false).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[schema(as = Muted)]
pub(super) struct MutedJson {
    audio: bool,
    video: bool,
}

impl From<Muted> for MutedJson {
    fn from(muted: Muted) -> Self {
        let Muted { audio, video } = muted;
        Self { audio, video }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Track {
    /// As SDP's rtpmap has it.
    #[schema(example = "H264")]
    codec: &'static str,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Sessions {
    pub sessions: Vec<Session>,
    /// There are more: ask again with `after` set to this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    Publisher,
    Viewer,
}

/// `accepted`: its offer was answered. `connecting`: its first check came. `connected`: ICE and DTLS are up.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SessionState)]
pub(super) enum State {
    Accepted,
    Connecting,
    Connected,
}

/// A publisher or a viewer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Session {
    /// The session's name here. It is not the secret of its URL.
    #[schema(example = "9f86d081884c7d65")]
    id: String,
    role: Role,
    stream: String,
    state: State,
    /// Of a publisher: it is the stream's current one.
    current: bool,
    /// When its POST came. RFC 3339, UTC.
    #[schema(format = DateTime)]
    created_at: String,
    /// The worker that serves it.
    worker: Option<u16>,
    steps: Steps,
    /// Where its media comes from and goes to, as address and port.
    address: Option<String>,
    srtp: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<Publisher>,
    #[serde(skip_serializing_if = "Option::is_none")]
    viewer: Option<Viewer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

/// A join step by step: milliseconds from the POST to each.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Steps {
    /// The first STUN check with the right password.
    first_check_ms: Option<f64>,
    /// DTLS is through.
    connected_ms: Option<f64>,
    /// The first packet of media: from a publisher, to a viewer.
    first_packet_ms: Option<f64>,
    first_keyframe_ms: Option<f64>,
}

/// What comes from a publisher. Totals count from its beginning, rates are of the last second.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Publisher {
    /// bit/s.
    bitrate: u64,
    packets: u64,
    bytes: u64,
    /// Packets that never came.
    lost: u64,
    /// Share of packets lost on the way here, before anything was sent again: 0 to 1.
    loss: f32,
    /// Packets that came as retransmissions.
    retransmitted: u64,
    /// Packets it was asked to send again.
    nacked: u64,
    keyframe_requests: u64,
    /// Whether it sends a keyframe when asked; null until that was tried. OBS and FFmpeg do not.
    answers_keyframe_requests: Option<bool>,
    round_trip_ms: Option<f64>,
    /// Audio, and each of video's layers.
    layers: Vec<Layer>,
}

/// One sequence of packets: audio, video, or one of video's simulcast layers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layer {
    kind: Kind,
    /// What the publisher calls the layer; null without simulcast.
    rid: Option<String>,
    codec: &'static str,
    width: Option<u16>,
    height: Option<u16>,
    bitrate: u64,
    /// Of video: pictures per second. Of audio: packets per second.
    frames_per_second: f32,
    packets: u64,
    bytes: u64,
    lost: u64,
    /// Between the latest two keyframes.
    keyframe_interval_ms: Option<f64>,
    /// Since the latest keyframe.
    keyframe_age_ms: Option<f64>,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Audio,
    Video,
}

/// What goes to a viewer. Totals count from its beginning, rates are of the last second.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Viewer {
    /// bit/s, retransmissions and headers included.
    bitrate: u64,
    packets: u64,
    bytes: u64,
    /// By its receiver reports.
    lost: u64,
    /// Share lost by the latest receiver report, 0 to 1.
    loss: Option<f32>,
    jitter_ms: Option<f64>,
    round_trip_ms: Option<f64>,
    /// Packets it asked for again.
    nacked: u64,
    /// Packets it was sent again.
    retransmitted: u64,
    keyframe_requests: u64,
    /// What its link carries, in bit/s; null while unknown.
    estimate: Option<u64>,
    /// The layer it gets.
    layer: Option<LayerOfViewer>,
    /// The layer it is to get; differs from `layer` until that one's keyframe comes.
    target: Option<LayerOfViewer>,
    /// Its link carries no picture at all at the moment: sound alone is sent.
    video_paused: bool,
    /// How old its picture is when its player may show it; null until it plays and a round trip is known. The time to
    /// decode and show it comes on top.
    latency: Option<Latency>,
}

/// How old a viewer's picture is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Latency {
    ms: f64,
    kind: LatencyKind,
}

/// `exact`: from capture on, by the publisher's capture times and reported round trips. `estimate`: from arrival at the
/// server on, for the publisher tells no capture times.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LatencyKind {
    Exact,
    Estimate,
}

#[derive(Serialize, ToSchema)]
pub(super) struct LayerOfViewer {
    rid: Option<String>,
    width: Option<u16>,
    height: Option<u16>,
}

/// What was found wrong with a publisher.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Finding {
    /// Stable; one of `b-frames`, `keyframe-interval`, `missing-parameter-sets`, `unplayable-profile`, `no-audio`,
    /// `mono-audio`, `narrow-audio`, `uplink-loss`, `bitrate-swings`, `missing-layer`, `clock-jump`.
    #[schema(example = "keyframe-interval")]
    code: &'static str,
    severity: Severity,
    /// The layer it is about; null: all, or there is but one.
    layer: Option<String>,
    /// What was seen and what to do about it, for the one who publishes.
    #[schema(
        example = "A keyframe comes only every 8.3 s. In OBS set Settings → Output → Keyframe Interval to 2 s."
    )]
    advice: String,
    #[schema(format = DateTime)]
    first_seen: String,
    #[schema(format = DateTime)]
    last_seen: String,
    /// It is so now; false: it was.
    active: bool,
}

/// `error`: browsers do not play it, or badly. `warning`: some viewers suffer. `info`: worth knowing.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Info,
    Warning,
    Error,
}

impl Stream {
    pub fn new(view: &StreamView) -> Self {
        let info = &view.info;
        let track = |codec: Codec| Track { codec: codec.name() };
        let whole = |at| {
            OffsetDateTime::from(at)
                .replace_nanosecond(0)
                .ok()?
                .format(&Rfc3339)
                .ok()
        };
        let publisher = view.publisher.as_ref();
        Self {
            name: info.name.to_string(),
            publishing: info.publishing,
            viewers: info.viewers,
            video: info.codecs.video.map(track),
            audio: info.codecs.audio.map(track),
            since: info.since.and_then(whole),
            muted: info.muted.into(),
            publisher: publisher.and_then(|view| publisher_of(view)).map(Publisher::new),
            findings: publisher.map_or(Vec::new(), findings),
        }
    }
}

impl Session {
    pub fn new(view: &SessionView) -> Self {
        let report = view.report.as_ref();
        let viewer = match report {
            Some(SessionReport {
                media: MediaReport::Viewer(viewer),
                ..
            }) => Some(Viewer::new(viewer)),
            _ => None,
        };
        Self {
            id: view.id.public(),
            role: view.role.into(),
            stream: view.stream.to_string(),
            state: view.state.into(),
            current: view.publishes,
            created_at: rfc3339(view.created),
            worker: view.worker.map(|worker| worker.0),
            steps: Steps {
                first_check_ms: view.steps.first_check.map(ms),
                connected_ms: view.steps.connected.map(ms),
                first_packet_ms: view.steps.first_packet.map(ms),
                first_keyframe_ms: view.steps.first_keyframe.map(ms),
            },
            address: report
                .and_then(|report| report.remote)
                .map(|remote| remote.to_string()),
            srtp: report
                .and_then(|report| report.srtp)
                .map(|profile| match profile {
                    SrtpProfile::AeadAes128Gcm => "AEAD_AES_128_GCM",
                    SrtpProfile::Aes128CmHmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
                }),
            publisher: publisher_of(view).map(Publisher::new),
            viewer,
            findings: findings(view),
        }
    }
}

impl Publisher {
    fn new(report: &PublisherReport) -> Self {
        Self {
            bitrate: report.bitrate.0,
            packets: report.packets,
            bytes: report.bytes,
            lost: report.lost,
            loss: report.loss,
            retransmitted: report.retransmitted,
            nacked: report.nacked,
            keyframe_requests: report.keyframe_requests,
            answers_keyframe_requests: report.answers_pli,
            round_trip_ms: report.rtt.map(ms),
            layers: report.layers.iter().map(Layer::new).collect(),
        }
    }
}

impl Layer {
    fn new(report: &LayerReport) -> Self {
        Self {
            kind: match report.kind {
                MediaKind::Audio => Kind::Audio,
                MediaKind::Video => Kind::Video,
            },
            rid: report.rid.as_ref().map(|rid| rid.as_str().to_owned()),
            codec: report.codec.name(),
            width: report.size.map(|(width, _)| width),
            height: report.size.map(|(_, height)| height),
            bitrate: report.bitrate.0,
            frames_per_second: report.rate,
            packets: report.packets,
            bytes: report.bytes,
            lost: report.lost,
            keyframe_interval_ms: report.keyframe_interval.map(ms),
            keyframe_age_ms: report.keyframe_age.map(ms),
        }
    }
}

impl Viewer {
    fn new(report: &ViewerReport) -> Self {
        Self {
            bitrate: report.bitrate.0,
            packets: report.packets,
            bytes: report.bytes,
            lost: report.lost,
            loss: report.loss,
            jitter_ms: report.jitter.map(ms),
            round_trip_ms: report.rtt.map(ms),
            nacked: report.nacked,
            retransmitted: report.retransmitted,
            keyframe_requests: report.keyframe_requests,
            estimate: report.estimate.map(|estimate| estimate.0),
            layer: report.layer.as_ref().map(LayerOfViewer::new),
            target: report.target.as_ref().map(LayerOfViewer::new),
            video_paused: report.video_paused,
            latency: report.latency.as_ref().map(Latency::new),
        }
    }
}

impl Latency {
    fn new(latency: &statistics::Latency) -> Self {
        Self {
            ms: ms(latency.delay),
            kind: match latency.exact {
                true => LatencyKind::Exact,
                false => LatencyKind::Estimate,
            },
        }
    }
}

impl LayerOfViewer {
    fn new(name: &LayerName) -> Self {
        Self {
            rid: name.rid.as_ref().map(|rid| rid.as_str().to_owned()),
            width: name.size.map(|(width, _)| width),
            height: name.size.map(|(_, height)| height),
        }
    }
}

impl Finding {
    pub fn new(finding: &Diagnosis) -> Self {
        Self {
            code: finding.code.name(),
            severity: match finding.code.severity() {
                statistics::Severity::Info => Severity::Info,
                statistics::Severity::Warning => Severity::Warning,
                statistics::Severity::Error => Severity::Error,
            },
            layer: finding.layer.clone(),
            advice: finding.advice.clone(),
            first_seen: rfc3339(finding.first_seen),
            last_seen: rfc3339(finding.last_seen),
            active: finding.active,
        }
    }
}

impl From<SessionRole> for Role {
    fn from(role: SessionRole) -> Self {
        match role {
            SessionRole::Publisher => Self::Publisher,
            SessionRole::Viewer => Self::Viewer,
        }
    }
}

impl From<Role> for SessionRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Publisher => Self::Publisher,
            Role::Viewer => Self::Viewer,
        }
    }
}

impl From<SessionState> for State {
    fn from(state: SessionState) -> Self {
        match state {
            SessionState::Accepted => Self::Accepted,
            SessionState::Connecting => Self::Connecting,
            SessionState::Connected => Self::Connected,
        }
    }
}

impl From<State> for SessionState {
    fn from(state: State) -> Self {
        match state {
            State::Accepted => Self::Accepted,
            State::Connecting => Self::Connecting,
            State::Connected => Self::Connected,
        }
    }
}

fn publisher_of(view: &SessionView) -> Option<&PublisherReport> {
    match &view.report.as_ref()?.media {
        MediaReport::Publisher(report) => Some(report),
        _ => None,
    }
}

fn findings(view: &SessionView) -> Vec<Finding> {
    view.diagnoses().iter().map(Finding::new).collect()
}

/// To a tenth of a millisecond.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// To the millisecond.
pub(super) fn rfc3339(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    let at = at.replace_millisecond(at.millisecond()).unwrap_or(at);
    at.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::StreamInfo;
    use crate::core::media::StreamCodecs;

    #[test]
    fn a_stream_reads_as_documented() {
        let info = StreamInfo {
            name: "live".parse().unwrap(),
            publishing: true,
            viewers: 3,
            codecs: StreamCodecs {
                video: Some(Codec::Vp8),
                audio: None,
            },
            since: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_785_000_000_900)),
            muted: Muted::default(),
        };
        let view = StreamView {
            info,
            publisher: None,
        };
        let json = serde_json::to_value(Stream::new(&view)).unwrap();
        let expected = serde_json::json!({
            "name": "live", "publishing": true, "viewers": 3,
            "video": {"codec": "VP8"}, "audio": null, "since": "2026-07-25T17:20:00Z",
            "muted": {"audio": false, "video": false},
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn times_are_to_the_millisecond() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_785_000_000_900_700);
        assert_eq!(rfc3339(at), "2026-07-25T17:20:00.9Z");
        assert_eq!(ms(Duration::from_micros(12_345)), 12.3);
    }
}
