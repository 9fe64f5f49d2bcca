//! H.264 in RTP (RFC 6184): single NAL units, aggregates (STAP, MTAP) and fragments (FU).

use super::bits::Bits;
use super::payload::PayloadInfo;

/// NAL unit types (H.264 table 7-1, RFC 6184 §5.2).
mod nal {
    pub const SLICE: u8 = 1;
    pub const PARTITION_A: u8 = 2;
    pub const IDR: u8 = 5;
    pub const SEI: u8 = 6;
    pub const SPS: u8 = 7;
    pub const PPS: u8 = 8;
    pub const DELIMITER: u8 = 9;
    pub const STAP_A: u8 = 24;
    pub const STAP_B: u8 = 25;
    pub const MTAP16: u8 = 26;
    pub const MTAP24: u8 = 27;
    pub const FU_A: u8 = 28;
    pub const FU_B: u8 = 29;
}

/// The NAL units that *start* in a packet: fragments after the first count for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub has_sps: bool,
    pub has_pps: bool,
    pub has_sei: bool,
    /// A slice of an IDR picture: nothing after it refers to anything before it.
    pub is_idr: bool,
    /// A slice of any other picture.
    pub has_other_slice: bool,
    /// The first slice of a picture, or what can only precede one: parameter sets, SEI, a delimiter.
    pub starts_picture: bool,
    /// From the sequence parameter set.
    pub resolution: Option<(u16, u16)>,
    /// From there too: profile_idc, constraint flags, level_idc.
    pub profile: Option<[u8; 3]>,
}

/// A keyframe starts with an IDR slice or with the SPS before it. A stream without IDR pictures, whose entry points
/// are recovery-point SEIs (periodic intra refresh), shows no keyframes: browsers would not start at one either.
pub(super) fn inspect(payload: &[u8]) -> PayloadInfo {
    let contents = contents(payload);
    PayloadInfo {
        // Beside an ordinary slice an SPS is a mere repetition.
        keyframe_start: contents.is_idr || contents.has_sps && !contents.has_other_slice,
        frame_start: contents.starts_picture,
        temporal_layer: None,
        resolution: contents.resolution,
    }
}

/// What an RTP payload holds. A malformed aggregate counts up to where it breaks.
pub fn contents(payload: &[u8]) -> Contents {
    let mut contents = Contents::default();
    let Some((&indicator, rest)) = payload.split_first() else {
        return contents;
    };
    match indicator & 0x1f {
        nal::STAP_A => contents.add_all(rest, 0),
        // A decoding order number of 16 bits comes first.
        nal::STAP_B => contents.add_all(rest.get(2..).unwrap_or_default(), 0),
        // As does one here, and each unit has an 8-bit difference to it and a timestamp offset of its own.
        nal::MTAP16 => contents.add_all(rest.get(2..).unwrap_or_default(), 3),
        nal::MTAP24 => contents.add_all(rest.get(2..).unwrap_or_default(), 4),
        kind @ (nal::FU_A | nal::FU_B) => {
            let don = if kind == nal::FU_B { 2 } else { 0 };
            if let Some((&fu, rest)) = rest.split_first()
                && fu & 0x80 != 0
            {
                contents.add(fu & 0x1f, rest.get(don..).unwrap_or_default());
            }
        }
        kind => contents.add(kind, rest),
    }
    contents
}

impl Contents {
    /// Adds an aggregate's units: a 16-bit size, `skip` bytes, the unit.
    fn add_all(&mut self, mut units: &[u8], skip: usize) {
        while let Some((size, rest)) = units.split_first_chunk::<2>()
            && let Some(rest) = rest.get(skip..)
            && let Some((unit, rest)) = rest.split_at_checked(u16::from_be_bytes(*size).into())
        {
            if let Some((&header, body)) = unit.split_first() {
                self.add(header & 0x1f, body);
            }
            units = rest;
        }
    }

