//! shibuki: a Selective Forwarding Unit. One publisher's stream comes in by WHIP, any number of viewers take it
//! out by WHEP; nothing is transcoded.
//!
//! The map, from the outside in:
//! - [`server`]: composition: bind, start, serve, drain, stop.
//! - [`http`]: the HTTP side: WHIP, WHEP, sessions, the small JSON API.
//! - [`control`]: who publishes and who watches what; hands sessions to workers.
//! - [`sdp`]: reads offers, writes answers.
//! - [`core`]: the media path as a state machine without sockets, clocks or threads.
//! - [`worker`]: threads with sockets and clocks that drive the core.

pub mod control;
pub mod core;
pub mod http;
pub mod sdp;
pub mod server;
pub mod worker;
