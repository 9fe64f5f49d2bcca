//! The sessions and streams, and the rules about them. Plain data under one lock; no channel, no clock of its own.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime};

use super::view::{JoinSteps, SessionFilter, SessionState, SessionView};
use super::{LayerRequest, NoLayer, SessionInfo, SessionRole, StreamInfo};
use crate::core::ids::{Mid, Rid, SessionId, StreamName, WorkerId};
use crate::core::media::{IceCredentials, LayerChoice, MediaKind, RoleSpec, StreamCodecs};
use crate::core::route::Muted;

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
    created: SystemTime,
    /// When its first check came.
    claimed_at: Option<SystemTime>,
    connected_at: Option<SystemTime>,
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
    muted: Muted,
}

impl Session {
    fn state(&self) -> SessionState {
        match (self.connected, self.owner) {
            (true, _) => SessionState::Connected,
            (false, Some(_)) => SessionState::Connecting,
            (false, None) => SessionState::Accepted,
        }
    }
}

/// A session that is gone.
pub(super) struct Dropped {
    pub role: SessionRole,
    pub stream: StreamName,
    pub connected: bool,
    /// The stream's, from now on.
    pub viewers: usize,
}

/// What a session's connecting changed.
pub(super) struct Connected {
    pub role: SessionRole,
    pub stream: StreamName,
    /// From the POST to the first check, and to now.
    pub first_check: Duration,
    pub after: Duration,
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
        now: SystemTime,
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
            created: now,
            claimed_at: None,
            connected_at: None,
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
    pub fn claimed(
        &mut self,
        id: SessionId,
        worker: WorkerId,
        now: SystemTime,
    ) -> Option<Option<LayerChoice>> {
        let session = self.sessions.get_mut(&id)?;
        session.claimed_at.get_or_insert(now);
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
            session.connected_at = Some(now);
            self.handshakes = self.handshakes.saturating_sub(1);
        }
        let since = |at: SystemTime| at.duration_since(session.created).unwrap_or_default();
        let (first_check, after) = (since(session.claimed_at.unwrap_or(now)), since(now));
        if session.role == SessionRole::Viewer {
            return Some(Connected {
                role: session.role,
                stream: session.stream.clone(),
                first_check,
                after,
                publishes: None,
                replaces: None,
            });
        }
        let stream = self.streams.entry(session.stream.clone()).or_default();
        let replaces = stream.publisher.replace(id).filter(|old| *old != id);
        stream.since = Some(now);
        Some(Connected {
            role: session.role,
            stream: session.stream.clone(),
            first_check,
            after,
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
    pub fn remove(&mut self, id: SessionId) -> Option<(Option<WorkerId>, Dropped)> {
        let owner = self.sessions.get(&id)?.owner;
        Some((owner, self.drop_session(id)?))
    }

    /// A session is over; the stream it published, if it was the current publisher.
    pub fn ended(&mut self, id: SessionId) -> (Option<StreamName>, Option<Dropped>) {
        let dropped = self.drop_session(id);
        (self.source_ended(id), dropped)
    }

    fn source_ended(&mut self, id: SessionId) -> Option<StreamName> {
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

    fn drop_session(&mut self, id: SessionId) -> Option<Dropped> {
        let session = self.sessions.remove(&id)?;
        if !session.connected {
            self.handshakes = self.handshakes.saturating_sub(1);
        }
        if session.role == SessionRole::Viewer {
            if let Some(stream) = self.streams.get_mut(&session.stream) {
                stream.viewers = stream.viewers.saturating_sub(1);
            }
            self.drop_stream_if_idle(&session.stream);
        }
        Some(Dropped {
            role: session.role,
            connected: session.connected,
            viewers: self.viewers(&session.stream),
            stream: session.stream,
        })
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
            muted: stream.muted,
        })
    }

    /// The sessions that fit, oldest first.
    pub fn matching(&self, filter: &SessionFilter) -> Vec<SessionId> {
        let mut found: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| {
                filter.role.is_none_or(|role| role == session.role)
                    && filter
                        .stream
                        .as_ref()
                        .is_none_or(|stream| *stream == session.stream)
                    && filter.state.is_none_or(|state| state == session.state())
            })
            .map(|(id, session)| (session.created, *id))
            .collect();
        found.sort_unstable_by_key(|(created, id)| (*created, id.public()));
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// The session that the API calls so.
    pub fn by_public(&self, name: &str) -> Option<SessionId> {
        self.sessions.keys().copied().find(|id| id.public() == name)
    }

    pub fn publisher_of(&self, stream: &StreamName) -> Option<SessionId> {
        self.streams.get(stream)?.publisher
    }

    /// What each session is, and how far.
    pub fn kinds(&self) -> impl Iterator<Item = (SessionRole, SessionState)> {
        self.sessions
            .values()
            .map(|session| (session.role, session.state()))
    }

    pub fn publishers(&self) -> Vec<SessionId> {
        self.streams
            .values()
            .filter_map(|stream| stream.publisher)
            .collect()
    }

    /// Of a viewer: its video's name in its offer.
    pub fn video_mid(&self, id: SessionId) -> Option<String> {
        Some(self.sessions.get(&id)?.mid.as_ref()?.as_str().to_owned())
    }

    pub fn owner(&self, id: SessionId) -> Option<WorkerId> {
        self.sessions.get(&id)?.owner
    }

    pub fn muted(&self, stream: &StreamName) -> Muted {
        self.streams
            .get(stream)
            .map(|stream| stream.muted)
            .unwrap_or_default()
    }

    /// What is muted from now on; `None`: there is no such stream.
    pub fn mute(&mut self, stream: &StreamName, audio: Option<bool>, video: Option<bool>) -> Option<Muted> {
        let stream = self.streams.get_mut(stream)?;
        stream.muted.audio = audio.unwrap_or(stream.muted.audio);
        stream.muted.video = video.unwrap_or(stream.muted.video);
        Some(stream.muted)
    }

    /// A session without what its worker reports.
    pub fn view(&self, id: SessionId) -> Option<SessionView> {
        let session = self.sessions.get(&id)?;
        let since = |at: SystemTime| at.duration_since(session.created).unwrap_or_default();
        let publishes = self
            .streams
            .get(&session.stream)
            .is_some_and(|stream| stream.publisher == Some(id));
        Some(SessionView {
            id,
            role: session.role,
            stream: session.stream.clone(),
            state: session.state(),
            worker: session.owner,
            created: session.created,
            publishes,
            steps: JoinSteps {
                first_check: session.claimed_at.map(since),
                connected: session.connected_at.map(since),
                ..JoinSteps::default()
            },
            report: None,
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
