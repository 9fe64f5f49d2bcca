//! How each session came about, step by step: told once per session to the log, step by step to the metrics, and to
//! whoever traces.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use super::{Control, JoinSteps, SessionRole, SessionView};
use crate::core::ids::{SessionId, StreamName};
use crate::metrics::Step;

/// A session without a keyframe by then has sound alone, or is stuck: its join is told as it stands.
const SETTLED: Duration = Duration::from_secs(30);

/// How a session came about.
#[derive(Clone, Debug)]
pub struct Join {
    pub session: SessionId,
    pub role: SessionRole,
    pub stream: StreamName,
    /// When its POST came.
    pub created: SystemTime,
    /// Those it reached.
    pub steps: JoinSteps,
    /// Set where it ended before its first keyframe: why, in one of few words.
    pub ended: Option<&'static str>,
}

/// Who is told of joins beside the log.
pub(super) type Tracer = Box<dyn Fn(&Join) + Send + Sync>;

/// What was counted and told.
#[derive(Default)]
pub(super) struct Joins {
    first_packet: HashSet<SessionId>,
    first_keyframe: HashSet<SessionId>,
    told: HashSet<SessionId>,
}

impl Joins {
    pub fn forget(&mut self, session: SessionId) {
        for set in [&mut self.first_packet, &mut self.first_keyframe, &mut self.told] {
            set.remove(&session);
        }
    }
}

impl Control {
    /// Has each join told from now on; once. Must not block.
    pub fn trace_joins(&self, tracer: impl Fn(&Join) + Send + Sync + 'static) {
        let _ = self.0.tracer.set(Box::new(tracer));
    }

    /// Counts the steps that were reached since the last call, and tells whose joins are complete.
    pub(super) fn observe_joins(&self) {
        let now = self.now();
        for report in self.worker_reports() {
            let news: Vec<(SessionId, [bool; 2])> = {
                let mut told = self.told();
                let joins = &mut told.joins;
                let sessions = report.sessions.iter();
                let news = sessions
                    .filter(|(id, _)| !joins.told.contains(id))
                    .map(|(id, session)| {
                        let packet = session.first_packet.is_some() && joins.first_packet.insert(*id);
                        let keyframe = session.first_keyframe.is_some() && joins.first_keyframe.insert(*id);
                        (*id, [packet, keyframe])
                    });
                news.collect()
            };
            for (id, [packet, keyframe]) in news {
                // Gone meanwhile: the report is older than the news.
                let Some(view) = self.view(id) else {
                    self.told().joins.forget(id);
                    continue;
                };
                let steps = [
                    (packet, Step::FirstPacket, view.steps.first_packet),
                    (keyframe, Step::FirstKeyframe, view.steps.first_keyframe),
                ];
                for (fresh, step, after) in steps {
                    if let (true, Some(after)) = (fresh, after) {
                        self.metrics().joined(view.role, step, after);
                    }
                }
                let settled = || {
                    let age = now.duration_since(view.created).unwrap_or_default();
                    view.steps.connected.is_some() && age >= SETTLED
                };
                if keyframe || settled() {
                    self.told().joins.told.insert(id);
                    self.tell_join(&view, None);
                }
            }
        }
    }

    /// A session ended; its join is told if it was not yet.
    pub(super) fn join_ended(&self, view: &SessionView, reason: &'static str) {
        let told = self.told().joins.told.contains(&view.id);
        if !told {
            self.tell_join(view, Some(reason));
        }
    }

    fn tell_join(&self, view: &SessionView, ended: Option<&'static str>) {
        let ms = |step: Option<Duration>| step.map(|after| after.as_millis());
        let steps = view.steps;
        tracing::info!(
            session = view.id.short(),
            role = ?view.role,
            stream = view.stream.as_str(),
            first_check_ms = ms(steps.first_check),
            connected_ms = ms(steps.connected),
            first_packet_ms = ms(steps.first_packet),
            first_keyframe_ms = ms(steps.first_keyframe),
            ended,
            "join"
        );
        if let Some(tracer) = self.0.tracer.get() {
            tracer(&Join {
                session: view.id,
                role: view.role,
                stream: view.stream.clone(),
                created: view.created,
                steps,
                ended,
            });
        }
    }
}
