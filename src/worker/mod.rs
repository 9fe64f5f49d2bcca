//! The shell around the core: threads with real sockets, clocks and queues, each driving one [`Machine`].
//!
//! - [`socket`]: binding one UDP socket per worker to one address; receiving and sending with source addresses.
//! - [`source`]: which source address need not be named.
//! - [`outbox`]: what the core sends, collected into few system calls (GSO) and held back while the socket is full.
//! - [`inbox`]: messages from other threads, bounded for media and never refused for control.
//! - [`event_loop`]: one worker's turn, over and over.
//! - [`supervisor`]: starts the threads, wires their inboxes, reports a panic, stops and joins them.
//! - [`counters`]: what each worker did, readable from any thread.
//!
//! One worker never waits for another: messages between workers are queued and dropped when too many, datagrams
//! likewise. Nothing here allocates per packet.

pub mod counters;
mod event_loop;
pub mod inbox;
mod outbox;
pub mod socket;
mod source;
pub mod supervisor;
#[cfg(test)]
mod tests;

#[cfg(doc)]
use crate::core::machine::Machine;

pub use counters::{Counters, Drop, Snapshot};
pub use inbox::{Full, Inbox};
pub use socket::{bind, granted_buffers, max_segments};
pub use supervisor::{Failure, Settings, Workers, start};
