//! From a decrypted packet to a routed one: which track and layer it is, RTX undone, order unwrapped, keyframes
//! found, payload put where all viewers share it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::doctor::{Doctor, Specimen};
use super::keyframes::KeyframeRequests;
use super::meter::{Came, Meter};
use super::reception::Reception;
use super::sources::{SourceRole, Sources, extensions};
use crate::core::ids::{Rid, SeqNo, Ssrc};
use crate::core::media::{Codec, MediaKind, NegotiatedCodec, PublisherMedia, StreamCodecs};
use crate::core::route::{Carried, ClockPoint, MediaPacket, Muted, PublisherClock, RoutedPacket};
use crate::core::rtp::dependency::{self, Structure};
use crate::core::rtp::{self, FrameLayer, PictureNumbers, Rtcp, RtpHeader, SeqUnwrapper, TimestampUnwrapper};
use crate::core::statistics::Pace;
use crate::core::time::{Epoch, Ntp};

/// Payloads are carved out of blocks of this size: one allocation in about fifty packets.
const BLOCK: usize = 64 * 1024;
/// Our SSRC as a receiver in RTCP: never used for media.
const RECEIVER_SSRC: Ssrc = Ssrc(1);
/// A jump this large in one layer's sequence is a restarted sender.
const RESTART_GAP: u64 = 3_000;
/// This long after the first keyframe the publisher is asked for another, to learn whether asking helps.
const PROBE_AFTER: Duration = Duration::from_secs(1);

pub struct Publisher {
    pub(super) media: PublisherMedia,
    sources: Sources,
    pub(super) reception: Reception,
    pub(super) layers: HashMap<(usize, u8), LayerIngest>,
    block: BytesMut,
    codecs: StreamCodecs,
    pub(super) first_packet: Option<Instant>,
    pub(super) first_keyframe: Option<Instant>,
    probed: bool,
    recovered: Option<PublisherOutput>,
    epoch: Epoch,
    clock: PublisherClock,
    pub(super) counters: PublisherCounters,
    pub(super) pace: Option<Pace>,
    pub(super) doctor: Doctor,
    muted: Muted,
}

/// What became of a publisher's packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublisherCounters {
    pub packets: u64,
    pub bytes: u64,
    pub retransmitted: u64,
    /// Packets of no negotiated track or payload type.
    pub unknown: u64,
    pub keyframe_requests: u64,
}

pub(super) struct LayerIngest {
    ssrc: Ssrc,
    epoch: u32,
    seq: SeqUnwrapper,
    timestamps: TimestampUnwrapper,
    keyframe_timestamp: Option<u64>,
    keyframe_seq: SeqNo,
    pub(super) rid: Option<Rid>,
    pub(super) size: Option<(u16, u16)>,
    /// The highest spatial and temporal layers seen.
    pub(super) top: (u8, u8),
    pub(super) codec: Codec,
    pub(super) meter: Meter,
    /// What dependency descriptors refer to; came with the latest keyframe.
    structure: Option<Box<Structure>>,
    requests: KeyframeRequests,
    fir_seq: u8,
}

/// What [`Publisher::packet`] and [`Publisher::rtcp`] found.
pub enum PublisherOutput {
    Packet(RoutedPacket),
    Clock {
        kind: MediaKind,
        layer: u8,
        point: ClockPoint,
    },
}

impl Publisher {
    /// `epoch`: the clock that our sender reports go by.
    pub fn new(media: PublisherMedia, epoch: Epoch) -> Self {
        let transport_cc = media
            .tracks
            .iter()
            .find_map(|track| track.extensions.transport_cc);
        Self {
            sources: Sources::new(&media),
            reception: Reception::new(transport_cc),
            layers: HashMap::new(),
            block: BytesMut::new(),
            codecs: StreamCodecs::default(),
            first_packet: None,
            first_keyframe: None,
            probed: false,
            recovered: None,
            epoch,
            clock: PublisherClock::default(),
            counters: PublisherCounters::default(),
            pace: None,
            doctor: Doctor::default(),
            muted: Muted::default(),
            media,
        }
    }

    /// The codecs seen in media so far.
    pub fn codecs(&self) -> StreamCodecs {
        self.codecs
    }

    pub fn counters(&self) -> PublisherCounters {
        self.counters
    }

