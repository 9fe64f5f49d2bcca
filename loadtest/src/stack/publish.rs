//! Publishers made of the `webrtc` crate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};

use super::connection::Connection;
use super::crowd::{Crowd, empty_snapshot, update};
use crate::client::offer::VideoCodec;
use crate::client::peer::PeerState;
use crate::client::publisher::{PublisherMedia, PublisherStats};
use crate::driver::plan::Snapshot;
use crate::driver::{clock, http};
use crate::source::VideoSource;
use crate::source::synthetic::{self, Frame, MAX_PAYLOAD};

const VIDEO_RATE: f64 = 90_000.0;
const AUDIO_RATE: f64 = 48_000.0;
const AUDIO_TICKS: u32 = 960;

/// Publishers on a runtime of their own.
pub struct Publishers {
    stats: Vec<Arc<Mutex<PublisherStats>>>,
    _crowd: Crowd,
}

impl Publishers {
    pub fn start(urls: Vec<String>, token: Option<String>, media: PublisherMedia) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !media.simulcast && !media.obs_like && media.loss == 0.0,
            "publishers of the webrtc crate send one layer, without loss, and heed keyframe requests"
        );
        let mut crowd = Crowd::new()?;
        let mut stats = Vec::new();
        for (url, id) in urls.into_iter().zip(0u32..) {
            let own = Arc::new(Mutex::new(PublisherStats::new(url.clone())));
            stats.push(own.clone());
            let (http, token, media, mut stop) =
                (crowd.http.clone(), token.clone(), media.clone(), crowd.stop());
            crowd.add(async move {
                let publisher = Publisher {
                    id,
                    media,
                    stats: own.clone(),
                    keyframe_requests: Arc::default(),
                };
                let ended = publisher.run(&http, &url, token.as_deref(), stop.told()).await;
                update(&own, |stats| {
                    stats.state = match ended {
                        Ok(()) => PeerState::Closed,
                        Err(reason) => PeerState::Failed(reason),
                    }
                });
            });
        }
        Ok(Self { stats, _crowd: crowd })
    }

    /// As the load test's own publishers give it.
    pub fn snapshot(&self) -> Snapshot {
        let stats = self.stats.iter();
        Snapshot {
            publishers: stats.map(|stats| update(stats, |stats| stats.clone())).collect(),
            ..empty_snapshot()
        }
    }
}

struct Publisher {
    id: u32,
    media: PublisherMedia,
    stats: Arc<Mutex<PublisherStats>>,
    keyframe_requests: Arc<AtomicU64>,
}

/// A track that was offered.
struct Outgoing {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    pt: u8,
    seq: u16,
    base: u32,
}

