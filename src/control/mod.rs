//! Who publishes and who watches what: the one place that knows all sessions, whichever worker serves them.
//!
//! HTTP calls [`Control`] from its own threads; workers report through [`Control::notice`]. Nothing here is on a
//! packet's way.
//!
//! - [`clock`]: the time of day, handed in.
//! - [`feed`]: what changes, for those who want to know at once; [`observe`]: what changed, once a second.
//! - [`operate`]: what operators do: mute, drain.
//! - [`view`]: what operators see of sessions and streams: what the registry knows and what workers report.
//! - [`registry`]: the sessions and streams, and the rules about them.
//! - [`layers`]: viewers' wishes for a layer.

mod clock;
mod feed;
mod layers;
mod observe;
mod operate;
mod registry;
mod view;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use crate::core::directory::Directory;
use crate::core::ids::{SessionId, Ssrc, StreamName, WorkerId};
use crate::core::media::{
    Fingerprint, IceCredentials, MediaKind, RoleSpec, SessionSpec, StreamCodecs, TransportSpec, ViewerWishes,
};
use crate::core::route::{EndReason, Message, Muted, Notice, Source};
use crate::core::statistics::WorkerReport;
use crate::metrics::{Metrics, Step};
use crate::sdp::{AnswerParams, Offer, Reject, answer_publisher, answer_viewer};
use crate::worker::counters::Snapshot;
pub use clock::Clock;
pub use feed::{Event, Farewell, Listener, LiveLayer, SessionNews, StreamState, SubscriptionId, What};
pub use layers::{LayerRequest, NoLayer};
pub use operate::Drain;
use registry::{Dropped, Registry};
pub use view::{Diagnosis, JoinSteps, SessionFilter, SessionState, SessionView, StreamView};

const GOING_DOWN: &str = "the server is going down";
const DRAINING: &str = "the server takes no new sessions";

/// What a second publisher on a stream meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// The new one replaces the old one once its ICE and DTLS are up.
    #[default]
    Takeover,
    /// The new one is refused while the old one lives.
    Reject,
}

/// Limits and policies; see the configuration of the same names.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    pub on_conflict: OnConflict,
    /// Viewers get `409` while nothing is published.
    pub require_publisher: bool,
    pub max_sessions: usize,
    pub max_viewers_per_stream: usize,
    /// Sessions that are not connected yet.
    pub max_handshakes: usize,
    /// Where media reaches us, best first.
    pub candidates: Vec<SocketAddr>,
    pub clock: Clock,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            on_conflict: OnConflict::Takeover,
            require_publisher: false,
            max_sessions: 10_000,
            max_viewers_per_stream: 10_000,
            max_handshakes: 1_000,
            candidates: Vec::new(),
            clock: Clock::default(),
        }
    }
}

/// How the control plane reaches the workers.
pub trait WorkerLink: Send + Sync {
    fn send(&self, worker: WorkerId, message: Message);
    fn workers(&self) -> Vec<WorkerId>;

    /// What each worker counted so far.
    fn counters(&self) -> Vec<Snapshot> {
        Vec::new()
    }
}

/// A handle on the control plane; clones are the same one.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    clock: Clock,
    candidates: Vec<SocketAddr>,
    /// Replaced as a whole when the configuration is read again.
    config: ArcSwap<ControlConfig>,
    fingerprint: Fingerprint,
    directory: Arc<Directory>,
    registry: Mutex<Registry>,
    workers: OnceLock<Box<dyn WorkerLink>>,
    /// The latest report of each worker.
    reports: Mutex<BTreeMap<WorkerId, Arc<WorkerReport>>>,
    feed: feed::Feed,
    metrics: Metrics,
    told: Mutex<observe::Told>,
    drain: Mutex<Option<Drain>>,
    /// A session is gone.
    gone: tokio::sync::Notify,
}

/// A session that was accepted: what the `201` needs.
#[derive(Debug)]
pub struct Accepted {
    pub id: SessionId,
    /// The entity tag of the ICE session, without quotes.
    pub etag: String,
    /// The SDP answer.
    pub answer: String,
}

