//! What workers say of sessions, and what it changes: publishers presented, viewers counted, the gone forgotten.

use std::time::SystemTime;

use super::feed::What;
use super::registry::Dropped;
use super::{Control, SessionRole, SessionView};
use crate::core::ids::{SessionId, StreamName, WorkerId};
use crate::core::route::{EndReason, Message, Muted, Notice, Source};
use crate::metrics::Step;

impl Control {
    /// From a worker.
    pub fn notice(&self, worker: WorkerId, notice: Notice, now: SystemTime) {
        match notice {
            Notice::Claimed { session } => {
                let claimed = self.registry().claimed(session, worker, now);
                // What was wished between the offer and the first check the worker is told now that there is one.
                match claimed {
                    Some(None) => {}
                    Some(Some(choice)) => self.send(worker, Message::ChooseLayer { session, choice }),
                    None => {
                        let reason = EndReason::Deleted;
                        self.send(worker, Message::End { session, reason });
                    }
                }
            }
            Notice::Connected { session } => {
                let Some(connected) = self.registry().connected(session, now) else {
                    return;
                };
                for (step, after) in [
                    (Step::FirstCheck, connected.first_check),
                    (Step::Connected, connected.after),
                ] {
                    self.0.metrics.joined(connected.role, step, after);
                }
                if connected.role == SessionRole::Viewer {
                    let viewers = self.registry().viewers(&connected.stream);
                    let stream = connected.stream;
                    self.tell(What::ViewerJoined {
                        stream,
                        session,
                        viewers,
                    });
                    return;
                }
                if let Some(stream) = connected.publishes {
                    if let Some(old) = connected.replaces {
                        self.end_with(old, EndReason::TakenOver);
                    }
                    self.publisher_started(&stream, session, worker, connected.replaces);
                    let source = Some(Source {
                        publisher: session,
                        worker,
                    });
                    let message = || Message::SourceChanged {
                        stream: stream.clone(),
                        source,
                    };
                    // First the publisher's own worker: another one that hears of it subscribes there at once.
                    self.send(worker, message());
                    self.broadcast_to(|other| other != worker, message);
                }
            }
            Notice::Codecs { session, codecs } => self.registry().set_codecs(session, codecs),
            Notice::Ended { session, reason } => self.forget(session, &reason),
            Notice::Keyframe { request, keyframe } => self.keyframe_read(request, keyframe),
            Notice::Viewing {
                session,
                layer,
                video_paused,
            } => self.viewing(worker, session, layer, video_paused),
            Notice::Report(report) => {
                self.reports().insert(worker, report);
            }
        }
    }

    pub(super) fn end_with(&self, id: SessionId, reason: EndReason) -> bool {
        let view = self.view(id);
        let removed = self.registry().remove(id);
        let Some((owner, dropped)) = removed else {
            return false;
        };
        self.left(id, view, &dropped, &reason);
        match owner {
            Some(worker) => self.send(worker, Message::End { session: id, reason }),
            None => self.0.directory.remove_session(id),
        }
        true
    }

    /// A session is over: if it published, its stream has no source now.
    pub(super) fn forget(&self, session: SessionId, reason: &EndReason) {
        self.0.directory.remove_session(session);
        let view = self.view(session);
        let (stream, dropped) = self.registry().ended(session);
        if let Some(dropped) = dropped {
            self.left(session, view, &dropped, reason);
        }
        if let Some(stream) = stream {
            self.publisher_changed(&stream);
            self.tell(What::StreamStopped {
                stream: stream.clone(),
                session,
                reason: reason.clone(),
            });
            self.broadcast(|| Message::SourceChanged {
                stream: stream.clone(),
                source: None,
            });
        }
        self.0.gone.notify_waiters();
    }

    /// A session is gone; its subscriptions end.
    fn left(&self, session: SessionId, view: Option<SessionView>, dropped: &Dropped, reason: &EndReason) {
        if let Some(view) = view {
            self.join_ended(&view, reason.kind());
        }
        self.0.feed.forget(session);
        self.told().forget(session);
        self.0.metrics.ended(dropped.role, reason.kind());
        if dropped.connected && dropped.role == SessionRole::Viewer {
            self.tell(What::ViewerLeft {
                stream: dropped.stream.clone(),
                session,
                viewers: dropped.viewers,
                reason: reason.clone(),
            });
        }
    }

    fn publisher_started(
        &self,
        stream: &StreamName,
        session: SessionId,
        worker: WorkerId,
        replaces: Option<SessionId>,
    ) {
        let muted = self.registry().muted(stream);
        if muted != Muted::default() {
            self.send(worker, Message::Mute { session, muted });
        }
        self.publisher_changed(stream);
        let stream = stream.clone();
        self.tell(match replaces {
            Some(previous) => What::StreamTakenOver {
                stream,
                session,
                previous,
            },
            None => What::StreamStarted { stream, session },
        });
    }
}
