//! What test publishers send: payloads that a keyframe detector takes for real ones and that say which packet of
//! which frame of whom they are, so that a viewer can tell what arrived.

use std::time::Duration;

/// Which packet this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Which publisher.
    pub source: u16,
    /// Which of its layers, 0 without simulcast.
    pub layer: u8,
    /// Counts from 0.
    pub frame: u32,
    pub index: u16,
    pub count: u16,
    pub keyframe: bool,
    /// When it was captured, since the world began.
    pub captured: Duration,
    /// Of the frame within its layer.
    pub spatial: u8,
    pub temporal: u8,
    /// It refers to no frame of its own temporal layer, nor of one above the base.
    pub sync: bool,
}

const LABEL: usize = 23;
/// The beginning of a picture, up to its size.
const VP8_KEYFRAME: [u8; 6] = [0xd0, 0x33, 0x00, 0x9d, 0x01, 0x2a];
/// A sequence parameter set of x264, for 1920 by 1080.
const H264_PARAMETERS: [u8; 24] = [
    0x67, 0x42, 0xc0, 0x28, 0xda, 0x01, 0xe0, 0x08, 0x9f, 0x96, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
    0x00, 0x03, 0x03, 0xc8, 0xf1, 0x83, 0x2a,
];

/// What the picture says of itself, apart from its label.
#[derive(Clone, Copy, Debug, Default)]
pub struct Picture {
    /// In VP8 and VP9: picture id, and TL0PICIDX.
    pub numbers: (u16, u8),
    /// How many spatial and temporal layers there are.
    pub layers: (u8, u8),
    /// `None`: 640 by 360 in VP8, 1920 by 1080 in H.264.
    pub size: Option<(u16, u16)>,
}

/// Bytes of a codec's own before the label.
fn prefix(codec: &str, label: &Label, picture: &Picture) -> Vec<u8> {
    match codec {
        // RFC 7741: S at the start of a partition; then the frame tag, whose lowest bit is 0 in a key frame.
        "VP8" => {
            let start = if label.index == 0 { 0x90 } else { 0x80 };
            let [high, low] = (picture.numbers.0 | 0x8000).to_be_bytes();
            let mut bytes = vec![start, 0xc0, high, low, picture.numbers.1];
            if picture.layers.1 > 1 {
                bytes[1] |= 0x20;
                bytes.push(label.temporal << 6 | u8::from(label.sync) << 5);
            }
            if label.keyframe && label.index == 0 {
                let (width, height) = picture.size.unwrap_or((640, 360));
                bytes.extend(VP8_KEYFRAME);
                bytes.extend(width.to_le_bytes());
                bytes.extend(height.to_le_bytes());
            } else {
                bytes.push(1);
            }
            bytes
        }
        // RFC 9628, not flexible: picture id, layers, TL0PICIDX; the structure with a keyframe; then a frame header's
        // first byte.
        "VP9" => {
            let (first, last) = (label.index == 0, label.index + 1 == label.count);
            let structure = label.keyframe && label.spatial == 0 && first;
            let flags = 0xa0
                | u8::from(!label.keyframe) << 6
                | u8::from(first) << 3
                | u8::from(last) << 2
                | u8::from(structure) << 1;
            let [high, low] = (picture.numbers.0 | 0x8000).to_be_bytes();
            let up = label.sync || label.temporal == 0;
            let layer = label.temporal << 5
                | u8::from(up) << 4
                | label.spatial << 1
                | u8::from(label.spatial > 0 && label.keyframe);
            let mut bytes = vec![flags, high, low, layer, picture.numbers.1];
            if structure {
                let (width, height) = picture.size.unwrap_or((640, 360));
                let spatial = picture.layers.0.max(1);
                bytes.push((spatial - 1) << 5 | 0x10);
                for step in (0..spatial).rev() {
                    bytes.extend((width >> step).to_be_bytes());
                    bytes.extend((height >> step).to_be_bytes());
                }
            }
            bytes.push(if label.keyframe && label.spatial == 0 {
                0x80
            } else {
                0x84
            });
            bytes
        }
        // One element, which is a frame; Z and Y where the frame goes over several packets, N with a keyframe.
        "AV1" => {
            let (first, last) = (label.index == 0, label.index + 1 == label.count);
            let new = label.keyframe && label.spatial == 0 && first;
            vec![
                0x10 | u8::from(!first) << 7 | u8::from(!last) << 6 | u8::from(new) << 3,
                if first { 6 << 3 } else { 0 },
            ]
        }
        // RFC 6184: parameter sets in the first packet, then one NAL unit a packet.
        "H264" => match (label.keyframe, label.index, picture.size) {
            (true, 0, None) => H264_PARAMETERS.to_vec(),
            (true, 0, Some(size)) => h264_parameters(size),
            (true, _, _) => vec![0x65],
            (false, _, _) => vec![0x41],
        },
        _ => Vec::new(),
    }
}