impl Publisher {
    /// Publishes until `stop` is over.
    async fn run(
        &self,
        client: &reqwest::Client,
        url: &str,
        token: Option<&str>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let posted = clock::now().instant;
        let since = || {
            Some(
                clock::now()
                    .instant
                    .saturating_duration_since(posted)
                    .as_secs_f64()
                    * 1e3,
            )
        };
        let ours = |error: &dyn std::fmt::Display| format!("the webrtc crate fails: {error}");
        let mut connection = Connection::new(url).await.map_err(|error| ours(&error))?;
        let mut offered = Vec::new();
        if let Some(source) = &self.media.video {
            offered.push((RtpCodecKind::Video, video_codec(source.codec())));
        }
        if self.media.audio {
            offered.push((RtpCodecKind::Audio, audio_codec()));
        }
        let mut tracks = Vec::new();
        for (kind, codec) in offered {
            let (track, ssrc) = self.track(kind, codec.clone());
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Sendonly,
                streams: Vec::new(),
                send_encodings: Vec::new(),
            };
            let local: Arc<dyn TrackLocal> = track.clone();
            let transceiver = connection
                .peer
                .add_transceiver_from_track(local, Some(init))
                .await;
            let transceiver = transceiver.map_err(|error| ours(&error))?;
            tracks.push((kind, codec, track, ssrc, transceiver));
        }
        let session_url = connection.negotiate(client, url, token).await?;
        update(&self.stats, |stats| {
            stats.answered_ms = since();
            stats.state = PeerState::Checking;
        });
        let (mut video, mut audio) = (None, None);
        for (kind, codec, track, ssrc, transceiver) in tracks {
            let sender = transceiver.sender().await.map_err(|error| ours(&error))?;
            let Some(sender) = sender else { continue };
            let parameters = sender.get_parameters().await.map_err(|error| ours(&error))?;
            let accepted = parameters.rtp_parameters.codecs.iter();
            let mut accepted =
                accepted.filter(|known| known.rtp_codec.mime_type.eq_ignore_ascii_case(&codec.mime_type));
            let Some(accepted) = accepted.next() else { continue };
            let outgoing = Outgoing {
                track,
                ssrc,
                pt: accepted.payload_type,
                seq: rand::random::<u16>() >> 1,
                base: rand::random(),
            };
            match kind {
                RtpCodecKind::Video => video = Some(outgoing),
                _ => audio = Some(outgoing),
            }
        }
        if video.is_none() && audio.is_none() {
            return Err("the answer accepts none of the codecs we send".to_owned());
        }
        if let Some(video) = &video {
            tokio::spawn(hear(video.track.clone(), self.keyframe_requests.clone()));
        }
        tokio::pin!(stop);
        let result = tokio::select! {
            () = &mut stop => Ok(()),
            result = self.send(&mut connection, video, audio, since) => result,
        };
        let _ = connection.peer.close().await;
        if let Some(url) = session_url {
            http::delete(client, &url, token).await;
        }
        result
    }

    fn track(&self, kind: RtpCodecKind, codec: RTCRtpCodec) -> (Arc<TrackLocalStaticRTP>, u32) {
        let ssrc = rand::random();
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(ssrc),
                ..Default::default()
            },
            codec,
            ..Default::default()
        };
        let name = format!("{kind}");
        let stream = format!("stream{}", self.id);
        let track = MediaStreamTrack::new(stream, name.clone(), name, kind, vec![encoding]);
        (Arc::new(TrackLocalStaticRTP::new(track)), ssrc)
    }

    /// Waits for the connection and then sends; returns only when it is lost.
    async fn send(
        &self,
        connection: &mut Connection,
        mut video: Option<Outgoing>,
        mut audio: Option<Outgoing>,
        since: impl Fn() -> Option<f64>,
    ) -> Result<(), String> {
        while connection.state() != PeerState::Connected {
            if let PeerState::Failed(reason) = connection.state() {
                return Err(reason);
            }
            let changed = connection.states.changed().await;
            changed.map_err(|_| "the connection is gone".to_owned())?;
        }
        update(&self.stats, |stats| {
            stats.connected_ms = since();
            stats.state = PeerState::Connected;
            stats.layers = usize::from(video.is_some());
        });
        let start = clock::now().instant;
        let (mut frame, mut until_keyframe, mut heeded) = (0u64, 0u64, 0u64);
        let (mut packet, mut ticks) = (0u64, 0u32);
        let mut payloader = match &self.media.video {
            Some(VideoSource::File(file)) => Some(file.payloader()),
            _ => None,
        };
        let mut video_due = video.as_ref().map(|_| start);
        let mut audio_due = audio.as_ref().map(|_| start);
        loop {
            let Some(due) = [video_due, audio_due].into_iter().flatten().min() else {
                return Err("there is nothing left to send".to_owned());
            };
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                changed = connection.states.changed() => {
                    match connection.state() {
                        PeerState::Failed(reason) => return Err(reason),
                        PeerState::Closed => return Err("the server closed the connection".to_owned()),
                        _ if changed.is_err() => return Err("the connection is gone".to_owned()),
                        _ => continue,
                    }
                }
            }
            let now = clock::now();
            if let (Some(out), Some(due)) = (&mut video, video_due.filter(|due| *due <= now.instant)) {
                let elapsed = due.saturating_duration_since(start).as_secs_f64();
                let mut payloads: Vec<Bytes> = Vec::new();
                let (keyframe, shown) = match &self.media.video {
                    Some(VideoSource::Synthetic(plan)) => {
                        let requests = self.keyframe_requests.load(Ordering::Relaxed);
                        let keyframe = until_keyframe == 0 || requests > heeded;
                        if keyframe {
                            (until_keyframe, heeded) = (plan.frames_per_keyframe(), requests);
                        }
                        let since_keyframe = plan.frames_per_keyframe().saturating_sub(until_keyframe) as u32;
                        until_keyframe -= 1;
                        let (key_size, delta_size) = plan.frame_sizes();
                        let picture = Frame {
                            stream: self.id,
                            layer: 2,
                            number: frame as u32,
                            keyframe,
                            since_keyframe,
                            captured: now.wall,
                            size: if keyframe { key_size } else { delta_size },
                        };
                        synthetic::packetise(plan.codec, &picture, |payload, _| {
                            payloads.push(Bytes::copy_from_slice(payload));
                        });
                        video_due = Some(due + Duration::from_secs_f64(1.0 / plan.fps));
                        (keyframe, elapsed)
                    }
                    Some(VideoSource::File(file)) => {
                        let found = file.frame(frame).zip(payloader.as_mut());
                        let Some(((_, picture), payloader)) = found else {
                            return Err("the file has no frames".to_owned());
                        };
                        payloads = payloader.payload(MAX_PAYLOAD, &picture.data).unwrap_or_default();
                        let next = file.frame(frame + 1).and_then(|(at, _)| start.checked_add(at));
                        video_due = next;
                        let shown = file.round(frame).saturating_add(picture.shown);
                        (picture.keyframe, shown.as_secs_f64())
                    }
                    None => (false, elapsed),
                };
                frame += 1;
                let last = payloads.len().saturating_sub(1);
                let timestamp = (shown * VIDEO_RATE) as u64 as u32;
                for (index, payload) in payloads.into_iter().enumerate() {
                    self.write(out, timestamp, index == last, payload).await?;
                }
                let requests = self.keyframe_requests.load(Ordering::Relaxed);
                update(&self.stats, |stats| {
                    stats.frames += 1;
                    stats.keyframes += u64::from(keyframe);
                    stats.keyframe_requests = requests;
                });
            }
            if let (Some(out), Some(due)) = (&mut audio, audio_due.filter(|due| *due <= now.instant)) {
                let file = self.media.audio_file.as_ref().and_then(|file| {
                    let index = packet % file.packets.len().max(1) as u64;
                    file.packets.get(index as usize)
                });
                let (length, payload) = match file {
                    Some((length, payload)) => (*length, payload.clone()),
                    None => {
                        let mut payload = Vec::new();
                        synthetic::audio_payload(&mut payload, self.id, packet as u32, now.wall);
                        (AUDIO_TICKS, payload.into())
                    }
                };
                self.write(out, ticks, false, payload).await?;
                packet += 1;
                ticks = ticks.wrapping_add(length);
                audio_due = Some(due + Duration::from_secs_f64(f64::from(length) / AUDIO_RATE));
            }
        }
    }

    async fn write(
        &self,
        out: &mut Outgoing,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
    ) -> Result<(), String> {
        let bytes = payload.len() as u64 + 12;
        let packet = rtc::rtp::Packet {
            header: rtc::rtp::Header {
                version: 2,
                marker,
                payload_type: out.pt,
                sequence_number: out.seq,
                timestamp: out.base.wrapping_add(timestamp),
                ssrc: out.ssrc,
                ..Default::default()
            },
            payload,
        };
        out.seq = out.seq.wrapping_add(1);
        let written = out.track.write_rtp(packet).await;
        written.map_err(|error| format!("the webrtc crate does not send: {error}"))?;
        update(&self.stats, |stats| {
            stats.packets += 1;
            stats.bytes += bytes;
        });
        Ok(())
    }
}

/// Counts keyframe requests until the track ends.
async fn hear(track: Arc<TrackLocalStaticRTP>, requests: Arc<AtomicU64>) {
    while let Some(event) = track.poll().await {
        if let TrackLocalEvent::OnRtcpPacket(packets) = event {
            requests.fetch_add(packets.len() as u64, Ordering::Relaxed);
        }
    }
}

fn video_codec(codec: VideoCodec) -> RTCRtpCodec {
    let parameters = match codec {
        VideoCodec::H264 => "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        VideoCodec::Vp9 => "profile-id=0",
        VideoCodec::Vp8 | VideoCodec::Av1 | VideoCodec::H265 => "",
    };
    RTCRtpCodec {
        mime_type: format!("video/{}", codec.name()),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: parameters.to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

fn audio_codec() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "audio/opus".to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".to_owned(),
        rtcp_feedback: Vec::new(),
    }
}
