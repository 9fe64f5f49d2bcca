//! What is measured outside the clients.
//!
//! - [`own`]: our own CPU, drops and delays: whether a result can be trusted.
//! - [`server`]: CPU, memory and threads of the server process.

pub mod own;
pub mod server;
