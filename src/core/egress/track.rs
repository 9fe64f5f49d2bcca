//! One medium of a viewer: when it starts, with which payload type, what comes next.

use std::time::{Duration, Instant};

use super::adaptation::KEYFRAME_TIME;
use super::rewriter::{Join, Placed, Rewriter};
use super::selector::{Advice, LayerSelector, Room};
use super::transport::Stamps;
use crate::core::ids::{Bitrate, PayloadType, SeqNo, Ssrc};
use crate::core::media::{Codec, LayerChoice, MediaKind, ViewerTrack};
use crate::core::route::{Lane, Layer, LayerBuffer, MediaPacket, SourceKey};
use crate::core::rtp::LayerBounds;
use crate::core::rtp::red;
use crate::sdp::match_codec;

/// A stored keyframe up to this age is started from even if the publisher would send a new one when asked: the
/// run-up is short, and the publisher and all other viewers are spared a keyframe.
const FRESH_KEYFRAME: Duration = Duration::from_secs(1);
/// A publisher known to answer gets this long to send its keyframe, which is a picture and a round trip on most links;
/// then the stored one serves after all.
const ANSWER_DEADLINE: Duration = Duration::from_millis(120);
/// A viewer that cannot go on is restarted from the stored keyframe at most this often.
const RESTART_INTERVAL: Duration = Duration::from_secs(2);
/// A keyframe gets this long for what may belong before its first packet.
const HEAD_DEADLINE: Duration = Duration::from_millis(300);
/// The first time sooner: its start may have been lost as a whole, and what was before the first packet that a
/// player saw it cannot ask for.
const FIRST_RESTART: Duration = Duration::from_millis(200);
/// A publisher known to answer gets this long for a layer's keyframe before the stored one serves: until then the old
/// layer goes on, so there is no hurry.
const SWITCH_PATIENCE: Duration = Duration::from_secs(1);
/// Shorter where it is not known whether it answers.
const TRIAL_PATIENCE: Duration = Duration::from_millis(500);
/// A switch from the stored keyframe costs a run-up, which a viewer that cannot make up its mind gets at most this
/// often; the next keyframe serves it anyway.
const SWITCH_INTERVAL: Duration = Duration::from_millis(500);
/// And where the old layer has stopped, so that the picture stands still meanwhile.
const STALLED_PATIENCE: Duration = Duration::from_millis(150);
/// Pictures that temporal layers can be taken up at come several times a second where an encoder makes them at all.
/// Spatial layers mostly wait for a keyframe, so it is asked for at once.
const RISE_PATIENCE: Duration = Duration::from_millis(600);
/// What a run-up sends at once, before the pace counts: the keyframe itself, in most streams.
const FIRST_BYTES: f64 = 96_000.0;
/// Where what the way carries is known, it is so much of it, but a few packets at least.
const FIRST_TIME: Duration = Duration::from_millis(50);
const FEWEST_BYTES: f64 = 6_000.0;

/// The pace of a run-up.
#[derive(Clone, Copy, Debug)]
pub struct RunUpLimits {
    /// Bits per second while stored packets are sent.
    pub rate: u64,
}

