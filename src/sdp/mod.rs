//! Reads offers, writes answers. Pure text in, text and [`media`](crate::core::media) out: nothing here knows HTTP,
//! sockets or sessions.
//!
//! - [`offer`]: an SDP offer, checked and taken apart; the transport half of the negotiation.
//! - [`publisher`]: the answer to a WHIP offer. [`viewer`]: the answer to a WHEP offer.
//! - [`codec`]: which payload formats pass through here, and when two of them are the same.
//! - [`fragment`]: trickled candidates and ICE restarts (RFC 8840).
//! - [`error`]: why an offer is malformed ([`OfferError`]) or well-formed but refused ([`Reject`]).
//! - `section`: one m-section of an offer. `text`: lines, limits, and the SDP parser behind them.
//!   `extension`: header extensions. `answer`: what publishers' and viewers' answers have in common.
//!
//! The text comes from anyone: every count has a limit, nothing recurses, and no input panics.

mod answer;
pub mod codec;
pub mod error;
mod extension;
pub mod fragment;
pub mod offer;
pub mod publisher;
mod section;
mod text;
pub mod viewer;

pub use answer::{AnswerParams, MAX_ANSWER_BYTES};
pub use codec::match_codec;
pub use error::{OfferError, Reject};
pub use fragment::{SdpFragment, parse_fragment, restart_fragment};
pub use offer::Offer;
pub use publisher::answer_publisher;
pub use viewer::answer_viewer;
