//! One medium of a viewer: when it starts, with which payload type, what comes next.
//!
//! - [`start`]: starting, and going over to another layer.
//! - [`run_up`]: stored packets up to live.
//! - [`thin`]: less than what plays: held back, or single keyframes.

mod run_up;
mod start;
mod thin;

pub use run_up::RunUpLimits;

use std::time::{Duration, Instant};

use super::adaptation::RunUpPace;
use super::rewriter::{Placed, Rewriter};
use super::selector::{LayerSelector, Room};
use super::transport::Stamps;
use crate::core::ids::{Bitrate, PayloadType, SeqNo, Ssrc};
use crate::core::media::{Codec, LayerChoice, MediaKind, ViewerTrack};
use crate::core::route::{Lane, Layer, LayerBuffer, MediaPacket, SourceKey};
use crate::core::rtp::LayerBounds;
use crate::core::rtp::red;
use crate::sdp::match_codec;

/// A keyframe gets this long for what may belong before its first packet.
const HEAD_DEADLINE: Duration = Duration::from_millis(300);
/// No probe within this time before a keyframe.
const BEFORE_KEYFRAME: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub struct EgressTrack {
    pub spec: ViewerTrack,
    pub packets: u32,
    pub octets: u32,
    /// What stood on the packets sent, where one may have to be sent again as it was.
    pub stamps: Stamps,
    rewriter: Rewriter,
    selector: LayerSelector,
    /// The layer to switch to, and since when.
    switching: Option<(u8, Instant)>,
    /// What stored pictures of a better layer should be sent at, while it waits for its keyframe.
    deferred: Option<Bitrate>,
    /// Since when temporal layers are wanted that cannot be taken up yet.
    rising: Option<Instant>,
    phase: Phase,
    key: Option<SourceKey>,
    mapping: Option<Mapping>,
    rtx_seq: u64,
    started: Option<Instant>,
    first_started: Option<Instant>,
    restarts: u32,
    /// What plays takes far more than there is room for: it is not sent any more until the next layer's keyframe.
    held: bool,
    /// Only keyframes are sent: the timestamp of the one that is.
    thin: Option<Option<u64>>,
    /// Run-ups are no faster than this.
    pace: Option<RunUpPace>,
    /// Packets wait on the way.
    queueing: bool,
    /// Bits per second for video, where single keyframes are all there is room for.
    room: Bitrate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Nothing to send yet: no source, or no keyframe.
    Waiting {
        since: Instant,
    },
    /// Stored packets up to live: `cursor` is the next one.
    RunUp {
        cursor: SeqNo,
        budget: f64,
        at: Instant,
        rate: u64,
        /// The old layer has played until now and there may not be much more room.
        calm: bool,
    },
    Live,
}

/// How the stream's codec goes out to this viewer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mapping {
    pub codec: Codec,
    /// `None`: this viewer has no payload type for the codec.
    pub pt: Option<PayloadType>,
    pub rtx: Option<PayloadType>,
    pub red: Option<PayloadType>,
    /// What is lost may be asked for again.
    pub nack: bool,
}

impl EgressTrack {
    pub fn new(spec: ViewerTrack, layers: LayerChoice, now: Instant) -> Self {
        let clock_rate = match spec.kind {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        };
        Self {
            stamps: Stamps::new(spec.kind),
            spec,
            packets: 0,
            octets: 0,
            rewriter: Rewriter::new(clock_rate, rand::random(), rand::random()),
            selector: LayerSelector::new(layers),
            switching: None,
            deferred: None,
            rising: None,
            phase: Phase::Waiting { since: now },
            key: None,
            mapping: None,
            rtx_seq: u64::from(rand::random::<u16>() & 0x7fff),
            started: None,
            first_started: None,
            restarts: 0,
            held: false,
            thin: None,
            pace: None,
            queueing: false,
            room: Bitrate(0),
        }
    }

    /// What there is room for to begin with.
    pub fn with_room(mut self, room: Option<Room>) -> Self {
        self.selector.expect(room);
        self
    }

    /// Packets of this layer may be sent.
    #[inline]
    pub fn may_want(&self, layer: u8) -> bool {
        self.key.is_some_and(|key| key.layer == layer) || self.selector.target() == Some(layer)
    }

    pub fn is_running_up(&self) -> bool {
        matches!(self.phase, Phase::RunUp { .. })
    }

