//! What was sent under which transport-wide number, and what became of it.

use std::time::{Duration, Instant};

/// Half a second at 10 Mbit/s, 4 KiB. Most viewers never need more.
const INITIAL: usize = 512;
/// Two thirds of a second at 60 Mbit/s, 32 KiB.
const LARGEST: usize = 4096;
/// Feedback that comes later than this after its packets is of little use.
const WANTED: Duration = Duration::from_secs(1);

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Unknown,
    /// Reported as not received; it may still come.
    Lost,
    Received,
}

/// A packet as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Microseconds since the estimator's start, modulo 2³² (71 minutes).
    at: u32,
    pub bytes: u16,
    /// The probe it was part of; 0: none.
    pub probe: u8,
    pub fate: Fate,
}

/// The latest packets, by number. The numbers on the wire are the low 16 bits.
#[derive(Debug)]
pub struct History {
    start: Instant,
    slots: Box<[Sent]>,
    next: u64,
    first: u64,
}

impl History {
    pub fn new(start: Instant) -> Self {
        // Not 0, so that a number can be taken back from.
        let first = 1 << 16;
        Self {
            start,
            slots: vec![EMPTY; INITIAL].into(),
            next: first,
            first,
        }
    }

    /// The number of the next packet.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Notes a packet, and gives its number.
    pub fn push(&mut self, now: Instant, bytes: usize, probe: u8) -> u64 {
        let number = self.next;
        let index = number as usize & (self.slots.len() - 1);
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Sent {
                at: now.saturating_duration_since(self.start).as_micros() as u32,
                bytes: bytes.min(usize::from(u16::MAX)) as u16,
                probe,
                fate: Fate::Unknown,
            };
        }
        self.next += 1;
        number
    }

    /// The number that a 16-bit one on the wire stands for, whether it is still known here or not; `None` where it is
    /// of a packet that was never sent.
    pub fn number(&self, seq: u16) -> Option<u64> {
        let back = (self.next as u16).wrapping_sub(seq);
        // None was sent so far ahead, so none is so far back.
        if back == 0 || back > 1 << 15 {
            return None;
        }
        let number = self.next - u64::from(back);
        (number >= self.first).then_some(number)
    }

    /// The oldest number that is still known.
    pub fn oldest(&self) -> u64 {
        self.first.max(self.next - self.slots.len() as u64)
    }

    pub fn get_mut(&mut self, number: u64) -> Option<&mut Sent> {
        if number < self.oldest() || number >= self.next {
            return None;
        }
        let index = number as usize & (self.slots.len() - 1);
        self.slots.get_mut(index)
    }

    pub fn get(&self, number: u64) -> Option<&Sent> {
        if number < self.oldest() || number >= self.next {
            return None;
        }
        self.slots.get(number as usize & (self.slots.len() - 1))
    }

    /// Time from a packet's sending to `now`.
    pub fn age(&self, sent: &Sent, now: Instant) -> Duration {
        let now = now.saturating_duration_since(self.start).as_micros() as u32;
        Duration::from_micros(now.wrapping_sub(sent.at).into())
    }

    /// Bytes it takes beside itself.
    pub fn memory(&self) -> usize {
        std::mem::size_of_val(&*self.slots)
    }

    /// Makes room where packets leave the history too early.
    pub fn fit(&mut self, now: Instant) {
        let len = self.slots.len();
        let full = self.next - self.first >= len as u64;
        let overtaken = |history: &Self| {
            let oldest = history.get(history.oldest());
            oldest.is_some_and(|sent| history.age(sent, now) < WANTED)
        };
        if len < LARGEST && full && overtaken(self) {
            let known: Vec<(u64, Sent)> = (self.oldest()..self.next)
                .filter_map(|number| Some((number, *self.get(number)?)))
                .collect();
            self.first = self.oldest();
            self.slots = vec![EMPTY; len * 2].into();
            for (number, sent) in known {
                let index = number as usize & (self.slots.len() - 1);
                if let Some(slot) = self.slots.get_mut(index) {
                    *slot = sent;
                }
            }
        }
    }
}

impl Sent {
    /// Microseconds from `earlier`'s sending to this one's; negative the other way round.
    pub fn micros_since(&self, earlier: u32) -> i32 {
        self.at.wrapping_sub(earlier) as i32
    }

    /// See [`Sent::micros_since`].
    pub fn at(&self) -> u32 {
        self.at
    }
}

const EMPTY: Sent = Sent {
    at: 0,
    bytes: 0,
    probe: 0,
    fate: Fate::Unknown,
};
