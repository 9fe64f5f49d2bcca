//! What is due when, so that nobody is visited who has nothing to do: a session's own timer, a viewer's report.
//!
//! A deadline that moves away (each packet from a peer moves its silence limit) leaves its entry where it is: the
//! entry is looked at when it comes up and set again for then. Only one that comes nearer is entered anew; what is
//! left of the old one is recognised by its time. So a session costs an entry each half minute, not one per packet.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::TICK;

/// What is due; the number is the session's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    /// The peer's timer: a repetition, a limit.
    Peer(usize),
    /// A viewer's sender report.
    Report(usize),
}

pub(super) struct Timers {
    /// Times fall on multiples of [`TICK`] from here, so that a thousand sessions are fifty wake-ups a second.
    origin: Instant,
    due: BinaryHeap<Reverse<(Instant, Task)>>,
}

impl Timers {
    pub fn new(now: Instant) -> Self {
        Self {
            origin: now,
            due: BinaryHeap::new(),
        }
    }

    /// The first tick not before `at`, and after `now`.
    pub fn tick_from(&self, now: Instant, at: Instant) -> Instant {
        let since = at.max(now).saturating_duration_since(self.origin).as_nanos();
        let tick = TICK.as_nanos();
        let ticks = since.div_ceil(tick);
        let instant = |ticks: u128| self.origin + Duration::from_nanos((ticks * tick) as u64);
        let at = instant(ticks);
        if at > now { at } else { instant(ticks + 1) }
    }

    /// `at` is one of [`tick_from`](Self::tick_from).
    pub fn set(&mut self, at: Instant, task: Task) {
        self.due.push(Reverse((at, task)));
    }

    pub fn next(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// What is due by `now`, the oldest first, with the time it was set for.
    pub fn pop(&mut self, now: Instant) -> Option<(Instant, Task)> {
        self.next().filter(|at| *at <= now)?;
        self.due.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_ahead_and_never_early() {
        let start = start();
        let timers = Timers::new(start);
        let ms = |ms| start + Duration::from_millis(ms);
        assert_eq!(timers.tick_from(ms(0), ms(250)), ms(260));
        assert_eq!(timers.tick_from(ms(0), ms(260)), ms(260));
        assert_eq!(timers.tick_from(ms(300), ms(250)), ms(320));
        assert_eq!(timers.tick_from(ms(310), ms(250)), ms(320));
    }

    #[test]
    fn what_is_due_comes_out_in_order() {
        let start = start();
        let mut timers = Timers::new(start);
        for n in [5u32, 1, 3, 2, 4] {
            timers.set(start + TICK * n, Task::Peer(n as usize));
        }
        assert_eq!(timers.next(), Some(start + TICK));
        assert_eq!(timers.pop(start), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.pop(start + TICK * 3)).collect();
        let expected = [1, 2, 3].map(|n| (start + TICK * n, Task::Peer(n as usize)));
        assert_eq!(due, expected);
        assert_eq!(timers.next(), Some(start + TICK * 4));
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }
}
