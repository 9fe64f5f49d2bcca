//! What a driver thread is given to do, and what it hands back.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::session::Client;
use crate::client::publisher::PublisherStats;
use crate::client::viewer::ViewerStats;
use crate::measure::own::OwnUse;

/// One client to start.
pub struct Plan {
    /// After the driver's start.
    pub at: Duration,
    pub url: String,
    pub token: Option<String>,
    /// Called when the time has come, and again for each new attempt.
    pub make: Box<dyn FnMut() -> Client + Send>,
    pub leave: Option<Leave>,
    /// After a failure: try again with a new client after this time, as OBS does.
    pub retry: Option<Duration>,
}

/// How a client ends before the driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// After its own start.
    pub after: Duration,
    /// With close_notify and DELETE; otherwise it falls silent, as with the power gone.
    pub goodbye: bool,
}

pub enum Command {
    Snapshot(mpsc::Sender<Snapshot>),
    Stop,
}

/// The figures of a driver thread at one moment; all counters run since its start.
#[derive(Clone)]
pub struct Snapshot {
    pub at: Instant,
    pub publishers: Vec<PublisherStats>,
    pub viewers: Vec<ViewerStats>,
    /// µs from capture to arrival, over all viewers that behave well.
    pub latency: Histogram<u64>,
    /// The same over those that are slow, lossy or stalled.
    pub impaired_latency: Histogram<u64>,
    pub own: OwnUse,
}
