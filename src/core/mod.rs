//! The media path as a state machine: it never asks a clock, opens a socket or spawns a thread.
//!
//! - [`ids`]: the names and numbers everything else speaks in.
//! - [`media`]: what was negotiated for a session: codecs, payload types, header extensions.
//! - [`rtp`]: RTP and RTCP on the wire: parsing, writing, what a payload holds.

pub mod ids;
pub mod media;
pub mod rtp;
