//! A viewer's session from offer to encrypted media transport, by the family's own peer connection against a server
//! of our own: what a browser on this machine would go through.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use rtc::ice::candidate::CandidateConfig;
use rtc::ice::candidate::candidate_host::CandidateHostConfig;
use rtc::peer_connection::RTCPeerConnectionBuilder;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::RTCIceCandidate;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::sansio::Protocol as _;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout};

/// A session on one machine takes some 20 ms.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to the server at `http` as a viewer from `local`; how long it took.
pub(super) async fn session(http: SocketAddr, local: IpAddr) -> Result<Duration, String> {
    let start = Instant::now();
    match timeout(PATIENCE, connect(http, local)).await {
        Ok(Ok(())) => Ok(start.elapsed()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection within {} s", PATIENCE.as_secs())),
    }
}

async fn connect(http: SocketAddr, local: IpAddr) -> Result<(), Box<dyn Error>> {
    let now = || Instant::now().into_std();
    let mut media = MediaEngine::default();
    media.register_default_codecs()?;
    let mut peer = RTCPeerConnectionBuilder::new()
        .with_media_engine(media)
        .build(now())?;
    let socket = UdpSocket::bind((local, 0)).await?;
    let local = socket.local_addr()?;

    peer.add_transceiver_from_kind(RtpCodecKind::Audio, None)?;
    let candidate = CandidateHostConfig {
        base_config: CandidateConfig {
            network: "udp".into(),
            address: local.ip().to_string(),
            port: local.port(),
            component: 1,
            ..Default::default()
        },
        ..Default::default()
    };
    peer.add_local_candidate(RTCIceCandidate::from(&candidate.new_candidate_host()?).to_json()?)?;
    let offer = peer.create_offer(None)?;
    peer.set_local_description(now(), offer.clone())?;
    // A viewer only receives; the family's default offers both ways.
    let offer = offer.sdp.replace("a=sendrecv", "a=recvonly");
    let response = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .post(format!("http://{http}/whep/doctor"))
        .header("content-type", "application/sdp")
        .body(offer)
        .send()
        .await?;
    let status = response.status();
    let answer = response.text().await?;
    if status != reqwest::StatusCode::CREATED {
        return Err(format!("the offer is answered with {status}: {answer}").into());
    }
    peer.set_remote_description(now(), RTCSessionDescription::answer(answer)?)?;

    let mut buffer = [0; 2048];
    loop {
        while let Some(message) = peer.poll_write() {
            // An address of the other family cannot be reached from this socket; there are others.
            let _ = socket
                .send_to(&message.message, message.transport.peer_addr)
                .await;
        }
        while let Some(event) = peer.poll_event() {
            if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) = event {
                match state {
                    RTCPeerConnectionState::Connected => return Ok(()),
                    RTCPeerConnectionState::Failed => return Err("ICE or DTLS failed".into()),
                    _ => {}
                }
            }
        }
        while peer.poll_read().is_some() {}
        let next = peer
            .poll_timeout()
            .map_or(Instant::now() + PATIENCE, Instant::from_std);
        tokio::select! {
            () = sleep_until(next) => peer.handle_timeout(now())?,
            received = socket.recv_from(&mut buffer) => {
                let (len, peer_addr) = received?;
                let message = BytesMut::from(buffer.get(..len).unwrap_or_default());
                let transport = TransportContext {
                    local_addr: local,
                    peer_addr,
                    ecn: None,
                    transport_protocol: TransportProtocol::UDP,
                };
                peer.handle_read(TaggedBytesMut { now: now(), transport, message })?;
            }
        }
    }
}
