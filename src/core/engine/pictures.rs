//! What pictures of a stream are made from: its latest keyframe, asked for where it is old.

use std::time::{Duration, Instant};

use super::Engine;
use crate::core::ids::StreamName;
use crate::core::route::{Keyframe, Notice};

/// A picture may be this old. Browsers send keyframes on request only, and each one costs all who watch.
const FRESH: Duration = Duration::from_secs(10);

impl Engine {
    /// Tells the control plane a stream's latest keyframe. Where there is none, or an old one, its publisher is asked for
    /// the next.
    pub(super) fn read_keyframe(&mut self, now: Instant, stream: &StreamName, request: u64) {
        let key = self.by_stream.get(stream).copied();
        let hub = key.and_then(|key| self.hubs.get(key));
        let keyframe = hub.and_then(|hub| Keyframe::smallest(&hub.video));
        if let (Some(key), Some(hub)) = (key, hub) {
            let layers = || hub.video.ranked().rev();
            let fresh = layers().any(|(_, layer)| {
                let anchor = layer.buffer.anchor();
                anchor.is_some_and(|anchor| now.saturating_duration_since(anchor.arrival) < FRESH)
            });
            let smallest = layers().next().map(|(index, _)| index);
            if !fresh && smallest.is_some() && hub.answers_pli != Some(false) {
                self.ask_for_keyframe(now, key, smallest);
            }
        }
        self.tell(Notice::Keyframe { request, keyframe });
    }
}
