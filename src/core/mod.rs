//! The media path as a state machine: it never asks a clock, opens a socket or spawns a thread.
//!
//! - [`ids`]: the names and numbers everything else speaks in.
//! - [`machine`]: the contract with whatever drives the core: a worker thread or a virtual network.
//! - [`media`]: what was negotiated for a session: codecs, payload types, header extensions.

pub mod ids;
pub mod machine;
pub mod media;
