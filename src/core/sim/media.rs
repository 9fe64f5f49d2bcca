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
}

const LABEL: usize = 20;
/// Picture id and TL0PICIDX in front of VP8.
const VP8_DESCRIPTOR: usize = 5;
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
    /// In VP8: picture id, and TL0PICIDX.
    pub numbers: (u16, u8),
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
    let filler = label.frame as u8 ^ label.index as u8;
    payload.resize(len.max(payload.len()), filler);
    payload
}

/// The picture id and TL0PICIDX of a VP8 payload made by [`payload`].
pub fn numbers(codec: &str, payload: &[u8]) -> Option<(u16, u8)> {
    match payload {
        [_, 0xc0, high, low, base, ..] if codec == "VP8" => {
            Some((u16::from_be_bytes([high & 0x7f, *low]), *base))
        }
        _ => None,
    }
}

/// The label of a payload made by [`payload`].
pub fn read(codec: &str, payload: &[u8]) -> Option<Label> {
    let skip = match codec {
        "VP8" if payload.get(VP8_DESCRIPTOR..)?.starts_with(&VP8_KEYFRAME) => {
            VP8_DESCRIPTOR + VP8_KEYFRAME.len() + 4
        }
        "VP8" => VP8_DESCRIPTOR + 1,
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
    })
}
