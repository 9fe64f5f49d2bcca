//! What test publishers send: payloads that a keyframe detector takes for real ones and that say which packet of
//! which frame of whom they are, so that a viewer can tell what arrived.

use std::time::Duration;

/// Which packet this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Which publisher.
    pub source: u16,
    /// Counts from 0.
    pub frame: u32,
    pub index: u16,
    pub count: u16,
    pub keyframe: bool,
    /// When it was captured, since the world began.
    pub captured: Duration,
}

const LABEL: usize = 19;
/// The beginning of a picture of 640 by 360.
const VP8_KEYFRAME: [u8; 11] = [0x10, 0xd0, 0x33, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
/// A sequence parameter set of x264, for 1920 by 1080.
const H264_PARAMETERS: [u8; 24] = [
    0x67, 0x42, 0xc0, 0x28, 0xda, 0x01, 0xe0, 0x08, 0x9f, 0x96, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
    0x00, 0x03, 0x03, 0xc8, 0xf1, 0x83, 0x2a,
];

/// Bytes of a codec's own before the label.
fn prefix(codec: &str, label: &Label) -> Vec<u8> {
    match codec {
        // RFC 7741: S at the start of a partition; then the frame tag, whose lowest bit is 0 in a key frame.
        "VP8" => match (label.keyframe, label.index) {
            (true, 0) => VP8_KEYFRAME.to_vec(),
            (_, index) => vec![if index == 0 { 0x10 } else { 0x00 }, 1],
        },
        // RFC 6184: parameter sets in the first packet, then one NAL unit a packet.
        "H264" => match (label.keyframe, label.index) {
            (true, 0) => H264_PARAMETERS.to_vec(),
            (true, _) => vec![0x65],
            (false, _) => vec![0x41],
        },
        _ => Vec::new(),
    }
}

pub fn payload(codec: &str, label: &Label, len: usize) -> Vec<u8> {
    let mut payload = prefix(codec, label);
    payload.extend(label.source.to_be_bytes());
    payload.extend(label.frame.to_be_bytes());
    payload.extend(label.index.to_be_bytes());
    payload.extend(label.count.to_be_bytes());
    payload.push(u8::from(label.keyframe));
    payload.extend((label.captured.as_micros() as u64).to_be_bytes());
    let filler = label.frame as u8 ^ label.index as u8;
    payload.resize(len.max(payload.len()), filler);
    payload
}

/// The label of a payload made by [`payload`].
pub fn read(codec: &str, payload: &[u8]) -> Option<Label> {
    let skip = match codec {
        "VP8" if payload.starts_with(&VP8_KEYFRAME) => VP8_KEYFRAME.len(),
        "VP8" => 2,
        "H264" if payload.starts_with(&H264_PARAMETERS) => H264_PARAMETERS.len(),
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
        captured: Duration::from_micros(captured),
    })
}
