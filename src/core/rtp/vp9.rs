//! VP9 in RTP (RFC 9628).

use super::bits::Bits;
use super::payload::PayloadInfo;

/// The payload descriptor (RFC 9628 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// P: refers to earlier pictures. Without it a picture at most refers to lower spatial layers of its own.
    pub inter_predicted: bool,
    /// F: flexible mode, where each picture names those it refers to.
    pub flexible: bool,
    /// B: starts a frame (one spatial layer of a picture).
    pub frame_start: bool,
    /// E: ends one.
    pub frame_end: bool,
    pub layer: Option<Layer>,
    /// TL0PICIDX and its offset in the payload; not in flexible mode.
    pub tl0_picture_index: Option<(u8, usize)>,
    /// Width and height of the highest spatial layer, from the scalability structure.
    pub resolution: Option<(u16, u16)>,
    /// The descriptor's length; here the VP9 data begins.
    pub len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// TID, 0–7.
    pub temporal: u8,
    /// U: a receiver may switch up to this temporal layer here.
    pub switching_up: bool,
    /// SID, 0–7.
    pub spatial: u8,
    /// D: refers to the spatial layer below.
    pub inter_layer: bool,
}

impl Descriptor {
    /// `None` if the payload ends within the descriptor.
    pub fn parse(payload: &[u8]) -> Option<Descriptor> {
        let mut reader = Reader { payload, at: 0 };
        let flags = reader.byte()?;
        let inter_predicted = flags & 0x40 != 0;
        let flexible = flags & 0x10 != 0;
        let mut picture_id = None;
        if flags & 0x80 != 0 {
            let high = reader.byte()?;
            let value = u16::from(high & 0x7f);
            picture_id = Some(if high & 0x80 != 0 {
                value << 8 | u16::from(reader.byte()?)
            } else {
                value
            });
        }
        let mut layer = None;
        let mut tl0_picture_index = None;
        if flags & 0x20 != 0 {
            let byte = reader.byte()?;
            layer = Some(Layer {
                temporal: byte >> 5,
                switching_up: byte & 0x10 != 0,
                spatial: byte >> 1 & 7,
                inter_layer: byte & 1 != 0,
            });
            if !flexible {
                tl0_picture_index = Some((reader.byte()?, reader.at - 1));
            }
        }
        if flexible && inter_predicted {
            // Up to three references, each saying whether another follows.
            for _ in 0..3 {
                if reader.byte()? & 1 == 0 {
                    break;
                }
            }
        }
        let resolution = if flags & 0x02 != 0 {
            reader.scalability_structure()?
        } else {
            None
        };
        Some(Descriptor {
            picture_id,
            inter_predicted,
            flexible,
            frame_start: flags & 0x08 != 0,
            frame_end: flags & 0x04 != 0,
            layer,
            tl0_picture_index,
            resolution,
            len: reader.at,
        })
    }
}

/// A keyframe starts with the base spatial layer of a picture that isn't predicted from earlier ones.
///
/// FFmpeg's packetizer and rtc's never set P, so the frame's own header has a say too: it can withdraw what the
/// descriptor claims. It claims nothing by itself, as it is noise where the media is encrypted end to end.
pub(super) fn inspect(payload: &[u8]) -> Option<PayloadInfo> {
    let descriptor = Descriptor::parse(payload)?;
    let data = payload.get(descriptor.len..)?;
    let base = descriptor.layer.is_none_or(|layer| layer.spatial == 0);
    let frame_start = descriptor.frame_start && base && !data.is_empty();
    let header = if frame_start {
        FrameHeader::parse(data)
    } else {
        None
    };
    let keyframe_start = frame_start && !descriptor.inter_predicted && header.is_none_or(|header| header.key);
    Some(PayloadInfo {
        keyframe_start,
        frame_start,
        temporal_layer: descriptor.layer.map(|layer| layer.temporal),
        resolution: descriptor.resolution.or(header
            .filter(|_| keyframe_start)
            .and_then(|header| header.resolution)),
    })
}

/// The beginning of VP9's uncompressed header (VP9 bitstream specification §6.2).
#[derive(Clone, Copy)]
struct FrameHeader {
    key: bool,
    /// Of a key frame.
    resolution: Option<(u16, u16)>,
}

impl FrameHeader {
    fn parse(data: &[u8]) -> Option<FrameHeader> {
        let mut bits = Bits::new(data);
        if bits.bits(2)? != 0b10 {
            return None; // no frame marker: not VP9 in the clear
        }
        let profile = u32::from(bits.bit()?) | u32::from(bits.bit()?) << 1;
        if profile == 3 {
            bits.skip(1)?;
        }
        let show_existing_frame = bits.bit()?;
        let key = !show_existing_frame && !bits.bit()?;
        let resolution = if key {
            Self::resolution(&mut bits, profile)
        } else {
            None
        };
        Some(FrameHeader { key, resolution })
    }

    fn resolution(bits: &mut Bits<'_>, profile: u32) -> Option<(u16, u16)> {
        const SYNC_CODE: u32 = 0x49_83_42;
        const RGB: u32 = 7;
        bits.skip(2)?; // show_frame, error_resilient_mode
        if bits.bits(24)? != SYNC_CODE {
            return None;
        }
        if profile >= 2 {
            bits.skip(1)?; // ten_or_twelve_bit
        }
        let rgb = bits.bits(3)? == RGB;
        let subsampled = profile == 1 || profile == 3;
        bits.skip(match (rgb, subsampled) {
            (false, false) => 1,    // color_range
            (false, true) => 1 + 3, // and subsampling in x and y, reserved
            (true, true) => 1,      // reserved
            (true, false) => 0,
        })?;
        let (width, height) = (bits.bits(16)? + 1, bits.bits(16)? + 1);
        Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
    }
}

struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.payload.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// RFC 9628 §4.2.1: the layers' sizes, then the pictures of a group. The outer `None`: it ends early.
    fn scalability_structure(&mut self) -> Option<Option<(u16, u16)>> {
        let flags = self.byte()?;
        let mut resolution = None;
        if flags & 0x10 != 0 {
            for _ in 0..=flags >> 5 {
                let (width, height) = (self.u16()?, self.u16()?);
                if width > 0 && height > 0 {
                    resolution = Some((width, height));
                }
            }
        }
        if flags & 0x08 != 0 {
            for _ in 0..self.byte()? {
                let references = self.byte()? >> 2 & 3;
                for _ in 0..references {
                    self.byte()?;
                }
            }
        }
        Some(resolution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Written by libvpx: the beginning of a key frame.
    const DATA: &[u8] = &[0x82, 0x49, 0x83, 0x42, 0x00, 0x27, 0xf0, 0x16, 0x76, 0x00, 0x38];
    const INTER_DATA: &[u8] = &[0x86, 0x00, 0x40, 0x92, 0xf0, 0x01, 0x40, 0x04, 0x00];

    const I: u8 = 0x80;
    const P: u8 = 0x40;
    const L: u8 = 0x20;
    const F: u8 = 0x10;
    const B: u8 = 0x08;
    const E: u8 = 0x04;
    const V: u8 = 0x02;

    #[test]
    fn a_keyframe_as_browsers_send_it() {
        // Non-flexible mode, a 15-bit picture id, layer indices, one spatial layer of 640x360 in the structure.
        let structure = [0x18, 0x02, 0x80, 0x01, 0x68, 1, 0x04, 1];
        let payload = [&[I | L | B | V, 0x81, 0x02, 0x00, 0x09], &structure[..], DATA].concat();
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.picture_id, Some(0x102));
        assert_eq!(&payload[descriptor.len..], DATA);
        let expected = PayloadInfo {
            keyframe_start: true,
            frame_start: true,
            temporal_layer: Some(0),
            resolution: Some((640, 360)),
        };
        assert_eq!(inspect(&payload), Some(expected));
        for len in 0..descriptor.len {
            assert_eq!(Descriptor::parse(&payload[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn what_starts_a_picture_and_what_a_keyframe() {
        let cases: [(&[u8], bool, bool); 8] = [
            (&[B], true, true),
            (&[I | B | E, 5], true, true),
            (&[I | E, 5], false, false),              // the rest of a keyframe
            (&[I | P | B | E, 5], false, true),       // predicted
            (&[I | L | B, 5, 0x03, 0], false, false), // a keyframe's second spatial layer
            (&[I | L | B, 5, 0x00, 0], true, true),   // its first
            (&[I | P | L | F | B, 5, 0x20, 0x03, 0x05, 0x06], false, true), // three references
            (&[I | P | L | F, 5, 0x20, 0x02], false, false),
        ];
        for (header, keyframe_start, frame_start) in cases {
            let info = inspect(&[header, DATA].concat()).unwrap();
            assert_eq!(
                (info.keyframe_start, info.frame_start),
                (keyframe_start, frame_start),
                "{header:x?}"
            );
            assert_eq!(
                Descriptor::parse(&[header, DATA].concat()).unwrap().len,
                header.len()
            );
        }
    }

    #[test]
    fn the_frames_own_header_overrules_a_missing_p() {
        let key = inspect(&[&[B | E], DATA].concat()).unwrap();
        assert!(key.keyframe_start);
        assert_eq!(key.resolution, Some((640, 360)));
        let inter = inspect(&[&[B | E], INTER_DATA].concat()).unwrap();
        assert_eq!(
            (inter.keyframe_start, inter.frame_start, inter.resolution),
            (false, true, None)
        );
        let shown_again = inspect(&[B | E, 0x88]).unwrap();
        assert!(!shown_again.keyframe_start);
        // Encrypted end to end, only the descriptor can tell.
        assert!(inspect(&[B | E, 0x35, 0x11]).unwrap().keyframe_start);
    }

    #[test]
    fn of_several_spatial_layers_the_highest_counts() {
        let structure = [0x30, 0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68];
        let payload = [&[L | B | V, 0x00, 0x00], &structure[..], DATA].concat();
        assert_eq!(inspect(&payload).unwrap().resolution, Some((640, 360)));
    }

    proptest! {
        #[test]
        fn another_parser_reads_the_same(mut bytes in proptest::collection::vec(any::<u8>(), 1..60)) {
            use rtc::rtp::packetizer::Depacketizer;
            // Without the scalability structure, of which the other parser takes reserved bits for G.
            bytes[0] &= !V;
            let mut other = rtc::rtp::codec::vp9::Vp9Packet::default();
            if let Ok(rest) = other.depacketize(&bytes::Bytes::copy_from_slice(&bytes)) {
                let ours = Descriptor::parse(&bytes).unwrap();
                prop_assert_eq!(&bytes[ours.len..], &rest[..]);
                prop_assert_eq!(ours.inter_predicted, other.p);
                prop_assert_eq!((ours.frame_start, ours.frame_end), (other.b, other.e));
                prop_assert_eq!(ours.picture_id.unwrap_or(0), other.picture_id);
                let layer = ours.layer.map(|layer| (layer.temporal, layer.spatial));
                prop_assert_eq!(layer, other.l.then_some((other.tid, other.sid)));
            }
        }
    }
}
