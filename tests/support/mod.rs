//! A server on real sockets, innocent clients, and those who mean harm.
//!
//! - `server`: the server: as a process of its own, to be measured and to die, or in this process.
//! - `http`: one request, as bytes or well-formed.
//! - `client`: a WebRTC client over UDP.
//! - `stage`: an innocent publisher with viewers, who must not notice anything.
//! - `forge`: what strangers and hostile peers send.
//! - `alone`: measuring what a piece of code holds, in a process of its own.

#![allow(dead_code, reason = "each test binary uses its part")]
#![expect(
    clippy::disallowed_methods,
    reason = "a driver of real sockets reads the real clock"
)]

pub mod alone;
pub mod client;
pub mod forge;
pub mod http;
pub mod server;
pub mod stage;

use std::time::{Duration, Instant};

/// Nothing here takes this long, even on a machine that is busy with other things.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub const PUBLISH: &str = include_str!("../offers/obs-32.2-h264-opus.sdp");
pub const PUBLISH_PASSIVE: &str = include_str!("../offers/ffmpeg-9.0-h264-opus.sdp");
pub const WATCH: &str = include_str!("../offers/chromium-156-recvonly.sdp");

pub fn now() -> Instant {
    Instant::now()
}
