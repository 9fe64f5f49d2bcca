//! What workers and the control plane say to each other.

use std::sync::Arc;

use super::clock::ClockPoint;
use super::keyframe::Keyframe;
use super::packet::MediaPacket;
use crate::core::ids::{Rid, SessionId, StreamName, WorkerId};
use crate::core::machine::Path;
use crate::core::media::{IceCredentials, LayerChoice, MediaKind, StreamCodecs};
use crate::core::statistics::{LayerName, WorkerReport};

/// Where a stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub publisher: SessionId,
    pub worker: WorkerId,
}

/// To a worker, from the control plane or another worker.
#[derive(Debug)]
pub enum Message {
    /// A datagram that arrived at another worker and belongs to a session of this one.
    Datagram {
        path: Path,
        data: Vec<u8>,
    },
    /// The control plane wants a session gone.
    End {
        session: SessionId,
        reason: EndReason,
    },
    /// New ICE credentials on both sides; the old ones serve until the new ones are used.
    RestartIce {
        session: SessionId,
        local: IceCredentials,
        remote: IceCredentials,
    },
    /// A viewer wants another layer.
    ChooseLayer {
        session: SessionId,
        choice: LayerChoice,
    },
    /// What of a publisher's is not to be forwarded from now on.
    Mute {
        session: SessionId,
        muted: Muted,
    },
    /// The control plane wants a stream's latest keyframe; answered by a [`Notice::Keyframe`] of the same number.
    ReadKeyframe {
        stream: StreamName,
        request: u64,
    },
    /// Who publishes a stream from now on.
    SourceChanged {
        stream: StreamName,
        source: Option<Source>,
    },
    /// Another worker has viewers of a stream that is published here.
    Subscribe {
        stream: StreamName,
        publisher: SessionId,
        worker: WorkerId,
    },
    Unsubscribe {
        stream: StreamName,
        worker: WorkerId,
    },
    /// Packets of a subscribed stream, in the order they are to be forwarded. The first batch after a subscription
    /// is `stored`: what the buffers hold, for viewers to start from, not to be forwarded.
    Media {
        stream: StreamName,
        publisher: SessionId,
        packets: Vec<RoutedPacket>,
        stored: bool,
    },
    /// A sender report of a subscribed stream's publisher.
    Clock {
        stream: StreamName,
        publisher: SessionId,
        kind: MediaKind,
        layer: u8,
        point: ClockPoint,
    },
    /// What was learned about a subscribed stream's publisher.
    AnswersPli {
        stream: StreamName,
        publisher: SessionId,
        answers: bool,
    },
    /// Viewers elsewhere need a keyframe, of one layer or of any.
    RequestKeyframe {
        stream: StreamName,
        publisher: SessionId,
        layer: Option<u8>,
    },
    /// End every session, say goodbye, accept nothing more.
    Shutdown,
}

/// What viewers do not get although it is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Muted {
    pub audio: bool,
    pub video: bool,
}

impl Muted {
    pub fn is(self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
        }
    }
}

#[derive(Clone, Debug)]
pub struct RoutedPacket {
    pub kind: MediaKind,
    pub layer: u8,
    /// Changes whenever the layer's sequence starts over.
    pub epoch: u32,
    /// What the publisher calls the layer; `None` without simulcast.
    pub rid: Option<Rid>,
    /// Width and height of the layer's picture, as far as known.
    pub size: Option<(u16, u16)>,
    pub packet: MediaPacket,
}

/// From a worker to the control plane.
#[derive(Debug)]
pub enum Notice {
    /// A session's first valid check arrived: this worker has it from now on.
    Claimed {
        session: SessionId,
    },
    /// ICE and DTLS are up.
    Connected {
        session: SessionId,
    },
    /// The publisher's media says which codecs it really uses.
    Codecs {
        session: SessionId,
        codecs: StreamCodecs,
    },
    Ended {
        session: SessionId,
        reason: EndReason,
    },
    /// The answer to a [`Message::ReadKeyframe`]: `None` while no whole one is kept.
    Keyframe {
        request: u64,
        keyframe: Option<Keyframe>,
    },
    /// A viewer gets another layer, or no picture any more, or one again.
    Viewing {
        session: SessionId,
        /// `None`: none so far.
        layer: Option<LayerName>,
        video_paused: bool,
    },
    /// Once a second while there are sessions: all of this worker's.
    Report(Arc<WorkerReport>),
}

/// Why a session ended, in the words of the log and of the statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// DELETE on the session's URL.
    Deleted,
    /// The peer sent DTLS close_notify.
    PeerClosed,
    /// No ICE and DTLS within 15 s.
    HandshakeTimeout,
    /// 30 s without any authenticated packet.
    Silent,
    /// The peer's certificate is not the one in its offer.
    FingerprintMismatch,
    DtlsFailed(String),
    /// Another publisher took the stream over.
    TakenOver,
    Shutdown,
}

impl EndReason {
    /// One of few words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::PeerClosed => "closed_by_client",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Silent => "silent",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::DtlsFailed(_) => "dtls_failed",
            Self::TakenOver => "taken_over",
            Self::Shutdown => "shutdown",
        }
    }
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Deleted => f.write_str("deleted by the client"),
            Self::PeerClosed => f.write_str("closed by the client"),
            Self::HandshakeTimeout => f.write_str("no connection within 15 s of the offer"),
            Self::Silent => f.write_str("nothing heard for 30 s"),
            Self::FingerprintMismatch => f.write_str("the certificate is not the one in the offer"),
            Self::DtlsFailed(why) => write!(f, "DTLS failed: {why}"),
            Self::TakenOver => f.write_str("another publisher took the stream over"),
            Self::Shutdown => f.write_str("the server is going down"),
        }
    }
}
