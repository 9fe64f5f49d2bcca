//! What operators do to streams and to the server, and what clients subscribe to.

use std::sync::PoisonError;

use tokio::sync::{broadcast, watch};

use super::feed::{Event, Farewell, Listener, SubscriptionId, What};
use super::observe::news;
use super::{Control, SessionInfo};
use crate::core::ids::{SessionId, StreamName};
use crate::core::route::{Message, Muted};

/// No new sessions are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The server that takes them: scheme and host, without a slash at the end.
    pub redirect: Option<String>,
}

impl Control {
    /// What viewers of a stream are not to get; what is left out stays as it was. `None`: there is no such stream. It
    /// holds as long as there is somebody who publishes or watches.
    pub fn mute(&self, stream: &StreamName, audio: Option<bool>, video: Option<bool>) -> Option<Muted> {
        let (muted, publisher, owner) = {
            let mut registry = self.registry();
            let muted = registry.mute(stream, audio, video)?;
            let publisher = registry.publisher_of(stream);
            (muted, publisher, publisher.and_then(|id| registry.owner(id)))
        };
        if let (Some(session), Some(worker)) = (publisher, owner) {
            self.send(worker, Message::Mute { session, muted });
        }
        Some(muted)
    }

    /// Takes no new sessions from now on; those there are go on, and are told where to go if there is such a place.
    pub fn drain(&self, redirect: Option<String>) {
        if let Some(server) = &redirect {
            self.0.feed.say_farewell(Farewell::Elsewhere(server.clone()));
        }
        *self.0.drain.lock().unwrap_or_else(PoisonError::into_inner) = Some(Drain {
            redirect: redirect.clone(),
        });
        tracing::info!(
            redirect,
            sessions = self.session_count(),
            "draining: no new sessions"
        );
        self.tell(What::Draining { redirect });
    }

    /// Takes new sessions again. False: it did all the time.
    pub fn end_drain(&self) -> bool {
        let before = self.0.drain.lock().unwrap_or_else(PoisonError::into_inner).take();
        if before.is_some() {
            if !self.registry().is_closed() {
                self.0.feed.say_farewell(Farewell::None);
            }
            tracing::info!("draining is over: new sessions are taken");
            self.tell(What::DrainEnded);
        }
        before.is_some()
    }

    pub fn draining(&self) -> Option<Drain> {
        self.0
            .drain
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Everything that happens from now on.
    pub fn listen(&self) -> broadcast::Receiver<std::sync::Arc<Event>> {
        self.0.feed.listen()
    }

    pub fn farewell(&self) -> watch::Receiver<Farewell> {
        self.0.feed.farewell()
    }

    /// A session's client wants to be told of these events.
    pub fn subscribe(&self, id: SessionId, info: &SessionInfo, names: Vec<String>) -> SubscriptionId {
        let news = self.view(id).map(|view| news(&view)).unwrap_or_default();
        let of = (info.role, info.stream.clone());
        let subscription = self.0.feed.subscribe(id, of, names, news);
        // It may have ended meanwhile.
        if self.session(&id).is_none() {
            self.0.feed.forget(id);
        }
        subscription
    }

    /// The one reader of a subscription from now on; `None`: there is no such subscription.
    pub fn read_events(&self, session: SessionId, id: SubscriptionId) -> Option<Listener> {
        let stream = self.session(&session)?.stream;
        let state = self.stream_state(&stream);
        self.0.feed.read(session, id, state)
    }

    /// False: there is no such subscription.
    pub fn unsubscribe(&self, session: SessionId, id: SubscriptionId) -> bool {
        self.0.feed.unsubscribe(session, id)
    }

    /// Of a viewer: its video's name in its offer.
    pub fn video_mid(&self, id: &SessionId) -> Option<String> {
        self.registry().video_mid(*id)
    }
}
