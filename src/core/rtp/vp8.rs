//! VP8 in RTP (RFC 7741).

use super::payload::PayloadInfo;

/// The payload descriptor (RFC 7741 §4.2), with the places of the numbers that a rewriter has to continue when it
/// switches or drops pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// S: this packet starts a partition.
    pub partition_start: bool,
    /// PID: which one, 0–7.
    pub partition: u8,
    /// N: no other picture refers to this one.
    pub non_reference: bool,
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX and its offset in the payload.
    pub tl0_picture_index: Option<(u8, usize)>,
    /// TID, 0–3, and Y: depends only on the base layer.
    pub temporal_layer: Option<(u8, bool)>,
    /// KEYIDX (0–31) and its offset in the payload: the low five bits of that byte.
    pub key_index: Option<(u8, usize)>,
    /// The descriptor's length; here the VP8 data begins.
    pub len: usize,
}

/// A picture id and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureId {
    /// 7 or 15 bits, as `wide` says.
    pub value: u16,
    /// Offset of its first byte in the payload.
    pub offset: usize,
    /// Two bytes, the first with its top bit set; otherwise one.
    pub wide: bool,
}

impl Descriptor {
    /// `None` if the payload ends within the descriptor.
    pub fn parse(payload: &[u8]) -> Option<Descriptor> {
        let mut at = 0;
        let mut next = || {
            at += 1;
            payload.get(at - 1).map(|byte| (*byte, at - 1))
        };
        let (flags, _) = next()?;
        let extended = if flags & 0x80 != 0 { next()?.0 } else { 0 };
        let mut picture_id = None;
        if extended & 0x80 != 0 {
            let (high, offset) = next()?;
            let wide = high & 0x80 != 0;
            let value = u16::from(high & 0x7f);
            let value = if wide {
                value << 8 | u16::from(next()?.0)
            } else {
                value
            };
            picture_id = Some(PictureId { value, offset, wide });
        }
        let tl0_picture_index = if extended & 0x40 != 0 { Some(next()?) } else { None };
        let mut temporal_layer = None;
        let mut key_index = None;
        if extended & 0x30 != 0 {
            let (byte, offset) = next()?;
            temporal_layer = (extended & 0x20 != 0).then_some((byte >> 6, byte & 0x20 != 0));
            key_index = (extended & 0x10 != 0).then_some((byte & 0x1f, offset));
        }
        Some(Descriptor {
            partition_start: flags & 0x10 != 0,
            partition: flags & 0x07,
            non_reference: flags & 0x20 != 0,
            picture_id,
            tl0_picture_index,
            temporal_layer,
            key_index,
            len: at,
        })
    }
}

pub(super) fn inspect(payload: &[u8]) -> Option<PayloadInfo> {
    let descriptor = Descriptor::parse(payload)?;
    let data = payload.get(descriptor.len..)?;
    let frame_start = descriptor.partition_start && descriptor.partition == 0 && !data.is_empty();
    // P, the lowest bit of the frame tag, is 0 in a key frame (RFC 6386 §9.1).
    let keyframe_start = frame_start && data.first().is_some_and(|tag| tag & 1 == 0);
    Some(PayloadInfo {
        keyframe_start,
        frame_start,
        temporal_layer: descriptor.temporal_layer.map(|(layer, _)| layer),
        resolution: if keyframe_start { resolution(data) } else { None },
    })
}