/// A sequence parameter set of the baseline profile; width and height are multiples of 16.
fn h264_parameters((width, height): (u16, u16)) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    let golomb = |bits: &mut Vec<bool>, value: u16| {
        let code = u32::from(value) + 1;
        let len = 32 - code.leading_zeros();
        bits.extend((1..len).map(|_| false));
        bits.extend((0..len).rev().map(|bit| code & (1 << bit) != 0));
    };
    // Id, frame numbers, order by decoding, one reference; no gaps; the size in macroblocks.
    for value in [0, 0, 2, 1] {
        golomb(&mut bits, value);
    }
    bits.push(false);
    golomb(&mut bits, width / 16 - 1);
    golomb(&mut bits, height / 16 - 1);
    // Frames only, direct inference; no cropping, nothing more; the end.
    bits.extend([true, true, false, false, true]);
    let mut bytes = vec![0x67, 0x42, 0xc0, 0x1f];
    for byte in bits.chunks(8) {
        let set = byte.iter().zip((0..8).rev()).filter(|(bit, _)| **bit);
        bytes.push(set.map(|(_, at)| 1 << at).sum());
    }
    bytes.resize(H264_PARAMETERS.len(), 0);
    bytes
}

pub fn payload(codec: &str, label: &Label, picture: &Picture, len: usize) -> Vec<u8> {
    let mut payload = prefix(codec, label, picture);
    payload.extend(label.source.to_be_bytes());
    payload.extend(label.frame.to_be_bytes());
    payload.extend(label.index.to_be_bytes());
    payload.extend(label.count.to_be_bytes());
    payload.push(u8::from(label.keyframe));
    payload.extend((label.captured.as_micros() as u64).to_be_bytes());
    payload.push(label.layer);
    payload.push(label.spatial);
    payload.push(label.temporal);
    payload.push(u8::from(label.sync));
    let filler = label.frame as u8 ^ label.index as u8;
    payload.resize(len.max(payload.len()), filler);
    payload
}

/// The picture id and TL0PICIDX of a VP8 or VP9 payload made by [`payload`].
pub fn numbers(codec: &str, payload: &[u8]) -> Option<(u16, u8)> {
    match (codec, payload) {
        ("VP8", [_, 0xc0 | 0xe0, high, low, base, ..]) | ("VP9", [_, high, low, _, base, ..]) => {
            Some((u16::from_be_bytes([high & 0x7f, *low]), *base))
        }
        _ => None,
    }
}

/// The label of a payload made by [`payload`].
pub fn read(codec: &str, payload: &[u8]) -> Option<Label> {
    let vp8_descriptor = if payload.get(1) == Some(&0xe0) { 6 } else { 5 };
    let skip = match codec {
        "VP8" if payload.get(vp8_descriptor..)?.starts_with(&VP8_KEYFRAME) => {
            vp8_descriptor + VP8_KEYFRAME.len() + 4
        }
        "VP8" => vp8_descriptor + 1,
        "VP9" if payload.first()? & 0x02 != 0 => 6 + 4 * usize::from((payload.get(5)? >> 5) + 1) + 1,
        "VP9" => 6,
        "AV1" => 2,
        "H264" if payload.first() == Some(&H264_PARAMETERS[0]) => H264_PARAMETERS.len(),
        "H264" => 1,
        _ => 0,
    };
    let bytes = payload.get(skip..skip + LABEL)?;
    let u16_at = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let frame = u32::from_be_bytes(bytes[2..6].try_into().ok()?);
    let captured = u64::from_be_bytes(bytes[11..19].try_into().ok()?);
    Some(Label {
        source: u16_at(0),
        frame,
        index: u16_at(6),
        count: u16_at(8),
        keyframe: bytes[10] != 0,
        layer: bytes[19],
        captured: Duration::from_micros(captured),
        spatial: bytes[20],
        temporal: bytes[21],
        sync: bytes[22] != 0,
    })
}
