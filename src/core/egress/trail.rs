//! A short queue whose latest element lies in place: it is what nearly every packet needs, and the others are a pointer
//! away that a cache does not hold while hundreds of viewers are served in turn.

use std::collections::VecDeque;

#[derive(Debug)]
pub struct Trail<T> {
    latest: Option<T>,
    /// Oldest first; empty where there is no latest.
    earlier: VecDeque<T>,
}

impl<T> Default for Trail<T> {
    fn default() -> Self {
        Self {
            latest: None,
            earlier: VecDeque::new(),
        }
    }
}

impl<T> Trail<T> {
    #[inline]
    pub fn len(&self) -> usize {
        self.earlier.len() + usize::from(self.latest.is_some())
    }

    #[inline]
    pub fn latest(&self) -> Option<&T> {
        self.latest.as_ref()
    }

    pub fn oldest(&self) -> Option<&T> {
        self.earlier.front().or(self.latest.as_ref())
    }

    /// By place from the oldest on.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        if index == self.earlier.len() {
            self.latest.as_ref()
        } else {
            self.earlier.get(index)
        }
    }

    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index == self.earlier.len() {
            self.latest.as_mut()
        } else {
            self.earlier.get_mut(index)
        }
    }

    /// The latest that fits.
    #[inline]
    pub fn rposition(&self, fits: impl Fn(&T) -> bool) -> Option<usize> {
        if self.latest.as_ref().is_some_and(&fits) {
            return Some(self.earlier.len());
        }
        self.earlier.iter().rposition(fits)
    }

    /// Where those that are `before` end, which all stand first.
    pub fn partition_point(&self, before: impl Fn(&T) -> bool) -> usize {
        if self.latest.as_ref().is_some_and(&before) {
            return self.len();
        }
        self.earlier.partition_point(before)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.earlier.iter_mut().chain(&mut self.latest)
    }

    pub fn push(&mut self, element: T) {
        self.earlier.extend(self.latest.replace(element));
    }

    /// At a place up to that behind the latest.
    pub fn insert(&mut self, index: usize, element: T) {
        if index >= self.len() {
            self.push(element);
        } else {
            self.earlier.insert(index, element);
        }
    }

    pub fn pop_oldest(&mut self) -> Option<T> {
        self.earlier.pop_front().or_else(|| self.latest.take())
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.earlier.retain(&mut keep);
        self.latest = self
            .latest
            .take()
            .filter(keep)
            .or_else(|| self.earlier.pop_back());
    }

    pub fn clear(&mut self) {
        self.earlier.clear();
        self.latest = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u8),
        Insert(usize, u8),
        PopOldest,
        KeepBelow(u8),
        Add(u8),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<u8>().prop_map(Step::Push),
            4 => (0usize..20, any::<u8>()).prop_map(|(index, value)| Step::Insert(index, value)),
            2 => Just(Step::PopOldest),
            2 => any::<u8>().prop_map(Step::KeepBelow),
            1 => any::<u8>().prop_map(Step::Add),
            1 => Just(Step::Clear),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec(step(), 0..60), wanted: u8) {
            let mut trail = Trail::default();
            let mut queue: VecDeque<u8> = VecDeque::new();
            for step in steps {
                match step {
                    Step::Push(value) => {
                        trail.push(value);
                        queue.push_back(value);
                    }
                    Step::Insert(index, value) => {
                        let index = index.min(queue.len());
                        trail.insert(index, value);
                        queue.insert(index, value);
                    }
                    Step::PopOldest => assert_eq!(trail.pop_oldest(), queue.pop_front()),
                    Step::KeepBelow(bound) => {
                        trail.retain(|value| *value < bound);
                        queue.retain(|value| *value < bound);
                    }
                    Step::Add(value) => {
                        trail.iter_mut().for_each(|known| *known = known.wrapping_add(value));
                        queue.iter_mut().for_each(|known| *known = known.wrapping_add(value));
                    }
                    Step::Clear => {
                        trail.clear();
                        queue.clear();
                    }
                }
                assert_eq!(trail.len(), queue.len());
                assert_eq!((trail.oldest(), trail.latest()), (queue.front(), queue.back()));
                for index in 0..=queue.len() {
                    assert_eq!(trail.get(index), queue.get(index));
                    assert_eq!(trail.get_mut(index).copied(), queue.get(index).copied());
                }
                assert_eq!(
                    trail.rposition(|value| *value == wanted),
                    queue.iter().rposition(|value| *value == wanted)
                );
            }
            queue.make_contiguous().sort_unstable();
            trail.clear();
            queue.iter().for_each(|value| trail.push(*value));
            assert_eq!(
                trail.partition_point(|value| *value < wanted),
                queue.partition_point(|value| *value < wanted)
            );
        }
    }
}
