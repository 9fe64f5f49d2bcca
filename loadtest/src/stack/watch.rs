//! Viewers made of the `webrtc` crate.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use super::connection::Connection;
use super::crowd::{Crowd, empty_snapshot, update};
use crate::client::behaviour::Kind;
use crate::client::keyframe;
use crate::client::offer::{Feedback, VideoCodec};
use crate::client::peer::PeerState;
use crate::client::rtp::Unwrapper;
use crate::client::track::{Arrival, Piece, Track};
use crate::client::viewer::{Now, ViewerStats, new_histogram};
use crate::driver::plan::Snapshot;
use crate::driver::{ViewerConfig, clock, http};
use crate::source::stamp::Stamp;

/// Between two requests for a keyframe.
const PLI_INTERVAL: Duration = Duration::from_millis(500);

/// Viewers on a runtime of their own.
pub struct Viewers {
    seen: Vec<Arc<Mutex<Seen>>>,
    _crowd: Crowd,
}

/// What one viewer has seen.
struct Seen {
    /// None before it came.
    posted: Option<Instant>,
    answered: Option<Instant>,
    connected: Option<Now>,
    first_packet: Option<Instant>,
    first_keyframe: Option<Instant>,
    ended: Option<Instant>,
    state: PeerState,
    stream: String,
    video: Track,
    audio: Track,
    plis: u64,
    latency: Histogram<u64>,
}

impl Viewers {
    pub fn start(config: ViewerConfig) -> anyhow::Result<Self> {
        for arrival in &config.arrivals {
            anyhow::ensure!(
                arrival.link.is_none() && arrival.behaviour == Default::default(),
                "viewers of the webrtc crate are neither slow, lossy nor stalled, and on no limited line"
            );
        }
        let mut crowd = Crowd::new()?;
        let mut seen = Vec::new();
        for arrival in config.arrivals {
            let viewer = Arc::new(Mutex::new(Seen::new(arrival.url.clone())));
            seen.push(viewer.clone());
            let (http, token, media) = (crowd.http.clone(), config.token.clone(), config.media.clone());
            let mut stop = crowd.stop();
            crowd.add(async move {
                tokio::time::sleep(arrival.at).await;
                if stop.is_told() {
                    return;
                }
                let stay = async {
                    match arrival.stay {
                        Some(stay) => tokio::time::sleep(stay).await,
                        None => std::future::pending().await,
                    }
                };
                let leave = async {
                    tokio::select! { () = stay => {}, () = stop.told() => {} }
                };
                let kinds = [
                    (!media.video.is_empty(), RtpCodecKind::Video),
                    (media.audio, RtpCodecKind::Audio),
                ];
                let kinds = kinds
                    .into_iter()
                    .filter(|(wanted, _)| *wanted)
                    .map(|(_, kind)| kind);
                let (url, token) = (&arrival.url, token.as_deref());
                watch(&viewer, &http, url, token, kinds.collect(), leave).await;
            });
        }
        Ok(Self { seen, _crowd: crowd })
    }

    /// As the load test's own viewers give it.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = empty_snapshot();
        for seen in &self.seen {
            update(seen, |seen| {
                if seen.posted.is_some() {
                    snapshot.viewers.push(seen.stats(snapshot.at));
                    let _ = snapshot.latency.add(&seen.latency);
                }
            });
        }
        snapshot.own.datagrams = snapshot.viewers.iter().map(ViewerStats::packets).sum();
        snapshot
    }
}

/// Watches until `leave` is over, or the connection is.
async fn watch(
    seen: &Arc<Mutex<Seen>>,
    client: &reqwest::Client,
    url: &str,
    token: Option<&str>,
    kinds: Vec<RtpCodecKind>,
    leave: impl Future<Output = ()>,
) {
    update(seen, |seen| seen.posted = Some(clock::now().instant));
    let opened = open(seen, client, url, token, kinds).await;
    let (mut connection, session_url) = match opened {
        Ok(opened) => opened,
        Err(reason) => return update(seen, |seen| seen.state = PeerState::Failed(reason)),
    };
    tokio::pin!(leave);
    loop {
        tokio::select! {
            () = &mut leave => break,
            changed = connection.states.changed() => {
                let state = connection.state();
                update(seen, |seen| {
                    if state == PeerState::Connected && seen.connected.is_none() {
                        seen.connected = Some(clock::now());
                    }
                    seen.state = state.clone();
                });
                if changed.is_err() || matches!(state, PeerState::Failed(_) | PeerState::Closed) {
                    break;
                }
            }
            Some(track) = connection.tracks.recv() => {
                tokio::spawn(follow(seen.clone(), track));
            }
        }
    }
    let _ = connection.peer.close().await;
    update(seen, |seen| {
        seen.ended = Some(clock::now().instant);
        if !matches!(seen.state, PeerState::Failed(_)) {
            seen.state = PeerState::Closed;
        }
    });
    if let Some(url) = session_url {
        http::delete(client, &url, token).await;
    }
}