    /// One authenticated RTP packet, changed in place where it is a retransmission.
    pub fn packet(&mut self, now: Instant, packet: &mut [u8]) -> Option<PublisherOutput> {
        let mut header = RtpHeader::parse(packet)?;
        self.counters.packets += 1;
        self.counters.bytes += packet.len() as u64;
        let Some(role) = self.sources.resolve(&self.media, &header, packet) else {
            self.counters.unknown += 1;
            return None;
        };
        let mut len = packet.len();
        if let SourceRole::Rtx { track, layer } = role {
            self.counters.retransmitted += 1;
            (header, len) = self.undo_rtx(now, packet, &header, track, layer)?;
        }
        let (SourceRole::Media { track, layer } | SourceRole::Rtx { track, layer }) = role;
        let packet = packet.get(..len)?;
        let (codec, kind) = self.codec_of(track, &header)?;
        let came = match (role, codec.rtx) {
            (SourceRole::Rtx { .. }, _) => Came::Again,
            (SourceRole::Media { .. }, Some(_)) => Came::Itself,
            (SourceRole::Media { .. }, None) => Came::PerhapsAgain,
        };
        self.first_packet.get_or_insert(now);
        if matches!(role, SourceRole::Media { .. }) {
            self.reception.packet(now, &header, packet, &codec, kind);
            if codec.feedback.nack {
                self.reception.sequence(now, header.ssrc, header.seq, false);
            }
        }
        let payload = header.payload(packet);
        if codec.red == Some(header.pt) {
            let redundant = rtp::red::parse(payload, codec.pt.0)?;
            self.recover(now, &header, redundant.earlier, (track, layer), codec.codec);
            return self.route(
                now,
                &header,
                packet,
                redundant.primary,
                (track, layer),
                (codec.codec, came),
            );
        }
        self.route(now, &header, packet, payload, (track, layer), (codec.codec, came))
    }

    /// Sound that was lost and came with the next packet, once; it goes before what [`packet`](Self::packet) gave.
    pub fn take_recovered(&mut self) -> Option<PublisherOutput> {
        self.recovered.take()
    }

    /// The packet before this one, if it did not come by itself and this one repeats it.
    fn recover(
        &mut self,
        now: Instant,
        header: &RtpHeader,
        earlier: Option<(u32, &[u8])>,
        (track, layer): (usize, u8),
        codec: Codec,
    ) {
        let Some((offset, payload)) = earlier else { return };
        let next = self
            .layers
            .get(&(track, layer))
            .filter(|ingest| ingest.ssrc == header.ssrc)
            .and_then(|ingest| ingest.seq.highest())
            .map(|highest| (highest.0 as u16).wrapping_add(2));
        if next != Some(header.seq) {
            return;
        }
        let before = RtpHeader {
            seq: header.seq.wrapping_sub(1),
            timestamp: header.timestamp.wrapping_sub(offset),
            marker: false,
            extension: None,
            ..*header
        };
        self.recovered = self.route(now, &before, &[], payload, (track, layer), (codec, Came::Again));
    }

    /// One authenticated compound RTCP packet.
    pub fn rtcp(&mut self, now: Instant, compound: &[u8], mut output: impl FnMut(PublisherOutput)) {
        for item in rtp::feedback(compound) {
            if let Rtcp::SenderReport { ssrc, ntp, rtp, .. } = item {
                self.reception.sender_report(now, ssrc, ntp, rtp);
                let found = self.layers.iter_mut().find(|(_, layer)| layer.ssrc == ssrc);
                if let Some(((track, index), layer)) = found
                    && let Some(track) = self.media.tracks.get(*track)
                    && layer.seq.highest().is_some()
                {
                    let timestamp = layer.timestamps.near(rtp);
                    let point = ClockPoint {
                        ntp: Ntp(ntp),
                        timestamp,
                        arrival: now,
                    };
                    self.clock.report(&self.epoch, &point);
                    output(PublisherOutput::Clock {
                        kind: track.kind,
                        layer: *index,
                        point,
                    });
                }
            }
        }
    }

    /// What is not to be forwarded from now on. What comes back does as a sequence of its own, so that nobody asks for
    /// what was left out.
    pub fn mute(&mut self, muted: Muted) {
        let before = std::mem::replace(&mut self.muted, muted);
        for ((track, _), layer) in &mut self.layers {
            let Some(kind) = self.media.tracks.get(*track).map(|track| track.kind) else {
                continue;
            };
            if before.is(kind) && !muted.is(kind) {
                layer.epoch = rand::random();
                layer.keyframe_timestamp = None;
                if kind == MediaKind::Video {
                    layer.requests.want();
                }
            }
        }
    }

    /// Asks for a keyframe of one video layer, or of all, as soon as the limit allows.
    pub fn request_keyframe(&mut self, layer: Option<u8>) {
        for ((track, index), ingest) in &mut self.layers {
            let track = self.media.tracks.get(*track);
            if track.is_some_and(|track| track.kind == MediaKind::Video)
                && layer.is_none_or(|layer| layer == *index)
            {
                ingest.requests.want();
            }
        }
    }

