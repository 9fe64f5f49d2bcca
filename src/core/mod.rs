//! The media path as a state machine: it never asks a clock, opens a socket or spawns a thread.
//!
//! - [`ids`]: the names and numbers everything else speaks in.
//! - [`media`]: what was negotiated for a session: codecs, payload types, header extensions.
//! - [`time`]: the one conversion between the monotonic clock handed in and NTP time.
//! - [`machine`]: the contract with whatever drives the core: a worker thread or a virtual network.
//! - [`engine`]: one worker's share of the server, which joins the parts below.
//! - [`directory`]: ICE credentials of all sessions: how a worker comes by a session.
//! - [`peer`]: one remote party: ICE-lite, DTLS, SRTP, and the guard in front of them.
//! - [`rtp`]: RTP and RTCP on the wire: headers, extensions, payload descriptors, RTX.
//! - [`ingest`]: a publisher's tracks as they come in.
//! - [`route`]: what joins publishers and viewers.
//! - [`egress`]: a viewer's tracks as they go out.
//! - [`bwe`]: how much a viewer's way carries.
//! - [`statistics`]: what a worker tells the control plane about its sessions, once a second.
//! - `sim`: all of it over a virtual network, for tests.

pub mod bwe;
pub mod directory;
pub mod egress;
pub mod engine;
pub mod ids;
pub mod ingest;
pub mod machine;
pub mod media;
pub mod peer;
pub mod route;
pub mod rtp;
#[cfg(test)]
mod sim;
pub mod statistics;
pub mod time;
