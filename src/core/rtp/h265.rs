//! H.265 in RTP (RFC 7798): single NAL units, aggregates (AP) and fragments (FU). Streams with DONL fields
//! (`sprop-max-don-diff` > 0) aren't recognised; nothing that speaks WebRTC sends them.

use super::bits::Bits;
use super::h264::cropped;
use super::payload::PayloadInfo;

/// NAL unit types (H.265 table 7-1, RFC 7798 §4.4).
mod nal {
    pub const LAST_SLICE: u8 = 31;
    pub const VPS: u8 = 32;
    pub const SPS: u8 = 33;
    pub const PPS: u8 = 34;
    pub const DELIMITER: u8 = 35;
    pub const PREFIX_SEI: u8 = 39;
    pub const AP: u8 = 48;
    pub const FU: u8 = 49;
}

/// The NAL units that *start* in a packet: fragments after the first count for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub has_vps: bool,
    pub has_sps: bool,
    pub has_pps: bool,
    /// A slice of a random access picture (BLA, IDR or CRA: types 16–21). Pictures that follow a CRA in decoding
    /// order may lead it in display order and refer to what came before; decoders skip those.
    pub is_irap: bool,
    /// A slice of any other picture.
    pub has_other_slice: bool,
    /// The first slice of a picture, or what can only precede one: parameter sets, SEI, a delimiter.
    pub starts_picture: bool,
    /// From the sequence parameter set.
    pub resolution: Option<(u16, u16)>,
}

pub(super) fn inspect(payload: &[u8]) -> PayloadInfo {
    let contents = contents(payload);
    let parameters = contents.has_vps || contents.has_sps || contents.has_pps;
    PayloadInfo {
        // Beside an ordinary slice parameter sets are a mere repetition.
        keyframe_start: contents.is_irap || parameters && !contents.has_other_slice,
        frame_start: contents.starts_picture,
        // nuh_temporal_id_plus1; an aggregate's is the lowest of its units', a fragment's its unit's.
        temporal_layer: payload.get(1).and_then(|byte| (byte & 7).checked_sub(1)),
        resolution: contents.resolution,
    }
}

/// What an RTP payload holds. A malformed aggregate counts up to where it breaks.
pub fn contents(payload: &[u8]) -> Contents {
    let mut contents = Contents::default();
    let Some((header, rest)) = payload.split_first_chunk::<2>() else {
        return contents;
    };
    match kind(header[0]) {
        nal::AP => {
            let mut units = rest;
            while let Some((size, rest)) = units.split_first_chunk::<2>()
                && let Some((unit, rest)) = rest.split_at_checked(u16::from_be_bytes(*size).into())
            {
                if let Some((header, body)) = unit.split_first_chunk::<2>() {
                    contents.add(kind(header[0]), body);
                }
                units = rest;
            }
        }
        nal::FU => {
            if let Some((&fu, body)) = rest.split_first()
                && fu & 0x80 != 0
            {
                contents.add(fu & 0x3f, body);
            }
        }
        kind => contents.add(kind, rest),
    }
    contents
}

fn kind(header: u8) -> u8 {
    header >> 1 & 0x3f
}

impl Contents {
    fn add(&mut self, kind: u8, body: &[u8]) {
        match kind {
            0..=nal::LAST_SLICE => {
                let irap = (16..=21).contains(&kind);
                self.is_irap |= irap;
                self.has_other_slice |= !irap;
                // first_slice_segment_in_pic_flag
                self.starts_picture |= body.first().is_some_and(|byte| byte & 0x80 != 0);
            }
            nal::VPS => {
                self.has_vps = true;
                self.starts_picture = true;
            }
            nal::SPS => {
                self.has_sps = true;
                self.starts_picture = true;
                self.resolution = self.resolution.or_else(|| sps_resolution(body));
            }
            nal::PPS => {
                self.has_pps = true;
                self.starts_picture = true;
            }
            nal::DELIMITER | nal::PREFIX_SEI => self.starts_picture = true,
            _ => {}
        }
    }
}