impl Default for RunUpLimits {
    fn default() -> Self {
        Self { rate: 20_000_000 }
    }
}

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
    pace: Option<Bitrate>,
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
        self.phase == Phase::Live && (self.rewriter.lacks_spatial() || self.rewriter.lacks_temporal())
    }

    /// The layer that keyframes are wanted of: the one to come, or the one that plays.
    pub fn wanted_layer(&self) -> Option<u8> {
        self.selector.target().or(self.key.map(|key| key.layer))
    }

    pub fn choose(&mut self, choice: LayerChoice) {
        self.selector.choose(choice);
    }

    /// Takes in what there is room for ([`LayerSelector::adapt`]), and how fast a run-up may be.
    pub fn adapt(&mut self, lane: &Lane, room: Option<Room>, pace: Option<Bitrate>, now: Instant) -> Advice {
        let advice = self.selector.adapt(lane, room, now);
        self.pace = pace;
        self.room = room.map_or(Bitrate(0), |room| room.video);
        let playing = self.key.map(|key| key.layer);
        self.held |= advice.hold;
        if self.held && playing == self.selector.target() && !self.selector.is_paused() {
            self.wait(now);
        }
        match (self.thin, self.selector.is_paused()) {
            (None, true) => self.thin = Some(None),
            // What follows the last keyframe was not sent.
            (Some(_), false) => {
                self.thin = None;
                self.wait(now);
            }
            _ => {}
        }
        advice
    }

    /// Goes on with the next keyframe there is, whichever it is.
    fn wait(&mut self, now: Instant) {
        self.held = false;
        if self.key.is_some() {
            self.phase = Phase::Waiting { since: now };
        }
    }

    /// The layer to be sent, and what of it.
    pub fn wanted(&self) -> (Option<u8>, LayerBounds) {
        (self.selector.target(), self.selector.bounds())
    }

    /// Only keyframes are sent.
    pub fn is_thin(&self) -> bool {
        self.thin.is_some()
    }

    /// The source is another one: wait for its keyframe. The outgoing numbers go on from where they are.
    pub fn source_changed(&mut self, now: Instant) {
        self.phase = Phase::Waiting { since: now };
        self.key = None;
        self.switching = None;
        self.held = false;
        self.thin = self.thin.map(|_| None);
    }

    /// Starts, or goes over to the wanted layer, from the buffer where that is the quickest way to a picture. True
    /// when a keyframe of [`wanted_layer`](Self::wanted_layer) should be asked for.
    pub fn try_start(
        &mut self,
        lane: &Lane,
        answers_pli: Option<bool>,
        limits: RunUpLimits,
        now: Instant,
    ) -> bool {
        if self.spec.kind == MediaKind::Audio {
            return false;
        }
        self.update_layers(lane);
        let since = match self.phase {
            Phase::Waiting { since } => since,
            Phase::Live => return self.try_switch(lane, answers_pli, limits, now),
            Phase::RunUp { .. } => return false,
        };
        let Some(index) = self.selector.target() else {
            return true;
        };
        let (Some(layer), Some(key)) = (lane.layer(index), lane.key(index)) else {
            return true;
        };
        let Some(anchor) = layer.buffer.anchor() else {
            return true;
        };
        let age = now.saturating_duration_since(anchor.arrival);
        if awaits_head(&layer.buffer, anchor, now) {
            return false;
        }
        let waited = now.saturating_duration_since(since) >= ANSWER_DEADLINE;
        if age > FRESH_KEYFRAME && answers_pli == Some(true) && !waited {
            return true;
        }
        self.start_run_up(lane, key, limits, now);
        age > FRESH_KEYFRAME && answers_pli.is_none()
    }

    /// The old layer goes on until the wanted one's keyframe comes ([`forward`](Self::forward)). Where none comes
    /// for the asking, the stored one serves.
    fn try_switch(
        &mut self,
        lane: &Lane,
        answers_pli: Option<bool>,
        limits: RunUpLimits,
        now: Instant,
    ) -> bool {
        let (Some(from), Some(target)) = (self.key, self.selector.target()) else {
            return false;
        };
        if from.layer == target {
            self.switching = None;
            return self.needs_keyframe_to_rise(now);
        }
        let since = match self.switching {
            Some((layer, since)) if layer == target => since,
            _ => now,
        };
        self.switching = Some((target, since));
        let (Some(layer), Some(key)) = (lane.layer(target), lane.key(target)) else {
            return false;
        };
        let stalled = lane.layer(from.layer).is_none_or(Layer::is_stalled);
        let patience = match answers_pli {
            Some(false) => Duration::ZERO,
            _ if stalled || self.held => STALLED_PATIENCE,
            None => TRIAL_PATIENCE,
            Some(true) => SWITCH_PATIENCE,
        };
        let lately = self
            .started
            .is_some_and(|at| now.saturating_duration_since(at) < SWITCH_INTERVAL);
        if let Some(anchor) = layer.buffer.anchor()
            && !lately
            && now.saturating_duration_since(since) >= patience
            && !awaits_head(&layer.buffer, anchor, now)
        {
            self.start_run_up(lane, key, limits, now);
            return false;
        }
        true
    }

    /// Whether the layers that are wanted will not come without a keyframe.
    fn needs_keyframe_to_rise(&mut self, now: Instant) -> bool {
        if self.rewriter.lacks_spatial() {
            return true;
        }
        if !self.rewriter.lacks_temporal() {
            return false;
        }
        let since = *self.rising.get_or_insert(now);
        now.saturating_duration_since(since) >= RISE_PATIENCE
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

    /// The viewer's decoder is stuck and the publisher does not answer: once more from the stored keyframe, if it was
    /// not just now.
    pub fn restart(&mut self, lane: &Lane, limits: RunUpLimits, now: Instant) -> bool {
        let interval = if self.restarts == 0 {
            FIRST_RESTART
        } else {
            RESTART_INTERVAL
        };
        let too_soon = self
            .started
            .is_some_and(|at| now.saturating_duration_since(at) < interval);
        if let (Some(key), false, Phase::Live) = (self.key, too_soon, self.phase) {
            self.restarts += 1;
            self.start_run_up(lane, key, limits, now);
        }
        self.is_running_up()
    }

    fn start_run_up(&mut self, lane: &Lane, key: SourceKey, limits: RunUpLimits, now: Instant) {
        let Some(layer) = lane.layer(key.layer) else {
            return;
        };
        let Some(anchor) = layer.buffer.anchor() else {
            return;
        };
        if self.map(anchor.codec).is_none() {
            return;
        }
        self.rewriter.want(self.bounds(layer), layer.top);
        let join = self.join(lane, key, anchor);
        let bits = layer.buffer.bytes_since(anchor.seq) as f64 * 8.0;
        let age = now
            .saturating_duration_since(anchor.arrival)
            .as_secs_f64()
            .max(0.1);
        // A stream faster than the configured pace would never be caught up with.
        let rate = limits.rate.max((3.0 * bits / age) as u64);
        self.rewriter.begin_run_up(key, &layer.buffer, anchor, join, now);
        self.key = Some(key);
        self.switching = None;
        self.held = false;
        self.thin = self.thin.map(|_| Some(anchor.timestamp));
        self.started = Some(now);
        self.first_started.get_or_insert(now);
        self.phase = Phase::RunUp {
            cursor: anchor.seq,
            budget: self.first_bytes(),
            at: now,
            rate,
        };
    }

    fn join(&self, lane: &Lane, to: SourceKey, anchor: &MediaPacket) -> Join {
        let buffer = lane.layer(to.layer).map(|layer| &layer.buffer);
        let newest = buffer.and_then(|buffer| buffer.since(anchor.seq).max_by_key(|packet| packet.timestamp));
        match newest {
            Some(newest) if self.key.is_some_and(|key| key.layer != to.layer) => Join::Switch {
                aligned: self.aligned(lane, to, newest.timestamp),
                newest_at: newest.arrival,
            },
            _ => Join::Afresh,
        }
    }

    /// Where on the outgoing timeline another layer's picture belongs: by sender reports of both layers, or else by
    /// when their pictures come.
    fn aligned(&self, lane: &Lane, to: SourceKey, timestamp: u64) -> Option<u64> {
        let from = self.key.filter(|from| from.layer != to.layer)?;
        let old = lane.layer(from.layer).filter(|layer| layer.epoch == from.epoch)?;
        let new = lane.layer(to.layer)?;
        let clock_rate = new.codec?.clock_rate();
        let incoming = match new.clock.as_ref().zip(old.clock.as_ref()) {
            Some((new, old)) => new.on(old, timestamp, clock_rate),
            None => new.arrivals.on(&old.arrivals, timestamp, clock_rate)?,
        };
        self.rewriter.timeline(from, incoming)
    }

    /// The next stored packet of a run-up, as the pace allows; live from when there is none left.
    pub fn next_stored<'a>(&mut self, lane: &'a Lane, now: Instant) -> Option<(&'a MediaPacket, Placed)> {
        let Phase::RunUp {
            cursor,
            budget,
            at,
            rate,
        } = self.phase
        else {
            return None;
        };
        let key = self.key?;
        let elapsed = now.saturating_duration_since(at).as_secs_f64();
        let allowed = self.pace.map_or(rate, |pace| rate.min(pace.0));
        let budget = (budget + elapsed * allowed as f64 / 8.0).min(self.first_bytes());
        self.phase = Phase::RunUp {
            cursor,
            budget,
            at: now,
            rate,
        };
        if budget <= 0.0 {
            return None;
        }
        // The layer's sequence may have started over.
        let Some(layer) = lane.layer(key.layer).filter(|layer| layer.epoch == key.epoch) else {
            self.phase = Phase::Live;
            return None;
        };
        // The buffer lets go of what is before a newer keyframe, and no viewer needs it.
        let newer = layer
            .buffer
            .anchor()
            .filter(|anchor| anchor.seq > cursor && !awaits_head(&layer.buffer, anchor, now));
        let cursor = match newer {
            Some(anchor) => {
                self.rewriter.skip_to(key, anchor);
                anchor.seq
            }
            None => cursor,
        };
        // What is of no layer that is wanted costs nothing.
        for packet in layer.buffer.since(cursor) {
            if self.thin.is_some_and(|only| only != Some(packet.timestamp)) {
                break;
            }
            self.phase = Phase::RunUp {
                cursor: SeqNo(packet.seq.0 + 1),
                budget: budget - packet.payload.len() as f64,
                at: now,
                rate,
            };
            self.map(packet.codec)?;
            if let Some(placed) = self.rewriter.place(key, packet, now) {
                return Some((packet, placed));
            }
        }
        self.phase = Phase::Live;
        None
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

    /// Of the wanted layer's keyframes, those that there is room for, and nothing else.
    fn forward_thin(
        &mut self,
        lane: &Lane,
        key: SourceKey,
        packet: &MediaPacket,
        now: Instant,
    ) -> Option<()> {
        if self.key == Some(key) && self.thin == Some(Some(packet.timestamp)) {
            return Some(());
        }
        if !self.wants(key) || !self.may_begin(packet) {
            return None;
        }
        let buffer = &lane.layer(key.layer)?.buffer;
        // One that waited until the next was there is not worth its time any more.
        if buffer.anchor().is_some_and(|anchor| anchor.seq > packet.seq) {
            return None;
        }
        let of_it = buffer
            .since(packet.seq)
            .take_while(|other| other.timestamp == packet.timestamp);
        let bits = of_it.map(|other| other.payload.len()).sum::<usize>() as f64 * 8.0;
        if bits > self.room.0 as f64 * KEYFRAME_TIME.as_secs_f64() {
            return None;
        }
        self.begin(lane, key, packet, now)?;
        self.thin = Some(Some(packet.timestamp));
        Some(())
    }

    /// What a run-up sends at once.
    fn first_bytes(&self) -> f64 {
        let most = |pace: Bitrate| (pace.0 as f64 / 8.0 * FIRST_TIME.as_secs_f64()).max(FEWEST_BYTES);
        self.pace.map_or(FIRST_BYTES, |pace| most(pace).min(FIRST_BYTES))
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