async fn open(
    seen: &Mutex<Seen>,
    client: &reqwest::Client,
    url: &str,
    token: Option<&str>,
    kinds: Vec<RtpCodecKind>,
) -> Result<(Connection, Option<String>), String> {
    let mut connection = Connection::new(url).await.map_err(|error| error.to_string())?;
    for kind in kinds {
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            streams: Vec::new(),
            send_encodings: Vec::new(),
        };
        let added = connection.peer.add_transceiver_from_kind(kind, Some(init)).await;
        added.map_err(|error| format!("the webrtc crate offers no {kind}: {error}"))?;
    }
    let session_url = connection.negotiate(client, url, token).await?;
    update(seen, |seen| seen.answered = Some(clock::now().instant));
    Ok((connection, session_url))
}

/// Counts what comes on a track until it ends.
async fn follow(seen: Arc<Mutex<Seen>>, track: Arc<dyn TrackRemote>) {
    let video = track.kind().await == RtpCodecKind::Video;
    let mut numbers: Option<(u32, Unwrapper, Option<VideoCodec>)> = None;
    let mut pli_due: Option<Instant> = None;
    while let Some(event) = track.poll().await {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else {
            continue;
        };
        let now = clock::now();
        let ssrc = packet.header.ssrc;
        if numbers.as_ref().is_none_or(|(known, ..)| *known != ssrc) {
            let codec = track.codec(ssrc).await;
            let codec = codec.and_then(|codec| VideoCodec::from_name(codec.mime_type.rsplit('/').next()?));
            numbers = Some((ssrc, Unwrapper::default(), codec));
        }
        let Some((_, unwrapper, codec)) = &mut numbers else {
            continue;
        };
        let number = unwrapper.unwrap(packet.header.sequence_number);
        unwrapper.accept(number);
        let stuck = update(&seen, |seen| seen.count(now, video, *codec, number, &packet));
        if stuck && pli_due.is_none_or(|due| now.instant >= due) {
            pli_due = Some(now.instant + PLI_INTERVAL);
            update(&seen, |seen| seen.plis += 1);
            let request = PictureLossIndication {
                sender_ssrc: 0,
                media_ssrc: ssrc,
            };
            let _ = track.write_rtcp(vec![Box::new(request)]).await;
        }
    }
}

impl Seen {
    fn new(stream: String) -> Self {
        Self {
            posted: None,
            answered: None,
            connected: None,
            first_packet: None,
            first_keyframe: None,
            ended: None,
            state: PeerState::Offered,
            stream,
            video: Track::new(true),
            audio: Track::new(false),
            plis: 0,
            latency: new_histogram(3),
        }
    }

    /// True when a keyframe is needed.
    fn count(
        &mut self,
        now: Now,
        video: bool,
        codec: Option<VideoCodec>,
        number: u64,
        packet: &rtc::rtp::Packet,
    ) -> bool {
        let payload = &packet.payload;
        let hint = codec.map_or_else(Default::default, |codec| keyframe::inspect(codec, payload));
        let piece = match payload.is_empty() {
            true => Piece::default(),
            false => Piece {
                timestamp: packet.header.timestamp,
                marker: packet.header.marker,
                start: hint.start,
                key: hint.key,
            },
        };
        let track = if video { &mut self.video } else { &mut self.audio };
        self.first_packet.get_or_insert(now.instant);
        let arrival = track.handle(now.instant, number, payload.len() + 12, piece);
        track.due_requests(now.instant, &mut Vec::new());
        if self.first_keyframe.is_none() && self.video.stats.frames.keyframes > 0 {
            self.first_keyframe = Some(now.instant);
        }
        let connected = self.connected.map_or(u64::MAX, |connected| connected.wall);
        if let Some(stamp) = Stamp::find(payload).filter(|stamp| stamp.captured >= connected)
            && arrival == Arrival::New
        {
            self.latency
                .saturating_record(now.wall.saturating_sub(stamp.captured));
        }
        video && !self.video.is_decodable()
    }

    fn stats(&mut self, now: Instant) -> ViewerStats {
        self.video.due_requests(now, &mut Vec::new());
        self.audio.due_requests(now, &mut Vec::new());
        let since = |at: Option<Instant>| {
            let posted = self.posted?;
            Some(at?.saturating_duration_since(posted).as_secs_f64() * 1e3)
        };
        let percentile =
            |share: f64| (!self.latency.is_empty()).then(|| self.latency.value_at_quantile(share));
        ViewerStats {
            stream: self.stream.clone(),
            kind: Kind::Well,
            state: self.state.clone(),
            srtp: None,
            lived_ms: since(Some(self.ended.unwrap_or(now))).unwrap_or_default(),
            answered_ms: since(self.answered),
            connected_ms: since(self.connected.map(|now| now.instant)),
            first_packet_ms: since(self.first_packet),
            first_keyframe_ms: since(self.first_keyframe),
            video: match self.ended {
                Some(_) => self.video.stats,
                None => self.video.stats_at(now),
            },
            audio: self.audio.stats,
            rtx_packets: 0,
            unauthentic: 0,
            dropped_on_purpose: 0,
            early: 0,
            nacks: 0,
            nacked: 0,
            plis: self.plis,
            latency_p50: percentile(0.5),
            latency_p99: percentile(0.99),
            round_trip_ms: None,
            feedback: Feedback::TransportCc,
            feedback_sent: 0,
            layers: Vec::new(),
            layer_switches: 0,
            link: None,
        }
    }
}
