//! The subcommands.
//!
//! - [`publish`], [`watch`]: one side of a stream each.
//! - [`mod@bench`]: starts a server and measures what forwarding costs it.
//! - [`args`]: flags that several of them share.
//! - [`pace`]: seconds and Ctrl-C.

pub mod args;
pub mod bench;
pub mod pace;
pub mod publish;
pub mod watch;
