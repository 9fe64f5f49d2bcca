//! The end of a turn: everything for viewers that it brought, one viewer after the other.

use std::time::Instant;

use super::{Engine, RUN_UP_TICK, TICK};
use crate::core::machine::Outbox;
use crate::core::route::Message;

/// What all run-ups of a worker send in one turn: a storm of joins must not hold up the packets of those who watch.
/// With a turn each [`RUN_UP_TICK`] this is 1 Gbit/s.
const RUN_UP_TURN_BYTES: usize = 512 * 1024;

impl Engine {
    /// Everything for viewers that this turn brought.
    pub(super) fn flush_streams(&mut self, now: Instant, out: &mut impl Outbox) {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.sort_unstable();
        fresh.dedup();
        for key in fresh.drain(..) {
            let Some(hub) = self.hubs.get_mut(key) else {
                continue;
            };
            for viewer in &hub.viewers {
                if let Some(viewer) = self.viewers.get_mut(*viewer) {
                    viewer.forward(hub, now, out);
                }
            }
            hub.video.fresh.clear();
            hub.audio.fresh.clear();
            self.flush_outbound(key);
        }
        self.fresh = fresh;
        self.flush_nacks(now, out);
        self.flush_run_ups(now, out);
        self.flush_reports(now, out);
    }

    fn flush_outbound(&mut self, key: usize) {
        let Some(packets) = self.outbound.get_mut(&key).map(std::mem::take) else {
            return;
        };
        let Some(hub) = self.hubs.get(key) else { return };
        let Some(source) = hub.source else { return };
        if packets.is_empty() {
            return;
        }
        let (stream, publisher, subscribers) =
            (hub.stream.clone(), source.publisher, hub.subscribers.clone());
        for worker in subscribers {
            let message = Message::Media {
                stream: stream.clone(),
                publisher,
                packets: packets.clone(),
                stored: false,
            };
            self.send_to(worker, message);
        }
    }

    fn flush_nacks(&mut self, now: Instant, out: &mut impl Outbox) {
        let mut nacked = std::mem::take(&mut self.nacked);
        nacked.sort_unstable();
        nacked.dedup();
        let mut next: Option<Instant> = None;
        nacked.retain(|key| {
            let due = self.viewers.get_mut(*key).and_then(|viewer| {
                let hub = self.hubs.get(viewer.hub)?;
                viewer.retransmit(hub, now, out)
            });
            next = next.into_iter().chain(due).min();
            due.is_some()
        });
        self.nacked = nacked;
        if let Some(at) = next {
            self.wake_by(at);
        }
    }

    /// Those that got nothing this time come first the next.
    fn flush_run_ups(&mut self, now: Instant, out: &mut impl Outbox) {
        if self.running_up.is_empty() {
            return;
        }
        let mut running_up = std::mem::take(&mut self.running_up);
        let mut bytes = RUN_UP_TURN_BYTES;
        let mut served = 0;
        for key in &running_up {
            let Some(viewer) = self.viewers.get_mut(*key) else {
                continue;
            };
            let Some(hub) = self.hubs.get(viewer.hub) else {
                continue;
            };
            if bytes == 0 || out.is_congested() {
                break;
            }
            bytes = viewer.run_up(hub, bytes, now, out);
            served += 1;
        }
        running_up.rotate_left(served);
        running_up.retain(|key| {
            self.viewers
                .get(*key)
                .is_some_and(|viewer| viewer.is_running_up())
        });
        if !running_up.is_empty() {
            self.wake_by(now + RUN_UP_TICK);
        }
        self.running_up = running_up;
    }

    fn flush_reports(&mut self, now: Instant, out: &mut impl Outbox) {
        if now < self.next_reports {
            return;
        }
        self.next_reports = now + TICK;
        for viewer in self.viewers.iter_mut() {
            if viewer.report_due(now)
                && let Some(hub) = self.hubs.get(viewer.hub)
            {
                viewer.report(hub, &self.epoch, now, out);
            }
        }
    }
}
