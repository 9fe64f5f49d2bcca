//! A stored keyframe on its way out of the media path: what a picture of the stream is made from.

use bytes::Bytes;

use super::lane::Lane;
use crate::core::media::Codec;

/// Beyond this a picture is not worth its bytes: a keyframe of 4K at high quality has about one million.
const MAX_BYTES: usize = 4_000_000;

#[derive(Clone, Debug)]
pub struct Keyframe {
    pub codec: Codec,
    /// Which picture it is, among those of one publisher: layer, epoch, timestamp.
    pub number: (u8, u32, u64),
    /// Its packets' payloads, in order, none missing.
    pub payloads: Vec<Bytes>,
}

impl Keyframe {
    /// The latest one of the smallest layer that has one.
    pub fn smallest(lane: &Lane) -> Option<Self> {
        lane.ranked().rev().find_map(|(index, layer)| {
            let packets = layer.buffer.keyframe();
            let first = *packets.first()?;
            let payloads: Vec<Bytes> = packets.iter().map(|packet| packet.payload.clone()).collect();
            (payloads.iter().map(Bytes::len).sum::<usize>() <= MAX_BYTES).then_some(Self {
                codec: first.codec,
                number: (index, layer.epoch, first.timestamp),
                payloads,
            })
        })
    }
}
