//! The whole core over a virtual network in virtual time: workers, the control plane, publishers and viewers that
//! behave as real ones do. No sockets, no sleeps; the same seed gives the same network.
//!
//! - [`world`]: everything together, and what drives it.
//! - [`network`]: delay, jitter, loss, reordering, rates.
//! - [`offers`]: real clients' offers, made a test client's own.
//! - [`publisher`], [`viewer`]: the clients; [`media`]: what they send each other.
//! - [`wiretap`]: no nonce is used twice, in any scenario.
//!
//! The scenarios:
//! - [`loss`]: lossy ways to and from the server.
//! - [`start`]: a viewer's first picture. [`keyframes`]: asking for one.
//! - [`takeover`]: another publisher, none, the same one again.

mod bottlenecks;
mod clients;
mod codecs;
mod hostile;
mod keyframes;
mod loss;
mod media;
mod network;
mod nonces;
mod offers;
mod publisher;
mod restart;
mod shutdown;
mod start;
mod sync;
mod takeover;
mod viewer;
mod wiretap;
mod workers;
mod world;
