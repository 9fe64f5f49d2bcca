//! One media packet as every viewer's egress reads it: plaintext, shared, never copied per viewer.

use std::time::Instant;

use bytes::Bytes;

use crate::core::ids::SeqNo;
use crate::core::media::{Codec, ExtensionIds};
use crate::core::rtp::{ExtensionBlock, FrameLayer, PictureNumbers, RtpHeader};
use crate::core::time::Ntp;

#[derive(Clone, Debug)]
pub struct MediaPacket {
    /// The RTP payload, without header, extensions and padding.
    pub payload: Bytes,
    pub seq: SeqNo,
    /// The publisher's RTP timestamp, unwrapped.
    pub timestamp: u64,
    pub arrival: Instant,
    pub codec: Codec,
    pub marker: bool,
    /// This packet is the first of a picture that a decoder can start with.
    pub keyframe: bool,
    /// It tells the picture's size: where parameter sets are packets of their own, nothing of the keyframe is
    /// before this one.
    pub head: bool,
    /// A waiting viewer can go live with it: a keyframe begins here, and nothing of it came before. Set by the
    /// [`Hub`](super::Hub), which knows what did.
    pub opens: bool,
    /// The payload's picture numbers, which go on at the viewer when the layer changes.
    pub picture: PictureNumbers,
    /// Among the temporal and spatial layers of its stream.
    pub frame: FrameLayer,
    pub carried: Carried,
    /// The dependency descriptor as it came; empty without. It goes through with its frame number continued.
    pub descriptor: Bytes,
}

/// Header extensions that go through to viewers, with whatever ids they negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// RFC 6464: voice flag and level.
    pub audio_level: Option<u8>,
    /// 3GPP TS 26.114 §7.4.5: camera and rotation.
    pub video_orientation: Option<u8>,
    /// abs-capture-time, short (8 bytes) or with the clock offset (16).
    pub capture_time: Option<CaptureTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureTime {
    bytes: [u8; 16],
    len: u8,
}

impl CaptureTime {
    fn read(value: &[u8]) -> Option<Self> {
        if value.len() != 8 && value.len() != 16 {
            return None;
        }
        let mut bytes = [0; 16];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self {
            bytes,
            len: value.len() as u8,
        })
    }

    /// With the clock offset that a receiver of ours needs (abs-capture-time, "estimated capture clock offset"): the
    /// publisher's clock is so many seconds ahead of ours. What the publisher says of a clock behind its own is added.
    pub fn seen_from_here(self, publisher_ahead: f64) -> Self {
        let behind = match self.bytes {
            [_, _, _, _, _, _, _, _, offset @ ..] if self.len == 16 => i64::from_be_bytes(offset),
            _ => 0,
        };
        let ours = (publisher_ahead * 4_294_967_296.0) as i64;
        let mut bytes = self.bytes;
        let (_, offset) = bytes.split_at_mut(8);
        offset.copy_from_slice(&behind.saturating_add(ours).to_be_bytes());
        Self { bytes, len: 16 }
    }

    /// The time of capture by our clock; only after [`seen_from_here`](Self::seen_from_here).
    pub fn captured(&self) -> Option<Ntp> {
        let [a, b, c, d, e, f, g, h, offset @ ..] = self.bytes;
        let capture = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        (self.len == 16).then(|| Ntp(capture.wrapping_sub(i64::from_be_bytes(offset) as u64)))
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len.min(16))]
    }
}

impl Carried {
    /// Reads from a packet whose extension ids are those the publisher negotiated.
    pub fn read(packet: &[u8], header: &RtpHeader, ids: &ExtensionIds) -> Self {
        let mut carried = Self::default();
        let Some(block): Option<ExtensionBlock> = header.extension else {
            return carried;
        };
        for (id, value) in block.elements(packet) {
            let id = Some(id);
            if id == ids.audio_level {
                carried.audio_level = value.first().copied();
            } else if id == ids.video_orientation {
                carried.video_orientation = value.first().copied();
            } else if id == ids.abs_capture_time {
                carried.capture_time = CaptureTime::read(value);
            }
        }
        carried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_time_is_told_by_our_clock_whatever_the_publishers_says() {
        // 7.5 s by a clock that is 2 s ahead of ours.
        let bytes: Vec<u8> = ((7u64 << 32) + (1 << 31)).to_be_bytes().into();
        let time = CaptureTime::read(&bytes).unwrap();
        assert_eq!(time.captured(), None, "not yet known by our clock");
        let seen = time.seen_from_here(2.0);
        assert_eq!(seen.as_slice()[..8], bytes);
        assert_eq!(seen.as_slice()[8..], (2i64 << 32).to_be_bytes());
        assert_eq!(seen.captured(), Some(Ntp((5 << 32) + (1 << 31))));
        // Captured elsewhere, by a clock 1 s behind the publisher's.
        let mut far = bytes;
        far.extend((-1i64 << 32).to_be_bytes());
        let seen = CaptureTime::read(&far).unwrap().seen_from_here(2.0);
        assert_eq!(seen.captured(), Some(Ntp((6 << 32) + (1 << 31))));
        let absurd = CaptureTime::read(&[0xff; 16]).unwrap().seen_from_here(1e300);
        assert!(absurd.captured().is_some());
    }
}
