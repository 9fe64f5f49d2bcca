//! What changes, for those who want to know at once.
//!
//! A stream's and a session's state are *watched*: who reads slowly misses what is over and gets what is, so nothing
//! queues up. What happens to the server as a whole are [`Event`]s, in a ring: who reads too slowly is told how many
//! it missed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{broadcast, oneshot, watch};

use super::{Diagnosis, SessionRole};
use crate::core::ids::{SessionId, StreamName};
use crate::core::media::MediaKind;
use crate::core::route::EndReason;
use crate::core::statistics::{LayerName, LayerReport};

/// Events kept for readers that are behind.
const EVENTS: usize = 1024;
/// Subscriptions of one session; a further one takes the place of the oldest.
const MAX_SUBSCRIPTIONS: usize = 4;

/// Something happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Counts from 1, without holes.
    pub number: u64,
    pub at: SystemTime,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    StreamStarted {
        stream: StreamName,
        session: SessionId,
    },
    StreamStopped {
        stream: StreamName,
        session: SessionId,
        reason: EndReason,
    },
    /// `session` publishes now, in place of `previous`.
    StreamTakenOver {
        stream: StreamName,
        session: SessionId,
        previous: SessionId,
    },
    /// With the number of viewers from now on, those still connecting included.
    ViewerJoined {
        stream: StreamName,
        session: SessionId,
        viewers: usize,
    },
    ViewerLeft {
        stream: StreamName,
        session: SessionId,
        viewers: usize,
        reason: EndReason,
    },
    /// The doctor found something that it had not found before in this session.
    Found {
        stream: StreamName,
        session: SessionId,
        finding: Diagnosis,
    },
    /// No new sessions; where others are to go, if anywhere.
    Draining {
        redirect: Option<String>,
    },
    /// New sessions again.
    DrainEnded,
}

/// A stream as its viewers and its publisher are told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamState {
    /// `None`: nobody publishes.
    pub publisher: Option<SessionId>,
    pub viewers: usize,
    /// The layers of its picture that send, the largest first.
    pub layers: Arc<[LiveLayer]>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LiveLayer {
    pub rid: Option<String>,
    pub size: Option<(u16, u16)>,
    /// The highest spatial and temporal layers within it, counted from 0.
    pub top: (u8, u8),
    /// In bits per second. Not told anew until it changed by a quarter.
    pub bitrate: u64,
}

/// A session as its own client is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionNews {
    /// Of a viewer: the layer it gets.
    pub layer: Option<LayerName>,
    pub video_paused: bool,
    /// Of a publisher.
    pub findings: Vec<Diagnosis>,
}

/// What the server wants its clients to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Farewell {
    #[default]
    None,
    /// Go to this server; the session goes on until then.
    Elsewhere(String),
    /// Come back, to this server: it goes down.
    ComeBack,
}

/// A subscription's name in its URL: 128 bits, so that knowing it is the right to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionId(u128);

impl SubscriptionId {
    pub fn to_url(self) -> String {
        format!("{:032x}", self.0)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| u128::from_str_radix(text, 16).ok().map(Self))?
    }
}

/// One reader of a subscription.
pub struct Listener {
    pub names: Vec<String>,
    pub role: SessionRole,
    pub stream_name: StreamName,
    pub stream: watch::Receiver<StreamState>,
    pub session: watch::Receiver<SessionNews>,
    pub farewell: watch::Receiver<Farewell>,
    /// Ends with the session, the subscription, or another reader of it.
    pub ended: oneshot::Receiver<()>,
}

struct Subscription {
    id: SubscriptionId,
    names: Vec<String>,
    /// Dropped to end the reader.
    reader: Option<oneshot::Sender<()>>,
}

/// A session with subscriptions.
struct Subscribed {
    role: SessionRole,
    stream: StreamName,
    news: watch::Sender<SessionNews>,
    subscriptions: Vec<Subscription>,
}

pub(super) struct Feed {
    inner: Mutex<Inner>,
    events: broadcast::Sender<Arc<Event>>,
    farewell: watch::Sender<Farewell>,
}

#[derive(Default)]
struct Inner {
    number: u64,
    /// Only those that somebody listens to.
    streams: HashMap<StreamName, watch::Sender<StreamState>>,
    sessions: HashMap<SessionId, Subscribed>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            events: broadcast::channel(EVENTS).0,
            farewell: watch::channel(Farewell::None).0,
        }
    }
}

