//! The HTTP side.
//! - [`assets`]: the pages, embedded into the binary.

pub mod assets;
