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
use crate::core::rtp::{self, OutgoingHeader};

/// Header, extensions and RTX's two bytes at most.
const MAX_HEADER: usize = 96;

pub struct Wire<'a> {
    pub path: &'a Path,
    pub sender: &'a mut SrtpSender,
    pub counters: &'a mut ViewerCounters,
    pub transport: &'a mut Transport,
    pub playout: &'a mut PlayoutDelay,
}

impl Wire<'_> {
    /// For the first time.
    pub fn send(
        &mut self,
        track: &mut EgressTrack,
        packet: &MediaPacket,
        placed: Placed,
        now: Instant,
        out: &mut impl Outbox,
    ) {
        let stamp = self.stamp(&track.spec.extensions, placed, now);
        if is_stamped(&track.spec.extensions) && track.repeats_on().is_none() {
            track.stamps.keep(placed.seq, stamp);
        }
        self.write(track, packet, placed, stamp, None, out);
        track.packets = track.packets.wrapping_add(1);
        track.octets = track.octets.wrapping_add(packet.payload.len() as u32);
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
            Some(_) => self.stamp(ids, placed, now),
            None if !is_stamped(ids) => Stamp::default(),
            None => match track.stamps.of(placed.seq) {
                Some(stamp) => stamp,
                None => return,
            },
        };
        self.write(track, packet, placed, stamp, rtx, out);
    }

    fn stamp(&mut self, ids: &ExtensionIds, placed: Placed, now: Instant) -> Stamp {
        let mut stamp = self.transport.stamp(ids, now);
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
        rtx: Option<(PayloadType, Ssrc)>,
        out: &mut impl Outbox,
    ) {
        let Some(pt) = track.mapping().and_then(|mapping| mapping.pt) else {
            return;
        };
        let (pt, ssrc, index) = match rtx {
            Some((pt, ssrc)) => (pt, ssrc, track.next_rtx_seq()),
            None => (pt, track.spec.ssrc, placed.seq),
        };
        let header = OutgoingHeader {
            marker: packet.marker,
            pt,
            seq: index as u16,
            timestamp: placed.timestamp,
            ssrc,
        };
        let ids = &track.spec.extensions;
        let number = stamp.number.map(|number| (number as u16).to_be_bytes());
        let [_, time @ ..] = stamp.time.to_be_bytes();
        let playout = stamp.playout.map(PlayoutRange::bytes);
        let audio_level = packet.carried.audio_level.map(|level| [level]);
        let orientation = packet.carried.video_orientation.map(|value| [value]);
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
        ];
        let mut elements: [(u8, &[u8]); 6] = [(0, &[]); 6];
        let mut count = 0;
        for (id, value) in candidates {
            if let (Some(id), Some(value), Some(slot)) = (id, value, elements.get_mut(count)) {
                *slot = (id, value);
                count += 1;
            }
        }
        let elements = elements.get(..count).unwrap_or_default();
        let payload = &packet.payload;
        let sender = &mut *self.sender;
        let mut sent = 0;
        let room = MAX_HEADER + payload.len() + SrtpSender::MAX_OVERHEAD;
        out.datagram(self.path, room, |buf| {
            let header_len = rtp::write_header(buf, &header, elements)?;
            let mut len = header_len;
            if rtx.is_some() {
                buf.get_mut(len..len + 2)?
                    .copy_from_slice(&(placed.seq as u16).to_be_bytes());
                len += 2;
            }
            let copy = buf.get_mut(len..len + payload.len())?;
            copy.copy_from_slice(payload);
            packet.picture.write(copy, placed.picture);
            len += payload.len();
            sent = sender.seal_rtp(buf, header_len, len, index)?;
            Some(sent)
        });
        self.counters.packets += 1;
        self.counters.bytes += sent as u64;
    }
}

/// Packets on such a track carry something of the moment they were sent.
fn is_stamped(ids: &ExtensionIds) -> bool {
    ids.transport_cc.is_some() || ids.abs_send_time.is_some() || ids.playout_delay.is_some()
}
