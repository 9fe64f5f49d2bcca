//! Once a second: what the workers' reports say is compared with what was told before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::feed::{SessionNews, StreamState, What, live_layers};
use super::joins::Joins;
use super::{Control, Diagnosis, SessionView};
use crate::core::ids::{SessionId, StreamName, WorkerId};
use crate::core::statistics::{FindingCode, LayerName, MediaReport, Severity};

/// Findings that were told, by session.
#[derive(Default)]
pub(super) struct Told {
    findings: HashMap<SessionId, HashSet<(FindingCode, Option<String>)>>,
    pub joins: Joins,
}

impl Told {
    /// True once for each finding of a session.
    fn is_new(&mut self, session: SessionId, finding: &Diagnosis) -> bool {
        let known = self.findings.entry(session).or_default();
        known.insert((finding.code, finding.layer.clone()))
    }

    pub fn forget(&mut self, session: SessionId) {
        self.findings.remove(&session);
        self.joins.forget(session);
    }
}

impl Control {
    pub(super) fn observe(&self) {
        self.observe_joins();
        let publishers = self.registry().publishers();
        for view in publishers.into_iter().filter_map(|id| self.view(id)) {
            self.tell_findings(&view);
        }
        for name in self.0.feed.heard_streams() {
            let now = self.stream_state(&name);
            self.0.feed.update_stream(&name, |state| {
                let layers = self.live_layers(&name, &state.layers);
                *state = StreamState { layers, ..now };
            });
        }
        for session in self.0.feed.heard_sessions() {
            // Without a report there is nothing newer than what the worker said.
            if let Some(view) = self.view(session).filter(|view| view.report.is_some()) {
                self.0.feed.update_session(session, news(&view));
            }
        }
    }

    /// What a viewer gets changed: its own client hears of it at once, and the next look at the worker's latest report
    /// finds nothing older.
    pub(super) fn viewing(
        &self,
        worker: WorkerId,
        session: SessionId,
        layer: Option<LayerName>,
        video_paused: bool,
    ) {
        if let Some(report) = self.reports().get_mut(&worker)
            && let Some(known) = Arc::make_mut(report).sessions.get_mut(&session)
            && let MediaReport::Viewer(viewer) = &mut known.media
        {
            viewer.layer.clone_from(&layer);
            viewer.video_paused = video_paused;
        }
        let news = SessionNews {
            layer,
            video_paused,
            findings: Vec::new(),
        };
        self.0.feed.update_session(session, news);
    }

    /// As it would be told to somebody who begins to listen.
    pub(super) fn stream_state(&self, name: &StreamName) -> StreamState {
        let (publisher, viewers) = {
            let registry = self.registry();
            (registry.publisher_of(name), registry.viewers(name))
        };
        StreamState {
            publisher,
            viewers,
            layers: self.live_layers(name, &[]),
        }
    }

    /// A publisher came or went: those who listen hear of it at once.
    pub(super) fn publisher_changed(&self, name: &StreamName) {
        let publisher = self.registry().publisher_of(name);
        self.0.feed.update_stream(name, |state| {
            if state.publisher != publisher {
                state.publisher = publisher;
                state.layers = Arc::default();
            }
        });
    }

    fn live_layers(
        &self,
        name: &StreamName,
        before: &[super::feed::LiveLayer],
    ) -> Arc<[super::feed::LiveLayer]> {
        let publisher = self.registry().publisher_of(name);
        let view = publisher.and_then(|id| self.view(id));
        match view.and_then(|view| view.report).map(|report| report.media) {
            Some(MediaReport::Publisher(report)) => live_layers(&report.layers, before),
            _ => Arc::default(),
        }
    }

    fn tell_findings(&self, view: &SessionView) {
        for finding in view.diagnoses() {
            if !self.told().is_new(view.id, &finding) {
                continue;
            }
            let (code, layer) = (finding.code.name(), finding.layer.as_deref());
            let (session, stream) = (view.id.short(), view.stream.as_str());
            match finding.code.severity() {
                Severity::Info => tracing::info!(stream, session, code, layer, "{}", finding.advice),
                Severity::Warning | Severity::Error => {
                    tracing::warn!(stream, session, code, layer, "{}", finding.advice);
                }
            }
            self.tell(What::Found {
                stream: view.stream.clone(),
                session: view.id,
                finding,
            });
        }
    }
}

/// What a session's own client is told.
pub(super) fn news(view: &SessionView) -> SessionNews {
    match view.report.as_ref().map(|report| &report.media) {
        Some(MediaReport::Viewer(report)) => SessionNews {
            layer: report.layer.clone(),
            video_paused: report.video_paused,
            findings: Vec::new(),
        },
        Some(MediaReport::Publisher(_)) => SessionNews {
            findings: view.diagnoses(),
            ..SessionNews::default()
        },
        _ => SessionNews::default(),
    }
}
