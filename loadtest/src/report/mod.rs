//! Figures for people and programs.
//!
//! - [`totals`]: one interval of a run summed up over all clients.
//! - [`figures`]: a scenario's outcome, each figure with its explanation.
//! - [`table`]: aligned text.
//! - [`html`]: a page that stands alone; [`plot`]: the pictures in it.

pub mod figures;
pub mod html;
pub mod limited;
pub mod plot;
pub mod table;
pub mod totals;
