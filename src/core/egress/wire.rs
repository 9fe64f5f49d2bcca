//! The last step of a packet's way: header, payload, seal.

use std::time::Instant;

use super::playout::{PlayoutDelay, PlayoutRange};
use super::rewriter::{Placed, Playout};
use super::track::EgressTrack;
use super::transport::{Stamp, Transport};
use super::viewer::ViewerCounters;
use crate::core::ids::{PayloadType, Ssrc};
use crate::core::machine::{Outbox, Path};
use crate::core::media::ExtensionIds;
use crate::core::peer::SrtpSender;
use crate::core::route::MediaPacket;
use crate::core::rtp::{self, OutgoingHeader, red};

/// Header, extensions and RTX's two bytes at most.
const MAX_HEADER: usize = 96;

/// The longest element that a header extension can have.
const MAX_DESCRIPTOR: usize = 255;

/// What all packets to a viewer go through.
pub struct Wire {
    pub path: Path,
    pub sender: SrtpSender,
    pub counters: ViewerCounters,
    pub transport: Transport,
    pub playout: PlayoutDelay,
}

impl Wire {
    /// For the first time; with the packet before it repeated in it, where that is given with its age in ticks.
    pub fn send(
        &mut self,
        track: &mut EgressTrack,
        packet: &MediaPacket,
        placed: Placed,
        before: Option<(u64, &MediaPacket)>,
        now: Instant,
        out: &mut impl Outbox,
    ) {
        let mut stamp = self.stamp(&track.spec.extensions, packet.payload.len(), placed, now);
        let form =
            before.and_then(|(offset, before)| Some(Form::Redundant(track.mapping()?.red?, offset, before)));
        stamp.redundant = form.is_some();
        if is_stamped(track)
            && track.mapping().is_some_and(|mapping| mapping.nack)
            && track.repeats_on().is_none()
        {
            track.stamps.keep(placed.seq, stamp);
        }
        self.write(track, packet, placed, stamp, form.unwrap_or(Form::Plain), out);
        track.packets = track.packets.wrapping_add(1);
        if !placed.blank {
            track.octets = track.octets.wrapping_add(packet.payload.len() as u32);
        }
    }

    /// As a retransmission (RFC 4588), where there is a payload type for it; else the same packet once more, if what
    /// stood on it is still known.
    pub fn send_again(
        &mut self,
        track: &mut EgressTrack,
        packet: &MediaPacket,
        placed: Placed,
        now: Instant,
        out: &mut impl Outbox,
    ) {
        let ids = &track.spec.extensions;
        let rtx = track.repeats_on();
        let stamp = match rtx {
            Some(_) => self.stamp(ids, packet.payload.len() + 2, placed, now),
            None if !is_stamped(track) => Stamp::default(),
            None => match track.stamps.of(placed.seq) {
                // What was repeated in it may be gone, and without it it would not be the same.
                Some(stamp) if !stamp.redundant => stamp,
                _ => return,
            },
        };
        let form = rtx.map_or(Form::Plain, |(pt, ssrc)| Form::Again(pt, ssrc));
        self.write(track, packet, placed, stamp, form, out);
    }

    fn stamp(&mut self, ids: &ExtensionIds, payload: usize, placed: Placed, now: Instant) -> Stamp {
        let mut stamp = self.transport.stamp(ids, payload, now);
        if ids.playout_delay.is_some() {
            stamp.playout = match placed.playout {
                Playout::Immediate if self.playout.is_none() => Some(PlayoutRange::NONE),
                Playout::Unset => self.playout.stamp(now),
                Playout::Immediate | Playout::Normal => self.playout.stamp(now).or(Some(PlayoutRange::FREE)),
            };
        }
        stamp
    }

