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