    /// Whether the publisher sends a keyframe when asked; `None` until it was tried, `Some(false)` at once where
    /// it did not even negotiate PLI or FIR.
    pub fn answers_pli(&self) -> Option<bool> {
        let video = self
            .media
            .tracks
            .iter()
            .find(|track| track.kind == MediaKind::Video)?;
        if !video
            .codecs
            .iter()
            .any(|codec| codec.feedback.pli || codec.feedback.fir)
        {
            return Some(false);
        }
        // A layer that the publisher has stopped answers nothing; one that answers says enough.
        let answers = self.layers.values().filter_map(|layer| layer.requests.answers());
        answers.reduce(|any, one| any || one)
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.reception.handle_timeout(now);
        let due = self
            .first_keyframe
            .is_some_and(|at| now.saturating_duration_since(at) >= PROBE_AFTER);
        if due && !self.probed {
            self.probed = true;
            if self.answers_pli().is_none() {
                self.request_keyframe(None);
            }
        }
    }

    /// When [`poll_rtcp`](Self::poll_rtcp) has something to ask for again.
    pub fn next_nack(&self) -> Option<Instant> {
        self.reception.next_nack()
    }

    /// The next compound RTCP packet to send to the publisher.
    pub fn poll_rtcp(&mut self, now: Instant) -> Option<Bytes> {
        for ((track, _), layer) in &mut self.layers {
            let Some(track) = self.media.tracks.get(*track) else {
                continue;
            };
            if track.kind != MediaKind::Video || !layer.requests.poll(now) {
                continue;
            }
            let Some(feedback) = track.codecs.first().map(|codec| codec.feedback) else {
                continue;
            };
            // RFC 4585 §4.2: only what was negotiated is sent.
            if !feedback.pli && !feedback.fir {
                continue;
            }
            self.counters.keyframe_requests += 1;
            let mut compound = Vec::with_capacity(40);
            rtp::receiver_report(&mut compound, RECEIVER_SSRC, &[]);
            if feedback.pli {
                rtp::pli(&mut compound, RECEIVER_SSRC, layer.ssrc);
            } else {
                rtp::fir(&mut compound, RECEIVER_SSRC, layer.ssrc, layer.fir_seq);
                layer.fir_seq = layer.fir_seq.wrapping_add(1);
            }
            return Some(Bytes::from(compound));
        }
        if let Some((ssrc, lost)) = self.reception.poll_nack(now) {
            let mut compound = Vec::with_capacity(40);
            rtp::receiver_report(&mut compound, RECEIVER_SSRC, &[]);
            rtp::nack(&mut compound, RECEIVER_SSRC, ssrc, lost.into_iter());
            return Some(Bytes::from(compound));
        }
        self.reception.poll()
    }

    fn undo_rtx(
        &mut self,
        now: Instant,
        packet: &mut [u8],
        header: &RtpHeader,
        track: usize,
        layer: u8,
    ) -> Option<(RtpHeader, usize)> {
        let codecs = &self.media.tracks.get(track)?.codecs;
        let codec = codecs.iter().find(|codec| codec.rtx == Some(header.pt))?.clone();
        let kind = codec.codec.kind();
        // The transport feedback counts what arrived, under the SSRC it arrived with.
        let plain = NegotiatedCodec {
            feedback: Default::default(),
            ..codec.clone()
        };
        self.reception.packet(now, header, packet, &plain, kind);
        let ssrc = self.layers.get(&(track, layer))?.ssrc;
        let len = rtp::rtx::unwrap(packet, header, (codec.pt, ssrc))?;
        let original = RtpHeader::parse(packet.get(..len)?)?;
        // Fills the hole in the loss detector, without counting towards the transport feedback again.
        let bare = RtpHeader {
            extension: None,
            ..original
        };
        self.reception.packet(now, &bare, &[], &codec, kind);
        self.reception.sequence(now, ssrc, original.seq, true);
        Some((original, len))
    }

    fn codec_of(&mut self, track: usize, header: &RtpHeader) -> Option<(NegotiatedCodec, MediaKind)> {
        let track = self.media.tracks.get(track)?;
        let mut codecs = track.codecs.iter();
        let Some(codec) = codecs.find(|codec| codec.pt == header.pt || codec.red == Some(header.pt)) else {
            self.counters.unknown += 1;
            return None;
        };
        match track.kind {
            MediaKind::Video => self.codecs.video = Some(codec.codec),
            MediaKind::Audio => self.codecs.audio = Some(codec.codec),
        }
        Some((codec.clone(), track.kind))
    }

