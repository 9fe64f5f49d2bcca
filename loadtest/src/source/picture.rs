//! The pictures of the synthetic streams: grey, still, and valid, so that a player shows them.

/// Width and height of the layers of a simulcast, worst first; a single stream is the last.
pub const SIZES: [(u16, u16); 3] = [(160, 90), (320, 180), (640, 360)];

fn size(layer: u8) -> (u16, u16) {
    let last = SIZES[SIZES.len() - 1];
    SIZES.get(usize::from(layer)).copied().unwrap_or(last)
}

/// A frame of VP8; whatever stands behind it is taken for the end of its last partition, which is not read.
pub fn vp8(layer: u8, keyframe: bool) -> &'static [u8] {
    match (layer, keyframe) {
        (0, true) => include_bytes!("pictures/160x90-key.vp8"),
        (0, false) => include_bytes!("pictures/160x90-delta.vp8"),
        (1, true) => include_bytes!("pictures/320x180-key.vp8"),
        (1, false) => include_bytes!("pictures/320x180-delta.vp8"),
        (_, true) => include_bytes!("pictures/640x360-key.vp8"),
        (_, false) => include_bytes!("pictures/640x360-delta.vp8"),
    }
}

/// Constrained Baseline, level 3.1 (H.264 §7.3.2.1.1).
pub fn h264_sps(layer: u8) -> Vec<u8> {
    let (width, height) = size(layer);
    let (across, down) = (width.div_ceil(16), height.div_ceil(16));
    let cropped = (down * 16 - height) / 2;
    let mut bits = Bits::new(&[0x67, 0x42, 0xc0, 0x1f]);
    bits.ue(0); // seq_parameter_set_id
    bits.ue(u32::from(FRAME_NUM_BITS) - 4);
    bits.ue(2); // pic_order_cnt_type: shown in the order of decoding
    bits.ue(1); // max_num_ref_frames
    bits.put(0, 1); // gaps_in_frame_num_value_allowed_flag
    bits.ue(u32::from(across) - 1);
    bits.ue(u32::from(down) - 1);
    bits.put(0b11, 2); // frame_mbs_only_flag, direct_8x8_inference_flag
    bits.put(u32::from(cropped > 0), 1);
    if cropped > 0 {
        for edge in [0, u32::from((across * 16 - width) / 2), 0, u32::from(cropped)] {
            bits.ue(edge);
        }
    }
    bits.put(0, 1); // vui_parameters_present_flag
    bits.finish()
}

/// CAVLC, one slice group, deblocking under the slices' control (§7.3.2.2).
pub fn h264_pps() -> Vec<u8> {
    let mut bits = Bits::new(&[0x68]);
    bits.ue(0); // pic_parameter_set_id
    bits.ue(0); // seq_parameter_set_id
    bits.put(0, 2); // entropy_coding_mode_flag, bottom_field_pic_order_in_frame_present_flag
    bits.ue(0); // num_slice_groups_minus1
    bits.ue(0); // num_ref_idx_l0_default_active_minus1
    bits.ue(0); // num_ref_idx_l1_default_active_minus1
    bits.put(0, 3); // weighted_pred_flag, weighted_bipred_idc
    bits.ue(0); // pic_init_qp_minus26
    bits.ue(0); // pic_init_qs_minus26
    bits.ue(0); // chroma_qp_index_offset
    bits.put(0b100, 3); // deblocking_filter_control_present_flag
    bits.finish()
}

/// The picture's one slice (§7.3.3): `since_keyframe` counts from 0, which is the keyframe.
pub fn h264_slice(layer: u8, since_keyframe: u32, keyframe_number: u32) -> Vec<u8> {
    let (width, height) = size(layer);
    let blocks = u32::from(width.div_ceil(16)) * u32::from(height.div_ceil(16));
    let keyframe = since_keyframe == 0;
    let mut bits = Bits::new(&[if keyframe { 0x65 } else { 0x41 }]);
    bits.ue(0); // first_mb_in_slice
    bits.ue(if keyframe { 7 } else { 5 }); // slice_type: all slices I, or P
    bits.ue(0); // pic_parameter_set_id
    bits.put(since_keyframe & ((1 << FRAME_NUM_BITS) - 1), FRAME_NUM_BITS);
    if keyframe {
        bits.ue(keyframe_number & 1); // idr_pic_id, which differs between neighbours
        bits.put(0, 2); // no_output_of_prior_pics_flag, long_term_reference_flag
    } else {
        bits.put(0, 3); // no override, no reordering, sliding window
    }
    bits.ue(0); // slice_qp_delta
    bits.ue(1); // disable_deblocking_filter_idc
    if keyframe {
        for _ in 0..blocks {
            // mb_type I_16x16_2_0_0, intra_chroma_pred_mode 0, mb_qp_delta 0, no coefficients.
            bits.put(0b0010_0111, 8);
        }
    } else {
        bits.ue(blocks); // mb_skip_run
    }
    bits.finish()
}

/// Of `frame_num` (§7.4.3).
const FRAME_NUM_BITS: u8 = 8;

/// Bits of a NAL unit behind its head.
struct Bits {
    bytes: Vec<u8>,
    /// Of the last byte.
    free: u8,
}

impl Bits {
    fn new(head: &[u8]) -> Self {
        Self {
            bytes: head.to_vec(),
            free: 0,
        }
    }

    fn put(&mut self, value: u32, count: u8) {
        for place in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> place & 1) as u8) << self.free;
            }
        }
    }

    /// Exp-Golomb (§9.1).
    fn ue(&mut self, value: u32) {
        let length = (u32::BITS - (value + 1).leading_zeros()) as u8;
        self.put(0, length - 1);
        self.put(value + 1, length);
    }

    /// With the stop bit, and with emulation prevention (§7.4.1.1).
    fn finish(mut self) -> Vec<u8> {
        self.put(1, 1);
        let mut out = Vec::with_capacity(self.bytes.len() + 4);
        let mut zeros = 0;
        for byte in self.bytes {
            if zeros == 2 && byte <= 3 {
                out.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            out.push(byte);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_says() {
        let mut bits = Bits::new(&[]);
        for value in [0, 1, 2, 3, 7] {
            bits.ue(value);
        }
        // 1 010 011 00100 0001000, then the stop bit.
        assert_eq!(bits.finish(), [0b1010_0110, 0b0100_0001, 0b0001_0000]);
    }

    #[test]
    fn no_start_code_arises_inside() {
        for layer in 0..3 {
            let sets = [h264_sps(layer), h264_pps()];
            for unit in sets
                .into_iter()
                .chain((0..300).map(|number| h264_slice(layer, number, number)))
            {
                let body = unit.windows(3).any(|three| three[..2] == [0, 0] && three[2] < 3);
                assert!(!body, "{unit:?}");
            }
        }
    }
}
