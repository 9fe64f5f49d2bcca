//! The whole core over a virtual network in virtual time: workers, the control plane, publishers and viewers that
//! behave as real ones do. No sockets, no sleeps; the same seed gives the same network.
//!
//! - [`world`]: everything together; [`drive`]: what makes it go on.
//! - [`network`]: delay, jitter, loss, reordering, rates.
//! - [`offers`]: real clients' offers, made a test client's own.
//! - [`publisher`], [`viewer`]: the clients; [`media`]: what they send each other; [`screen`]: what is seen of it.
//! - [`wiretap`]: no nonce is used twice, in any scenario.
//!
//! The scenarios:
//! - [`clients`]: every client in the book. [`codecs`]: one medium, or a codec that a viewer lacks.
//! - [`start`]: a viewer's first picture. [`keyframes`]: asking for one. [`sync`]: sound and picture together.
//! - [`layers`]: simulcast: who gets which layer, and going from one to another. [`sublayers`]: layers within them.
//! - [`doctor`]: what is wrong with a publisher. [`mute`]: what viewers are not to get.
//! - [`statistics`]: what the control plane gets to know.
//! - [`adaptation`]: ways that are too narrow for the best layer. [`falls`]: ways that change. [`storms`]: lies about them.
//! - [`takeover`]: another publisher, none, the same one again.
//! - [`workers`]: what crosses between them. [`restart`]: ICE restarts, and other networks.
//! - [`loss`], [`bottlenecks`]: bad ways to and from the server. [`playout`]: what players are told to wait; and that
//!   it stays so for hours. [`nonces`]: asking for anything again. [`repair`]: what repairs a
//!   lost packet in time.
//! - [`hostile`]: clients that are who they say, and absurd. [`shutdown`]: goodbyes. [`idle`]:
//!   nobody to do anything for.

mod adaptation;
mod bottlenecks;
mod clients;
mod codecs;
mod doctor;
mod drive;
mod falls;
mod hostile;
mod idle;
mod keyframes;
mod layers;
mod loss;
mod media;
mod mute;
mod network;
mod nonces;
mod offers;
mod playout;
mod publisher;
mod repair;
mod restart;
mod screen;
mod shutdown;
mod start;
mod statistics;
mod storms;
mod sublayers;
mod sync;
mod takeover;
mod viewer;
mod wiretap;
mod workers;
mod world;
