//! What the control plane is told once a second: every session of this worker, in one message.

use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use super::session::Role;
use crate::core::route::Notice;
use crate::core::statistics::{MediaReport, REPORT_INTERVAL, SessionReport, WorkerReport};

impl Engine {
    /// While nothing flows, viewers that wait are told of once.
    pub(super) fn reports(&self) -> bool {
        !self.sessions.is_empty() && (self.next_tick.is_some() || self.report_owed)
    }

    pub(super) fn tick_statistics(&mut self, now: Instant) {
        if now < self.next_statistics || !self.reports() {
            return;
        }
        // What flowed until now: that it stopped is to be told too.
        self.report_owed = self.next_tick.is_some();
        self.next_statistics = now + REPORT_INTERVAL;
        let report = self.report(now);
        self.tell(Notice::Report(Arc::new(report)));
    }

    fn report(&mut self, now: Instant) -> WorkerReport {
        let mut report = WorkerReport {
            sessions: std::collections::HashMap::with_capacity(self.sessions.len()),
            stored_bytes: self.stored_bytes(),
            unknown_address: self.counters.unknown_address,
            unknown_check: self.counters.unknown_check,
        };
        for (key, session) in &mut self.sessions {
            let (media, (first_packet, first_keyframe)) = match &mut session.role {
                _ if !session.peer.is_connected() => (MediaReport::Connecting, (None, None)),
                Role::Publisher(publisher) => {
                    let mut report = publisher.report(now, session.claimed);
                    report.rtt = report.rtt.or(session.peer.round_trip());
                    (MediaReport::Publisher(report), publisher.firsts())
                }
                Role::Viewer(_) => {
                    let Some(viewer) = self.viewers.get_mut(key) else {
                        continue;
                    };
                    let Some(hub) = self.hubs.get(viewer.hub) else {
                        continue;
                    };
                    (
                        MediaReport::Viewer(viewer.statistics(hub, &self.epoch, now)),
                        viewer.firsts(),
                    )
                }
            };
            let after = |at: Instant| at.saturating_duration_since(session.claimed);
            let session_report = SessionReport {
                remote: session.peer.path().map(|path| path.remote),
                srtp: session.srtp,
                first_packet: first_packet.map(after),
                first_keyframe: first_keyframe.map(after),
                media,
            };
            report.sessions.insert(session.id, session_report);
        }
        report
    }
}
