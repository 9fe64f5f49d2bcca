//! What a driver thread is given to do, and what it hands back.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::engine::Client;
use crate::client::publisher::PublisherStats;
use crate::client::viewer::ViewerStats;
use crate::measure::own::OwnUse;

/// One client to start.
pub struct Plan {
    /// After the driver's start.
    pub at: Duration,
    pub url: String,
    pub token: Option<String>,
    pub client: Client,
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
    /// µs from capture to arrival, over all viewers.
    pub latency: Histogram<u64>,
    pub own: OwnUse,
}
