//! The sessions and streams, and the rules about them. Plain data under one lock; no channel, no clock of its own.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime};

use super::{LayerRequest, NoLayer, SessionInfo, SessionRole, StreamInfo};
use crate::core::ids::{Mid, Rid, SessionId, StreamName, WorkerId};
use crate::core::media::{IceCredentials, LayerChoice, MediaKind, RoleSpec, StreamCodecs};

/// A session whose peer sent no first check is freed after this (spec point 20). Workers use the same for one that
/// did but went no further.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(super) struct Registry {
    sessions: HashMap<SessionId, Session>,
    streams: BTreeMap<StreamName, Stream>,
    handshakes: usize,
    closed: bool,
}

struct Session {
    role: SessionRole,
    stream: StreamName,
    etag: String,
    remote_ice: IceCredentials,
    owner: Option<WorkerId>,
    connected: bool,
    /// Of a publisher.
    codecs: StreamCodecs,
    /// Of a publisher: the layers it offered, none without simulcast.
    rids: Vec<Rid>,
    /// Of a viewer: its video's.
    mid: Option<Mid>,
    /// Of a viewer: as its POST said.
    max_height: Option<u16>,
    /// Of a viewer that no worker has yet: what it wished meanwhile.
    choice: Option<LayerChoice>,
    /// Set by the first sweep that sees the session unclaimed.
    unclaimed_since: Option<Instant>,
}

#[derive(Default)]
struct Stream {
    publisher: Option<SessionId>,
    since: Option<SystemTime>,
    viewers: usize,
}

/// What a session's connecting changed.
pub(super) struct Connected {
    /// Set when it is a publisher.
    pub publishes: Option<StreamName>,
    /// The publisher it takes the stream over from.
    pub replaces: Option<SessionId>,
}

impl Registry {
    pub fn add(
        &mut self,
        id: SessionId,
        role: SessionRole,
        stream: StreamName,
        remote_ice: IceCredentials,
        media: &RoleSpec,
    ) -> String {
        let etag = new_etag();
        if role == SessionRole::Viewer {
            self.streams.entry(stream.clone()).or_default().viewers += 1;
        }
        self.handshakes += 1;
        let video = MediaKind::Video;
        let (rids, mid, max_height) = match media {
            RoleSpec::Publisher(media) => {
                let track = media.tracks.iter().find(|track| track.kind == video);
                (track.map_or(Vec::new(), |track| track.rids.clone()), None, None)
            }
            RoleSpec::Viewer(media) => {
                let track = media.tracks.iter().find(|track| track.kind == video);
                let mid = track.map(|track| track.mid.clone());
                (Vec::new(), mid, media.layers.max_height)
            }
        };
        let session = Session {
            role,
            stream,
            etag: etag.clone(),
            remote_ice,
            owner: None,
            connected: false,
            codecs: StreamCodecs::default(),
            rids,
            mid,
            max_height,
            choice: None,
            unclaimed_since: None,
        };
        self.sessions.insert(id, session);
        etag
    }

    pub fn session(&self, id: SessionId) -> Option<SessionInfo> {
        self.sessions.get(&id).map(|session| SessionInfo {
            role: session.role,
            stream: session.stream.clone(),
            etag: session.etag.clone(),
            remote_ice: session.remote_ice.clone(),
        })
    }

    /// `None` when the session is not known (any more); otherwise the layer that was chosen before.
    pub fn claimed(&mut self, id: SessionId, worker: WorkerId) -> Option<Option<LayerChoice>> {
        let session = self.sessions.get_mut(&id)?;
        session.owner = Some(worker);
        Some(session.choice.take())
    }

    /// Who is to carry the choice out, if somebody has the session already.
    pub fn choose_layer(
        &mut self,
        id: SessionId,
        request: &LayerRequest,
    ) -> Result<(Option<WorkerId>, LayerChoice), NoLayer> {
        let session = self.sessions.get(&id).ok_or(NoLayer::Session)?;
        if session.role == SessionRole::Publisher {
            return Err(NoLayer::Publisher);
        }
        let mid = session.mid.as_ref().ok_or(NoLayer::Media)?;
        let media = request.media.as_deref().unwrap_or("0");
        if media != "0" && media != mid.as_str() {
            return Err(NoLayer::Media);
        }
        if let Some(rid) = &request.rid {
            let publisher = self.publisher(&session.stream).ok_or(NoLayer::Rid)?;
            let known = publisher.rids.iter().any(|known| known.as_str() == rid);
            if !known {
                return Err(NoLayer::Rid);
            }
        }
        let session = self.sessions.get_mut(&id).ok_or(NoLayer::Session)?;
        let choice = request.choice(session.max_height);
        if session.owner.is_none() {
            session.choice = Some(choice.clone());
        }
        Ok((session.owner, choice))
    }

