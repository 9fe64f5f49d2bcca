//! A publisher's tracks as they come in.
//!
//! - [`publisher`]: from a decrypted packet to a routed one: which track and layer, RTX undone, order, keyframes.
//! - [`sources`]: which SSRC is what.
//! - [`reception`]: what the publisher is told: receiver reports and transport-wide feedback, by the family's
//!   interceptor chain; NACK, by [`nack`].
//! - [`keyframes`]: keyframe requests towards the publisher, few and answered or not.

pub mod keyframes;
pub mod nack;
pub mod publisher;
pub mod reception;
pub mod sources;

pub use publisher::{Publisher, PublisherOutput};
