//! From RTP payloads to what a decoder takes.

use bytes::Bytes;

use super::MAX_CODED;
use crate::core::media::Codec;
use crate::core::rtp::vp8;

/// A keyframe as its decoder reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct Coded {
    pub codec: PictureCodec,
    /// VP8: the frame (RFC 6386). H.264: NAL units behind start codes (H.264 annex B).
    pub data: Vec<u8>,
}

/// Codecs that a picture can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureCodec {
    Vp8,
    H264,
}

impl PictureCodec {
    /// `None`: there is no decoder for it here.
    pub fn of(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Vp8 => Some(Self::Vp8),
            Codec::H264 { .. } if cfg!(feature = "h264-pictures") => Some(Self::H264),
            _ => None,
        }
    }

    /// How the decoding process is told.
    pub(super) fn to_byte(self) -> u8 {
        match self {
            Self::Vp8 => b'8',
            Self::H264 => b'h',
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Vp8, Self::H264]
            .into_iter()
            .find(|codec| codec.to_byte() == byte)
    }
}

/// Why payloads are no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodedError {
    #[error("no picture can be made of this codec")]
    Codec,
    #[error("the keyframe's packets do not fit together")]
    Malformed,
    #[error("the keyframe is too large")]
    TooLarge,
}

impl Coded {
    /// From the payloads of one picture's packets, in order and none missing.
    pub fn assemble(codec: Codec, payloads: &[Bytes]) -> Result<Self, CodedError> {
        let codec = PictureCodec::of(codec).ok_or(CodedError::Codec)?;
        if payloads.iter().map(Bytes::len).sum::<usize>() > MAX_CODED / 2 {
            return Err(CodedError::TooLarge);
        }
        let data = match codec {
            PictureCodec::Vp8 => vp8_frame(payloads),
            PictureCodec::H264 => h264_units(payloads),
        };
        match data {
            Some(data) if data.len() > MAX_CODED => Err(CodedError::TooLarge),
            Some(data) if !data.is_empty() => Ok(Self { codec, data }),
            _ => Err(CodedError::Malformed),
        }
    }
}

fn vp8_frame(payloads: &[Bytes]) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    for payload in payloads {
        let descriptor = vp8::Descriptor::parse(payload)?;
        frame.extend_from_slice(payload.get(descriptor.len..)?);
    }
    Some(frame)
}

/// Single units, STAP-A and FU-A (RFC 6184 §5.2): what packetization modes 0 and 1 have.
fn h264_units(payloads: &[Bytes]) -> Option<Vec<u8>> {
    let mut units = Vec::new();
    for payload in payloads {
        let (&indicator, mut rest) = payload.split_first()?;
        match indicator & 0x1f {
            1..=23 => push_unit(&mut units, payload),
            24 => {
                while !rest.is_empty() {
                    let (len, tail) = rest.split_first_chunk::<2>()?;
                    let (unit, tail) = tail.split_at_checked(u16::from_be_bytes(*len).into())?;
                    push_unit(&mut units, unit);
                    rest = tail;
                }
            }
            28 => {
                let (&header, data) = rest.split_first()?;
                if header & 0x80 != 0 {
                    push_unit(&mut units, &[indicator & 0xe0 | header & 0x1f]);
                }
                units.extend_from_slice(data);
            }
            _ => return None,
        }
    }
    Some(units)
}

fn push_unit(units: &mut Vec<u8>, unit: &[u8]) {
    units.extend_from_slice(&[0, 0, 0, 1]);
    units.extend_from_slice(unit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtc::rtp::codec as other;
    use rtc::rtp::packetizer::Payloader;

    const H264: Codec = Codec::H264 {
        packetization_mode: 1,
        profile: [0x64, 0, 0x0b],
    };
    const VP8: &[u8] = include_bytes!("../core/rtp/corpus/vp8.frames");
    const X264: &[u8] = include_bytes!("../core/rtp/corpus/h264.frames");

    /// The corpus holds frames behind their lengths.
    fn first(corpus: &'static [u8]) -> Bytes {
        let (len, rest) = corpus.split_first_chunk::<4>().unwrap();
        Bytes::from_static(&rest[..u32::from_be_bytes(*len) as usize])
    }

    #[test]
    fn a_frame_comes_together_again_whatever_the_packets_size() {
        let frame = first(VP8);
        for mtu in [60, 300, 1200] {
            let payloads = other::vp8::Vp8Payloader::default().payload(mtu, &frame).unwrap();
            let coded = Coded::assemble(Codec::Vp8, &payloads).unwrap();
            assert_eq!(coded.data, frame, "{mtu}");
        }
    }

    #[test]
    fn nal_units_come_together_again_whatever_the_packets_size() {
        let frame = first(X264);
        let units = |data: &[u8]| -> Vec<Vec<u8>> {
            let text = data.to_vec();
            let mut found = Vec::new();
            let mut at = 0;
            let starts: Vec<usize> = (0..text.len().saturating_sub(2))
                .filter(|i| text[*i..].starts_with(&[0, 0, 1]))
                .collect();
            for (index, start) in starts.iter().enumerate() {
                let end = starts.get(index + 1).copied().unwrap_or(text.len());
                let unit: &[u8] = &text[start + 3..end];
                let unit = if index + 1 < starts.len() {
                    unit.strip_suffix(&[0]).unwrap_or(unit)
                } else {
                    unit
                };
                // The payloader leaves delimiters out.
                if unit[0] & 0x1f != 9 {
                    found.push(unit.to_vec());
                }
                at = end;
            }
            assert_eq!(at, text.len());
            found
        };
        for mtu in [60, 300, 1200] {
            let payloads = other::h264::H264Payloader::default()
                .payload(mtu, &frame)
                .unwrap();
            let coded = Coded::assemble(H264, &payloads).unwrap();
            assert_eq!(units(&coded.data), units(&frame), "{mtu}");
        }
    }

    #[test]
    fn what_no_decoder_is_here_for_is_said() {
        for codec in [
            Codec::Vp9 { profile_id: 0 },
            Codec::Av1 { profile: 0 },
            Codec::Opus,
        ] {
            assert!(matches!(Coded::assemble(codec, &[]), Err(CodedError::Codec)));
        }
        assert!(matches!(
            Coded::assemble(Codec::Vp8, &[]),
            Err(CodedError::Malformed)
        ));
        let large = Bytes::from(vec![0x10; 1_100_000]);
        let packets = [large.clone(), large];
        assert!(matches!(
            Coded::assemble(Codec::Vp8, &packets),
            Err(CodedError::TooLarge)
        ));
    }

    proptest! {
        #[test]
        fn any_payloads_are_survived(payloads in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![Just(0x18u8), Just(0x1c), Just(0x80), Just(0), any::<u8>()], 0..40), 0..6,
        )) {
            let payloads: Vec<Bytes> = payloads.into_iter().map(Bytes::from).collect();
            for codec in [Codec::Vp8, H264] {
                if let Ok(coded) = Coded::assemble(codec, &payloads) {
                    prop_assert!(coded.data.len() <= 5 * payloads.iter().map(Bytes::len).sum::<usize>());
                }
            }
        }
    }
}
