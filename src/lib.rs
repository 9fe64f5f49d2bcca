//! shibuki: a Selective Forwarding Unit. One publisher's stream comes in by WHIP, any number of viewers take it
//! out by WHEP; nothing is transcoded.
//!
//! The map, from the outside in:
//! - [`config`]: what the server can be told, validated.
//! - [`command`]: what the program does instead of serving: keys, checks.
//! - [`server`]: composition: bind, start, serve, drain, stop.
//! - [`http`]: the HTTP side: WHIP, WHEP, sessions, the small JSON API.
//! - [`control`]: who publishes and who watches what; hands sessions to workers.
//! - [`sdp`]: reads offers, writes answers.
//! - [`metrics`]: what is measured, by its names. [`webhooks`]: events told to others.
//! - [`traces`]: joins told to an OpenTelemetry collector.
//! - [`picture`]: a JPEG of a stream, decoded in a process of its own.
//! - [`outgoing`]: HTTP requests the server makes itself.
//! - [`core`]: the media path as a state machine without sockets, clocks or threads.
//! - [`worker`]: threads with sockets and clocks that drive the core.

pub mod command;
pub mod config;
pub mod control;
pub mod core;
pub mod http;
pub mod metrics;
pub mod outgoing;
pub mod picture;
pub mod sdp;
pub mod server;
pub mod traces;
pub mod webhooks;
pub mod worker;
