//! RTP and RTCP on the wire. The hot path's code: it reads in place, allocates nothing, and no bytes from the
//! network make it panic.
//!
//! - [`header`]: which protocol a datagram speaks; the RTP header and its extension elements, read.
//! - [`writer`]: the RTP header and its extension elements, written.
//! - [`seq`]: 16-bit sequence numbers and 32-bit timestamps unwrapped to 64 bits.
//! - [`payload`]: where a picture or a keyframe begins, for any codec; per codec in [`h264`], [`h265`], [`vp8`],
//!   [`vp9`], [`av1`], which read bit fields with `bits`.
//! - [`layering`]: temporal and spatial layers, from payloads and from AV1's dependency descriptor ([`dependency`]).
//! - [`picture`]: numbers in payloads that count pictures, continued from one layer to the next.
//! - [`red`]: sound with an earlier packet repeated in it.
//! - [`rtx`]: a retransmission turned back into the packet it repeats.
//! - [`rtcp`]: reports and feedback, read and written.
//!
//! `corpus/` holds streams of real encoders for the tests.

pub mod av1;
mod bits;
pub mod dependency;
pub mod h264;
pub mod h265;
pub mod header;
pub mod layering;
pub mod payload;
pub mod picture;
pub mod red;
pub mod rtcp;
pub mod rtx;
pub mod seq;
#[cfg(test)]
mod streams_tests;
pub mod vp8;
pub mod vp9;
pub mod writer;

pub use header::{Class, Elements, ExtensionBlock, RtpHeader, classify, is_rtcp};
pub use layering::{FrameLayer, LayerBounds};
pub use payload::{PayloadInfo, inspect};
pub use picture::{PictureNumbers, PictureShift};
pub use rtcp::{Rtcp, bye, feedback, fir, lost, nack, pli, receiver_report, sdes_cname, sender_report};
pub use seq::{SeqUnwrapper, TimestampUnwrapper};
pub use writer::{OutgoingHeader, write_header};
