//! A stream's latest keyframe, from the worker that has its publisher.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Control;
use crate::core::ids::{SessionId, StreamName};
use crate::core::route::{Keyframe, Message};

/// A worker answers within a turn; one that is gone never does.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who waits for a worker's answer, by the request's number.
#[derive(Default)]
pub(super) struct Pending {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Option<Keyframe>>>,
}

/// Forgets the request, however its wait ends.
struct Waiting<'a> {
    control: &'a Control,
    request: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.control.pending().waiting.remove(&self.request);
    }
}

impl Control {
    /// The stream's publisher, if it has one.
    pub fn publisher_of(&self, stream: &StreamName) -> Option<SessionId> {
        self.registry().publisher_of(stream)
    }

    /// The latest whole keyframe of the smallest layer. `None` while there is none; the publisher is then asked for one.
    pub async fn keyframe(&self, stream: &StreamName) -> Option<Keyframe> {
        let publisher = self.publisher_of(stream)?;
        let worker = self.registry().view(publisher)?.worker?;
        let (request, answer) = {
            let mut pending = self.pending();
            let request = pending.next;
            pending.next += 1;
            let (answered, answer) = oneshot::channel();
            pending.waiting.insert(request, answered);
            (request, answer)
        };
        let _waiting = Waiting {
            control: self,
            request,
        };
        let stream = stream.clone();
        self.send(worker, Message::ReadKeyframe { stream, request });
        tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()?
    }

    pub(super) fn keyframe_read(&self, request: u64, keyframe: Option<Keyframe>) {
        if let Some(waiting) = self.pending().waiting.remove(&request) {
            // Whoever asked may be gone.
            let _ = waiting.send(keyframe);
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