impl Feed {
    pub fn publish(&self, at: SystemTime, what: What) {
        // Under the lock, so that numbers and order agree.
        let mut inner = self.lock();
        inner.number += 1;
        let number = inner.number;
        let _ = self.events.send(Arc::new(Event { number, at, what }));
    }

    pub fn listen(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    pub fn say_farewell(&self, farewell: Farewell) {
        self.farewell.send_replace(farewell);
    }

    pub fn farewell(&self) -> watch::Receiver<Farewell> {
        self.farewell.subscribe()
    }

    /// `news` is what the session's client would have been told by now.
    pub fn subscribe(
        &self,
        session: SessionId,
        (role, stream): (SessionRole, StreamName),
        names: Vec<String>,
        news: SessionNews,
    ) -> SubscriptionId {
        let id = SubscriptionId(rand::random());
        let mut inner = self.lock();
        let subscribed = inner.sessions.entry(session).or_insert_with(|| Subscribed {
            role,
            stream,
            news: watch::channel(news).0,
            subscriptions: Vec::new(),
        });
        if subscribed.subscriptions.len() == MAX_SUBSCRIPTIONS {
            subscribed.subscriptions.remove(0);
        }
        subscribed.subscriptions.push(Subscription {
            id,
            names,
            reader: None,
        });
        id
    }

    /// The one reader of a subscription from now on. `state` is the stream's as it is.
    pub fn read(&self, session: SessionId, id: SubscriptionId, state: StreamState) -> Option<Listener> {
        let mut inner = self.lock();
        let Inner {
            streams, sessions, ..
        } = &mut *inner;
        let subscribed = sessions.get_mut(&session)?;
        let subscription = subscribed.subscriptions.iter_mut().find(|known| known.id == id)?;
        let (reader, ended) = oneshot::channel();
        subscription.reader = Some(reader);
        let name = &subscribed.stream;
        let sender = streams
            .entry(name.clone())
            .or_insert_with(|| watch::channel(state).0);
        Some(Listener {
            names: subscription.names.clone(),
            role: subscribed.role,
            stream_name: name.clone(),
            stream: sender.subscribe(),
            session: subscribed.news.subscribe(),
            farewell: self.farewell.subscribe(),
            ended,
        })
    }

    /// False: there is no such subscription.
    pub fn unsubscribe(&self, session: SessionId, id: SubscriptionId) -> bool {
        let mut inner = self.lock();
        let Some(subscribed) = inner.sessions.get_mut(&session) else {
            return false;
        };
        let before = subscribed.subscriptions.len();
        subscribed.subscriptions.retain(|known| known.id != id);
        let found = subscribed.subscriptions.len() < before;
        if subscribed.subscriptions.is_empty() {
            inner.sessions.remove(&session);
        }
        found
    }

    /// The session is gone, and with it its subscriptions.
    pub fn forget(&self, session: SessionId) {
        self.lock().sessions.remove(&session);
    }

    /// Those that somebody listens to; the others are forgotten.
    pub fn heard_streams(&self) -> Vec<StreamName> {
        let mut inner = self.lock();
        inner.streams.retain(|_, sender| sender.receiver_count() > 0);
        inner.streams.keys().cloned().collect()
    }

    pub fn heard_sessions(&self) -> Vec<SessionId> {
        self.lock().sessions.keys().copied().collect()
    }

    pub fn update_stream(&self, name: &StreamName, update: impl FnOnce(&mut StreamState)) {
        if let Some(sender) = self.lock().streams.get(name) {
            sender.send_if_modified(|state| {
                let before = state.clone();
                update(state);
                *state != before
            });
        }
    }

    pub fn update_session(&self, session: SessionId, news: SessionNews) {
        if let Some(subscribed) = self.lock().sessions.get(&session) {
            subscribed.news.send_if_modified(|known| {
                let changed = *known != news;
                *known = news;
                changed
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whole after every operation, so a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layers of the picture that send, the largest first. Where only the bitrate changed, and not by a quarter, the
/// one told `before` is kept.
pub(super) fn live_layers(reports: &[LayerReport], before: &[LiveLayer]) -> Arc<[LiveLayer]> {
    let sends = |layer: &&LayerReport| layer.kind == MediaKind::Video && layer.bitrate.0 > 0;
    let mut layers: Vec<LiveLayer> = reports
        .iter()
        .filter(sends)
        .map(|layer| LiveLayer {
            rid: layer.rid.as_ref().map(|rid| rid.as_str().to_owned()),
            size: layer.size,
            top: layer.top,
            bitrate: layer.bitrate.0,
        })
        .collect();
    let pixels = |layer: &LiveLayer| {
        layer
            .size
            .map_or(0, |(width, height)| u32::from(width) * u32::from(height))
    };
    layers.sort_by_key(|layer| std::cmp::Reverse((pixels(layer), layer.rid.clone())));
    let same = |(new, old): (&LiveLayer, &LiveLayer)| {
        let little = new.bitrate.abs_diff(old.bitrate) < old.bitrate / 4;
        (&new.rid, new.size, new.top) == (&old.rid, old.size, old.top) && little
    };
    if layers.len() == before.len() && layers.iter().zip(before).all(same) {
        return before.into();
    }
    layers.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{Bitrate, Rid};
    use crate::core::media::Codec;

    fn layer(rid: &str, height: u16, bitrate: u64) -> LayerReport {
        LayerReport {
            kind: MediaKind::Video,
            rid: Some(Rid(rid.into())),
            codec: Codec::Vp8,
            size: Some((height * 16 / 9, height)),
            top: (0, 0),
            packets: 1,
            bytes: 1,
            lost: 0,
            bitrate: Bitrate(bitrate),
            rate: 30.0,
            keyframe_interval: None,
            keyframe_age: None,
        }
    }

    #[test]
    fn layers_are_told_when_they_come_go_or_change_by_much() {
        let first = live_layers(&[layer("q", 180, 100_000), layer("f", 720, 1_000_000)], &[]);
        let rids: Vec<_> = first.iter().filter_map(|layer| layer.rid.as_deref()).collect();
        assert_eq!(rids, ["f", "q"]);
        let little = live_layers(&[layer("q", 180, 110_000), layer("f", 720, 900_000)], &first);
        assert_eq!(little, first);
        let much = live_layers(&[layer("q", 180, 110_000), layer("f", 720, 700_000)], &first);
        assert_eq!(much[0].bitrate, 700_000);
        let gone = live_layers(&[layer("q", 180, 100_000), layer("f", 720, 0)], &first);
        assert_eq!(gone.len(), 1);
    }

    #[test]
    fn a_session_has_few_subscriptions_and_each_has_one_reader() {
        let feed = Feed::default();
        let session = SessionId::random();
        let of = (SessionRole::Viewer, "live".parse::<StreamName>().unwrap());
        let subscribe = || feed.subscribe(session, of.clone(), vec!["active".into()], SessionNews::default());
        let ids: Vec<_> = (0..=MAX_SUBSCRIPTIONS).map(|_| subscribe()).collect();
        let read = |id| feed.read(session, id, StreamState::default());
        assert!(read(ids[0]).is_none(), "the oldest is gone");
        let mut first = read(ids[1]).unwrap();
        let mut second = read(ids[1]).unwrap();
        assert!(
            first
                .ended
                .try_recv()
                .is_err_and(|why| why == oneshot::error::TryRecvError::Closed)
        );
        assert!(
            second
                .ended
                .try_recv()
                .is_err_and(|why| why == oneshot::error::TryRecvError::Empty)
        );
        assert!(feed.unsubscribe(session, ids[1]) && !feed.unsubscribe(session, ids[1]));
        assert!(
            second
                .ended
                .try_recv()
                .is_err_and(|why| why == oneshot::error::TryRecvError::Closed)
        );
        let mut third = read(ids[2]).unwrap();
        feed.forget(session);
        assert!(
            third
                .ended
                .try_recv()
                .is_err_and(|why| why == oneshot::error::TryRecvError::Closed)
        );
        assert!(read(ids[2]).is_none());
    }

    #[test]
    fn streams_that_nobody_listens_to_are_forgotten() {
        let feed = Feed::default();
        let session = SessionId::random();
        let stream: StreamName = "live".parse().unwrap();
        let of = (SessionRole::Viewer, stream.clone());
        let id = feed.subscribe(session, of, vec!["active".into()], SessionNews::default());
        let listener = feed.read(session, id, StreamState::default());
        assert_eq!(feed.heard_streams(), [stream]);
        drop(listener);
        assert!(feed.heard_streams().is_empty());
    }
}
