//! One stream of packets of a publisher's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{HISTORY, LayerSpec, Outgoing};
use crate::core::ids::{PayloadType, Ssrc};
use crate::core::rtp::dependency::tests::with_structure;
use crate::core::rtp::{self, OutgoingHeader};
use crate::core::sim::media::{self, Label, Picture};

pub(super) struct Track {
    pub(super) codec: &'static str,
    pub(super) ssrc: u32,
    pub(super) pt: u8,
    pub(super) rtx: Option<(u8, u32)>,
    pub(super) seq: u16,
    pub(super) rtx_seq: u16,
    pub(super) first_timestamp: u32,
    pub(super) clock_rate: u64,
    pub(super) next: Option<Instant>,
    /// Header, dependency descriptor and payload.
    pub(super) history: VecDeque<(OutgoingHeader, Vec<u8>, Vec<u8>)>,
    pub(super) packets: u32,
    pub(super) layer: u8,
    pub(super) spec: Option<LayerSpec>,
    /// Ids of the extensions that name the layer: on media, and on retransmissions.
    pub(super) rid_ids: (Option<u8>, Option<u8>),
    /// Of the dependency descriptor, in AV1.
    pub(super) descriptor_id: Option<u8>,
    pub(super) numbers: (u16, u8),
    pub(super) frame_number: u16,
    pub(super) within: (u8, u8),
    /// Pictures since the keyframe.
    pub(super) position: u32,
    pub(super) stopped: bool,
    pub(super) keyframe_due: Option<Instant>,
    pub(super) last_keyframe: Option<Instant>,
}

impl Track {
    pub(super) fn timestamp(&self, captured: Duration) -> u32 {
        let ticks = captured.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000;
        self.first_timestamp.wrapping_add(ticks as u32)
    }

    pub(super) fn packet(&mut self, label: &Label, len: usize) -> Outgoing {
        let header = OutgoingHeader {
            marker: label.index + 1 == label.count && label.spatial + 1 == self.within.0,
            pt: PayloadType(self.pt),
            seq: self.seq,
            timestamp: self.timestamp(label.captured),
            ssrc: Ssrc(self.ssrc),
        };
        let picture = Picture {
            numbers: self.numbers,
            layers: self.within,
            size: self.spec.map(|spec| spec.size),
        };
        let payload = media::payload(self.codec, label, &picture, len);
        let descriptor = self.descriptor_id.map(|id| (id, self.descriptor(label)));
        let descriptor = descriptor.as_ref().map(|(id, bytes)| (*id, &bytes[..]));
        let plain = with_elements(&header, [self.rid(self.rid_ids.0), descriptor], &payload);
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let descriptor = descriptor.map(|(_, bytes)| bytes.to_vec()).unwrap_or_default();
        self.history.push_back((header, descriptor, payload));
        self.seq = self.seq.wrapping_add(1);
        self.packets += 1;
        Outgoing {
            plain,
            rtcp: false,
            extra: Duration::ZERO,
        }
    }

    /// The first template of each spatial layer is for keyframes; then each stands for one temporal layer.
    fn descriptor(&self, label: &Label) -> Vec<u8> {
        let (spatial, temporal) = self.within;
        let targets = || (0..spatial).flat_map(move |s| (0..temporal).map(move |t| (s, t)));
        let template = |s: u8, t: u8| {
            let letter = |(target_s, target_t): (u8, u8)| match (target_s, target_t) {
                _ if target_s < s || target_t < t => '-',
                _ if target_s > s => 'R',
                _ if target_t == t && t > 0 => 'D',
                _ => 'S',
            };
            (s, t, targets().map(letter).collect::<String>())
        };
        let of_spatial = |s| std::iter::once((s, 0)).chain((0..temporal).map(move |t| (s, t)));
        let templates: Vec<(u8, u8, String)> = (0..spatial)
            .flat_map(of_spatial)
            .map(|(s, t)| template(s, t))
            .collect();
        let index = label.spatial * (temporal + 1) + u8::from(!label.keyframe) + label.temporal;
        // From another number on in each layer, as encoders do.
        let offset = 7 * (self.layer + 1);
        if label.keyframe && label.spatial == 0 && label.index == 0 {
            let templates: Vec<_> = templates.iter().map(|(s, t, all)| (*s, *t, &all[..])).collect();
            let size = self.spec.map_or((640, 360), |spec| spec.size);
            let mut bytes = with_structure(offset, self.frame_number, offset, &templates, Some(size));
            bytes[0] = bytes[0] & 0xbf | u8::from(label.count == 1) << 6;
            return bytes;
        }
        let starts = u8::from(label.index == 0) << 7;
        let ends = u8::from(label.index + 1 == label.count) << 6;
        let [high, low] = self.frame_number.to_be_bytes();
        vec![starts | ends | (offset + index) & 0x3f, high, low]
    }

    fn rid(&self, id: Option<u8>) -> Option<(u8, &'static [u8])> {
        Some((id?, self.spec?.rid.as_bytes()))
    }

    pub(super) fn repeat(&mut self, seq: u16) -> Option<Outgoing> {
        let (header, descriptor, payload) = self.history.iter().rev().find(|(known, ..)| known.seq == seq)?;
        let descriptor = self.descriptor_id.map(|id| (id, &descriptor[..]));
        let plain = match self.rtx {
            Some((pt, ssrc)) => {
                let header = OutgoingHeader {
                    pt: PayloadType(pt),
                    seq: self.rtx_seq,
                    ssrc: Ssrc(ssrc),
                    ..*header
                };
                let payload = [&seq.to_be_bytes(), &payload[..]].concat();
                with_elements(&header, [self.rid(self.rid_ids.1), descriptor], &payload)
            }
            None => with_elements(header, [self.rid(self.rid_ids.0), descriptor], payload),
        };
        self.rtx_seq = self.rtx_seq.wrapping_add(1);
        Some(Outgoing {
            plain,
            rtcp: false,
            extra: Duration::ZERO,
        })
    }
}

/// An RTP packet with the extensions that name its layers.
fn with_elements(header: &OutgoingHeader, elements: [Option<(u8, &[u8])>; 2], payload: &[u8]) -> Vec<u8> {
    let mut plain = vec![0; 320];
    let elements: Vec<(u8, &[u8])> = elements.into_iter().flatten().collect();
    let len = rtp::write_header(&mut plain, header, &elements).expect("a header fits");
    plain.truncate(len);
    plain.extend(payload);
    plain
}

/// An RTP packet without extensions.
pub fn written(header: &OutgoingHeader, payload: &[u8]) -> Vec<u8> {
    let mut plain = vec![0; 12];
    rtp::write_header(&mut plain, header, &[]).expect("a plain header fits");
    plain.extend(payload);
    plain
}
