//! Composition: bind, start the workers, serve, drain, stop.
//!
//! - [`addresses`]: where sessions are told to find us.
//! - [`greeting`]: what a new user reads when the server is up.
//! - [`settings`]: what each part is told of the configuration.

pub mod addresses;
pub mod greeting;
pub mod settings;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use settings::SettingsError;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::control::{Control, ControlConfig, WorkerLink};
use crate::core::directory::Directory;
use crate::core::engine::{Engine, EngineConfig};
use crate::core::ids::WorkerId;
use crate::core::peer::{Identity, IdentityError};
use crate::core::route::Message;
use crate::http::{self, HttpConfig, SharedKeys};
use crate::outgoing::OutgoingError;
use crate::webhooks::{self, WebhookSettings};
use crate::worker::counters::{Counters, Snapshot};
use crate::worker::{self, Inbox, Settings, Workers};

/// Packets of a stream on their way to another worker: beyond this the receiver is hopelessly behind.
const INBOX_BOUND: usize = 4_096;
/// From the wish to stop to the end: long enough for every goodbye to leave, short enough for a restart.
const STOP_WITHIN: Duration = Duration::from_millis(1_500);
/// How often sessions that never connected are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Everything the server is told.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub http: SocketAddr,
    /// Where media is received: one UDP port for all sessions.
    pub media: SocketAddr,
    pub workers: usize,
    pub control: ControlConfig,
    pub engine: EngineConfig,
    pub api: HttpConfig,
    pub webhooks: WebhookSettings,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen for HTTP on {address}: {source}{}", hint(.source))]
    Http { address: SocketAddr, source: io::Error },
    #[error("cannot receive media on UDP {address}: {source}{}", hint(.source))]
    Media { address: SocketAddr, source: io::Error },
    #[error("cannot start the workers: {0}")]
    Workers(io::Error),
    #[error("webhooks: {0}")]
    Webhooks(OutgoingError),
    #[error("cannot make a certificate: {0}")]
    Identity(#[from] IdentityError),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (another program has this port: stop it, or choose another with --http and --media-port)"
        }
        io::ErrorKind::PermissionDenied => " (ports below 1024 need rights: choose a higher one)",
        io::ErrorKind::AddrNotAvailable => " (this machine does not have that address)",
        _ => "",
    }
}

/// A running server.
pub struct Server {
    control: Control,
    keys: SharedKeys,
    workers: Workers<Message>,
    http: JoinHandle<()>,
    sweeper: JoinHandle<()>,
    stop_http: Arc<tokio::sync::Notify>,
    failures: mpsc::UnboundedReceiver<worker::Failure>,
    http_address: SocketAddr,
    media_address: SocketAddr,
}

struct Link {
    inboxes: Vec<Inbox<Message>>,
    counters: Vec<Arc<Counters>>,
}

impl WorkerLink for Link {
    fn send(&self, worker: WorkerId, message: Message) {
        if let Some(inbox) = self.inboxes.get(usize::from(worker.0)) {
            inbox.send_control(message);
        }
    }

    fn workers(&self) -> Vec<WorkerId> {
        (0..self.inboxes.len())
            .filter_map(|index| u16::try_from(index).ok())
            .map(WorkerId)
            .collect()
    }

    fn counters(&self) -> Vec<Snapshot> {
        self.counters.iter().map(|counters| counters.snapshot()).collect()
    }
}

