//! The end of a turn: everything for viewers that it brought, one viewer after the other.

use std::time::{Duration, Instant};

use super::timers::Task;
use super::{Engine, RUN_UP_TICK};
use crate::core::machine::Outbox;
use crate::core::route::Message;

/// What all run-ups of a worker send in one turn: a storm of joins must not hold up the packets of those who watch.
/// With a turn each [`RUN_UP_TICK`] this is 1 Gbit/s.
const RUN_UP_TURN_BYTES: usize = 512 * 1024;

/// Between two sender reports to a viewer.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Until the first one is tried again, while nothing plays yet: players wait for it to bring sound and picture together.
const FIRST_REPORT: Duration = Duration::from_millis(100);

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
            for key in &hub.viewers {
                if let Some(viewer) = self.viewers.get_mut(*key)
                    && viewer.forward(hub, now, out)
                    && !viewer.listed
                {
                    viewer.listed = true;
                    self.running_up.push(*key);
                }
            }
            hub.video.fresh.clear();
            hub.audio.fresh.clear();
        }
        self.fresh = fresh;
        self.flush_nacks(now, out);
        self.flush_run_ups(now, out);
        self.flush_reports(now, out);
    }

    /// Packets that came for other workers too become messages to them.
    pub(super) fn flush_outbound(&mut self) {
        let mut keys = std::mem::take(&mut self.to_hand_on);
        for key in keys.drain(..) {
            self.hand_on(key);
        }
        self.to_hand_on = keys;
    }

    fn hand_on(&mut self, key: usize) {
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
            let Some(viewer) = self.viewers.get_mut(*key) else {
                return false;
            };
            viewer.listed = viewer.is_paced();
            viewer.listed
        });
        if !running_up.is_empty() {
            self.wake_by(now + RUN_UP_TICK);
        }
        self.running_up = running_up;
    }

    pub(super) fn report_timeout(&mut self, key: usize, at: Instant) {
        if let Some(viewer) = self.viewers.get_mut(key)
            && viewer.report_at == Some(at)
        {
            self.reporting.push(key);
        }
    }

    fn flush_reports(&mut self, now: Instant, out: &mut impl Outbox) {
        let mut reporting = std::mem::take(&mut self.reporting);
        for key in reporting.drain(..) {
            let Some(viewer) = self.viewers.get_mut(key) else {
                continue;
            };
            viewer.report_at = None;
            let Some(hub) = self.hubs.get(viewer.hub).filter(|hub| hub.source.is_some()) else {
                continue;
            };
            let after = if viewer.report(hub, &self.epoch, now, out) {
                REPORT_INTERVAL
            } else {
                FIRST_REPORT
            };
            let at = self.timers.tick_from(now, now + after);
            viewer.report_at = Some(at);
            self.timers.set(at, Task::Report(key));
        }
        self.reporting = reporting;
    }

    /// A viewer's stream has a source: it will play.
    pub(super) fn begin_reports(&mut self, now: Instant, key: usize) {
        if let Some(viewer) = self.viewers.get_mut(key)
            && viewer.report_at.is_none()
        {
            let at = self.timers.tick_from(now, now);
            viewer.report_at = Some(at);
            self.timers.set(at, Task::Report(key));
        }
    }
}
