//! Clients of the `webrtc` crate on a runtime of their own, each a task that ends when it is told to.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::viewer::new_histogram;
use crate::driver::clock;
use crate::driver::plan::Snapshot;
use crate::measure::own::OwnUse;
use crate::measure::server::ServerUse;

/// What a client gets to end its session in.
const FAREWELL: Duration = Duration::from_secs(5);

pub struct Crowd {
    runtime: Option<tokio::runtime::Runtime>,
    /// For offers and farewells.
    pub http: reqwest::Client,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Tells a client when to end.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Crowd {
    pub fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            http: reqwest::Client::builder().no_proxy().build()?,
            stop: watch::Sender::new(false),
            tasks: Vec::new(),
        })
    }

    pub fn stop(&self) -> Stop {
        Stop(self.stop.subscribe())
    }

    pub fn add(&mut self, client: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            self.tasks.push(runtime.spawn(client));
        }
    }
}

impl Drop for Crowd {
    /// Ends every session before the runtime goes.
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            let tasks = std::mem::take(&mut self.tasks);
            runtime.block_on(async move {
                for task in tasks {
                    let _ = tokio::time::timeout(FAREWELL, task).await;
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

impl Stop {
    pub fn is_told(&self) -> bool {
        *self.0.borrow()
    }

    pub async fn told(&mut self) {
        // Without a sender the crowd is gone, which is as good.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// Without any client yet; the CPU is that of the whole process.
pub fn empty_snapshot() -> Snapshot {
    let mut own = OwnUse::start();
    own.cpu_ns = ServerUse::read(std::process::id()).map_or(0, |own| (own.cpu_seconds * 1e9) as u64);
    Snapshot {
        at: clock::now().instant,
        publishers: Vec::new(),
        viewers: Vec::new(),
        latency: new_histogram(3),
        impaired_latency: new_histogram(3),
        own,
    }
}

pub fn update<S, T>(state: &Mutex<S>, change: impl FnOnce(&mut S) -> T) -> T {
    change(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
}
