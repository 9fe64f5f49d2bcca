//! Viewers and publishers made of the async `webrtc` crate: an independent stack to check our own clients against.
//! It reports the same figures, costs many times more, and can do less: no limited lines, no bad behaviour, no
//! simulcast.
//!
//! - [`connection`]: a peer connection brought to a WHIP or WHEP server.
//! - [`watch`], [`publish`]: the two clients, many of each in a [`crowd`].

pub mod connection;
pub mod crowd;
pub mod publish;
#[cfg(test)]
mod tests;
pub mod watch;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Stack {
    /// The load test's own clients
    #[default]
    Own,
    /// The async webrtc crate
    Webrtc,
}