/// A key frame's size: 14 bits each, little endian, below two bits of scaling (RFC 6386 §9.1).
fn resolution(data: &[u8]) -> Option<(u16, u16)> {
    let &[_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = data.first_chunk::<10>()? else {
        return None;
    };
    let (width, height) = (
        u16::from_le_bytes([w0, w1]) & 0x3fff,
        u16::from_le_bytes([h0, h1]) & 0x3fff,
    );
    (width > 0 && height > 0).then_some((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Written by libvpx: a key frame of 640x360 and the one after it.
    const KEY: &[u8] = &[
        0xd0, 0x33, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01, 0x01, 0xc7, 0x08, 0x85, 0x85, 0x88, 0x99,
        0x84,
    ];
    const INTER: &[u8] = &[
        0x51, 0x03, 0x00, 0x0f, 0x11, 0xfc, 0x00, 0x18, 0x0d, 0x8c, 0x48, 0xf1,
    ];

    #[test]
    fn a_key_frames_first_packet() {
        let key = [&[0x10], KEY].concat();
        let expected = PayloadInfo {
            keyframe_start: true,
            frame_start: true,
            temporal_layer: None,
            resolution: Some((640, 360)),
        };
        assert_eq!(inspect(&key), Some(expected));
        let inter = [&[0x10], INTER].concat();
        assert_eq!(
            inspect(&inter),
            Some(PayloadInfo {
                frame_start: true,
                ..PayloadInfo::default()
            })
        );
        // Not the partition's start, and the start of a later partition.
        for descriptor in [0x00, 0x11] {
            assert_eq!(
                inspect(&[&[descriptor], KEY].concat()),
                Some(PayloadInfo::default())
            );
        }
        // A descriptor and nothing behind it.
        assert_eq!(inspect(&[0x10]), Some(PayloadInfo::default()));
    }

    #[test]
    fn the_scaling_bits_are_no_part_of_the_size() {
        let mut key = [&[0x10], KEY].concat();
        key[8] |= 0x40;
        key[10] |= 0x80;
        assert_eq!(inspect(&key).unwrap().resolution, Some((640, 360)));
        key[4] = 0;
        assert_eq!(inspect(&key).unwrap().resolution, None);
    }

    #[test]
    fn a_full_descriptor() {
        let payload = [&[0xb0, 0xf0, 0x92, 0x34, 0x56, 0xa0 | 7], KEY].concat();
        let expected = Descriptor {
            partition_start: true,
            partition: 0,
            non_reference: true,
            picture_id: Some(PictureId {
                value: 0x1234,
                offset: 2,
                wide: true,
            }),
            tl0_picture_index: Some((0x56, 4)),
            temporal_layer: Some((2, true)),
            key_index: Some((7, 5)),
            len: 6,
        };
        assert_eq!(Descriptor::parse(&payload), Some(expected));
        let info = inspect(&payload).unwrap();
        assert!(info.keyframe_start);
        assert_eq!(info.temporal_layer, Some(2));
        for len in 0..6 {
            assert_eq!(Descriptor::parse(&payload[..len]), None, "{len} bytes");
        }
        let narrow = Descriptor::parse(&[0x90, 0x80, 0x12, 0x00]).unwrap();
        assert_eq!(
            narrow.picture_id,
            Some(PictureId {
                value: 0x12,
                offset: 2,
                wide: false
            })
        );
        assert_eq!(narrow.len, 3);
    }

    proptest! {
        #[test]
        fn another_parser_reads_the_same(bytes in proptest::collection::vec(any::<u8>(), 12..20)) {
            use rtc::rtp::packetizer::Depacketizer;
            let mut other = rtc::rtp::codec::vp8::Vp8Packet::default();
            let rest = other.depacketize(&bytes::Bytes::copy_from_slice(&bytes)).unwrap();
            let ours = Descriptor::parse(&bytes).unwrap();
            prop_assert_eq!(&bytes[ours.len..], &rest[..]);
            prop_assert_eq!(ours.partition_start, other.s == 1);
            prop_assert_eq!(ours.partition, other.pid);
            prop_assert_eq!(ours.picture_id.map_or(0, |id| id.value), other.picture_id);
            prop_assert_eq!(ours.tl0_picture_index.map_or(0, |(index, _)| index), other.tl0_pic_idx);
            prop_assert_eq!(ours.temporal_layer, (other.t == 1).then_some((other.tid, other.y == 1)));
            prop_assert_eq!(ours.key_index.map_or(0, |(index, _)| index), other.key_idx);
        }
    }
}
