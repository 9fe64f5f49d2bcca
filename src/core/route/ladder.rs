//! What a stream's video can be had for: its rungs, the best first, each with its bitrate.

use std::time::{Duration, Instant};

use super::lane::{Lane, MAX_LAYERS};
use crate::core::ids::Bitrate;
use crate::core::rtp::LayerBounds;

/// One way to watch: a layer, or less than the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    pub layer: u8,
    /// Highest spatial layer within `layer` that is sent; `u8::MAX`: all.
    pub spatial: u8,
    /// Highest temporal layer that is sent; `u8::MAX`: all.
    pub temporal: u8,
    /// What it takes lately, headers included.
    pub bitrate: Bitrate,
    /// Payload bytes of its layer's latest keyframe.
    pub keyframe: u32,
    /// Width and height, as far as known.
    pub size: Option<(u16, u16)>,
}

impl Rung {
    /// The whole of a layer.
    pub const ALL: u8 = u8::MAX;

    /// Whether the same is sent, whatever it takes.
    pub fn is_same(&self, other: &Rung) -> bool {
        (self.layer, self.spatial, self.temporal) == (other.layer, other.spatial, other.temporal)
    }
}

/// Rungs a ladder has at most: four ways to watch each layer.
const MAX_RUNGS: usize = 4 * MAX_LAYERS;

/// The rungs of a lane's living layers, the best first.
#[derive(Clone, Debug)]
pub struct Ladder {
    rungs: [Rung; MAX_RUNGS],
    len: usize,
}

impl Default for Ladder {
    fn default() -> Self {
        let none = Rung {
            layer: 0,
            spatial: Rung::ALL,
            temporal: Rung::ALL,
            bitrate: Bitrate(0),
            keyframe: 0,
            size: None,
        };
        Self {
            rungs: [none; MAX_RUNGS],
            len: 0,
        }
    }
}

impl Ladder {
    pub fn of(lane: &Lane, now: Instant) -> Self {
        let mut ladder = Self::default();
        let last = lane.ranked().last().map(|(index, _)| index);
        for (index, layer) in lane.ranked() {
            let top = layer.top;
            for spatial in (0..=top.spatial).rev() {
                let smallest = spatial == 0 && last == Some(index);
                // Half the pictures are worth more than half the size; a quarter of them only where nothing is smaller.
                let fewer = [
                    Some(Rung::ALL),
                    top.temporal.checked_sub(1),
                    smallest.then_some(0),
                ];
                let mut before = None;
                for temporal in fewer.into_iter().flatten() {
                    if before == Some(temporal) || temporal == top.temporal {
                        continue;
                    }
                    before = Some(temporal);
                    let bounds = LayerBounds { spatial, temporal };
                    ladder.push(Rung {
                        layer: index,
                        spatial: if spatial == top.spatial {
                            Rung::ALL
                        } else {
                            spatial
                        },
                        temporal,
                        bitrate: layer.bitrate_within(bounds, now),
                        keyframe: layer.keyframe_bytes(),
                        size: layer.size_of(spatial),
                    });
                }
            }
        }
        ladder
    }

    fn push(&mut self, rung: Rung) {
        if let Some(slot) = self.rungs.get_mut(self.len) {
            *slot = rung;
            self.len += 1;
        }
    }

    pub fn rungs(&self) -> &[Rung] {
        self.rungs.get(..self.len).unwrap_or_default()
    }
}

/// A bitrate over the last two seconds, or the last six where that is less: a keyframe that somebody asked for is no
/// news about the layer.
#[derive(Clone, Debug, Default)]
pub struct RateWindow {
    origin: Option<Instant>,
    /// Bytes in each slot; slots are used in turn.
    slots: [u32; SLOTS],
    /// Number of the slot that is being filled, since `origin`.
    current: u64,
}

const SLOTS: usize = 24;
/// Keyframes two seconds apart, as is usual, weigh the same all the time.
const SHORT: u64 = 8;
const SLOT: Duration = Duration::from_millis(250);
/// A rate is not told from less than this.
const LEAST: Duration = Duration::from_millis(250);

impl RateWindow {
    pub fn add(&mut self, at: Instant, bytes: usize) {
        let origin = *self.origin.get_or_insert(at);
        self.advance(number(origin, at));
        // What is late counts as if it came now: the window is the same.
        if let Some(slot) = self.slots.get_mut(self.current as usize % SLOTS) {
            *slot = slot.saturating_add(bytes as u32);
        }
    }

    fn advance(&mut self, to: u64) {
        if to.saturating_sub(self.current) >= SLOTS as u64 {
            self.slots = [0; SLOTS];
            self.current = to;
        }
        while self.current < to {
            self.current += 1;
            if let Some(slot) = self.slots.get_mut(self.current as usize % SLOTS) {
                *slot = 0;
            }
        }
    }

    /// Zero while nothing is known.
    pub fn bitrate(&self, now: Instant) -> Bitrate {
        self.over(SHORT, now).min(self.over(SLOTS as u64, now))
    }

    fn over(&self, slots: u64, now: Instant) -> Bitrate {
        let Some(origin) = self.origin else {
            return Bitrate(0);
        };
        let behind = number(origin, now).saturating_sub(self.current);
        let kept = slots.saturating_sub(behind);
        let bytes: u64 = (0..kept)
            .filter_map(|back| self.current.checked_sub(back))
            .filter_map(|slot| self.slots.get(slot as usize % SLOTS).copied())
            .map(u64::from)
            .sum();
        let elapsed = now.saturating_duration_since(origin);
        // The current slot is not over yet.
        let into = Duration::from_millis(elapsed.as_millis() as u64 % SLOT.as_millis() as u64);
        let span = elapsed.min(SLOT * (slots as u32 - 1) + into).max(LEAST);
        Bitrate((bytes as f64 * 8.0 / span.as_secs_f64()) as u64)
    }
}

fn number(origin: Instant, at: Instant) -> u64 {
    (at.saturating_duration_since(origin).as_millis() / SLOT.as_millis()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn a_rate_follows_down_within_two_seconds_and_up_within_six() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut window = RateWindow::default();
        assert_eq!(window.bitrate(start), Bitrate(0));
        let near = |window: &RateWindow, ms: u64, expected: f64| {
            let seen = window.bitrate(at(ms)).0 as f64;
            assert!((seen / expected - 1.0).abs() < 0.08, "{seen} at {ms}");
        };
        for ms in 0..5000 {
            window.add(at(ms), 125);
            if ms > 300 {
                near(&window, ms, 1e6);
            }
        }
        for ms in 5000..8000 {
            window.add(at(ms), 250);
        }
        near(&window, 7999, 1.5e6);
        near(&window, 8999, 1e6);
        assert_eq!(window.bitrate(at(11_000)), Bitrate(0));
        window.add(at(60_000), 1000);
        assert!(window.bitrate(at(60_001)).0 < 32_000);
    }
}
