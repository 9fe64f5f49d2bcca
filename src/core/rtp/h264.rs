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
