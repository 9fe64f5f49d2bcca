//! What publishers send.
//!
//! - [`synthetic`]: frames of chosen size and rhythm, packetised as VP8 or H.264, and Opus-like audio.
//! - [`stamp`]: the stamp in each synthetic packet that viewers read latency from.

pub mod stamp;
pub mod synthetic;
