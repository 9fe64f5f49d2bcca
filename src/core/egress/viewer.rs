//! One viewer: forwards what is fresh, sends again what was lost, reports.

use std::time::{Duration, Instant};

use super::adaptation::{Adaptation, AdaptationLimits};
use super::pacer::Waiting;
use super::playout::PlayoutDelay;
use super::retransmit::{COPY_AFTER, Retransmissions};
use super::statistics::Heard;
use super::track::{EgressTrack, RunUpLimits};
use super::wire::Wire;
use crate::core::ids::{SessionId, Ssrc};
use crate::core::machine::{Outbox, Path};
use crate::core::media::{LayerChoice, MediaKind, ViewerMedia};
use crate::core::peer::SrtpSender;
use crate::core::route::{Hub, Lane, SourceKey};
use crate::core::rtp::rtcp::{self, ReportBlock};
use crate::core::rtp::{self, Rtcp};
use crate::core::statistics::{Latency, Pace};
use crate::core::time::{Epoch, Ntp};

/// From this share of lost packets on, sound is sent twice where the viewer takes it (RFC 2198): nothing else repairs
/// it, and it is small.
const REDUNDANT_FROM: f64 = 0.003;
/// Until the pace is looked at again for those that wait.
const WAITS: Duration = Duration::from_millis(4);
/// NACKed packets handled in one turn; what is beyond is asked for again.
const MAX_PENDING_NACKS: usize = 512;

pub struct Viewer {
    pub id: SessionId,
    /// Key of the stream's hub at this worker.
    pub hub: usize,
    /// The engine has it among those that send over time.
    pub listed: bool,
    pub(super) wire: Wire,
    pub(super) adaptation: Adaptation,
    pub(super) video: Option<EgressTrack>,
    pub(super) audio: Option<EgressTrack>,
    nacks: Vec<(MediaKind, u16)>,
    retransmissions: Retransmissions,
    /// Second copies of retransmissions and when they are due, in this order.
    copies: Vec<(Instant, MediaKind, u16)>,
    /// When the next report is due; `None` without anything to report.
    pub report_at: Option<Instant>,
    /// The viewer's own time as it last told it, by whom and when: by our answer it knows the round trip.
    reference: Option<(Ssrc, u32, Instant)>,
    /// Reused for reports.
    compound: Vec<u8>,
    pub(super) heard: Heard,
    /// What it was last said to get ([`news`](Self::news)).
    pub(super) told: (Option<SourceKey>, bool),
    pub(super) pace: Pace,
}

/// Parts of the delay from capture to screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewerDelays {
    /// From capture to arrival here, by the publisher's capture times: exact to the error of its clock's offset, which is
    /// below half its round trip. `None`: it sends none, and only the player's estimate remains.
    pub uplink: Option<Duration>,
    /// From here to the viewer and back, by its reports.
    pub round_trip: Option<Duration>,
    /// What the player is told to wait at least.
    pub playout: Duration,
}

impl ViewerDelays {
    /// From capture, or else from arrival here, to when the player may show it; half the round trip is taken for the way
    /// to the viewer. `None` while no round trip is known.
    pub fn latency(&self) -> Option<Latency> {
        let delay = self.uplink.unwrap_or_default() + self.round_trip? / 2 + self.playout;
        Some(Latency {
            delay,
            exact: self.uplink.is_some(),
        })
    }
}

/// Clocks that say more are wrong, seconds.
const MAX_UPLINK: f64 = 60.0;

#[derive(Clone, Copy, Debug, Default)]
pub struct ViewerCounters {
    pub packets: u64,
    pub bytes: u64,
    pub nacked: u64,
    pub retransmitted: u64,
    /// Asked for, and too old, sent just now, or beyond the viewer's share.
    pub not_retransmitted: u64,
    pub keyframe_requests: u64,
    /// Bytes sent to find out what the way carries.
    pub probed: u64,
}

impl Viewer {
    pub fn new(
        id: SessionId,
        hub: usize,
        media: &ViewerMedia,
        path: Path,
        sender: SrtpSender,
        limits: AdaptationLimits,
        now: Instant,
    ) -> Self {
        let (adaptation, transport) = Adaptation::new(media, limits, now);
        let track = |kind| {
            let spec = media.tracks.iter().find(|track| track.kind == kind);
            spec.map(|spec| {
                let layers = match kind {
                    MediaKind::Audio => LayerChoice::default(),
                    MediaKind::Video => media.layers.clone(),
                };
                EgressTrack::new(spec.clone(), layers, now)
            })
        };
        Self {
            id,
            hub,
            listed: false,
            wire: Wire {
                path,
                sender,
                counters: ViewerCounters::default(),
                transport,
                playout: PlayoutDelay::new(media.latency, now),
            },
            video: track(MediaKind::Video).map(|track| track.with_room(adaptation.guess())),
            audio: track(MediaKind::Audio),
            nacks: Vec::new(),
            retransmissions: Retransmissions::new(now),
            copies: Vec::new(),
            report_at: None,
            reference: None,
            compound: Vec::new(),
            heard: Heard::default(),
            told: (None, false),
            pace: Pace::new(now),
            adaptation,
        }
    }

