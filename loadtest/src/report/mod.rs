//! Figures for people and programs.
//!
//! - [`totals`]: one interval of a run summed up over all clients.
//! - [`table`]: aligned text.

pub mod table;
pub mod totals;
