//! What is measured outside the clients.
//!
//! - [`floor`]: the least a forwarded packet can cost.
//! - [`own`]: our own CPU, drops and delays: whether a result can be trusted.
//! - [`server`]: CPU, memory and threads of the server process.

pub mod floor;
pub mod own;
pub mod server;
