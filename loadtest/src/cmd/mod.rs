//! The subcommands.
//!
//! - [`publish`], [`watch`]: one side of a stream each.
//! - [`mod@bench`]: starts a server and measures what forwarding costs it.
//! - [`run`]: publishers and viewers together, as a scenario says.
//! - [`compare`]: the same scenario at several servers.
//! - [`mod@reference`]: the small server of an independent stack, by itself.
//! - [`args`]: flags that several of them share.
//! - [`pace`]: seconds and Ctrl-C.

pub mod args;
pub mod bench;
pub mod compare;
pub mod pace;
pub mod publish;
pub mod reference;
pub mod run;
pub mod watch;
