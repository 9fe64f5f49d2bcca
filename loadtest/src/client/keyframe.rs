//! Where a frame begins and whether it is a keyframe, from a packet's payload alone.

use super::offer::VideoCodec;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// This packet surely is a frame's first.
    pub start: bool,
    /// This packet belongs to a keyframe.
    pub key: bool,
}

/// `Hint::default()` for payloads that do not say.
pub fn inspect(codec: VideoCodec, payload: &[u8]) -> Hint {
    match codec {
        VideoCodec::Vp8 => vp8(payload),
        VideoCodec::Vp9 => vp9(payload),
        VideoCodec::H264 => h264(payload),
        VideoCodec::H265 => h265(payload),
        VideoCodec::Av1 => av1(payload),
    }
    .unwrap_or_default()
}

/// RFC 7741 §4.2.
fn vp8(payload: &[u8]) -> Option<Hint> {
    let first = *payload.first()?;
    let mut at = 1;
    if first & 0x80 != 0 {
        let extensions = *payload.get(1)?;
        at = 2;
        if extensions & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(extensions & 0x40 != 0) + usize::from(extensions & 0x30 != 0);
    }
    let start = first & 0x17 == 0x10;
    Some(Hint {
        start,
        key: start && payload.get(at)? & 1 == 0,
    })
}

/// RFC 9628 §4.2: P clear and B set begins a keyframe (of the lowest layer).
fn vp9(payload: &[u8]) -> Option<Hint> {
    let first = *payload.first()?;
    let start = first & 0x08 != 0;
    Some(Hint {
        start,
        key: start && first & 0x40 == 0,
    })
}

/// RFC 6184 §5: an IDR slice or parameter sets, alone, aggregated or at the head of fragments.
fn h264(payload: &[u8]) -> Option<Hint> {
    let of = |nal: u8, first_slice_byte: Option<&u8>| match nal & 0x1f {
        7 => Hint {
            start: true,
            key: true,
        },
        9 => Hint {
            start: true,
            key: false,
        },
        5 => Hint {
            start: false,
            key: true,
        },
        // first_mb_in_slice 0 is a set first bit.
        1 => Hint {
            start: first_slice_byte.is_some_and(|byte| byte & 0x80 != 0),
            key: false,
        },
        _ => Hint::default(),
    };
    match payload.first()? & 0x1f {
        24 => {
            let mut rest = payload.get(1..)?;
            let mut hint = Hint::default();
            while let Some((length, unit)) = rest.split_first_chunk::<2>() {
                let (unit, after) = unit.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
                let found = of(*unit.first()?, unit.get(1));
                hint = Hint {
                    start: hint.start | found.start,
                    key: hint.key | found.key,
                };
                rest = after;
            }
            Some(hint)
        }
        28 => {
            let header = *payload.get(1)?;
            let begins = header & 0x80 != 0;
            Some(of(header, payload.get(2).filter(|_| begins)))
        }
        _ => Some(of(*payload.first()?, payload.get(1))),
    }
}

/// RFC 7798 §4.4: types 16–21 are random access points, 32–34 parameter sets.
fn h265(payload: &[u8]) -> Option<Hint> {
    let of = |kind: u8| Hint {
        start: matches!(kind, 32 | 35),
        key: matches!(kind, 16..=21 | 32..=34),
    };
    match payload.first()? >> 1 & 0x3f {
        48 => Some(of(payload.get(4)? >> 1 & 0x3f)),
        49 => Some(of(payload.get(2)? & 0x3f)),
        kind => Some(of(kind)),
    }
}

/// AV1 RTP payload specification §4.4: N marks the first packet of a coded video sequence.
fn av1(payload: &[u8]) -> Option<Hint> {
    let key = payload.first()? & 0x08 != 0;
    Some(Hint { start: key, key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::synthetic::{Frame, packetise};

    #[test]
    fn synthetic_frames_are_recognised() {
        for codec in [VideoCodec::Vp8, VideoCodec::H264] {
            for keyframe in [true, false] {
                for size in [200, 6_000] {
                    let mut hints = Vec::new();
                    let frame = Frame {
                        stream: 0,
                        layer: 0,
                        number: 1,
                        keyframe,
                        since_keyframe: 1,
                        captured: 0,
                        size,
                    };
                    packetise(codec, &frame, |payload, _| hints.push(inspect(codec, payload)));
                    assert!(hints[0].start, "{codec:?}");
                    assert_eq!(hints.iter().any(|hint| hint.key), keyframe);
                    assert!(hints[1..].iter().all(|hint| !hint.start));
                }
            }
        }
    }

    #[test]
    fn short_payloads_say_nothing() {
        for codec in super::super::offer::ALL_VIDEO {
            assert_eq!(inspect(codec, &[]), Hint::default());
            for byte in 0..=255 {
                inspect(codec, &[byte]);
                inspect(codec, &[byte, 0xff, 0xff]);
            }
        }
    }
}
