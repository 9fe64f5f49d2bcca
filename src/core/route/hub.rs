//! A stream at one worker: its layers as they come in, from a publisher here or from the worker that has it, and
//! the viewers served here.

use std::time::Instant;

use super::buffer::{BufferLimits, Inserted, LayerBuffer};
use super::clock::{ClockPoint, PublisherClock};
use super::message::{RoutedPacket, Source};
use crate::core::ids::{SeqNo, StreamName, WorkerId};
use crate::core::media::{Codec, MediaKind};

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
    /// When viewers here last had the publisher asked for a keyframe.
    pub last_asked: Option<Instant>,
}

/// One medium of the stream.
pub struct Lane {
    pub kind: MediaKind,
    pub layers: Vec<Layer>,
    /// What arrived since the last flush, in order of arrival: (layer, sequence number).
    pub fresh: Vec<(u8, SeqNo)>,
    limits: BufferLimits,
}

pub struct Layer {
    pub buffer: LayerBuffer,
    /// Changes whenever the sequence starts over: another publisher, another SSRC, a jump.
    pub epoch: u32,
    pub codec: Option<Codec>,
    pub clock: Option<ClockPoint>,
    /// Width × height, as far as known.
    pub pixels: u32,
    /// Payload bytes since the epoch began: of two layers of unknown size the busier is the better.
    bytes: u64,
}

/// Tells sequence spaces apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceKey {
    pub layer: u8,
    pub epoch: u32,
}

/// Worked out once for all viewers.
#[derive(Clone, Copy, Debug, Default)]
pub struct BestLayers {
    pub audio: Option<u8>,
    pub video: Option<u8>,
}

/// Layers beyond this are ignored: browsers send 3, OBS up to 4.
pub const MAX_LAYERS: usize = 6;

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
            last_asked: None,
        }
    }

    /// Another publisher, or none: what the old one sent is gone, the viewers stay.
    pub fn change_source(&mut self, source: Option<Source>) {
        self.source = source;
        self.video.layers.clear();
        self.audio.layers.clear();
        self.video.fresh.clear();
        self.audio.fresh.clear();
        self.clock = PublisherClock::default();
        self.subscribers.clear();
        self.subscribed = false;
        self.answers_pli = None;
        self.last_asked = None;
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

    /// The best layer of each lane, for [`Viewer::forward`](crate::core::egress::Viewer::forward).
    pub fn best(&self) -> BestLayers {
        BestLayers {
            audio: self.audio.best(),
            video: self.video.best(),
        }
    }

    /// Takes in what another worker has stored: to start from, not to be forwarded.
    pub fn take_stored(&mut self, packets: Vec<RoutedPacket>) {
        for packet in packets {
            self.take(packet);
        }
        self.video.fresh.clear();
        self.audio.fresh.clear();
    }

    /// Payload bytes in all buffers.
    pub fn stored_bytes(&self) -> usize {
        let layers = self.video.layers.iter().chain(&self.audio.layers);
        layers.map(|layer| layer.buffer.bytes()).sum()
    }

    pub fn has_fresh(&self) -> bool {
        !self.video.fresh.is_empty() || !self.audio.fresh.is_empty()
    }
}

impl Lane {
    fn new(kind: MediaKind, limits: BufferLimits) -> Self {
        Self {
            kind,
            layers: Vec::new(),
            fresh: Vec::new(),
            limits,
        }
    }

    fn take(&mut self, routed: RoutedPacket) -> bool {
        let Some(layer) = self.layer_mut(routed.layer) else {
            return false;
        };
        if layer.epoch != routed.epoch {
            layer.buffer.clear();
            layer.epoch = routed.epoch;
            layer.bytes = 0;
            layer.clock = None;
        }
        layer.codec = Some(routed.packet.codec);
        layer.pixels = routed.pixels;
        layer.bytes += routed.packet.payload.len() as u64;
        let mut packet = routed.packet;
        let seq = packet.seq;
        let highest = layer.buffer.highest();
        // The parameter sets of H.264 and H.265 are packets of their own: without its predecessor, what seems to
        // begin a keyframe may lack its head, which is lost or late.
        let whole = packet.head || highest.is_some_and(|highest| highest.0 + 1 == seq.0);
        packet.opens = packet.keyframe && whole && highest.is_none_or(|highest| highest < seq);
        if layer.buffer.insert(packet) != Inserted::New {
            return false;
        }
        self.fresh.push((routed.layer, seq));
        true
    }

    pub fn layer_mut(&mut self, index: u8) -> Option<&mut Layer> {
        let index = usize::from(index);
        if index >= MAX_LAYERS {
            return None;
        }
        while self.layers.len() <= index {
            self.layers.push(Layer {
                buffer: LayerBuffer::new(self.limits),
                epoch: 0,
                codec: None,
                clock: None,
                pixels: 0,
                bytes: 0,
            });
        }
        self.layers.get_mut(index)
    }

    pub fn layer(&self, index: u8) -> Option<&Layer> {
        self.layers.get(usize::from(index))
    }

    /// The layer with the largest picture that has media; among equals the busiest.
    pub fn best(&self) -> Option<u8> {
        let live = self
            .layers
            .iter()
            .enumerate()
            .filter(|(_, layer)| layer.codec.is_some());
        live.max_by_key(|(_, layer)| (layer.pixels, layer.bytes))
            .map(|(index, _)| index as u8)
    }

    pub fn key(&self, index: u8) -> Option<SourceKey> {
        self.layer(index).map(|layer| SourceKey {
            layer: index,
            epoch: layer.epoch,
        })
    }
}
