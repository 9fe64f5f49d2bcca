//! A small WHIP/WHEP server made of the async `webrtc` crate: an independent stack that the clients are checked
//! against. It forwards one stream, one packet at a time, and makes no promise of speed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
};

/// Packets a slow viewer may fall behind before it misses some.
const BACKLOG: usize = 4096;
/// Larger requests are not offers.
const MAX_REQUEST: usize = 128 * 1024;

#[derive(Clone)]
enum Media {
    Packet(RtpCodecKind, Arc<rtc::rtp::Packet>),
    KeyframeWanted,
}

/// The server; it ends with its runtime, and every connection with it.
pub struct ReferenceServer {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl ReferenceServer {
    /// Listens on a free port of the loopback interface.
    pub fn start() -> std::io::Result<Self> {
        Self::start_at(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }

    pub fn start_at(address: SocketAddr) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        runtime.spawn(serve(listener, Arc::new(Stream::new())));
        Ok(Self {
            address,
            _runtime: runtime,
        })
    }

    /// The endpoint of a kind, `whip` or `whep`.
    pub fn url(&self, kind: &str) -> String {
        format!("http://{}/{kind}/live", self.address)
    }
}

struct Stream {
    media: broadcast::Sender<Media>,
    codecs: Mutex<Vec<(RtpCodecKind, RTCRtpCodec)>>,
    connections: Mutex<Vec<Arc<dyn PeerConnection>>>,
}

impl Stream {
    fn new() -> Self {
        Self {
            media: broadcast::channel(BACKLOG).0,
            codecs: Mutex::new(Vec::new()),
            connections: Mutex::new(Vec::new()),
        }
    }
}

async fn serve(listener: TcpListener, stream: Arc<Stream>) {
    while let Ok((connection, _)) = listener.accept().await {
        let stream = stream.clone();
        tokio::spawn(async move {
            let _ = exchange(connection, stream).await;
        });
    }
}

/// One request, one response: as much HTTP as a client of ours needs.
async fn exchange(mut connection: TcpStream, stream: Arc<Stream>) -> std::io::Result<()> {
    let Some((line, offer)) = read_request(&mut connection).await? else {
        return Ok(());
    };
    let response = match line.split(' ').collect::<Vec<_>>()[..] {
        ["POST", path, ..] => match accept(path, offer, &stream).await {
            Ok(answer) => format!(
                "HTTP/1.1 201 Created\r\nLocation: /session/1\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{answer}",
                answer.len()
            ),
            Err(error) => {
                let reason = error.to_string();
                let length = reason.len();
                format!(
                    "HTTP/1.1 422 Unprocessable Content\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{reason}"
                )
            }
        },
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
    };
    connection.write_all(response.as_bytes()).await
}

async fn read_request(connection: &mut TcpStream) -> std::io::Result<Option<(String, String)>> {
    let mut bytes = Vec::new();
    loop {
        if connection.read_buf(&mut bytes).await? == 0 || bytes.len() > MAX_REQUEST {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            let line = head.lines().next().unwrap_or_default().to_owned();
            return Ok(Some((line, body.to_owned())));
        }
    }
}

async fn accept(path: &str, offer: String, stream: &Arc<Stream>) -> anyhow::Result<String> {
    let (gathered, mut complete) = mpsc::channel(1);
    let handler = Handler {
        gathered,
        stream: stream.clone(),
    };
    let mut engine = MediaEngine::default();
    engine.register_default_codecs()?;
    let registry = register_default_interceptors(Registry::new(), &mut engine)?;
    let runtime = webrtc::runtime::default_runtime()
        .ok_or_else(|| anyhow::anyhow!("the webrtc crate was built without a runtime"))?;
    let connection: Arc<dyn PeerConnection> = Arc::new(
        PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(handler))
            .with_runtime(runtime)
            .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
            .build()
            .await?,
    );
    let tracks = if path.starts_with("/whep") {
        outgoing(&connection, stream).await?
    } else {
        Vec::new()
    };
    connection
        .set_remote_description(RTCSessionDescription::offer(offer)?)
        .await?;
    let answer = connection.create_answer(None).await?;
    connection.set_local_description(answer).await?;
    complete.recv().await;
    let local = connection.local_description().await;
    let answer = local.ok_or_else(|| anyhow::anyhow!("no local description"))?;
    if !tracks.is_empty() {
        tokio::spawn(forward(stream.media.subscribe(), tracks));
        let _ = stream.media.send(Media::KeyframeWanted);
    }
    if let Ok(mut connections) = stream.connections.lock() {
        connections.push(connection);
    }
    Ok(answer.sdp)
}

type Outgoing = (RtpCodecKind, u32, Arc<TrackLocalStaticRTP>);

/// A track for each medium the publisher sends.
async fn outgoing(connection: &Arc<dyn PeerConnection>, stream: &Stream) -> anyhow::Result<Vec<Outgoing>> {
    let codecs = stream
        .codecs
        .lock()
        .map(|codecs| codecs.clone())
        .unwrap_or_default();
    anyhow::ensure!(!codecs.is_empty(), "nobody publishes");
    let mut tracks = Vec::new();
    for (kind, codec) in codecs {
        let ssrc = rand::random();
        let coding = RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            ..Default::default()
        };
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: coding,
            codec,
            ..Default::default()
        };
        let name = format!("{kind}");
        let track = MediaStreamTrack::new("live".to_owned(), name.clone(), name, kind, vec![encoding]);
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        connection.add_track(track.clone() as Arc<dyn TrackLocal>).await?;
        tracks.push((kind, ssrc, track));
    }
    Ok(tracks)
}

async fn forward(mut media: broadcast::Receiver<Media>, tracks: Vec<Outgoing>) {
    loop {
        match media.recv().await {
            Ok(Media::Packet(kind, packet)) => {
                for (_, ssrc, track) in tracks.iter().filter(|track| track.0 == kind) {
                    let mut packet = (*packet).clone();
                    packet.header.ssrc = *ssrc;
                    let _ = track.write_rtp(packet).await;
                }
            }
            Ok(Media::KeyframeWanted) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

#[derive(Clone)]
struct Handler {
    gathered: mpsc::Sender<()>,
    stream: Arc<Stream>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let kind = track.kind().await;
        let Some(ssrc) = track.ssrcs().await.first().copied() else {
            return;
        };
        if let (Some(codec), Ok(mut codecs)) = (track.codec(ssrc).await, self.stream.codecs.lock()) {
            codecs.retain(|(known, _)| *known != kind);
            codecs.push((kind, codec));
        }
        let (requests, media) = (self.stream.media.subscribe(), self.stream.media.clone());
        if kind == RtpCodecKind::Video {
            tokio::spawn(request_keyframes(requests, track.clone(), ssrc));
        }
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    let _ = media.send(Media::Packet(kind, Arc::new(packet)));
                }
            }
        });
    }
}

async fn request_keyframes(mut media: broadcast::Receiver<Media>, track: Arc<dyn TrackRemote>, ssrc: u32) {
    loop {
        match media.recv().await {
            Ok(Media::KeyframeWanted) => {
                let request = PictureLossIndication {
                    sender_ssrc: 0,
                    media_ssrc: ssrc,
                };
                let _ = track.write_rtcp(vec![Box::new(request)]).await;
            }
            Ok(Media::Packet(..)) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
