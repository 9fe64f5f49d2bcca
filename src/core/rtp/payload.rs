//! What a packet's payload begins: a picture, a keyframe, a layer. Only codec headers are read, never pictures.

use super::{av1, h264, h265, vp8, vp9};
use crate::core::media::Codec;

/// What one packet's payload tells about the picture it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadInfo {
    /// This packet begins a picture that decodes without any earlier one: a viewer can start here.
    ///
    /// Several packets of one picture may say so: senders put SPS, PPS and IDR slices of H.264 (VPS too in H.265)
    /// into packets of their own, and cut an IDR picture into slices, each of which is flagged. **The keyframe
    /// starts at the first flagged packet of its RTP timestamp.**
    pub keyframe_start: bool,
    /// This packet begins a picture. In H.264 and H.265, parameter sets, SEI and delimiters before the first slice
    /// say so too: the picture starts at the first flagged packet of its timestamp. Always true for audio.
    pub frame_start: bool,
    /// The temporal layer, 0 being the base, where the payload tells.
    pub temporal_layer: Option<u8>,
    /// Width and height in pixels, as displayed (after cropping), where this packet holds a header that tells.
    pub resolution: Option<(u16, u16)>,
}

/// Looks into an RTP payload: decrypted, without padding, not a retransmission's (unwrap that first). An empty or
/// malformed payload begins nothing.
pub fn inspect(codec: Codec, payload: &[u8]) -> PayloadInfo {
    let info = match codec {
        Codec::H264 { .. } => Some(h264::inspect(payload)),
        Codec::H265 { .. } => Some(h265::inspect(payload)),
        Codec::Vp8 => vp8::inspect(payload),
        Codec::Vp9 { .. } => vp9::inspect(payload),
        Codec::Av1 { .. } => av1::inspect(payload),
        Codec::Opus => Some(PayloadInfo {
            frame_start: true,
            ..PayloadInfo::default()
        }),
    };
    info.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CODECS: [Codec; 6] = [
        Codec::H264 {
            packetization_mode: 1,
            profile: [0x42, 0xe0, 0x1f],
        },
        Codec::H265 { profile_id: 1 },
        Codec::Vp8,
        Codec::Vp9 { profile_id: 0 },
        Codec::Av1 { profile: 0 },
        Codec::Opus,
    ];

    #[test]
    fn audio_begins_with_every_packet_and_never_with_a_keyframe() {
        let info = inspect(Codec::Opus, &[0xfc, 0xff, 0xfe]);
        assert_eq!(
            info,
            PayloadInfo {
                frame_start: true,
                ..PayloadInfo::default()
            }
        );
    }

    #[test]
    fn an_empty_payload_begins_no_picture() {
        for codec in CODECS.into_iter().filter(|codec| *codec != Codec::Opus) {
            assert_eq!(inspect(codec, &[]), PayloadInfo::default(), "{codec:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_payload_is_survived(
            first in prop_oneof![any::<u8>(), Just(0x18), Just(0x67), Just(0x7c), Just(0x60), Just(0x62), Just(0x42)],
            rest in proptest::collection::vec(prop_oneof![Just(0), Just(1), Just(0xff), any::<u8>()], 0..120),
        ) {
            let payload = [&[first], &rest[..]].concat();
            for codec in CODECS {
                for len in [payload.len(), payload.len() / 2, 1] {
                    inspect(codec, &payload[..len]);
                }
            }
        }
    }
}
