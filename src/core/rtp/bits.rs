//! Bit fields as codecs' headers have them, most significant bit first. Past the end everything is `None`.

/// Reads bits from a slice. In [`Bits::rbsp`] mode it skips the emulation prevention bytes of H.264 and H.265
/// (the 03 in 00 00 03).
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next bit, counted from `data`'s start.
    at: usize,
    /// How many zero bytes in a row precede the current byte; `None` where no emulation prevention is in use.
    zeros: Option<u8>,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            zeros: None,
        }
    }

    /// The inside of a NAL unit, after its header.
    pub fn rbsp(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            zeros: Some(0),
        }
    }

    pub fn bit(&mut self) -> Option<bool> {
        if self.at.is_multiple_of(8)
            && let Some(zeros) = &mut self.zeros
        {
            if *zeros >= 2 && self.data.get(self.at / 8) == Some(&3) {
                self.at += 8;
                *zeros = 0;
            }
            *zeros = if self.data.get(self.at / 8) == Some(&0) {
                zeros.saturating_add(1)
            } else {
                0
            };
        }
        let byte = self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Some(bit)
    }

    /// An unsigned number of `count` bits, at most 32.
    pub fn bits(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value)
    }

    pub fn skip(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            self.bit()?;
        }
        Some(())
    }

    /// An unsigned Exp-Golomb number (H.264 §9.1; AV1's `uvlc` is the same). `None` from 2³² − 1 on.
    pub fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros == 32 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.bits(zeros)?)
    }

    /// A signed Exp-Golomb number (H.264 §9.1.1).
    pub fn signed_exp_golomb(&mut self) -> Option<i32> {
        let coded = self.exp_golomb()?;
        let magnitude = (coded / 2 + coded % 2) as i32;
        Some(if coded % 2 == 1 { magnitude } else { -magnitude })
    }
}

/// Writes what [`Bits`] reads, so that tests can make headers of any shape.
#[cfg(test)]
#[derive(Default)]
pub(super) struct BitWriter {
    bits: Vec<bool>,
}

#[cfg(test)]
impl BitWriter {
    pub fn bits(&mut self, value: u64, count: u32) -> &mut Self {
        self.bits
            .extend((0..count).rev().map(|bit| value.unbounded_shr(bit) & 1 == 1));
        self
    }

    pub fn exp_golomb(&mut self, value: u32) -> &mut Self {
        let coded = u64::from(value) + 1;
        let len = coded.ilog2();
        self.bits(0, len).bits(coded, len + 1)
    }

    /// The bytes, with a stop bit and zeros at the end.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bits = self.bits.clone();
        bits.push(true);
        bits.resize(bits.len().next_multiple_of(8), false);
        bits.chunks(8)
            .map(|byte| byte.iter().fold(0, |value, bit| value << 1 | u8::from(*bit)))
            .collect()
    }

    /// The same as the inside of a NAL unit, with emulation prevention (H.264 §7.4.1.1).
    pub fn rbsp(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in self.bytes() {
            if byte <= 3 && out.ends_with(&[0, 0]) {
                out.push(3);
            }
            out.push(byte);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exp_golomb_numbers() {
        // 1 | 010 | 011 | 00100 | 00111 | padding
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0011, 0b1000_0000]);
        let read: Vec<_> = (0..5).map(|_| bits.exp_golomb().unwrap()).collect();
        assert_eq!(read, [0, 1, 2, 3, 6]);
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let read: Vec<_> = (0..5).map(|_| bits.signed_exp_golomb().unwrap()).collect();
        assert_eq!(read, [0, 1, -1, 2, -2]);
        assert_eq!(Bits::new(&[0; 8]).exp_golomb(), None);
    }

    #[test]
    fn emulation_prevention_is_skipped_only_where_asked() {
        let data = [0, 0, 3, 1, 3, 0, 0, 3, 0, 0, 3];
        let mut bits = Bits::rbsp(&data);
        let read: Vec<_> = std::iter::from_fn(|| bits.bits(8)).collect();
        assert_eq!(read, [0, 0, 1, 3, 0, 0, 0, 0]);
        let mut bits = Bits::new(&data);
        let read: Vec<_> = std::iter::from_fn(|| bits.bits(8)).collect();
        assert_eq!(read.len(), data.len());
    }

    proptest! {
        #[test]
        fn numbers_written_are_read_back(numbers in proptest::collection::vec(prop_oneof![0..9u32, 0..u32::MAX], 0..20)) {
            let mut writer = BitWriter::default();
            for number in &numbers {
                writer.exp_golomb(*number).bits(0, 20).bits(u64::from(*number), 32);
            }
            let (plain, rbsp) = (writer.bytes(), writer.rbsp());
            for mut bits in [Bits::new(&plain), Bits::rbsp(&rbsp)] {
                for number in &numbers {
                    prop_assert_eq!(bits.exp_golomb(), Some(*number));
                    prop_assert_eq!(bits.bits(20), Some(0));
                    prop_assert_eq!(bits.bits(32), Some(*number));
                }
            }
        }

        #[test]
        fn any_bits_are_survived(data in proptest::collection::vec(prop_oneof![Just(0), Just(3), any::<u8>()], 0..40)) {
            for mut bits in [Bits::new(&data), Bits::rbsp(&data)] {
                while bits.signed_exp_golomb().is_some() && bits.bits(7).is_some() {}
                prop_assert!(bits.at / 8 <= data.len() + 1);
            }
        }
    }
}