    /// Its packets go there from now on.
    pub fn move_to(&mut self, path: Path) {
        self.wire.path = path;
    }

    pub fn counters(&self) -> ViewerCounters {
        self.wire.counters
    }

    pub fn source_changed(&mut self, now: Instant) {
        for track in [&mut self.video, &mut self.audio].into_iter().flatten() {
            track.source_changed(now);
        }
        self.wire.transport.pacer.clear();
        self.wire.playout.restart();
    }

    /// Takes effect with [`try_start`](Self::try_start).
    pub fn choose_layer(&mut self, choice: LayerChoice) {
        if let Some(track) = &mut self.video {
            track.choose(choice);
        }
    }

    /// The layer that keyframes are wanted of, if one is known.
    pub fn wanted_layer(&self) -> Option<u8> {
        self.video.as_ref()?.wanted_layer()
    }

    /// Starts or switches what can be from the buffers; true when a keyframe of
    /// [`wanted_layer`](Self::wanted_layer) should be asked for.
    pub fn try_start(&mut self, hub: &Hub, limits: RunUpLimits, now: Instant) -> bool {
        let Some(track) = &mut self.video else {
            return false;
        };
        let ask = track.try_start(&hub.video, hub.answers_pli, limits, now);
        if track.is_running_up() {
            // What waits is in the buffer, as all that is stored.
            self.wire.transport.pacer.clear();
        }
        ask
    }

    /// It waits for its first picture or for another layer's keyframe.
    pub fn is_waiting(&self) -> bool {
        self.video
            .as_ref()
            .is_some_and(|track| track.is_waiting() || track.is_switching() || track.is_rising())
    }

    /// Sends what arrived since the last flush; true when some of it waits ([`run_up`](Self::run_up)).
    pub fn forward(&mut self, hub: &Hub, now: Instant, out: &mut impl Outbox) -> bool {
        self.wire.transport.pacer.refill(now);
        self.forward_lane(&hub.audio, now, out);
        self.forward_lane(&hub.video, now, out);
        self.wire.transport.pacer.is_busy()
    }

    fn forward_lane(&mut self, lane: &Lane, now: Instant, out: &mut impl Outbox) {
        let video = lane.kind == MediaKind::Video;
        let track = if video { &mut self.video } else { &mut self.audio };
        let Some(track) = track else { return };
        if lane.fresh.is_empty() {
            return;
        }
        track.update_layers(lane);
        let redundant = self.wire.playout.loss() >= REDUNDANT_FROM;
        for (index, seq) in &lane.fresh {
            let (Some(key), Some(layer)) = (lane.key(*index), lane.layer(*index)) else {
                continue;
            };
            let Some(packet) = layer.buffer.get(*seq) else {
                continue;
            };
            // Sound never waits.
            let first = !self.nacks.is_empty() && self.wire.transport.pacer.is_paced();
            if video && (first || self.wire.transport.pacer.holds()) && !track.is_running_up() {
                let waiting = Waiting {
                    key,
                    seq: *seq,
                    bytes: packet.payload.len() as u16,
                };
                if track.may_want(*index) {
                    self.wire.transport.pacer.push(waiting);
                }
                continue;
            }
            if let Some(placed) = track.forward(lane, key, packet, now) {
                let before = match lane.kind {
                    MediaKind::Audio if redundant => track.repeatable(lane, packet, placed),
                    _ => None,
                };
                self.wire.send(track, packet, placed, before, now, out);
            }
        }
    }

    /// What the handshake took to the viewer and back, before any report tells.
    pub fn round_trip(&mut self, round_trip: Duration, now: Instant) {
        self.wire.playout.round_trip(round_trip, now);
    }

    /// What lies between the publisher's capture and this viewer's screen, as far as it is known here: the rest, decoding
    /// and showing, the player knows.
    pub fn delays(&self, hub: &Hub, epoch: &Epoch) -> ViewerDelays {
        let captured = self
            .video
            .as_ref()
            .and_then(EgressTrack::key)
            .and_then(|key| hub.video.layer(key.layer)?.captured);
        ViewerDelays {
            uplink: captured.map(|(captured, arrival)| {
                let seconds = epoch.ntp(arrival).seconds_since(captured);
                Duration::from_secs_f64(seconds.clamp(0.0, MAX_UPLINK))
            }),
            round_trip: self.wire.playout.round_trip,
            playout: self.wire.playout.current(),
        }
    }

