//! What operators see of sessions and streams: what the registry knows, joined with what workers report once a
//! second.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Control, SessionRole, StreamInfo};
use crate::core::ids::{SessionId, StreamName, WorkerId};
use crate::core::statistics::{Finding, FindingCode, MediaReport, SessionReport, WorkerReport};
use crate::metrics::Metrics;
use crate::worker::counters::Snapshot;

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Its offer was answered; nothing came from it yet.
    Accepted,
    /// Its first check came; DTLS is not through.
    Connecting,
    Connected,
}

/// A join step by step: the time from the POST to each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinSteps {
    /// The first STUN check with the right password.
    pub first_check: Option<Duration>,
    /// DTLS is through.
    pub connected: Option<Duration>,
    /// The first packet of media, in or out.
    pub first_packet: Option<Duration>,
    pub first_keyframe: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct SessionView {
    pub id: SessionId,
    pub role: SessionRole,
    pub stream: StreamName,
    pub state: SessionState,
    /// Who serves it.
    pub worker: Option<WorkerId>,
    /// When its POST came.
    pub created: SystemTime,
    /// It is its stream's publisher now.
    pub publishes: bool,
    pub steps: JoinSteps,
    /// The latest; `None` until the first one after its first check.
    pub report: Option<SessionReport>,
}

/// A finding of the doctor's by the time of day.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    pub code: FindingCode,
    /// The layer's rid.
    pub layer: Option<String>,
    pub advice: String,
    pub first_seen: SystemTime,
    pub last_seen: SystemTime,
    pub active: bool,
}

impl SessionView {
    /// What was found wrong with a publisher.
    pub fn diagnoses(&self) -> Vec<Diagnosis> {
        let Some(MediaReport::Publisher(report)) = self.report.as_ref().map(|report| &report.media) else {
            return Vec::new();
        };
        let claimed = self.created + self.steps.first_check.unwrap_or_default();
        let diagnosis = |finding: &Finding| Diagnosis {
            code: finding.code,
            layer: finding.layer.as_ref().map(|rid| rid.as_str().to_owned()),
            advice: finding.advice.clone(),
            first_seen: claimed + finding.first_seen,
            last_seen: claimed + finding.last_seen,
            active: finding.active,
        };
        report.findings.iter().map(diagnosis).collect()
    }
}

#[derive(Clone, Debug)]
pub struct StreamView {
    pub info: StreamInfo,
    pub publisher: Option<SessionView>,
}

/// Which sessions are meant; by default all.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    pub role: Option<SessionRole>,
    pub stream: Option<StreamName>,
    pub state: Option<SessionState>,
}

impl Control {
    pub fn view(&self, id: SessionId) -> Option<SessionView> {
        let mut view = self.registry().view(id)?;
        let report = view
            .worker
            .and_then(|worker| self.reports().get(&worker).cloned());
        view.report = report.and_then(|report| report.sessions.get(&id).cloned());
        if let (Some(report), Some(claimed)) = (&view.report, view.steps.first_check) {
            view.steps.first_packet = report.first_packet.map(|after| claimed + after);
            view.steps.first_keyframe = report.first_keyframe.map(|after| claimed + after);
        }
        Some(view)
    }

    /// How many sessions there are of each kind; all kinds, also those of which there is none.
    pub fn session_counts(&self) -> Vec<((SessionRole, SessionState), usize)> {
        let registry = self.registry();
        let mut counts = Vec::new();
        for role in [SessionRole::Publisher, SessionRole::Viewer] {
            for state in [
                SessionState::Accepted,
                SessionState::Connecting,
                SessionState::Connected,
            ] {
                counts.push(((role, state), 0));
            }
        }
        for kind in registry.kinds() {
            if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == kind) {
                *count += 1;
            }
        }
        counts
    }

    /// The latest report of each worker.
    pub fn worker_reports(&self) -> Vec<Arc<WorkerReport>> {
        self.reports().values().cloned().collect()
    }

    /// What each worker counted so far.
    pub fn worker_counters(&self) -> Vec<Snapshot> {
        let link = self.0.workers.get();
        link.map_or(Vec::new(), |link| link.counters())
    }

    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The sessions that fit, oldest first.
    pub fn matching(&self, filter: &SessionFilter) -> Vec<SessionId> {
        self.registry().matching(filter)
    }

    /// The session that the API calls so.
    pub fn by_public(&self, name: &str) -> Option<SessionId> {
        self.registry().by_public(name)
    }

    pub fn stream_view(&self, name: &StreamName) -> Option<StreamView> {
        let info = self.stream(name)?;
        let publisher = self.registry().publisher_of(name);
        let publisher = publisher.and_then(|id| self.view(id));
        Some(StreamView { info, publisher })
    }
}