/// Why no session was made.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Sdp(#[from] Reject),
    /// `409`: the stream has a publisher and the server is set to keep it, or has none and the server demands one.
    #[error("{reason}")]
    Conflict {
        reason: &'static str,
        retry_after: Duration,
    },
    /// `307`: another server takes new sessions in place of this one.
    #[error("this server takes no new sessions; {0} does")]
    Elsewhere(String),
    /// `503`: a cap is reached, or the server is going down.
    #[error("{reason}")]
    Busy {
        reason: &'static str,
        retry_after: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRole {
    Publisher,
    Viewer,
}

/// What HTTP needs to know of a running session.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    pub role: SessionRole,
    pub stream: StreamName,
    /// The current ICE session's entity tag, without quotes.
    pub etag: String,
    /// The peer's credentials of the current ICE session: a PATCH with these is trickle, with others a restart.
    pub remote_ice: IceCredentials,
}

/// A restarted ICE session: what the `200` to the PATCH needs.
#[derive(Clone, Debug)]
pub struct IceRestart {
    pub etag: String,
    pub local_ice: IceCredentials,
    pub candidates: Vec<SocketAddr>,
}

/// One stream as the pages show it.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    pub name: StreamName,
    pub publishing: bool,
    pub viewers: usize,
    pub codecs: StreamCodecs,
    /// When the current publisher connected.
    pub since: Option<SystemTime>,
    pub muted: Muted,
}

impl Control {
    pub fn new(config: ControlConfig, fingerprint: Fingerprint, directory: Arc<Directory>) -> Self {
        Self(Arc::new(Inner {
            candidates: config.candidates.clone(),
            clock: config.clock.clone(),
            config: ArcSwap::from_pointee(config),
            fingerprint,
            directory,
            registry: Mutex::new(Registry::default()),
            workers: OnceLock::new(),
            reports: Mutex::default(),
            feed: feed::Feed::default(),
            metrics: Metrics::default(),
            told: Mutex::default(),
            drain: Mutex::default(),
            gone: tokio::sync::Notify::new(),
        }))
    }

    /// Other limits and policies from now on; running sessions go on, and the addresses stay.
    pub fn reconfigure(&self, config: ControlConfig) {
        self.0.config.store(Arc::new(config));
    }

    fn config(&self) -> Arc<ControlConfig> {
        self.0.config.load_full()
    }

    /// Ties the workers in; once, before the first request.
    pub fn attach(&self, workers: Box<dyn WorkerLink>) {
        let _ = self.0.workers.set(workers);
    }

    pub fn publish(&self, stream: &StreamName, offer: &Offer) -> Result<Accepted, Refused> {
        self.check_caps()?;
        if self.config().on_conflict == OnConflict::Reject && self.registry().is_published(stream) {
            return Err(Refused::Conflict {
                reason: "this stream has a publisher, and this server keeps the first one",
                retry_after: Duration::from_secs(5),
            });
        }
        let local_ice = new_credentials();
        let id = SessionId::random();
        let (answer, media) = answer_publisher(offer, &self.answer_params(&local_ice, stream))?;
        let codec = |kind| {
            media
                .tracks
                .iter()
                .find(|track| track.kind == kind)?
                .codecs
                .first()
                .map(|c| c.codec)
        };
        let codecs = StreamCodecs {
            video: codec(MediaKind::Video),
            audio: codec(MediaKind::Audio),
        };
        let accepted = self.create(id, stream, offer, local_ice, answer, RoleSpec::Publisher(media));
        self.registry().set_codecs(id, codecs);
        Ok(accepted)
    }

    pub fn watch(
        &self,
        stream: &StreamName,
        offer: &Offer,
        wishes: ViewerWishes,
    ) -> Result<Accepted, Refused> {
        self.check_caps()?;
        let codecs = {
            let registry = self.registry();
            if registry.viewers(stream) >= self.config().max_viewers_per_stream {
                return Err(Refused::Busy {
                    reason: "this stream has as many viewers as the server allows",
                    retry_after: Duration::from_secs(10),
                });
            }
            registry.codecs(stream)
        };
        if codecs.is_none() && self.config().require_publisher {
            return Err(Refused::Conflict {
                reason: "nobody publishes this stream now",
                retry_after: Duration::from_secs(2),
            });
        }
        let local_ice = new_credentials();
        // A browser tries one candidate each 50 ms, in their order.
        let mut candidates = self.0.candidates.clone();
        candidates.sort_by_key(|candidate| Some(candidate.ip()) != wishes.reached_at);
        let params = AnswerParams {
            candidates: &candidates,
            ..self.answer_params(&local_ice, stream)
        };
        let (answer, mut media) = answer_viewer(offer, &params, codecs.as_ref(), &mut new_ssrc())?;
        media.layers = wishes.layers;
        media.latency = wishes.latency;
        Ok(self.create(
            SessionId::random(),
            stream,
            offer,
            local_ice,
            answer,
            RoleSpec::Viewer(media),
        ))
    }