    pub fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. })
    }

    /// It plays one layer and another is wanted.
    pub fn is_switching(&self) -> bool {
        let target = self.selector.target();
        let playing = self.key.map(|key| key.layer);
        self.phase == Phase::Live && target.is_some() && playing.is_some() && playing != target
    }

    /// It plays its layer, and more of it is wanted.
    pub fn is_rising(&self) -> bool {
        self.phase == Phase::Live
            && (self.thin.is_some() || self.rewriter.lacks_spatial() || self.rewriter.lacks_temporal())
    }

    /// The layer that keyframes are wanted of: the one to come, or the one that plays.
    pub fn wanted_layer(&self) -> Option<u8> {
        self.selector.target().or(self.key.map(|key| key.layer))
    }

    pub fn choose(&mut self, choice: LayerChoice) {
        self.selector.choose(choice);
    }

    /// No large picture is on its way or about to come.
    pub fn is_calm(&self, lane: &Lane, now: Instant) -> bool {
        let playing = self.key.and_then(|key| lane.layer(key.layer));
        let next = playing.and_then(Layer::next_keyframe);
        let soon = next.is_some_and(|next| now < next && next - now < BEFORE_KEYFRAME);
        self.phase == Phase::Live && !soon
    }

    /// The layer to be sent, and what of it.
    pub fn wanted(&self) -> (Option<u8>, LayerBounds) {
        (self.selector.target(), self.selector.bounds())
    }

    /// The source is another one: wait for its keyframe. The outgoing numbers go on from where they are.
    pub fn source_changed(&mut self, now: Instant) {
        self.phase = Phase::Waiting { since: now };
        self.key = None;
        self.deferred = None;
        self.switching = None;
        self.held = false;
        self.thin = self.thin.map(|_| None);
    }

    /// What is to be sent of a layer. Browsers put an AV1 picture of several spatial layers together by the dependency
    /// descriptor alone: without it Chromium shows none at all, so it gets the lowest.
    fn bounds(&self, layer: &Layer) -> LayerBounds {
        let mut bounds = self.selector.bounds();
        let is_av1 = matches!(layer.codec, Some(Codec::Av1 { .. }));
        if is_av1 && self.spec.extensions.dependency_descriptor.is_none() {
            bounds.spatial = 0;
        }
        bounds
    }

    /// To be called before [`forward`](Self::forward) when packets came.
    #[inline]
    pub fn update_layers(&mut self, lane: &Lane) {
        self.selector.update(lane);
        if let Some(layer) = self.key.and_then(|key| lane.layer(key.layer)) {
            self.rewriter.want(self.bounds(layer), layer.top);
        }
        if !self.rewriter.lacks_temporal() {
            self.rising = None;
        }
    }

    /// Whether and how a packet that just arrived goes out.
    #[inline]
    pub fn forward(
        &mut self,
        lane: &Lane,
        key: SourceKey,
        packet: &MediaPacket,
        now: Instant,
    ) -> Option<Placed> {
        match self.phase {
            Phase::Live if self.thin.is_some() => self.forward_thin(lane, key, packet, now)?,
            Phase::Live => {
                if self.key == Some(key) && self.held {
                    return None;
                }
                if self.key != Some(key) {
                    // The wanted layer's keyframe, or the same layer's sequence started over.
                    let same_layer = self.key.is_some_and(|old| old.layer == key.layer);
                    if !(same_layer || self.wants(key)) || !self.may_begin(packet) {
                        return None;
                    }
                    self.begin(lane, key, packet, now)?;
                }
            }
            Phase::Waiting { .. } => {
                if !self.wants(key) || !self.may_begin(packet) {
                    return None;
                }
                self.begin(lane, key, packet, now)?;
            }
            // In order, by `next_stored`; only what fills a hole behind the cursor goes out directly.
            Phase::RunUp { cursor, .. } => {
                if self.key != Some(key) || packet.seq >= cursor {
                    return None;
                }
            }
        }
        if self.mapping.is_none_or(|mapping| mapping.codec != packet.codec) {
            self.map(packet.codec)?;
        }
        self.rewriter.place(key, packet, now)
    }

    /// The outgoing time of the last packet.
    pub fn latest_timestamp(&self) -> u32 {
        self.rewriter.latest().map_or(0, |(_, timestamp)| timestamp)
    }

    /// A number of a layer that is not sent any more.
    pub fn is_left(&self, seq: u16) -> bool {
        let source = self.rewriter.source_of(seq);
        source.is_some_and(|(key, _)| self.key.is_some_and(|current| current != key))
    }

    /// One of the latest packets sent, `back` before the last.
    pub fn recent<'a>(&self, lane: &'a Lane, back: u16) -> Option<(&'a MediaPacket, Placed)> {
        let (seq, _) = self.rewriter.latest()?;
        self.lost(lane, seq.wrapping_sub(back))
    }

    fn wants(&self, key: SourceKey) -> bool {
        self.selector.target() == Some(key.layer)
    }

    fn may_begin(&self, packet: &MediaPacket) -> bool {
        packet.opens || self.spec.kind == MediaKind::Audio
    }

    fn begin(&mut self, lane: &Lane, key: SourceKey, packet: &MediaPacket, now: Instant) -> Option<()> {
        self.map(packet.codec)?;
        let aligned = self.aligned(lane, key, packet.timestamp);
        if let Some(layer) = lane.layer(key.layer) {
            self.rewriter.want(self.bounds(layer), layer.top);
        }
        self.rewriter.begin_live(key, packet, aligned, now);
        self.switching = None;
        self.deferred = None;
        self.held = false;
        self.key = Some(key);
        self.started = Some(now);
        self.first_started.get_or_insert(now);
        self.phase = Phase::Live;
        Some(())
    }

    /// Resolves the payload type for a codec; `None` when this viewer has none.
    fn map(&mut self, codec: Codec) -> Option<Mapping> {
        if let Some(mapping) = self.mapping.filter(|mapping| mapping.codec == codec) {
            return mapping.pt.map(|_| mapping);
        }
        let found = match_codec(&self.spec.codecs, codec);
        let mapping = Mapping {
            codec,
            pt: found.map(|entry| entry.pt),
            rtx: found.and_then(|entry| entry.rtx),
            red: found.and_then(|entry| entry.red),
            nack: found.is_some_and(|entry| entry.feedback.nack),
        };
        self.mapping = Some(mapping);
        mapping.pt.map(|_| mapping)
    }

    pub fn mapping(&self) -> Option<Mapping> {
        self.mapping
    }

    /// When it began to send: video with a keyframe.
    pub fn first_started(&self) -> Option<Instant> {
        self.first_started
    }

    pub fn key(&self) -> Option<SourceKey> {
        self.key
    }

    /// What a NACKed sequence number stands for.
    pub fn lost<'a>(&self, lane: &'a Lane, seq: u16) -> Option<(&'a MediaPacket, Placed)> {
        let (key, incoming) = self.rewriter.source_of(seq)?;
        let layer = lane.layer(key.layer).filter(|layer| layer.epoch == key.epoch)?;
        let packet = layer.buffer.get(incoming)?;
        // Under another codec's payload type it would not be the same packet.
        self.mapping.filter(|mapping| mapping.codec == packet.codec)?;
        Some((packet, self.rewriter.placed_before(seq, packet)?))
    }

    /// The packet that went out just before `packet`, as far as it can be repeated in it (RFC 2198), and how many ticks
    /// it is older.
    pub fn repeatable<'a>(
        &self,
        lane: &'a Lane,
        packet: &MediaPacket,
        placed: Placed,
    ) -> Option<(u64, &'a MediaPacket)> {
        let red = self.mapping?.red;
        red?;
        let (key, seq) = self.rewriter.source_of((placed.seq as u16).wrapping_sub(1))?;
        let before = lane
            .layer(key.layer)
            .filter(|layer| layer.epoch == key.epoch)?
            .buffer
            .get(seq)?;
        let offset = packet.timestamp.checked_sub(before.timestamp)?;
        let next = self.key == Some(key) && before.codec == packet.codec && seq.0 + 1 == packet.seq.0;
        (next && red::fits(offset, before.payload.len())).then_some((offset, before))
    }

    /// What retransmissions are sent as (RFC 4588); `None`: as what they were the first time.
    pub fn repeats_on(&self) -> Option<(PayloadType, Ssrc)> {
        self.mapping?.rtx.zip(self.spec.rtx_ssrc)
    }

    /// The next sequence number on the retransmission SSRC.
    pub fn next_rtx_seq(&mut self) -> u64 {
        self.rtx_seq += 1;
        self.rtx_seq
    }

    /// The outgoing RTP time of an incoming one.
    pub fn live_timestamp(&self, incoming: u64) -> Option<u32> {
        self.rewriter.live_timestamp(self.key?, incoming)
    }
}

/// Whether a keyframe lacks what may stand before its first packet, and that may still come.
fn awaits_head(buffer: &LayerBuffer, anchor: &MediaPacket, now: Instant) -> bool {
    let headless = !anchor.head && buffer.get(SeqNo(anchor.seq.0.saturating_sub(1))).is_none();
    headless && now.saturating_duration_since(anchor.arrival) < HEAD_DEADLINE
}
