//! What is measured outside the clients.
//!
//! - [`floor`]: the least a forwarded packet can cost; [`live_floor`]: in the stream's own time, towards receivers that sleep.
//! - [`moment`]: viewers and server at one moment.
//! - [`own`]: our own CPU, drops and delays: whether a result can be trusted.
//! - [`process`]: a server process of ours.
//! - [`server`]: CPU, memory and threads of the server process.

pub mod floor;
pub mod live_floor;
pub mod moment;
pub mod own;
pub mod process;
pub mod server;
