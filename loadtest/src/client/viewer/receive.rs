//! A packet from the wire to its track.

use std::time::Instant;

use hdrhistogram::Histogram;

use super::sources::Role;
use super::{Now, Viewer};
use crate::client::keyframe;
use crate::client::rtcp::{self, Event};
use crate::client::rtp::{Header, Unwrapper};
use crate::client::track::{Arrival, Piece};
use crate::source::stamp::Stamp;

impl Viewer {
    pub(super) fn handle_rtp(
        &mut self,
        now: Now,
        received: u64,
        datagram: &mut [u8],
        latency: &mut Histogram<u64>,
    ) {
        let Some(mut header) = Header::parse(datagram) else {
            return;
        };
        let Some(keys) = self.peer.keys() else { return };
        let place = self.sources.iter().position(|source| source.ssrc == header.ssrc);
        let known = place.and_then(|place| self.sources.get(place));
        let numbers = known.map_or_else(Unwrapper::default, |source| source.numbers);
        let mut number = numbers.unwrap(header.seq);
        let Ok(len) = keys.theirs.open_rtp(datagram, header.len, (number >> 16) as u32) else {
            self.unauthentic += 1;
            return;
        };
        self.note_for_feedback(now.instant, received, &header, datagram);
        let role = match place.and_then(|place| self.sources.get_mut(place)) {
            Some(source) => {
                source.numbers.accept(number);
                source.role
            }
            None => match self.add_source(&header, number) {
                Some(role) => role,
                None => return,
            },
        };
        let Some(range) = header.payload(datagram, len) else {
            return;
        };
        let mut payload = datagram.get(range).unwrap_or_default();
        if let Role::Rtx(_) = role {
            // RFC 4588 §4: the original sequence number, then the original payload. Empty ones are probes.
            let Some((original, rest)) = payload.split_first_chunk::<2>() else {
                return;
            };
            header.seq = u16::from_be_bytes(*original);
            payload = rest;
            self.rtx_packets += 1;
            let media = self
                .sources
                .iter()
                .find(|source| matches!(source.role, Role::Video(_)));
            let Some(media) = media else { return };
            number = media.numbers.unwrap(header.seq);
        }
        self.times.first_packet.get_or_insert(now.instant);
        let arrival = self.track(now.instant, role, &header, number, header.len + len, payload);
        let Some(stamp) = Stamp::find(payload).filter(|_| arrival == Arrival::New) else {
            return;
        };
        if role != Role::Audio {
            self.note_layer(stamp.layer, number);
        }
        if self
            .times
            .connected
            .is_some_and(|connected| stamp.captured >= connected.wall)
        {
            let micros = received.saturating_sub(stamp.captured);
            self.latency.saturating_record(micros);
            latency.saturating_record(micros);
        }
    }

    fn track(
        &mut self,
        now: Instant,
        role: Role,
        header: &Header,
        number: u64,
        bytes: usize,
        payload: &[u8],
    ) -> Arrival {
        let (track, hint) = match role {
            Role::Audio => (&mut self.audio, keyframe::Hint::default()),
            Role::Video(codec) | Role::Rtx(codec) => (&mut self.video, keyframe::inspect(codec, payload)),
        };
        if payload.is_empty() {
            // Padding only: it keeps the numbers in order but belongs to no frame.
            let piece = Piece {
                timestamp: header.timestamp,
                ..Piece::default()
            };
            return track.handle(now, number, bytes, piece);
        }
        let is_video = role != Role::Audio;
        let piece = Piece {
            timestamp: header.timestamp,
            marker: header.marker,
            start: hint.start,
            key: hint.key,
        };
        let arrival = track.handle(now, number, bytes, piece);
        if let (Some(shaper), Arrival::New, false) = (&mut self.shaper, arrival, !track.is_decodable()) {
            shaper.count_video(now, if is_video { bytes } else { 0 });
        }
        if self.times.first_keyframe.is_none() && self.video.stats.frames.keyframes > 0 {
            self.times.first_keyframe = Some(now);
        }
        arrival
    }

    pub(super) fn handle_rtcp(&mut self, now: Now, plain: &[u8]) {
        rtcp::read(plain, |event| {
            if let Event::SenderReport(info) = event
                && let Some(source) = self.sources.iter_mut().find(|source| source.ssrc == info.ssrc)
            {
                source.last_sr = Some(((info.ntp >> 16) as u32, now.instant));
            }
        });
    }
}
