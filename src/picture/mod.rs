//! Pictures of streams: a JPEG of a keyframe.
//!
//! A decoder that reads hostile bytes is where servers are broken into, the more so one in C++. So the server's process
//! decodes nothing: it starts its own program once more for each picture, which gives everything away that it does not
//! need ([`sandbox`]), decodes, and ends.
//!
//! - [`coded`]: from RTP payloads to what a decoder takes.
//! - [`maker`]: the server's side: one process per picture, few at once, none for long.
//! - [`decoder`]: the process's side.
//! - [`sandbox`]: what that process may still do.

pub mod coded;
pub mod decoder;
pub mod maker;
mod sandbox;

pub use coded::{Coded, CodedError, PictureCodec};
pub use maker::{Maker, MakerError};

/// Starts the program as a decoder, where it stands as the only argument. Not for people.
pub const COMMAND: &str = "decode-picture";
/// Bytes of a coded picture.
const MAX_CODED: usize = 4_000_000;
/// Bytes of a JPEG: its longer side has 1,280 pixels at most.
const MAX_JPEG: usize = 2_000_000;
/// Pixels of a coded picture: 4K, with room for alignment.
const MAX_PIXELS: u32 = 4096 * 2304;
