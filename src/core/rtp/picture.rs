//! Numbers inside payloads that count pictures: VP8's and VP9's picture id and TL0PICIDX. A viewer that is switched
//! to another layer must see them go on by one, or its decoder takes the difference for loss.
//!
//! AV1 keeps its frame numbers in a header extension, the dependency descriptor, which other codecs may have too. H.264
//! and H.265 keep theirs in the bit stream, where each layer begins anew at a keyframe: those are left alone.

use super::{dependency, vp8, vp9};
use crate::core::media::Codec;

/// Where the numbers stand in one payload, and what they are. Read once when the packet comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureNumbers {
    id: Option<Id>,
    /// TL0PICIDX: value and offset.
    base: Option<(u8, u8)>,
    /// The dependency descriptor's frame number.
    frame: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id {
    value: u16,
    offset: u8,
    /// 15 bits, otherwise 7.
    wide: bool,
}

/// What is added to every number of a sequence, modulo its width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureShift {
    id: u16,
    base: u8,
    frame: u16,
}

impl PictureShift {
    /// One picture is left out on purpose, so that those after it count one less.
    pub fn without_one(self) -> Self {
        Self {
            id: self.id.wrapping_sub(1),
            ..self
        }
    }
}

impl PictureNumbers {
    /// Of a plain payload; empty where the codec or the sender has none.
    pub fn read(codec: Codec, payload: &[u8]) -> Self {
        match codec {
            Codec::Vp8 => Self::of_vp8(payload),
            Codec::Vp9 { .. } => Self::of_vp9(payload),
            _ => None,
        }
        .unwrap_or_default()
    }

    fn of_vp8(payload: &[u8]) -> Option<Self> {
        let descriptor = vp8::Descriptor::parse(payload)?;
        let id = match descriptor.picture_id {
            Some(id) => Some(Id {
                value: id.value,
                offset: u8::try_from(id.offset).ok()?,
                wide: id.wide,
            }),
            None => None,
        };
        let base = match descriptor.tl0_picture_index {
            Some((value, offset)) => Some((value, u8::try_from(offset).ok()?)),
            None => None,
        };
        Some(Self {
            id,
            base,
            frame: None,
        })
    }

    fn of_vp9(payload: &[u8]) -> Option<Self> {
        let descriptor = vp9::Descriptor::parse(payload)?;
        let id = match (descriptor.picture_id, payload.get(1)) {
            (Some(value), Some(first)) => Some(Id {
                value,
                offset: 1,
                wide: first & 0x80 != 0,
            }),
            _ => None,
        };
        let base = match descriptor.tl0_picture_index {
            Some((value, offset)) => Some((value, u8::try_from(offset).ok()?)),
            None => None,
        };
        Some(Self {
            id,
            base,
            frame: None,
        })
    }

    /// With the frame number of a dependency descriptor (its bytes as they came; empty: none).
    pub fn with_descriptor(self, descriptor: &[u8]) -> Self {
        Self {
            frame: dependency::frame_number(descriptor),
            ..self
        }
    }

    /// The picture id as it came.
    pub fn id(self) -> Option<u16> {
        self.id.map(|id| id.value)
    }

    /// What makes these numbers follow `last`: the next picture, and the next of the base layer.
    pub fn after(self, last: Self) -> PictureShift {
        let id = match (last.id, self.id) {
            (Some(last), Some(own)) => last.value.wrapping_add(1).wrapping_sub(own.value),
            _ => 0,
        };
        let base = match (last.base, self.base) {
            (Some((last, _)), Some((own, _))) => last.wrapping_add(1).wrapping_sub(own),
            _ => 0,
        };
        let frame = match (last.frame, self.frame) {
            (Some(last), Some(own)) => last.wrapping_add(1).wrapping_sub(own),
            _ => 0,
        };
        PictureShift { id, base, frame }
    }

    pub fn shifted(self, shift: PictureShift) -> Self {
        Self {
            id: self.id.map(|id| Id {
                value: id.shifted(shift.id),
                ..id
            }),
            base: self
                .base
                .map(|(value, offset)| (value.wrapping_add(shift.base), offset)),
            frame: self.frame.map(|frame| frame.wrapping_add(shift.frame)),
        }
    }

