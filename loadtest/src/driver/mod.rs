//! The shell around the clients: a thread with sockets and timers, a thread for HTTP, and the handles to both.
//!
//! - [`Publishers`], [`Viewers`] (here): start clients, look at their figures, stop them.
//! - [`engine`]: the loop of a driver thread; [`session`]: one client in it; [`socket`]: how its socket is made.
//! - [`plan`]: what the loop is given and hands back.
//! - [`http`]: POST and DELETE.
//! - [`clock`]: the one place that reads clocks.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::behaviour::Behaviour;
use crate::client::dtls::{DtlsError, Identity, SrtpChoice};
use crate::client::link::Link;
use crate::client::publisher::{Publisher, PublisherMedia};
use crate::client::viewer::{Viewer, ViewerMedia};

pub mod clock;
pub mod engine;
pub mod http;
pub mod plan;
pub mod session;
pub mod socket;
#[cfg(test)]
mod tests;

use engine::{Engine, WAKE};
use plan::{Command, Leave, Plan, Snapshot};
use session::Client;

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
    pub presence: Vec<Presence>,
    /// After a failure: try again after this time.
    pub retry: Option<Duration>,
}

/// One time that every publisher is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presence {
    /// After the driver's start.
    pub from: Duration,
    /// When it ends before the driver does, and how.
    pub leave: Option<Leave>,
}

#[derive(Clone, Debug)]
pub struct ViewerConfig {
    /// One viewer each.
    pub arrivals: Vec<Arrival>,
    pub token: Option<String>,
    pub media: ViewerMedia,
    pub srtp: SrtpChoice,
}

/// One viewer to come.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// After the driver's start.
    pub at: Duration,
    pub url: String,
    /// Until it leaves; None stays to the end.
    pub stay: Option<Duration>,
    pub behaviour: Behaviour,
    /// The line it is on, where that is limited.
    pub link: Option<Arc<Link>>,
}

impl PublisherConfig {
    /// Publishers that are there all the time.
    pub fn steady(urls: Vec<String>, media: PublisherMedia, srtp: SrtpChoice) -> Self {
        Self {
            urls,
            token: None,
            media,
            srtp,
            presence: vec![Presence::default()],
            retry: None,
        }
    }
}

impl ViewerConfig {
    /// `count` viewers of one URL at `per_second`, evenly; 0 starts all at once.
    pub fn ramp(url: &str, count: usize, per_second: f64) -> Vec<Arrival> {
        let at = |index: usize| {
            if per_second > 0.0 {
                index as f64 / per_second
            } else {
                0.0
            }
        };
        let arrival = |index| Arrival {
            at: Duration::from_secs_f64(at(index)),
            url: url.to_owned(),
            stay: None,
            behaviour: Behaviour::Well,
            link: None,
        };
        (0..count).map(arrival).collect()
    }
}

impl Publishers {
    pub fn start(config: PublisherConfig) -> Result<Self, DriverError> {
        let identity = Identity::generate(config.srtp)?;
        // Frames of many publishers are spread over a frame's time instead of being sent in one burst.
        let spread = config.media.frame_time().as_secs_f64() / config.urls.len().max(1) as f64;
        let mut plans = Vec::new();
        for presence in &config.presence {
            for (url, id) in config.urls.iter().zip(0u32..) {
                let (identity, media, stream) = (identity.clone(), config.media.clone(), url.clone());
                plans.push(Plan {
                    at: presence.from + Duration::from_secs_f64(spread * f64::from(id)),
                    url: url.clone(),
                    token: config.token.clone(),
                    make: Box::new(move || {
                        let publisher = Publisher::new(identity.clone(), stream.clone(), id, media.clone());
                        Client::Publisher(Box::new(publisher))
                    }),
                    leave: presence.leave,
                    retry: config.retry,
                });
            }
        }
        Driver::start("publishers", plans).map(Self)
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
        let plans = config.arrivals.into_iter().map(|arrival| {
            let (identity, media) = (identity.clone(), config.media.clone());
            let (stream, behaviour, link) = (arrival.url.clone(), arrival.behaviour, arrival.link);
            Plan {
                at: arrival.at,
                url: arrival.url,
                token: config.token.clone(),
                make: Box::new(move || {
                    let (identity, stream, media) = (identity.clone(), stream.clone(), media.clone());
                    let viewer = Viewer::new(identity, stream, media, behaviour, link.clone());
                    Client::Viewer(Box::new(viewer))
                }),
                leave: arrival.stay.map(|after| Leave { after, goodbye: true }),
                retry: None,
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