    pub fn connected(&mut self, id: SessionId, now: SystemTime) -> Option<Connected> {
        let session = self.sessions.get_mut(&id)?;
        if !session.connected {
            session.connected = true;
            self.handshakes = self.handshakes.saturating_sub(1);
        }
        if session.role == SessionRole::Viewer {
            return Some(Connected {
                publishes: None,
                replaces: None,
            });
        }
        let stream = self.streams.entry(session.stream.clone()).or_default();
        let replaces = stream.publisher.replace(id).filter(|old| *old != id);
        stream.since = Some(now);
        Some(Connected {
            publishes: Some(session.stream.clone()),
            replaces,
        })
    }

    pub fn restart_ice(
        &mut self,
        id: SessionId,
        remote: &IceCredentials,
    ) -> Option<(String, Option<WorkerId>)> {
        let session = self.sessions.get_mut(&id)?;
        session.etag = new_etag();
        session.remote_ice = remote.clone();
        Some((session.etag.clone(), session.owner))
    }

    pub fn set_codecs(&mut self, id: SessionId, codecs: StreamCodecs) {
        if let Some(session) = self.sessions.get_mut(&id) {
            // What is seen in media overrules what was negotiated; what is not seen yet stays as negotiated.
            session.codecs.video = codecs.video.or(session.codecs.video);
            session.codecs.audio = codecs.audio.or(session.codecs.audio);
        }
    }

    /// Takes a session out at the control plane's wish; its worker still has to end it. `None`: no such session.
    pub fn remove(&mut self, id: SessionId) -> Option<Option<WorkerId>> {
        let owner = self.sessions.get(&id)?.owner;
        self.drop_session(id);
        Some(owner)
    }

    /// A session is over; the stream it published, if it was the current publisher.
    pub fn ended(&mut self, id: SessionId) -> Option<StreamName> {
        self.drop_session(id);
        let found = self
            .streams
            .iter_mut()
            .find(|(_, stream)| stream.publisher == Some(id));
        let (name, stream) = found?;
        stream.publisher = None;
        stream.since = None;
        let name = name.clone();
        self.drop_stream_if_idle(&name);
        Some(name)
    }

    fn drop_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        if !session.connected {
            self.handshakes = self.handshakes.saturating_sub(1);
        }
        if session.role == SessionRole::Viewer {
            if let Some(stream) = self.streams.get_mut(&session.stream) {
                stream.viewers = stream.viewers.saturating_sub(1);
            }
            self.drop_stream_if_idle(&session.stream);
        }
    }

    fn drop_stream_if_idle(&mut self, name: &StreamName) {
        let idle = |stream: &Stream| stream.publisher.is_none() && stream.viewers == 0;
        if self.streams.get(name).is_some_and(idle) {
            self.streams.remove(name);
        }
    }

    pub fn expired(&mut self, now: Instant) -> Vec<SessionId> {
        let mut expired = Vec::new();
        for (id, session) in &mut self.sessions {
            if session.owner.is_none() {
                let since = *session.unclaimed_since.get_or_insert(now);
                if now.saturating_duration_since(since) >= HANDSHAKE_TIMEOUT {
                    expired.push(*id);
                }
            }
        }
        expired
    }

    pub fn is_published(&self, stream: &StreamName) -> bool {
        self.publisher(stream).is_some()
    }

    pub fn viewers(&self, stream: &StreamName) -> usize {
        self.streams.get(stream).map_or(0, |stream| stream.viewers)
    }

    /// The codecs of a live stream.
    pub fn codecs(&self, stream: &StreamName) -> Option<StreamCodecs> {
        self.publisher(stream).map(|session| session.codecs)
    }

    fn publisher(&self, stream: &StreamName) -> Option<&Session> {
        let id = self.streams.get(stream)?.publisher?;
        self.sessions.get(&id)
    }

    pub fn streams(&self) -> Vec<StreamInfo> {
        self.streams.keys().filter_map(|name| self.stream(name)).collect()
    }

    pub fn stream(&self, name: &StreamName) -> Option<StreamInfo> {
        let stream = self.streams.get(name)?;
        let publisher = self.publisher(name);
        Some(StreamInfo {
            name: name.clone(),
            publishing: publisher.is_some(),
            viewers: stream.viewers,
            codecs: publisher.map(|session| session.codecs).unwrap_or_default(),
            since: stream.since,
        })
    }

    /// Returns the sessions that no worker has.
    pub fn close(&mut self) -> Vec<SessionId> {
        self.closed = true;
        let unclaimed = self
            .sessions
            .iter()
            .filter(|(_, session)| session.owner.is_none());
        unclaimed.map(|(id, _)| *id).collect()
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    pub fn handshakes(&self) -> usize {
        self.handshakes
    }
}

/// Unique per ICE session (spec point 2).
fn new_etag() -> String {
    format!("{:016x}", rand::random::<u64>())
}
