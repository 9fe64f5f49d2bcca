//! A stream at one worker: its layers as they come in, from a publisher here or from the worker that has it, and
//! the viewers served here.

use std::time::{Duration, Instant};

use super::buffer::BufferLimits;
use super::clock::PublisherClock;
use super::lane::{Lane, MAX_LAYERS};
use super::message::{RoutedPacket, Source};
use crate::core::ids::{StreamName, WorkerId};
use crate::core::media::MediaKind;

/// Viewers of one worker have the publisher asked at most this often; each wish is remembered until it is met.
const ASK_INTERVAL: Duration = Duration::from_millis(50);

pub struct Hub {
    pub stream: StreamName,
    pub source: Option<Source>,
    pub video: Lane,
    pub audio: Lane,
    pub clock: PublisherClock,
    /// Keys of the viewers' sessions at this worker.
    pub viewers: Vec<usize>,
    /// Workers with viewers of this stream; filled only where the publisher is.
    pub subscribers: Vec<WorkerId>,
    /// Whether this hub gets the stream from the worker named in `source`.
    pub subscribed: bool,
    /// Whether the publisher sends a keyframe when asked; unknown at first.
    pub answers_pli: Option<bool>,
    /// When viewers here last had the publisher asked for a keyframe, by layer; the last is for all layers.
    asked: [Option<Instant>; MAX_LAYERS + 1],
}

impl Hub {
    pub fn new(stream: StreamName, limits: BufferLimits) -> Self {
        Self {
            stream,
            source: None,
            video: Lane::new(MediaKind::Video, limits),
            audio: Lane::new(MediaKind::Audio, limits),
            clock: PublisherClock::default(),
            viewers: Vec::new(),
            subscribers: Vec::new(),
            subscribed: false,
            answers_pli: None,
            asked: Default::default(),
        }
    }

    /// Another publisher, or none: what the old one sent is gone, the viewers stay.
    pub fn change_source(&mut self, source: Option<Source>) {
        self.source = source;
        self.video.clear();
        self.audio.clear();
        self.clock = PublisherClock::default();
        self.subscribers.clear();
        self.subscribed = false;
        self.answers_pli = None;
        self.asked = Default::default();
    }

    pub fn lane(&self, kind: MediaKind) -> &Lane {
        match kind {
            MediaKind::Audio => &self.audio,
            MediaKind::Video => &self.video,
        }
    }

    pub fn lane_mut(&mut self, kind: MediaKind) -> &mut Lane {
        match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        }
    }

    /// Takes a packet in; true if it is to be forwarded.
    pub fn take(&mut self, routed: RoutedPacket) -> bool {
        self.lane_mut(routed.kind).take(routed)
    }

    /// Takes in what another worker has stored: to start from, not to be forwarded.
    pub fn take_stored(&mut self, packets: Vec<RoutedPacket>) {
        for packet in packets {
            self.take(packet);
        }
        self.video.took_stored();
        self.audio.took_stored();
    }

    /// Whether the publisher may be asked for a keyframe of this layer (`None`: of all) now; then it counts as asked.
    pub fn may_ask(&mut self, layer: Option<u8>, now: Instant) -> bool {
        let slot = layer.map_or(MAX_LAYERS, usize::from).min(MAX_LAYERS);
        let Some(asked) = self.asked.get_mut(slot) else {
            return false;
        };
        if asked.is_some_and(|at| now.saturating_duration_since(at) < ASK_INTERVAL) {
            return false;
        }
        *asked = Some(now);
        true
    }

    /// Finds out which layers have stopped. Call with each tick.
    pub fn refresh(&mut self, now: Instant) {
        self.video.refresh(now);
        self.audio.refresh(now);
    }

    /// Payload bytes in all buffers.
    pub fn stored_bytes(&self) -> usize {
        let layers = self.video.layers.iter().chain(&self.audio.layers);
        layers.map(|layer| layer.buffer.bytes()).sum()
    }
}
