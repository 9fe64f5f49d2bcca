//! What a viewer sees: pictures that are whole, and whose predecessors were, when they could be shown.

use std::time::{Duration, Instant};

use super::media::Label;
use super::viewer::Viewer;

/// Between two pictures, this is a freeze.
const FREEZE: Duration = Duration::from_millis(200);

/// A picture as it came to the screen.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub at: Instant,
    pub label: Label,
}

impl Viewer {
    /// Pictures that could be decoded, in their order. A keyframe begins anew; any other needs all that came before it
    /// but for the higher temporal layers.
    pub fn shown(&self) -> Vec<Shown> {
        let mut shown: Vec<Shown> = Vec::new();
        let mut next = None;
        // Since the last keyframe: pictures of this temporal layer and above cannot be decoded.
        let mut broken = 0;
        for frame in self.frames() {
            let label = frame.label;
            let begins = frame.first_seq - u64::from(label.index);
            let missed = next.is_some_and(|next| next != begins);
            next = Some(begins + u64::from(label.count));
            if label.keyframe {
                broken = u8::MAX;
            } else if missed {
                broken = 0;
            }
            if !frame.is_complete() {
                broken = broken.min(label.temporal);
            }
            if label.temporal >= broken {
                continue;
            }
            let before = shown.last().map(|shown| shown.at);
            shown.push(Shown {
                at: frame.last_at.max(before.unwrap_or(frame.last_at)),
                label,
            });
        }
        shown
    }

    /// From a time on until `now`: freezes, in sum.
    pub fn frozen(&self, since: Instant, now: Instant) -> Duration {
        let mut times: Vec<_> = self.shown().iter().map(|shown| shown.at).collect();
        let before = times.partition_point(|at| *at < since).saturating_sub(1);
        let mut times = times.split_off(before);
        times.retain(|at| *at < now);
        times.push(now);
        let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
        pauses.filter(|pause| *pause > FREEZE).sum()
    }
}