    /// Takes an authenticated compound RTCP packet in; true when the viewer asks for a keyframe. `ntp` is `now` by the
    /// clock of our sender reports.
    pub fn rtcp(&mut self, now: Instant, ntp: Ntp, compound: &[u8]) -> bool {
        let mut keyframe = false;
        for item in rtp::feedback(compound) {
            match item {
                Rtcp::Nack { media, pid, blp } => self.nack(media, pid, blp, now),
                Rtcp::Pli { media } | Rtcp::Fir { media, .. } if self.is_video(media) => {
                    self.wire.counters.keyframe_requests += 1;
                    keyframe = true;
                }
                Rtcp::Xr(xr) => {
                    if let Some((ssrc, time)) = rtcp::reference_time(xr) {
                        self.reference = Some((ssrc, Ntp(time).middle(), now));
                    }
                }
                Rtcp::TransportCc(packet) => {
                    self.wire.transport.estimator.transport_feedback(now, packet);
                    self.adaptation.hurry(now);
                }
                Rtcp::Remb { bitrate, .. } => {
                    self.wire.transport.estimator.remb(now, bitrate);
                    self.adaptation.hurry(now);
                }
                Rtcp::ReceiverReport { block, .. } => self.reported(&block, now, ntp),
                Rtcp::SenderReport { blocks, .. } => blocks.for_each(|block| self.reported(&block, now, ntp)),
                _ => {}
            }
        }
        keyframe
    }

    fn reported(&mut self, block: &ReportBlock, now: Instant, ntp: Ntp) {
        let Some(kind) = self.kind_of(block.ssrc) else {
            return;
        };
        self.heard.block(kind, block, ntp);
        if let Some(round_trip) = block.round_trip(ntp) {
            self.wire.playout.round_trip(round_trip, now);
        }
        if kind == MediaKind::Video {
            let round_trip = block.round_trip(ntp);
            self.wire
                .transport
                .estimator
                .receiver_report(now, block.fraction_lost, round_trip);
            self.wire.playout.reported(block, now);
        }
    }

    fn is_video(&self, ssrc: Ssrc) -> bool {
        self.video.as_ref().is_some_and(|track| track.spec.ssrc == ssrc)
    }

    /// The decoder is stuck and the publisher sends no keyframe when asked.
    pub fn restart(&mut self, hub: &Hub, limits: RunUpLimits, now: Instant) {
        if let Some(track) = &mut self.video
            && track.restart(&hub.video, limits, now)
        {
            self.wire.transport.pacer.clear();
            self.wire.playout.restart();
        }
    }

    fn nack(&mut self, media: Ssrc, pid: u16, blp: u16, now: Instant) {
        let Some(kind) = self.kind_of(media) else { return };
        self.wire.playout.nacked(now);
        let followers = (0..16u16)
            .filter(|bit| blp & (1 << bit) != 0)
            .map(|bit| pid.wrapping_add(bit + 1));
        for seq in std::iter::once(pid).chain(followers) {
            self.wire.counters.nacked += 1;
            if self.nacks.len() < MAX_PENDING_NACKS {
                self.nacks.push((kind, seq));
            }
        }
    }

    pub fn has_nacks(&self) -> bool {
        !self.nacks.is_empty()
    }

    /// Answers the NACKs taken in since the last time, and sends the second copies that are due. When the next one is.
    pub fn retransmit(&mut self, hub: &Hub, now: Instant, out: &mut impl Outbox) -> Option<Instant> {
        let octets = |track: &Option<EgressTrack>| track.as_ref().map_or(0, |track| track.octets);
        let media = octets(&self.video).wrapping_add(octets(&self.audio));
        self.retransmissions.earn(media, now);
        self.wire.transport.pacer.refill(now);
        let mut copies = std::mem::take(&mut self.copies);
        copies.retain(|(due, kind, seq)| {
            let waits = *due > now;
            if !waits {
                self.send_again(hub, *kind, *seq, None, now, out);
            }
            waits
        });
        let mut nacks = std::mem::take(&mut self.nacks);
        nacks.retain(|(kind, seq)| {
            // Without what was lost, nothing that follows is of use: it is the next to go out.
            let waits = *kind == MediaKind::Video && !self.wire.transport.pacer.is_open();
            if !waits
                && self
                    .send_again(hub, *kind, *seq, Some(&mut copies), now, out)
                    .is_none()
            {
                self.wire.counters.not_retransmitted += 1;
            }
            waits
        });
        // Asked for once more while they waited.
        nacks.sort_unstable_by_key(|(_, seq)| *seq);
        nacks.dedup();
        self.nacks = nacks;
        self.copies = copies;
        let waiting = (!self.nacks.is_empty()).then_some(now + WAITS);
        self.copies
            .first()
            .map(|(due, _, _)| *due)
            .into_iter()
            .chain(waiting)
            .min()
    }

