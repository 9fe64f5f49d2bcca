//! WHIP and WHEP clients without sockets or clocks: datagrams, answers and time go in, datagrams come out of the
//! [`outbox`], figures out of the stats.
//!
//! - [`publisher`], [`viewer`]: the two clients; [`sender`]: one outgoing stream.
//! - [`behaviour`]: viewers that are slow, lossy or stalled on purpose; [`link`]: those on a bad line.
//! - [`track`]: what a viewer knows of one incoming stream: loss, frames, freezes.
//! - [`keyframe`]: where frames begin and which are keyframes, by codec.
//! - [`peer`]: the transport both stand on; [`ice`] over [`stun`], [`dtls`], [`srtp`].
//! - [`offer`], [`answer`]: SDP as it is written and read here.
//! - [`rtp`], [`rtcp`]: packet formats.
//! - [`transport_cc`], [`remb`]: what a viewer tells the server of its line.
//! - [`outbox`]: datagrams laid out for GSO.

pub mod answer;
pub mod behaviour;
pub mod dtls;
pub mod ice;
pub mod keyframe;
pub mod link;
pub mod offer;
pub mod outbox;
pub mod peer;
pub mod publisher;
pub mod remb;
pub mod rtcp;
pub mod rtp;
pub mod sender;
pub mod srtp;
pub mod stun;
pub mod track;
pub mod transport_cc;
pub mod viewer;
