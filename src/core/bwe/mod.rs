//! How much a viewer's way carries: a bandwidth estimate for each viewer, from what its receiver reports.
//!
//! - [`estimator`]: the estimate itself: what is told to it, what it tells.
//! - [`arrivals`]: delays and rates as the receiver saw them.
//! - [`rate`]: what follows from them.
//! - [`loss`]: losses, and which of them mean that too much is sent.
//! - [`probing`]: short trains of packets that show whether more gets through.
//! - [`reports`]: the estimate without transport-wide feedback.
//! - [`feedback`]: transport-wide feedback taken apart in place.
//! - [`history`]: what was sent under which transport-wide number, and what became of it.
//! - [`meter`]: how much was sent lately.
//! - `receiver`: the other side, for tests.
//! - `trial`: links to try it on, for tests.
//!
//! The contract. Egress calls [`Estimator::sent`] for each packet that goes out, in the order of their transport-wide
//! numbers, and writes the number it gets into the packet. It hands over feedback as it comes, and calls
//! [`Estimator::tick`] about every 50 ms. It reads [`Estimator::estimate`] as often as it likes: never more than was
//! proven, by packets that arrived at that rate without queueing. A viewer that gets less than its way carries proves
//! nothing more; so where a higher layer is wanted, [`Estimator::probe`] says whether to try now, how fast and with how
//! many bytes. While [`Estimator::probing`] says so, whatever is sent counts: media first, then padding or repetitions
//! to fill up. What the probe shows is in the estimate about a round trip later.
//!
//! Rates and sizes are those of UDP payloads: RTP with header, extensions and authentication tag, without IP.
//!
//! Feedback comes from outside. It costs work bounded by its own length and by [`history`], names packets that were
//! really sent or is passed over whole, and moves the estimate only within what the sender's own books allow.

pub mod arrivals;
pub mod estimator;
#[cfg(test)]
mod estimator_tests;
pub mod feedback;
#[cfg(test)]
mod feedback_tests;
pub mod history;
pub mod loss;
pub mod meter;
pub mod probing;
pub mod rate;
#[cfg(any(test, feature = "testing"))]
pub mod receiver;
pub mod reports;
#[cfg(test)]
mod trial;

pub use estimator::{Estimate, Estimator, EstimatorConfig, Probe, Source};
