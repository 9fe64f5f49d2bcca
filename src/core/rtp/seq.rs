//! Numbers that wrap on the wire, unwrapped to 64 bits so that they can be compared, subtracted and indexed with.
//! Each is placed next to the highest seen: up to half the number space ahead counts as new, anything else as late
//! (in the spirit of RFC 3550 A.1, without its probation: what to make of a jump is the caller's to decide).

use crate::core::ids::SeqNo;

/// Unwraps 16-bit RTP sequence numbers. The first becomes 65536 + itself, so that packets older than the first
/// keep positive numbers.
#[derive(Clone, Debug, Default)]
pub struct SeqUnwrapper {
    highest: Option<SeqNo>,
}

impl SeqUnwrapper {
    pub fn unwrap(&mut self, seq: u16) -> SeqNo {
        let unwrapped = match self.highest {
            None => SeqNo(0x1_0000 + u64::from(seq)),
            // The distance as a signed number is the shorter way round.
            Some(SeqNo(highest)) => {
                let distance = seq.wrapping_sub(highest as u16) as i16;
                SeqNo(highest.saturating_add_signed(distance.into()))
            }
        };
        self.highest = self.highest.max(Some(unwrapped));
        unwrapped
    }

    pub fn highest(&self) -> Option<SeqNo> {
        self.highest
    }
}

/// Unwraps 32-bit RTP timestamps. The first becomes 2³² + itself.
#[derive(Clone, Debug, Default)]
pub struct TimestampUnwrapper {
    highest: Option<u64>,
}

impl TimestampUnwrapper {
    pub fn unwrap(&mut self, ts: u32) -> u64 {
        let unwrapped = match self.highest {
            None => 0x1_0000_0000 + u64::from(ts),
            Some(highest) => {
                let distance = ts.wrapping_sub(highest as u32) as i32;
                highest.saturating_add_signed(distance.into())
            }
        };
        self.highest = self.highest.max(Some(unwrapped));
        unwrapped
    }

    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Where `ts` lies seen from the highest so far, without counting it as a packet's: a sender report's may be
    /// well ahead of the media.
    pub fn near(&self, ts: u32) -> u64 {
        self.clone().unwrap(ts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rollover_goes_on_counting_and_late_packets_stay_before_it() {
        let mut unwrapper = SeqUnwrapper::default();
        assert_eq!(unwrapper.highest(), None);
        assert_eq!(unwrapper.unwrap(65534), SeqNo(65536 + 65534));
        assert_eq!(unwrapper.unwrap(1), SeqNo(2 * 65536 + 1));
        assert_eq!(unwrapper.unwrap(65535), SeqNo(65536 + 65535));
        assert_eq!(unwrapper.unwrap(0), SeqNo(2 * 65536));
        assert_eq!(unwrapper.highest(), Some(SeqNo(2 * 65536 + 1)));
    }

    #[test]
    fn packets_older_than_the_first_stay_positive() {
        let mut unwrapper = SeqUnwrapper::default();
        assert_eq!(unwrapper.unwrap(0), SeqNo(65536));
        assert_eq!(unwrapper.unwrap(65535), SeqNo(65535));
        assert_eq!(unwrapper.unwrap(32768), SeqNo(32768));
        assert_eq!(unwrapper.highest(), Some(SeqNo(65536)));
    }

    #[test]
    fn timestamps_wrap_too() {
        let mut unwrapper = TimestampUnwrapper::default();
        let first = unwrapper.unwrap(u32::MAX - 10);
        assert_eq!(unwrapper.unwrap(20), first + 31);
        assert_eq!(unwrapper.unwrap(u32::MAX - 20), first - 10);
        assert_eq!(unwrapper.highest(), Some(first + 31));
    }

    proptest! {
        #[test]
        fn steps_within_half_the_space_are_followed(start: u16, steps in proptest::collection::vec(-20_000i64..30_000, 0..200)) {
            let mut unwrapper = SeqUnwrapper::default();
            let mut highest = unwrapper.unwrap(start).0;
            for step in steps {
                let sent = highest.saturating_add_signed(step);
                prop_assert_eq!(unwrapper.unwrap(sent as u16), SeqNo(sent));
                highest = highest.max(sent);
                prop_assert_eq!(unwrapper.highest(), Some(SeqNo(highest)));
            }
        }
    }
}