/// Width and height from a sequence parameter set without its NAL header (H.265 §7.3.2.2.1), cropped by the
/// conformance window.
fn sps_resolution(body: &[u8]) -> Option<(u16, u16)> {
    let mut bits = Bits::rbsp(body);
    bits.skip(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.bits(3)?; // sps_max_sub_layers_minus1
    bits.skip(1)?; // sps_temporal_id_nesting_flag
    skip_profile_tier_level(&mut bits, sub_layers)?;
    bits.exp_golomb()?; // sps_seq_parameter_set_id
    let chroma_format = bits.exp_golomb()?;
    let separate_planes = chroma_format == 3 && bits.bit()?;
    let width = bits.exp_golomb()?;
    let height = bits.exp_golomb()?;
    let (unit_x, unit_y) = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        3 if separate_planes => (1, 1),
        0 | 3 => (1, 1),
        _ => return None,
    };
    let mut crop = [0; 4]; // left, right, top, bottom
    if bits.bit()? {
        for edge in &mut crop {
            *edge = bits.exp_golomb()?;
        }
    }
    Some((
        cropped(width, crop[0], crop[1], unit_x)?,
        cropped(height, crop[2], crop[3], unit_y)?,
    ))
}

/// H.265 §7.3.3.
fn skip_profile_tier_level(bits: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    const PROFILE: usize = 88;
    const LEVEL: usize = 8;
    bits.skip(PROFILE + LEVEL)?;
    let mut present = [(false, false); 8];
    for layer in present.iter_mut().take(sub_layers as usize) {
        *layer = (bits.bit()?, bits.bit()?);
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers as usize))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { PROFILE } else { 0 } + if level { LEVEL } else { 0 })?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::bits::BitWriter;
    use super::*;
    use proptest::prelude::*;

    // Written by x265, 4.2; the second with two temporal layers.
    const VPS: &[u8] = &[
        0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00,
        0x00, 0x03, 0x00, 0x78, 0x95, 0x94, 0x09,
    ];
    const SPS_1920X1080: &[u8] = &[
        0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
        0x78, 0xa0, 0x03, 0xc0, 0x80, 0x11, 0x07, 0xcb, 0x96, 0x56, 0x54, 0xa4, 0xc2, 0xe6, 0x80, 0x80, 0x00,
        0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x0f, 0x04,
    ];
    const SPS_642X362: &[u8] = &[
        0x42, 0x01, 0x02, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
        0x3f, 0x00, 0x00, 0xa0, 0x05, 0x22, 0x01, 0x71, 0xc4, 0x49, 0x96, 0x56, 0x62, 0xb3, 0x25, 0x26, 0x17,
        0x34, 0x04, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x03, 0x00, 0x78, 0x20,
    ];
    const PPS: &[u8] = &[0x44, 0x01, 0xc0, 0x73, 0xc1, 0x89];
    const SEI: &[u8] = &[
        0x4e, 0x01, 0x05, 0xff, 0xff, 0x2c, 0xa2, 0xde, 0x09, 0xb5, 0x17, 0x47, 0xdb, 0xbb, 0x55, 0xa4, 0xfe,
        0x7f, 0xc2, 0xfc, 0x4e,
    ];
    const IDR: &[u8] = &[0x28, 0x01, 0xaf, 0x13, 0x80];
    const CRA: &[u8] = &[0x2a, 0x01, 0xaf, 0x13, 0x80];
    const SECOND_SLICE: &[u8] = &[0x28, 0x01, 0x2f, 0x13, 0x80];
    const TRAIL: &[u8] = &[0x02, 0x01, 0xd0, 0x09, 0x78, 0x81];
    const UPPER_LAYER: &[u8] = &[0x00, 0x02, 0xd0, 0x09, 0x78, 0x81];

    #[test]
    fn single_units() {
        let cases = [
            (VPS, true, true, 0, None),
            (SPS_1920X1080, true, true, 0, Some((1920, 1080))),
            (SPS_642X362, true, true, 0, Some((642, 362))),
            (PPS, true, true, 0, None),
            (SEI, false, true, 0, None),
            (IDR, true, true, 0, None),
            (CRA, true, true, 0, None),
            (SECOND_SLICE, true, false, 0, None),
            (TRAIL, false, true, 0, None),
            (UPPER_LAYER, false, true, 1, None),
        ];
        for (payload, keyframe_start, frame_start, layer, resolution) in cases {
            let expected = PayloadInfo {
                keyframe_start,
                frame_start,
                temporal_layer: Some(layer),
                resolution,
            };
            assert_eq!(inspect(payload), expected, "{payload:x?}");
        }
    }

    #[test]
    fn aggregates() {
        let payload = aggregate(&[VPS, SPS_1920X1080, PPS, SEI, IDR]);
        let expected = Contents {
            has_vps: true,
            has_sps: true,
            has_pps: true,
            is_irap: true,
            has_other_slice: false,
            starts_picture: true,
            resolution: Some((1920, 1080)),
        };
        assert_eq!(contents(&payload), expected);
        assert_eq!(
            contents(&payload[..payload.len() - 1]),
            Contents {
                is_irap: false,
                ..expected
            }
        );
        assert!(inspect(&payload).keyframe_start);
        assert!(!inspect(&aggregate(&[PPS, TRAIL])).keyframe_start);
    }

    #[test]
    fn only_the_first_fragment_starts_something() {
        for (start, end) in [(true, false), (false, false), (false, true)] {
            let flags = u8::from(start) << 7 | u8::from(end) << 6;
            let idr = inspect(&[&[nal::FU << 1, 1, flags | 20], &IDR[2..]].concat());
            assert_eq!((idr.keyframe_start, idr.frame_start), (start, start));
            let trail = inspect(&[&[nal::FU << 1, 1, flags | 1], &TRAIL[2..]].concat());
            assert_eq!((trail.keyframe_start, trail.frame_start), (false, start));
        }
        assert_eq!(contents(&[nal::FU << 1, 1]), Contents::default());
    }

    proptest! {
        #[test]
        fn the_size_is_found_behind_whatever_precedes_it(
            layers in proptest::collection::vec(any::<(bool, bool)>(), 0..7), chroma in 0..4u32,
            size in (64..8192u32, 64..8192u32), crop in proptest::option::of((0..9u32, 0..9u32)),
        ) {
            let mut sps = BitWriter::default();
            sps.bits(0, 4).bits(layers.len() as u64, 3).bits(1, 1).bits(1, 8).bits(0, 40).bits(0, 40).bits(93, 8);
            for (profile, level) in &layers {
                sps.bits(u64::from(*profile), 1).bits(u64::from(*level), 1);
            }
            if !layers.is_empty() {
                sps.bits(0, 2 * (8 - layers.len() as u32));
            }
            for (profile, level) in &layers {
                sps.bits(0, if *profile { 88 } else { 0 }).bits(0, if *level { 8 } else { 0 });
            }
            sps.exp_golomb(0).exp_golomb(chroma);
            if chroma == 3 {
                sps.bits(0, 1);
            }
            sps.exp_golomb(size.0).exp_golomb(size.1).bits(crop.is_some().into(), 1);
            if let Some((right, bottom)) = crop {
                sps.exp_golomb(0).exp_golomb(right).exp_golomb(0).exp_golomb(bottom);
            }
            let (right, bottom) = crop.unwrap_or_default();
            let width = size.0 - right * if matches!(chroma, 1 | 2) { 2 } else { 1 };
            let height = size.1 - bottom * if chroma == 1 { 2 } else { 1 };
            let found = contents(&[&[0x42, 1], &sps.rbsp()[..]].concat()).resolution;
            prop_assert_eq!(found, Some((width as u16, height as u16)));
        }
    }

    fn aggregate(units: &[&[u8]]) -> Vec<u8> {
        let mut payload = vec![nal::AP << 1, 1];
        for unit in units {
            payload.extend((unit.len() as u16).to_be_bytes());
            payload.extend(*unit);
        }
        payload
    }
}
