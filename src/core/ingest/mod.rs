//! A publisher's tracks as they come in.
//!
//! - [`publisher`]: from a decrypted packet to a routed one: which track and layer, RTX undone, order, keyframes.
//! - [`sources`]: which SSRC is what.
//! - [`reception`]: NACK, receiver reports and transport-wide feedback, by the family's interceptor chain.
//! - [`keyframes`]: keyframe requests towards the publisher, few and answered or not.

pub mod keyframes;
pub mod publisher;
pub mod reception;
pub mod sources;

pub use publisher::{Publisher, PublisherOutput};