    /// What a NACKed number stood for, once more. As an answer to a NACK it may be refused, and `copies` takes note
    /// where a second one is to follow.
    fn send_again(
        &mut self,
        hub: &Hub,
        kind: MediaKind,
        seq: u16,
        copies: Option<&mut Vec<(Instant, MediaKind, u16)>>,
        now: Instant,
        out: &mut impl Outbox,
    ) -> Option<()> {
        let track = match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        };
        let track = track.as_mut()?;
        let (packet, placed) = track.lost(hub.lane(kind), seq)?;
        let video = kind == MediaKind::Video;
        let congested = self.adaptation.is_congested();
        // On a way that is full already, every repetition takes the place of something newer.
        let scarce = !self.adaptation.loses_at_random(now);
        if video && scarce && (track.is_left(seq) || track.is_held()) {
            return None;
        }
        if video && copies.is_none() && !self.wire.transport.pacer.is_open() {
            return None;
        }
        if let Some(copies) = copies {
            let bytes = packet.payload.len();
            let round_trip = self.wire.playout.known_round_trip();
            let queue = match congested {
                true => self.wire.transport.estimator.estimate().queue,
                false => Duration::ZERO,
            };
            if !self
                .retransmissions
                .take(kind, placed.seq, bytes, round_trip, queue, now)
            {
                return None;
            }
            if !scarce
                && self.retransmissions.take_copy(bytes, self.wire.playout.loss())
                && copies.len() < MAX_PENDING_NACKS
            {
                copies.push((now + COPY_AFTER, kind, seq));
            }
        }
        self.wire.counters.retransmitted += 1;
        self.wire.send_again(track, packet, placed, now, out);
        Some(())
    }

    /// Sends a sender report for each track that plays (RFC 3550 §6.4.1); false if none does.
    pub fn report(&mut self, hub: &Hub, epoch: &Epoch, now: Instant, out: &mut impl Outbox) -> bool {
        let compound = &mut self.compound;
        compound.clear();
        for track in [&self.audio, &self.video].into_iter().flatten() {
            let Some(timestamp) = report_timestamp(track, hub, epoch, now) else {
                continue;
            };
            let ssrc = track.spec.ssrc;
            rtp::sender_report(
                compound,
                ssrc,
                epoch.ntp(now).0,
                timestamp,
                track.packets,
                track.octets,
            );
            rtp::sdes_cname(compound, ssrc, hub.stream.as_str());
        }
        if compound.is_empty() {
            return false;
        }
        if let Some((receiver, time, at)) = self.reference.take()
            && let Some(track) = self.video.as_ref().or(self.audio.as_ref())
        {
            let delay = (now.saturating_duration_since(at).as_secs_f64() * 65_536.0) as u32;
            rtcp::dlrr(compound, track.spec.ssrc, receiver, time, delay);
        }
        if self.wire.sender.seal_rtcp(compound).is_ok() {
            out.datagram(&self.wire.path, compound.len(), |buf| {
                buf.get_mut(..compound.len())?.copy_from_slice(compound);
                Some(compound.len())
            });
        }
        true
    }
}

/// The outgoing RTP time of `now`.
fn report_timestamp(track: &EgressTrack, hub: &Hub, epoch: &Epoch, now: Instant) -> Option<u32> {
    let key = track.key()?;
    let layer = hub
        .lane(track.spec.kind)
        .layer(key.layer)
        .filter(|layer| layer.epoch == key.epoch)?;
    let clock_rate = layer.codec?.clock_rate();
    let incoming = match &layer.clock {
        Some(point) => hub.clock.timestamp_at(epoch, point, now, clock_rate),
        // No report from the publisher yet: the newest packet is taken to be of the time it came.
        None => {
            let newest = layer.buffer.get(layer.buffer.highest()?)?;
            let elapsed = now.saturating_duration_since(newest.arrival).as_secs_f64();
            newest.timestamp + (elapsed * f64::from(clock_rate)) as u64
        }
    };
    track.live_timestamp(incoming)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_as_old_as_the_parts_of_its_way() {
        let ms = Duration::from_millis;
        let unknown = ViewerDelays::default();
        assert_eq!(unknown.latency(), None);
        let from_arrival = ViewerDelays {
            round_trip: Some(ms(80)),
            playout: ms(250),
            ..unknown
        };
        let told = |delay, exact| Some(Latency { delay, exact });
        assert_eq!(from_arrival.latency(), told(ms(290), false));
        let from_capture = ViewerDelays {
            uplink: Some(ms(35)),
            ..from_arrival
        };
        assert_eq!(from_capture.latency(), told(ms(325), true));
    }
}