    pub fn session(&self, id: &SessionId) -> Option<SessionInfo> {
        self.registry().session(*id)
    }

    /// `None`: no such session. The running session is untouched until the peer uses the new credentials.
    pub fn restart_ice(&self, id: &SessionId, remote: IceCredentials) -> Option<IceRestart> {
        let local_ice = new_credentials();
        let (etag, owner) = self.registry().restart_ice(*id, &remote)?;
        self.0.directory.restart(*id, &local_ice, &remote);
        if let Some(worker) = owner {
            let local = local_ice.clone();
            self.send(
                worker,
                Message::RestartIce {
                    session: *id,
                    local,
                    remote,
                },
            );
        }
        Some(IceRestart {
            etag,
            local_ice,
            candidates: self.0.candidates.clone(),
        })
    }

    /// Ends a session: close_notify, then gone. False when there was none.
    pub fn end(&self, id: &SessionId) -> bool {
        self.end_with(*id, EndReason::Deleted)
    }

    pub fn streams(&self) -> Vec<StreamInfo> {
        self.registry().streams()
    }

    pub fn stream(&self, name: &StreamName) -> Option<StreamInfo> {
        self.registry().stream(name)
    }

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
            Notice::Report(report) => {
                self.reports().insert(worker, report);
            }
        }
    }

    /// Frees sessions whose peer never sent a first check, and tells what changed. Call about once a second.
    pub fn sweep(&self, now: Instant) {
        let expired = self.registry().expired(now);
        for session in expired {
            tracing::info!(?session, reason = %EndReason::HandshakeTimeout, "gone before it connected");
            self.forget(session, &EndReason::HandshakeTimeout);
        }
        self.observe();
    }

    /// Accepts nothing more and ends every session.
    pub fn shut_down(&self) {
        self.0.feed.say_farewell(Farewell::ComeBack);
        let unclaimed = self.registry().close();
        // No worker has these, so none will say that they have ended.
        for session in unclaimed {
            self.forget(session, &EndReason::Shutdown);
        }
        self.broadcast(|| Message::Shutdown);
    }

    /// Waits until every session is gone; after [`shut_down`](Self::shut_down) none comes anew.
    pub async fn drained(&self) {
        loop {
            let gone = self.0.gone.notified();
            if self.session_count() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// Sessions that are not gone yet.
    pub fn session_count(&self) -> usize {
        self.registry().session_count()
    }

    /// Whether new sessions are taken, or why not.
    pub fn takes_sessions(&self) -> Result<(), &'static str> {
        if self.registry().is_closed() {
            return Err(GOING_DOWN);
        }
        if self.draining().is_some() {
            return Err(DRAINING);
        }
        Ok(())
    }

    fn check_caps(&self) -> Result<(), Refused> {
        match self.draining().map(|drain| drain.redirect) {
            Some(Some(server)) => return Err(Refused::Elsewhere(server)),
            Some(None) => {
                return Err(Refused::Busy {
                    reason: DRAINING,
                    retry_after: Duration::from_secs(10),
                });
            }
            None => {}
        }
        let registry = self.registry();
        let busy = |reason, seconds| Refused::Busy {
            reason,
            retry_after: Duration::from_secs(seconds),
        };
        if registry.is_closed() {
            return Err(busy(GOING_DOWN, 10));
        }
        if registry.session_count() >= self.config().max_sessions {
            return Err(busy("the server has as many sessions as it allows", 10));
        }
        if registry.handshakes() >= self.config().max_handshakes {
            return Err(busy("too many sessions are connecting right now", 2));
        }
        Ok(())
    }

    fn answer_params<'a>(&'a self, ice: &'a IceCredentials, stream: &'a StreamName) -> AnswerParams<'a> {
        AnswerParams {
            ice,
            fingerprint: &self.0.fingerprint,
            candidates: &self.0.candidates,
            // RFC 8866 §5.2: below 2⁶³ to be safe with signed readers.
            session: rand::random::<u64>() >> 2,
            stream,
        }
    }

    fn create(
        &self,
        id: SessionId,
        stream: &StreamName,
        offer: &Offer,
        local_ice: IceCredentials,
        answer: String,
        role: RoleSpec,
    ) -> Accepted {
        let kind = match role {
            RoleSpec::Publisher(_) => SessionRole::Publisher,
            RoleSpec::Viewer(_) => SessionRole::Viewer,
        };
        let transport = TransportSpec {
            local_ice,
            remote_ice: offer.remote_ice().clone(),
            dtls_role: offer.dtls_role(),
            remote_fingerprints: offer.fingerprints().to_vec(),
        };
        let remote_ice = transport.remote_ice.clone();
        let spec = Arc::new(SessionSpec {
            id,
            stream: stream.clone(),
            transport,
            role,
        });
        let etag = self.registry().add(
            id,
            kind,
            stream.clone(),
            remote_ice,
            &spec.role,
            self.0.clock.now(),
        );
        self.0.directory.add(spec);
        self.0.metrics.accepted(kind);
        Accepted { id, etag, answer }
    }

    fn end_with(&self, id: SessionId, reason: EndReason) -> bool {
        let removed = self.registry().remove(id);
        let Some((owner, dropped)) = removed else {
            return false;
        };
        self.left(id, &dropped, &reason);
        match owner {
            Some(worker) => self.send(worker, Message::End { session: id, reason }),
            None => self.0.directory.remove_session(id),
        }
        true
    }

    /// A session is over: if it published, its stream has no source now.
    fn forget(&self, session: SessionId, reason: &EndReason) {
        self.0.directory.remove_session(session);
        let (stream, dropped) = self.registry().ended(session);
        if let Some(dropped) = dropped {
            self.left(session, &dropped, reason);
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

    fn broadcast(&self, message: impl Fn() -> Message) {
        self.broadcast_to(|_| true, message);
    }

    fn broadcast_to(&self, chosen: impl Fn(WorkerId) -> bool, message: impl Fn() -> Message) {
        if let Some(link) = self.0.workers.get() {
            for worker in link.workers().into_iter().filter(|worker| chosen(*worker)) {
                link.send(worker, message());
            }
        }
    }

    fn send(&self, worker: WorkerId, message: Message) {
        if let Some(link) = self.0.workers.get() {
            link.send(worker, message);
        }
    }

    /// A session is gone; its subscriptions end.
    fn left(&self, session: SessionId, dropped: &Dropped, reason: &EndReason) {
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

    fn tell(&self, what: What) {
        self.0.feed.publish(self.now(), what);
    }

    /// The time of day.
    pub fn now(&self) -> SystemTime {
        self.0.clock.now()
    }

    fn told(&self) -> MutexGuard<'_, observe::Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reports(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Arc<WorkerReport>>> {
        self.0.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Every method leaves the registry whole, so a panic elsewhere does not spoil it.
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 8445 §5.3 asks for 24 bits in the fragment and 128 in the password. More in the fragment, because a worker
/// finds the session by it.
fn new_credentials() -> IceCredentials {
    IceCredentials {
        ufrag: random_token(12),
        pwd: random_token(32),
    }
}

/// `ice-char`s (RFC 8839 §5.4) that need no escaping anywhere: 5.95 bits each.
fn random_token(len: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let letter = || char::from(ALPHABET[usize::from(rand::random::<u16>()) % ALPHABET.len()]);
    std::iter::repeat_with(letter).take(len).collect()
}

/// SSRCs of one session: random, none zero, none twice.
fn new_ssrc() -> impl FnMut() -> Ssrc {
    let mut used = Vec::new();
    move || loop {
        let ssrc = rand::random::<u32>();
        // 1 is our receiver's SSRC in reports to publishers.
        if ssrc > 1 && !used.contains(&ssrc) {
            used.push(ssrc);
            return Ssrc(ssrc);
        }
    }
}
