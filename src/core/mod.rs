//! The media path as a state machine: it never asks a clock, opens a socket or spawns a thread.
//!
//! - [`ids`]: the names and numbers everything else speaks in.
//! - [`media`]: what was negotiated for a session: codecs, payload types, header extensions.
//! - [`peer`]: one remote party: ICE-lite, DTLS, SRTP, and the guard before them.

pub mod ids;
pub mod media;
pub mod peer;