    fn write(
        &mut self,
        track: &mut EgressTrack,
        packet: &MediaPacket,
        placed: Placed,
        stamp: Stamp,
        form: Form,
        out: &mut impl Outbox,
    ) {
        let Some(pt) = track.mapping().and_then(|mapping| mapping.pt) else {
            return;
        };
        let media_pt = pt;
        let (pt, ssrc, index) = match form {
            Form::Plain => (pt, track.spec.ssrc, placed.seq),
            Form::Redundant(pt, _, _) => (pt, track.spec.ssrc, placed.seq),
            Form::Again(pt, ssrc) => (pt, ssrc, track.next_rtx_seq()),
        };
        let header = OutgoingHeader {
            marker: placed.marker,
            pt,
            seq: index as u16,
            timestamp: placed.timestamp,
            ssrc,
        };
        let ids = &track.spec.extensions;
        let number = stamp.number.map(u16::to_be_bytes);
        let [_, time @ ..] = stamp.time.to_be_bytes();
        let playout = stamp.playout.map(PlayoutRange::bytes);
        let audio_level = packet.carried.audio_level.map(|level| [level]);
        let orientation = packet.carried.video_orientation.map(|value| [value]);
        let mut numbered;
        let mut descriptor: Option<&[u8]> = None;
        if ids.dependency_descriptor.is_some() && !packet.descriptor.is_empty() && !placed.blank {
            numbered = [0; MAX_DESCRIPTOR];
            if let Some(copy) = numbered.get_mut(..packet.descriptor.len()) {
                copy.copy_from_slice(&packet.descriptor);
                packet.picture.write_descriptor(copy, placed.picture);
                descriptor = Some(copy);
            }
        }
        let candidates = [
            (ids.transport_cc, number.as_ref().map(|value| &value[..])),
            (ids.abs_send_time, Some(&time[..])),
            (ids.playout_delay, playout.as_ref().map(|value| &value[..])),
            (ids.audio_level, audio_level.as_ref().map(|value| &value[..])),
            (
                ids.video_orientation,
                orientation.as_ref().map(|value| &value[..]),
            ),
            (
                ids.abs_capture_time,
                packet.carried.capture_time.as_ref().map(|time| time.as_slice()),
            ),
            (ids.dependency_descriptor, descriptor),
        ];
        let mut elements: [(u8, &[u8]); 7] = [(0, &[]); 7];
        let mut count = 0;
        for (id, value) in candidates {
            if let (Some(id), Some(value), Some(slot)) = (id, value, elements.get_mut(count)) {
                *slot = (id, value);
                count += 1;
            }
        }
        let elements = elements.get(..count).unwrap_or_default();
        let payload: &[u8] = if placed.blank { &[] } else { &packet.payload };
        let sender = &mut self.sender;
        let mut sent = 0;
        let repeated = match form {
            Form::Redundant(_, _, before) => before.payload.len(),
            Form::Plain | Form::Again(..) => 0,
        };
        let room = MAX_HEADER
            + descriptor.map_or(0, <[u8]>::len)
            + repeated
            + payload.len()
            + SrtpSender::MAX_OVERHEAD;
        out.datagram(&self.path, room, |buf| {
            let header_len = rtp::write_header(buf, &header, elements)?;
            let mut len = header_len;
            let mut put = |bytes: &[u8]| {
                buf.get_mut(len..len + bytes.len())?.copy_from_slice(bytes);
                len += bytes.len();
                Some(())
            };
            match form {
                Form::Plain => {}
                Form::Redundant(_, offset, before) => {
                    put(&red::header(media_pt.0, offset, before.payload.len()))?;
                    put(&before.payload)?;
                }
                Form::Again(..) => put(&(placed.seq as u16).to_be_bytes())?,
            }
            let copy = buf.get_mut(len..len + payload.len())?;
            copy.copy_from_slice(payload);
            if !placed.blank {
                packet.picture.write(copy, placed.picture);
            }
            len += payload.len();
            sent = sender.seal_rtp(buf, header_len, len, index)?;
            Some(sent)
        });
        self.transport.pacer.spend(sent);
        self.counters.packets += 1;
        self.counters.bytes += sent as u64;
    }

    /// A packet of nothing but padding (RFC 3550 §5.1), among the retransmissions: their numbers are not missed.
    pub fn padding(&mut self, track: &mut EgressTrack, now: Instant, out: &mut impl Outbox) -> Option<()> {
        const PADDING: u8 = 224;
        let (pt, ssrc) = track.repeats_on()?;
        let index = track.next_rtx_seq();
        let stamp = self.transport.stamp(&track.spec.extensions, PADDING.into(), now);
        let header = OutgoingHeader {
            marker: false,
            pt,
            seq: index as u16,
            timestamp: track.latest_timestamp(),
            ssrc,
        };
        let number = stamp.number.map(u16::to_be_bytes);
        let [_, time @ ..] = stamp.time.to_be_bytes();
        let ids = &track.spec.extensions;
        let mut elements: [(u8, &[u8]); 2] = [(0, &[]); 2];
        let mut count = 0;
        let number = ids.transport_cc.zip(number.as_ref().map(|value| &value[..]));
        let time = ids.abs_send_time.map(|id| (id, &time[..]));
        for (slot, element) in elements.iter_mut().zip([number, time].into_iter().flatten()) {
            *slot = element;
            count += 1;
        }
        let elements = elements.get(..count).unwrap_or_default();
        let sender = &mut self.sender;
        let mut sent = 0;
        let room = MAX_HEADER + usize::from(PADDING) + SrtpSender::MAX_OVERHEAD;
        out.datagram(&self.path, room, |buf| {
            let header_len = rtp::write_header(buf, &header, elements)?;
            *buf.first_mut()? |= 0x20;
            let len = header_len + usize::from(PADDING);
            let padding = buf.get_mut(header_len..len)?;
            padding.fill(0);
            *padding.last_mut()? = PADDING;
            sent = sender.seal_rtp(buf, header_len, len, index)?;
            Some(sent)
        });
        self.transport.pacer.spend(sent);
        self.counters.packets += 1;
        self.counters.bytes += sent as u64;
        Some(())
    }
}

/// What a packet goes out as.
#[derive(Clone, Copy)]
enum Form<'a> {
    Plain,
    /// Of this payload type, with a packet so many ticks older repeated in it (RFC 2198).
    Redundant(PayloadType, u64, &'a MediaPacket),
    /// A retransmission (RFC 4588).
    Again(PayloadType, Ssrc),
}

/// Packets on such a track carry something of the moment they were sent.
fn is_stamped(track: &EgressTrack) -> bool {
    let ids = &track.spec.extensions;
    let redundant = track.mapping().is_some_and(|mapping| mapping.red.is_some());
    redundant || ids.transport_cc.is_some() || ids.abs_send_time.is_some() || ids.playout_delay.is_some()
}
