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
