//! The shell around the clients: a thread with sockets and timers, a thread for HTTP, and the handles to both.
//!
//! - [`Publishers`], [`Viewers`] (here): start clients, look at their figures, stop them.
//! - [`engine`]: the loop of a driver thread.
//! - [`plan`]: what the loop is given and hands back.
//! - [`http`]: POST and DELETE.
//! - [`clock`]: the one place that reads clocks.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::dtls::{DtlsError, Identity, SrtpChoice};
use crate::client::publisher::{Publisher, PublisherMedia};
use crate::client::viewer::{Viewer, ViewerMedia};

pub mod clock;
pub mod engine;
pub mod http;
pub mod plan;
#[cfg(test)]
mod tests;

use engine::{Client, Engine, WAKE};
use plan::{Command, Plan, Snapshot};

#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("cannot start a driver thread: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Identity(#[from] DtlsError),
    #[error("the driver thread has ended")]
    Ended,
}

/// Publishers on one driver thread.
pub struct Publishers(Driver);

/// Viewers on one driver thread.
pub struct Viewers(Driver);

#[derive(Clone, Debug)]
pub struct PublisherConfig {
    /// One publisher each.
    pub urls: Vec<String>,
    pub token: Option<String>,
    pub media: PublisherMedia,
    pub srtp: SrtpChoice,
}

#[derive(Clone, Debug)]
pub struct ViewerConfig {
    /// One viewer each, with when it starts.
    pub arrivals: Vec<(Duration, String)>,
    pub token: Option<String>,
    pub media: ViewerMedia,
    pub srtp: SrtpChoice,
}

impl ViewerConfig {
    /// `count` viewers of one URL at `per_second`, evenly; 0 starts all at once.
    pub fn ramp(url: &str, count: usize, per_second: f64) -> Vec<(Duration, String)> {
        let at = |index: usize| {
            if per_second > 0.0 {
                index as f64 / per_second
            } else {
                0.0
            }
        };
        (0..count)
            .map(|index| (Duration::from_secs_f64(at(index)), url.to_owned()))
            .collect()
    }
}

impl Publishers {
    pub fn start(config: PublisherConfig) -> Result<Self, DriverError> {
        let identity = Identity::generate(config.srtp)?;
        // Frames of many publishers are spread over a frame's time instead of being sent in one burst.
        let spread = config.media.video.map_or(0.0, |plan| 1.0 / plan.fps) / config.urls.len().max(1) as f64;
        let plans = config.urls.iter().zip(0u32..).map(|(url, id)| {
            let publisher = Publisher::new(identity.clone(), url.clone(), id, config.media.clone());
            Plan {
                at: Duration::from_secs_f64(spread * f64::from(id)),
                url: url.clone(),
                token: config.token.clone(),
                client: Client::Publisher(Box::new(publisher)),
            }
        });
        Driver::start("publishers", plans.collect()).map(Self)
    }

    pub fn snapshot(&self) -> Result<Snapshot, DriverError> {
        self.0.snapshot()
    }

    /// Closes every connection and DELETEs every session; dropping does the same.
    pub fn stop(self) {}
}

impl Viewers {
    pub fn start(config: ViewerConfig) -> Result<Self, DriverError> {
        let identity = Identity::generate(config.srtp)?;
        let plans = config.arrivals.iter().map(|(at, url)| {
            let viewer = Viewer::new(identity.clone(), url.clone(), config.media.clone());
            Plan {
                at: *at,
                url: url.clone(),
                token: config.token.clone(),
                client: Client::Viewer(Box::new(viewer)),
            }
        });
        Driver::start("viewers", plans.collect()).map(Self)
    }

    pub fn snapshot(&self) -> Result<Snapshot, DriverError> {
        self.0.snapshot()
    }

    /// Closes every connection and DELETEs every session; dropping does the same.
    pub fn stop(self) {}
}

struct Driver {
    commands: mpsc::Sender<Command>,
    waker: Arc<mio::Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Driver {
    fn start(name: &str, plans: Vec<Plan>) -> Result<Self, DriverError> {
        let poll = mio::Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKE)?);
        let (results, posted) = mpsc::channel();
        let (commands, inbox) = mpsc::channel();
        let http = http::Http::start(results, waker.clone())?;
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            Engine::new(poll, http, posted, inbox, plans).run();
        })?;
        Ok(Self {
            commands,
            waker,
            thread: Some(thread),
        })
    }

    fn snapshot(&self) -> Result<Snapshot, DriverError> {
        let (reply, answer) = mpsc::channel();
        self.commands
            .send(Command::Snapshot(reply))
            .map_err(|_| DriverError::Ended)?;
        self.waker.wake()?;
        answer
            .recv_timeout(Duration::from_secs(10))
            .map_err(|_| DriverError::Ended)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
