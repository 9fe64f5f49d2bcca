//! The estimator over a link in virtual time, next to the family's Google Congestion Control.
//!
//! - [`link`]: a rate with a queue, delay, jitter, loss, other traffic; all may change over time.
//! - [`sender`]: layered video as an SFU forwards it, or an encoder that follows the estimate.
//! - [`contender`]: the estimators under trial.
//! - [`scenarios`]: what is asked of them.

mod contender;
mod link;
mod scenarios;
mod sender;
