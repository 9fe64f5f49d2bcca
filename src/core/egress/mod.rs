//! A viewer's tracks as they go out.
//!
//! - [`viewer`]: one viewer: forwards, retransmits, reports.
//! - [`track`]: one medium of a viewer: when it starts, with which payload type, what comes next.
//! - [`adaptation`]: what the viewer's way has room for. [`selector`]: which layer it is to get, by that.
//! - [`pacer`]: what may go out now, and what waits. [`pacing`]: what goes out over time: bursts, run-ups, probes.
//! - [`rewriter`]: sequence numbers and timestamps that go on whatever the source does. [`runs`]: what is left out;
//!   [`trail`]: both kept where they are at hand.
//! - [`playout`]: how long the player is to hold pictures back.
//! - [`wire`]: a packet written and sealed. [`transport`]: its number among all of the viewer's packets.
//! - [`statistics`]: what a viewer came to, once a second.
//! - [`retransmit`]: how much a viewer may ask again.

pub mod adaptation;
pub mod pacer;
mod pacing;
pub mod playout;
pub mod retransmit;
pub mod rewriter;
#[cfg(test)]
mod rewriter_tests;
pub mod runs;
pub mod selector;
pub mod statistics;
pub mod track;
mod trail;
pub mod transport;
pub mod viewer;
pub mod wire;

pub use adaptation::AdaptationLimits;
pub use track::{EgressTrack, RunUpLimits};
pub use viewer::{Viewer, ViewerDelays};