    fn route(
        &mut self,
        now: Instant,
        header: &RtpHeader,
        packet: &[u8],
        payload: &[u8],
        (track, layer): (usize, u8),
        (codec, came): (Codec, Came),
    ) -> Option<PublisherOutput> {
        let kind = codec.kind();
        let role = SourceRole::Media { track, layer };
        let ids = extensions(&self.media, role);
        let mut carried = ids
            .map(|ids| Carried::read(packet, header, ids))
            .unwrap_or_default();
        let ahead = self.clock.ahead(self.reception.round_trip());
        carried.capture_time = carried
            .capture_time
            .map(|time| ahead.map_or(time, |ahead| time.seen_from_here(ahead)));
        let descriptor = ids
            .and_then(|ids| header.extension?.find(packet, ids.dependency_descriptor?))
            .unwrap_or_default();
        let ingest = self
            .layers
            .entry((track, layer))
            .or_insert_with(|| LayerIngest::new(header.ssrc, self.sources.rid(track, layer), codec, now));
        if ingest.ssrc != header.ssrc {
            *ingest = LayerIngest::new(header.ssrc, self.sources.rid(track, layer), codec, now);
        }
        let before = ingest.seq.highest();
        let seq = ingest.seq.unwrap(header.seq);
        let timestamp = ingest.timestamps.unwrap(header.timestamp);
        let restarted = before.is_some_and(|highest| seq.0 > highest.0 + RESTART_GAP);
        if restarted {
            ingest.epoch = rand::random();
            ingest.keyframe_timestamp = None;
        }
        ingest.codec = codec;
        let highest = before.filter(|_| !restarted);
        ingest.meter.packet(highest, seq, timestamp, packet.len(), came);
        // Padding-only packets probe the path to us; they hold no media but their place in the sequence.
        let mut info = if payload.is_empty() {
            Default::default()
        } else {
            rtp::inspect(codec, payload)
        };
        let mut frame = FrameLayer::of_payload(codec, payload);
        if !descriptor.is_empty()
            && let Some(found) = dependency::read(descriptor, &mut ingest.structure)
            // Chromium leaves everything out of VP8's payload descriptor that this one tells.
            && (info.temporal_layer.is_none() || matches!(codec, Codec::Av1 { .. }))
        {
            frame = FrameLayer::of_descriptor(&found);
            if matches!(codec, Codec::Av1 { .. }) {
                info.keyframe_start = found.has_structure && found.start_of_frame;
                let largest = || ingest.structure.as_ref()?.largest();
                info.resolution = info
                    .resolution
                    .or_else(|| largest().filter(|_| info.keyframe_start));
            }
        }
        if let Some((width, height)) = info.resolution {
            ingest.size = Some((width, height));
        }
        let mut keyframe = false;
        if info.keyframe_start && kind == MediaKind::Video {
            let same_picture = ingest.keyframe_timestamp == Some(timestamp);
            keyframe = !same_picture || seq < ingest.keyframe_seq;
            if keyframe {
                ingest.keyframe_seq = seq;
            }
            if !same_picture {
                ingest.keyframe_timestamp = Some(timestamp);
                ingest.meter.keyframe(now);
                ingest.requests.keyframe(now);
                self.first_keyframe.get_or_insert(now);
            }
        }
        ingest.top = (ingest.top.0.max(frame.spatial), ingest.top.1.max(frame.temporal));
        let (epoch, rid, size) = (ingest.epoch, ingest.rid.clone(), ingest.size);
        self.doctor.packet(
            now,
            &Specimen {
                key: (track, layer),
                codec,
                highest,
                seq,
                timestamp,
                keyframe: info.keyframe_start,
                payload,
            },
        );
        if self.muted.is(kind) {
            return None;
        }
        let packet = MediaPacket {
            payload: self.keep(payload),
            seq,
            timestamp,
            arrival: now,
            codec,
            marker: header.marker,
            keyframe,
            head: info.resolution.is_some(),
            opens: false,
            picture: PictureNumbers::read(codec, payload).with_descriptor(descriptor),
            frame,
            carried,
            descriptor: if descriptor.is_empty() {
                Bytes::new()
            } else {
                self.keep(descriptor)
            },
        };
        Some(PublisherOutput::Packet(RoutedPacket {
            kind,
            layer,
            epoch,
            rid,
            size,
            packet,
        }))
    }

    fn keep(&mut self, payload: &[u8]) -> Bytes {
        if self.block.capacity() < payload.len() {
            self.block = BytesMut::with_capacity(BLOCK.max(payload.len()));
        }
        self.block.extend_from_slice(payload);
        self.block.split().freeze()
    }
}

impl LayerIngest {
    fn new(ssrc: Ssrc, rid: Option<&Rid>, codec: Codec, now: Instant) -> Self {
        let rid = rid.cloned();
        Self {
            ssrc,
            epoch: rand::random(),
            seq: SeqUnwrapper::default(),
            timestamps: TimestampUnwrapper::default(),
            keyframe_timestamp: None,
            keyframe_seq: SeqNo(0),
            rid,
            size: None,
            top: (0, 0),
            structure: None,
            codec,
            meter: Meter::new(now),
            requests: KeyframeRequests::default(),
            fir_seq: 0,
        }
    }
}
