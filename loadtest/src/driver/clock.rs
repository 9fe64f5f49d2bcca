//! The one place that reads clocks.

use std::time::{Instant, SystemTime};

use crate::client::viewer::Now;

#[expect(
    clippy::disallowed_methods,
    reason = "the clients take `now`; this is the shell that reads it for them"
)]
pub fn now() -> Now {
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        instant: Instant::now(),
        wall: wall.as_micros() as u64,
    }
}