impl Server {
    /// Binds and starts everything; requests are answered from when this returns. `candidates` tells the addresses
    /// to advertise from the media port that was bound.
    pub async fn start(
        mut config: ServerConfig,
        candidates: impl FnOnce(u16) -> Vec<SocketAddr>,
    ) -> Result<Self, StartError> {
        let identity = Arc::new(Identity::generate()?);
        let directory = Arc::<Directory>::default();
        let address = config.http;
        let listener = listen(address)
            .await
            .map_err(|source| StartError::Http { address, source })?;
        let http_address = listener
            .local_addr()
            .map_err(|source| StartError::Http { address, source })?;
        let address = config.media;
        let sockets = worker::bind(address, config.workers.max(1))
            .map_err(|source| StartError::Media { address, source })?;
        let media_address = match sockets.first().map(std::net::UdpSocket::local_addr) {
            Some(Ok(bound)) => bound,
            _ => address,
        };
        config.control.candidates = candidates(media_address.port());
        config.api.media_port = media_address.port();

        let control = Control::new(config.control, identity.fingerprint().clone(), directory.clone());
        let (now, wall) = clocks();
        let machines: Vec<Engine> = (0..sockets.len())
            .map(|index| {
                let id = WorkerId(u16::try_from(index).unwrap_or(u16::MAX));
                Engine::new(id, config.engine, identity.clone(), directory.clone(), now, wall)
            })
            .collect();
        let (failed, failures) = mpsc::unbounded_channel();
        let notified = control.clone();
        let settings = Settings {
            inbox_bound: INBOX_BOUND,
            is_media: |message: &Message| matches!(message, Message::Media { .. } | Message::Datagram { .. }),
            notices: Arc::new(move |worker, notice| notified.notice(worker, notice, clocks().1)),
            failures: Arc::new(move |failure| {
                let _ = failed.send(failure);
            }),
        };
        let workers = worker::start(sockets, machines, settings).map_err(StartError::Workers)?;
        control.attach(Box::new(Link {
            inboxes: workers.inboxes().to_vec(),
            counters: workers.counters().to_vec(),
        }));
        webhooks::start(&config.webhooks, &control, http::encode_event).map_err(StartError::Webhooks)?;

        let keys = config.api.keys.clone();
        let stop_http = Arc::new(tokio::sync::Notify::new());
        let stopping = stop_http.clone();
        let router = http::router(control.clone(), config.api);
        let http = tokio::spawn(async move { http::serve(listener, router, stopping.notified()).await });
        let swept = control.clone();
        let sweeper = tokio::spawn(async move {
            let mut interval = tokio::time::interval(SWEEP_INTERVAL);
            loop {
                interval.tick().await;
                swept.sweep(clocks().0);
            }
        });
        Ok(Self {
            control,
            keys,
            workers,
            http,
            sweeper,
            stop_http,
            failures,
            http_address,
            media_address,
        })
    }

    /// Takes over what a changed configuration says of keys, limits and policies. Sessions that run go on, also those
    /// whose key is gone. Nothing changes when it fails.
    pub fn reload(&self, config: &Config) -> Result<(), SettingsError> {
        self.keys.replace(settings::keys(config)?);
        self.control.reconfigure(settings::control(config));
        Ok(())
    }

    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The bound addresses, with the port the system chose where 0 was asked for.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    pub fn media_address(&self) -> SocketAddr {
        self.media_address
    }

    /// Waits until a worker breaks; for ever in a sound server.
    pub async fn failed(&mut self) -> worker::Failure {
        match self.failures.recv().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Says goodbye to every session (close_notify: OBS then reconnects in 2 s instead of giving up) and ends,
    /// within 2 s.
    pub async fn stop(self) {
        self.control.shut_down();
        self.stop_http.notify_one();
        let in_time = tokio::time::timeout(STOP_WITHIN, self.control.drained())
            .await
            .is_ok();
        if !in_time {
            tracing::warn!(
                sessions = self.control.session_count(),
                "some sessions did not end in time"
            );
        }
        self.sweeper.abort();
        self.http.abort();
        let workers = self.workers;
        let _ = tokio::task::spawn_blocking(move || workers.stop(Duration::from_millis(300))).await;
    }
}

/// `[::]` takes IPv4 as well, and becomes `0.0.0.0` where the host has no IPv6; as with media.
async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let every = address.ip() == Ipv6Addr::UNSPECIFIED;
    match TcpListener::bind(address).await {
        Err(error) if every && error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port()))
                .await
                .map_err(|_| error)
        }
        other => other,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the shell reads the clocks for the core"
)]
fn clocks() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::now())
}