    fn add(&mut self, kind: u8, body: &[u8]) {
        // `first_mb_in_slice` is 0, an Exp-Golomb number of a single 1 bit, in a picture's first slice.
        let first_slice = body.first().is_some_and(|byte| byte & 0x80 != 0);
        match kind {
            nal::IDR => {
                self.is_idr = true;
                self.starts_picture |= first_slice;
            }
            nal::SLICE | nal::PARTITION_A => {
                self.has_other_slice = true;
                self.starts_picture |= first_slice;
            }
            nal::SPS => {
                self.has_sps = true;
                self.starts_picture = true;
                self.resolution = self.resolution.or_else(|| sps_resolution(body));
                self.profile = self.profile.or(body.first_chunk().copied());
            }
            nal::PPS => {
                self.has_pps = true;
                self.starts_picture = true;
            }
            nal::SEI => {
                self.has_sei = true;
                self.starts_picture = true;
            }
            nal::DELIMITER => self.starts_picture = true,
            _ => {}
        }
    }
}

/// Width and height from a sequence parameter set without its NAL header (H.264 §7.3.2.1.1), cropped.
fn sps_resolution(body: &[u8]) -> Option<(u16, u16)> {
    let mut bits = Bits::rbsp(body);
    let profile = bits.bits(8)?;
    bits.skip(16)?; // constraint flags, level
    bits.exp_golomb()?; // seq_parameter_set_id
    let mut chroma_format = 1;
    let mut separate_planes = false;
    if matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        chroma_format = bits.exp_golomb()?;
        if chroma_format == 3 {
            separate_planes = bits.bit()?;
        }
        bits.exp_golomb()?; // bit_depth_luma_minus8
        bits.exp_golomb()?; // bit_depth_chroma_minus8
        bits.skip(1)?; // qpprime_y_zero_transform_bypass_flag
        if bits.bit()? {
            skip_scaling_lists(&mut bits, if chroma_format == 3 { 12 } else { 8 })?;
        }
    }
    bits.exp_golomb()?; // log2_max_frame_num_minus4
    match bits.exp_golomb()? {
        0 => {
            bits.exp_golomb()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.skip(1)?; // delta_pic_order_always_zero_flag
            bits.exp_golomb()?; // offset_for_non_ref_pic
            bits.exp_golomb()?; // offset_for_top_to_bottom_field
            for _ in 0..bits.exp_golomb()? {
                bits.exp_golomb()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    bits.exp_golomb()?; // max_num_ref_frames
    bits.skip(1)?; // gaps_in_frame_num_value_allowed_flag
    let width_in_mbs = bits.exp_golomb()?.checked_add(1)?;
    let height_in_map_units = bits.exp_golomb()?.checked_add(1)?;
    // Of interlaced video a map unit is a pair of rows.
    let rows = if bits.bit()? { 1 } else { 2 };
    if rows == 2 {
        bits.skip(1)?; // mb_adaptive_frame_field_flag
    }
    bits.skip(1)?; // direct_8x8_inference_flag
    let (unit_x, unit_y) = match chroma_format {
        1 => (2, 2 * rows),
        2 => (2, rows),
        3 if separate_planes => (1, rows),
        0 | 3 => (1, rows),
        _ => return None,
    };
    let mut crop = [0; 4]; // left, right, top, bottom
    if bits.bit()? {
        for edge in &mut crop {
            *edge = bits.exp_golomb()?;
        }
    }
    let width = width_in_mbs.checked_mul(16)?;
    let height = height_in_map_units.checked_mul(16)?.checked_mul(rows)?;
    Some((
        cropped(width, crop[0], crop[1], unit_x)?,
        cropped(height, crop[2], crop[3], unit_y)?,
    ))
}

/// A side's length without `before` and `after`, which count in `unit`s. `None` if nothing is left.
pub(super) fn cropped(length: u32, before: u32, after: u32, unit: u32) -> Option<u16> {
    let crop = before.checked_add(after)?.checked_mul(unit)?;
    u16::try_from(length.checked_sub(crop)?)
        .ok()
        .filter(|length| *length > 0)
}

fn skip_scaling_lists(bits: &mut Bits<'_>, lists: usize) -> Option<()> {
    for list in 0..lists {
        if !bits.bit()? {
            continue;
        }
        let mut next = 8;
        for _ in 0..if list < 6 { 16 } else { 64 } {
            next = i32::wrapping_add(next, bits.signed_exp_golomb()?).rem_euclid(256);
            // Zero: the rest of the list repeats the last value and isn't coded.
            if next == 0 {
                break;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::bits::BitWriter;
    use super::*;
    use proptest::prelude::*;

    // Written by x264, core 165.
    const SPS_1920X1080: &[u8] = &[
        0x67, 0x42, 0xc0, 0x28, 0xda, 0x01, 0xe0, 0x08, 0x9f, 0x96, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
        0x00, 0x03, 0x03, 0xc8, 0xf1, 0x83, 0x2a,
    ];
    const SPS_INTERLACED_1920X1080: &[u8] = &[
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x04, 0x4f, 0xdc, 0x20, 0x00, 0x00, 0x03, 0x00, 0x20,
        0x00, 0x00, 0x07, 0x83, 0xe2, 0xc5, 0xb2, 0xc0,
    ];
    const SPS_1280X720_HIGH: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xba, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
        0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    const SPS_322X182: &[u8] = &[
        0x67, 0x64, 0x00, 0x15, 0xac, 0x72, 0x04, 0x41, 0x51, 0x9e, 0x22, 0x68, 0x40, 0x00, 0x00, 0x03, 0x00,
        0x40, 0x00, 0x00, 0x0f, 0x03, 0xc5, 0x8b, 0x61, 0x18,
    ];
    const PPS: &[u8] = &[0x68, 0xce, 0x0f, 0xc8];
    const SEI: &[u8] = &[
        0x06, 0x05, 0xff, 0xff, 0x42, 0xdc, 0x45, 0xe9, 0xbd, 0xe6, 0xd9, 0x48, 0xb7, 0x96, 0x2c, 0xd8, 0x20,
        0xd9, 0x23, 0xee, 0xef,
    ];
    const IDR: &[u8] = &[0x65, 0x88, 0x84, 0x0b, 0xf2];
    const IDR_SECOND_SLICE: &[u8] = &[0x65, 0x01, 0x0e, 0x44, 0x00];
    const SLICE: &[u8] = &[0x41, 0x9a, 0x20, 0x7a, 0x8d, 0xc5];
    const DELIMITER: &[u8] = &[0x09, 0xf0];

    #[test]
    fn single_units() {
        let cases = [
            (SPS_1920X1080, true, true, Some((1920, 1080))),
            (SPS_INTERLACED_1920X1080, true, true, Some((1920, 1080))),
            (SPS_1280X720_HIGH, true, true, Some((1280, 720))),
            (SPS_322X182, true, true, Some((322, 182))),
            (PPS, false, true, None),
            (SEI, false, true, None),
            (IDR, true, true, None),
            (IDR_SECOND_SLICE, true, false, None),
            (SLICE, false, true, None),
            (DELIMITER, false, true, None),
        ];
        for (payload, keyframe_start, frame_start, resolution) in cases {
            let expected = PayloadInfo {
                keyframe_start,
                frame_start,
                temporal_layer: None,
                resolution,
            };
            assert_eq!(inspect(payload), expected, "{payload:x?}");
        }
    }

    #[test]
    fn aggregates_of_each_kind() {
        for (kind, don, skip) in [
            (nal::STAP_A, 0, 0),
            (nal::STAP_B, 2, 0),
            (nal::MTAP16, 2, 3),
            (nal::MTAP24, 2, 4),
        ] {
            let payload = aggregate(kind, don, skip, &[SPS_1920X1080, PPS, IDR]);
            let expected = Contents {
                has_sps: true,
                has_pps: true,
                is_idr: true,
                starts_picture: true,
                resolution: Some((1920, 1080)),
                profile: Some([0x42, 0xc0, 0x28]),
                ..Contents::default()
            };
            assert_eq!(contents(&payload), expected);
            assert!(inspect(&payload).keyframe_start);
            // Cut within the last unit, the first two still count.
            let cut = contents(&payload[..payload.len() - 1]);
            assert_eq!(
                cut,
                Contents {
                    is_idr: false,
                    ..expected
                }
            );
        }
    }

    #[test]
    fn parameter_sets_repeated_beside_an_ordinary_slice_start_nothing() {
        let payload = aggregate(nal::STAP_A, 0, 0, &[SPS_1920X1080, PPS, SLICE]);
        let info = inspect(&payload);
        assert!(!info.keyframe_start && info.frame_start);
        // As an encoder with periodic intra refresh sends at its recovery points.
        assert!(!inspect(&aggregate(nal::STAP_A, 0, 0, &[SEI, SLICE])).keyframe_start);
    }

    #[test]
    fn only_the_first_fragment_starts_something() {
        for (start, end) in [(true, false), (false, false), (false, true)] {
            let fu = fragment(IDR, start, end);
            assert_eq!(
                (inspect(&fu).keyframe_start, inspect(&fu).frame_start),
                (start, start)
            );
            assert_eq!(contents(&fu).is_idr, start);
            let fu = fragment(SLICE, start, end);
            assert_eq!(
                (inspect(&fu).keyframe_start, inspect(&fu).frame_start),
                (false, start)
            );
        }
        assert_eq!(contents(&[0x7c]), Contents::default());
    }

    proptest! {
        #[test]
        fn the_size_is_found_behind_whatever_precedes_it(
            profile in prop_oneof![Just(66u64), Just(100), Just(244)], chroma in 0..4u32,
            mbs in (1..500u32, 1..300u32), crop in (0..4u32, 0..4u32), interlaced: bool, order in 0..3u32,
            scaling in proptest::option::of(proptest::collection::vec(any::<bool>(), 12)),
        ) {
            let mut sps = BitWriter::default();
            sps.bits(profile, 8).bits(0xc0_1f, 16).exp_golomb(0);
            let chroma = if profile == 66 { 1 } else { chroma };
            if profile != 66 {
                sps.exp_golomb(chroma);
                if chroma == 3 {
                    sps.bits(0, 1);
                }
                sps.exp_golomb(0).exp_golomb(0).bits(0, 1).bits(scaling.is_some().into(), 1);
                let lists = if chroma == 3 { 12 } else { 8 };
                for (i, present) in scaling.iter().flatten().take(lists).enumerate() {
                    sps.bits(u64::from(*present), 1);
                    match (present, i < 6) {
                        (true, true) => (0..16).for_each(|_| { sps.exp_golomb(1); }), // each one more
                        (true, false) => { sps.exp_golomb(3).exp_golomb(20); } // +2, then −10: the rest repeats
                        (false, _) => {}
                    }
                }
            }
            sps.exp_golomb(4).exp_golomb(order);
            match order {
                0 => { sps.exp_golomb(2); }
                1 => { sps.bits(0, 1).exp_golomb(1).exp_golomb(2).exp_golomb(2).exp_golomb(9).exp_golomb(8); }
                _ => {}
            }
            sps.exp_golomb(1).bits(0, 1).exp_golomb(mbs.0 - 1).exp_golomb(mbs.1 - 1);
            sps.bits((!interlaced).into(), 1);
            if interlaced {
                sps.bits(0, 1);
            }
            sps.bits(1, 1).bits(1, 1).exp_golomb(0).exp_golomb(crop.0).exp_golomb(crop.1).exp_golomb(0);
            let rows = if interlaced { 2 } else { 1 };
            let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
            let unit_y = if chroma == 1 { 2 * rows } else { rows };
            let width = mbs.0 * 16 - crop.0 * unit_x;
            let height = mbs.1 * 16 * rows - crop.1 * unit_y;
            let found = contents(&[&[0x67], &sps.rbsp()[..]].concat()).resolution;
            prop_assert_eq!(found, Some((width as u16, height as u16)));
        }
    }

    fn aggregate(kind: u8, don: usize, skip: usize, units: &[&[u8]]) -> Vec<u8> {
        let mut payload = vec![0x60 | kind];
        payload.extend(vec![0xee; don]);
        for unit in units {
            payload.extend((unit.len() as u16).to_be_bytes());
            payload.extend(vec![0xee; skip]);
            payload.extend(*unit);
        }
        payload
    }

    fn fragment(unit: &[u8], start: bool, end: bool) -> Vec<u8> {
        let fu = u8::from(start) << 7 | u8::from(end) << 6 | unit[0] & 0x1f;
        [&[unit[0] & 0x60 | nal::FU_A, fu], &unit[1..]].concat()
    }
}
