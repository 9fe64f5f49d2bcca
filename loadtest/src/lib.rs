//! Publishes to and watches any WHIP/WHEP server, and measures what it does.
//!
//! - [`client`]: WHIP and WHEP clients without sockets or clocks.
//! - [`source`]: what publishers send.
//! - [`driver`]: the threads, sockets and HTTP requests that run many clients; [`driver::Publishers`] and
//!   [`driver::Viewers`] are the handles for tests and benches.
//! - [`scenario`]: publishers and viewers together, as a file describes them, held against limits.
//! - [`measure`]: CPU, memory and drops of the server and of ourselves.
//! - [`report`]: live lines, tables, JSON.
//! - [`cmd`]: the subcommands.
//! - [`stack`]: publishers and viewers of an independent stack, for cross-checks.
//! - [`mod@reference`]: a small server of an independent stack, to check the clients against.

pub mod client;
pub mod cmd;
pub mod driver;
pub mod measure;
pub mod reference;
pub mod report;
pub mod scenario;
pub mod source;
pub mod stack;
