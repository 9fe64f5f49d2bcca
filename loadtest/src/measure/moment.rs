//! Viewers and server at one moment, and what lies between two.

use super::server::{NoProcess, ServerUse};
use crate::driver::plan::Snapshot;
use crate::driver::{DriverError, Viewers};
use crate::report::totals::{ServerInterval, ViewerTotals};

#[derive(Clone)]
pub struct Moment {
    pub snapshot: Snapshot,
    /// None without a process to measure.
    pub server: Option<ServerUse>,
}

#[derive(Debug, thiserror::Error)]
pub enum MomentError {
    #[error("the server's process cannot be measured")]
    Server(#[from] NoProcess),
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl Moment {
    pub fn take(viewers: &Viewers, pid: Option<u32>) -> Result<Self, MomentError> {
        Self::with(viewers.snapshot()?, pid)
    }

    /// Of a snapshot that was just taken.
    pub fn with(snapshot: Snapshot, pid: Option<u32>) -> Result<Self, MomentError> {
        Ok(Self {
            server: pid.map(ServerUse::read).transpose()?,
            snapshot,
        })
    }

    /// What happened since `from`; `idle` is the server before any viewer came.
    pub fn since(&self, from: &Moment, idle: Option<ServerUse>) -> (ViewerTotals, Option<ServerInterval>) {
        let apart = self.snapshot.at.saturating_duration_since(from.snapshot.at);
        let totals = ViewerTotals::between(Some(&from.snapshot), &self.snapshot, apart.as_secs_f64());
        let server = match (idle, from.server, self.server) {
            (Some(idle), Some(from), Some(to)) => Some(ServerInterval::between(&idle, &from, &to, &totals)),
            _ => None,
        };
        (totals, server)
    }
}
