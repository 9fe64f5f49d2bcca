//! Who publishes and who watches what: the one place that knows all sessions, whichever worker serves them.
//!
//! HTTP calls [`Control`] from its own threads; workers report through [`Control::notice`]. Nothing here is on a
//! packet's way.
//!
//! - [`admission`]: who gets a session. [`notices`]: what workers say of sessions.
//! - [`clock`]: the time of day, handed in.
//! - [`feed`]: what changes, for those who want to know at once; [`observe`]: what changed, once a second.
//! - [`operate`]: what operators do: mute, drain.
//! - [`joins`]: how each session came about, step by step.
//! - [`keyframe`]: a stream's latest keyframe, for a picture of it.
//! - [`view`]: what operators see of sessions and streams: what the registry knows and what workers report.
//! - [`registry`]: the sessions and streams, and the rules about them.
//! - [`layers`]: viewers' wishes for a layer.

mod admission;
mod clock;
mod feed;
mod joins;
mod keyframe;
mod layers;
mod notices;
mod observe;
mod operate;
mod registry;
mod view;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;

use crate::core::directory::Directory;
use crate::core::ids::{SessionId, StreamName, WorkerId};
use crate::core::media::{Fingerprint, IceCredentials, StreamCodecs};
use crate::core::route::{EndReason, Message, Muted};
use crate::core::statistics::WorkerReport;
use crate::metrics::Metrics;
use crate::worker::counters::Snapshot;
pub use admission::{Accepted, IceRestart, Refused};
pub use clock::Clock;
pub use feed::{Event, Farewell, Listener, LiveLayer, SessionNews, StreamState, SubscriptionId, What};
pub use joins::Join;
pub use layers::{LayerRequest, NoLayer};
pub use operate::Drain;
use registry::Registry;
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
    tracer: OnceLock<joins::Tracer>,
    drain: Mutex<Option<Drain>>,
    pending: Mutex<keyframe::Pending>,
    /// A session is gone.
    gone: tokio::sync::Notify,
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
            tracer: OnceLock::new(),
            drain: Mutex::default(),
            pending: Mutex::default(),
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

    pub fn session(&self, id: &SessionId) -> Option<SessionInfo> {
        self.registry().session(*id)
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
