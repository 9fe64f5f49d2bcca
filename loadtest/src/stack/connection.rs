//! A peer connection of the `webrtc` crate, brought to a WHIP or WHEP server.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use rtc::interceptor::{Attribute, Interceptor, Packet, Registry, Slot, StreamInfo, TaggedPacket};
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::sansio::Protocol;
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState,
};

use crate::client::peer::PeerState;
use crate::driver::http;
use crate::driver::socket::local_address;

/// A connection with what it tells about itself.
pub struct Connection {
    pub peer: Arc<dyn PeerConnection>,
    pub states: watch::Receiver<RTCPeerConnectionState>,
    pub tracks: mpsc::UnboundedReceiver<Arc<dyn TrackRemote>>,
    gathered: mpsc::Receiver<()>,
}

impl Connection {
    /// A connection that can reach the host of `url`.
    pub async fn new(url: &str) -> anyhow::Result<Self> {
        let local = local_address(url).map_err(anyhow::Error::msg)?;
        let (gathered_sender, gathered) = mpsc::channel(1);
        let (state_sender, states) = watch::channel(RTCPeerConnectionState::New);
        let (track_sender, tracks) = mpsc::unbounded_channel();
        let handler = Handler {
            gathered: gathered_sender,
            states: state_sender,
            tracks: track_sender,
        };
        let mut engine = MediaEngine::default();
        engine.register_default_codecs()?;
        // The last place, so that everybody else has seen the whole of the feedback before.
        let registry = register_default_interceptors(Registry::new(), &mut engine)?
            .with(Slot::from(14_000), KeyframeRequests::default());
        let runtime = webrtc::runtime::default_runtime()
            .ok_or_else(|| anyhow::anyhow!("the webrtc crate was built without a runtime"))?;
        let peer = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(handler))
            .with_runtime(runtime)
            .with_udp_addrs(vec![std::net::SocketAddr::new(local, 0).to_string()])
            .build()
            .await?;
        Ok(Self {
            peer: Arc::new(peer),
            states,
            tracks,
            gathered,
        })
    }

    /// Offers, and takes the answer; returns the session's URL, or a plain reason.
    pub async fn negotiate(
        &mut self,
        client: &reqwest::Client,
        url: &str,
        token: Option<&str>,
    ) -> Result<Option<String>, String> {
        let ours = |error: webrtc::error::Error| format!("the webrtc crate could not make an offer: {error}");
        let offer = self.peer.create_offer(None).await.map_err(ours)?;
        self.peer.set_local_description(offer).await.map_err(ours)?;
        self.gathered.recv().await;
        let local = self.peer.local_description().await;
        let offer = local.ok_or("the webrtc crate made no offer")?.sdp;
        let accepted = http::post(client, url, token, offer).await?;
        let theirs =
            |error: &dyn std::fmt::Display| format!("the webrtc crate does not take the answer: {error}");
        let answer = RTCSessionDescription::answer(accepted.answer).map_err(|error| theirs(&error))?;
        let taken = self.peer.set_remote_description(answer).await;
        taken.map_err(|error| theirs(&error))?;
        Ok(accepted.session_url)
    }

    /// The crate's state in our words.
    pub fn state(&self) -> PeerState {
        match *self.states.borrow() {
            RTCPeerConnectionState::Connected => PeerState::Connected,
            RTCPeerConnectionState::Closed => PeerState::Closed,
            RTCPeerConnectionState::Failed => PeerState::Failed("the connection failed".to_owned()),
            RTCPeerConnectionState::Disconnected => PeerState::Failed("the connection broke off".to_owned()),
            _ => PeerState::Checking,
        }
    }
}

struct Handler {
    gathered: mpsc::Sender<()>,
    states: watch::Sender<RTCPeerConnectionState>,
    tracks: mpsc::UnboundedSender<Arc<dyn TrackRemote>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.states.send_replace(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let _ = self.tracks.send(track);
    }
}

/// Hands keyframe requests on to the application; everything else about RTCP is for the interceptors before it.
#[derive(Default)]
struct KeyframeRequests {
    incoming: VecDeque<TaggedPacket>,
    outgoing: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for KeyframeRequests {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = Instant;

    fn handle_read(&mut self, mut message: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtcp(packets) = &mut message.message.packet {
            packets.retain(|packet| {
                let packet = packet.as_any();
                packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
            });
            if packets.is_empty() {
                return Ok(());
            }
            message.message.add(Attribute::DeliverToApplication);
        }
        self.incoming.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<Self::Rout> {
        self.incoming.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Self::Error> {
        self.outgoing.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<Self::Wout> {
        self.outgoing.pop_front()
    }
}

impl Interceptor for KeyframeRequests {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
