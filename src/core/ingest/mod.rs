//! A publisher's tracks as they come in.
//!
//! - [`publisher`]: from a decrypted packet to a routed one: which track and layer, RTX undone, order, keyframes.
//! - [`sources`]: which SSRC is what.
//! - [`reception`]: what the publisher is told: receiver reports and transport-wide feedback, by the family's
//!   interceptor chain; NACK, by [`nack`].
//! - [`doctor`]: what is wrong with it; [`doctor_clock`]: whether its time stamps go on as time does.
//! - [`meter`]: what a layer came to; [`statistics`]: all of it, once a second.
//! - [`keyframes`]: keyframe requests towards the publisher, few and answered or not.

pub mod doctor;
mod doctor_clock;
#[cfg(test)]
mod doctor_tests;
pub mod keyframes;
pub mod meter;
pub mod nack;
pub mod publisher;
pub mod reception;
pub mod sources;
pub mod statistics;

pub use publisher::{Publisher, PublisherOutput};
