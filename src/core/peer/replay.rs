//! Which packet indices were seen: a sliding window over the last [`WINDOW`] of them (RFC 3711 §3.3.2).

/// How far behind the highest index a packet may come. A keyframe's burst at 50 Mbit/s is some 400 packets, and
/// retransmissions come a round trip later; 64, as the RFC's minimum has it, drops those.
pub(super) const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

#[derive(Clone, Debug)]
pub(super) struct ReplayWindow {
    highest: u64,
    /// A ring of bits: index `i` is bit `i % WINDOW`.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// A window that has seen `first` and nothing else.
    pub fn starting_at(first: u64) -> Self {
        let mut window = Self {
            highest: first,
            seen: [0; WORDS],
        };
        window.set(first);
        window
    }

    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether `index` is neither seen nor too old to know.
    pub fn is_new(&self, index: u64) -> bool {
        index > self.highest
            || (self.highest - index < WINDOW && self.seen[word(index)] & (1 << (index % 64)) == 0)
    }

    /// Marks `index`, which [`Self::is_new`] and whose packet proved authentic.
    pub fn accept(&mut self, index: u64) {
        if index > self.highest {
            if index - self.highest >= WINDOW {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.highest + 1..index {
                    self.seen[word(skipped)] &= !(1 << (skipped % 64));
                }
            }
            self.highest = index;
        }
        self.set(index);
    }

    fn set(&mut self, index: u64) {
        self.seen[word(index)] |= 1 << (index % 64);
    }
}

fn word(index: u64) -> usize {
    (index % WINDOW / 64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_set_of_everything_seen(steps in prop::collection::vec(-1500i64..1500, 1..400)) {
            let mut window = ReplayWindow::starting_at(5000);
            let mut seen = BTreeSet::from([5000u64]);
            for step in steps {
                let index = window.highest().saturating_add_signed(step);
                let expected = !seen.contains(&index) && index + WINDOW > window.highest();
                prop_assert_eq!(window.is_new(index), expected);
                if expected {
                    window.accept(index);
                    seen.insert(index);
                    prop_assert!(!window.is_new(index));
                }
            }
        }
    }
}