    /// Writes the shifted numbers into a copy of the payload they were read from.
    #[inline]
    pub fn write(self, payload: &mut [u8], shift: PictureShift) {
        if (shift.id, shift.base) == (0, 0) {
            return;
        }
        if let Some(id) = self.id {
            let offset = usize::from(id.offset);
            let [high, low] = id.shifted(shift.id).to_be_bytes();
            let bytes = if id.wide { [0x80 | high, low] } else { [low, 0] };
            let len = if id.wide { 2 } else { 1 };
            if let (Some(place), Some(bytes)) = (payload.get_mut(offset..offset + len), bytes.get(..len)) {
                place.copy_from_slice(bytes);
            }
        }
        if let Some((value, offset)) = self.base
            && let Some(place) = payload.get_mut(usize::from(offset))
        {
            *place = value.wrapping_add(shift.base);
        }
    }
}

impl PictureNumbers {
    /// Writes the shifted frame number into a copy of the dependency descriptor.
    pub fn write_descriptor(self, descriptor: &mut [u8], shift: PictureShift) {
        if let Some(frame) = self.frame {
            dependency::write_frame_number(descriptor, frame.wrapping_add(shift.frame));
        }
    }
}

impl Id {
    fn shifted(self, by: u16) -> u16 {
        self.value.wrapping_add(by) & if self.wide { 0x7fff } else { 0x7f }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VP9: Codec = Codec::Vp9 { profile_id: 0 };

    #[test]
    fn vp8_goes_on_by_one_over_the_wrap() {
        let old = PictureNumbers::read(Codec::Vp8, &[0x90, 0xc0, 0xff, 0xff, 0xff, 0x00]);
        let mut payload = [0x90, 0xc0, 0x92, 0x34, 0x56, 0x01];
        let new = PictureNumbers::read(Codec::Vp8, &payload);
        let shift = new.after(old);
        new.write(&mut payload, shift);
        assert_eq!(payload, [0x90, 0xc0, 0x80, 0x00, 0x00, 0x01]);
        assert_eq!(PictureNumbers::read(Codec::Vp8, &payload), new.shifted(shift));
        // The picture after it.
        let mut next = [0x90, 0xc0, 0x92, 0x35, 0x57, 0x01];
        PictureNumbers::read(Codec::Vp8, &next).write(&mut next, shift);
        assert_eq!(next, [0x90, 0xc0, 0x80, 0x01, 0x01, 0x01]);
    }

    #[test]
    fn seven_bits_stay_seven_bits() {
        let old = PictureNumbers::read(Codec::Vp8, &[0x90, 0x80, 0x7f, 0x00]);
        let mut payload = [0x90, 0x80, 0x12, 0x01];
        let new = PictureNumbers::read(Codec::Vp8, &payload);
        new.write(&mut payload, new.after(old));
        assert_eq!(payload, [0x90, 0x80, 0x00, 0x01]);
    }

    #[test]
    fn vp9_without_flexible_mode_has_both_numbers() {
        // I and L and B: picture id of 15 bits, layer indices, TL0PICIDX.
        let old = PictureNumbers::read(VP9, &[0xa8, 0x80, 0x05, 0x00, 0x09, 0x82]);
        let mut payload = [0xa8, 0xff, 0x00, 0x00, 0x77, 0x82];
        let new = PictureNumbers::read(VP9, &payload);
        new.write(&mut payload, new.after(old));
        assert_eq!(payload, [0xa8, 0x80, 0x06, 0x00, 0x0a, 0x82]);
    }

    proptest! {
        #[test]
        fn only_the_numbers_change(payload in proptest::collection::vec(any::<u8>(), 0..16), id: u16, base: u8) {
            for codec in [Codec::Vp8, VP9, Codec::Opus] {
                let numbers = PictureNumbers::read(codec, &payload);
                let shift = PictureShift { id, base, frame: 0 };
                let mut written = payload.clone();
                numbers.write(&mut written, shift);
                prop_assert_eq!(PictureNumbers::read(codec, &written), numbers.shifted(shift));
                let back = PictureShift { id: id.wrapping_neg(), base: base.wrapping_neg(), frame: 0 };
                numbers.shifted(shift).write(&mut written, back);
                prop_assert_eq!(&written, &payload);
            }
        }
    }
}
