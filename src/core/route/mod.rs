//! What joins publishers and viewers.
//!
//! - [`packet`]: one media packet, shared by all that read it.
//! - [`buffer`]: a layer's packets since its keyframe.
//! - [`hub`]: a stream at one worker: its media and the viewers there. [`lane`]: one medium: its layers.
//! - [`ladder`]: what its video can be had for, with bitrates; [`sublayers`]: those within a layer.
//! - [`clock`]: the publisher's clocks, so that audio and video stay in sync at the viewer.
//! - [`keyframe`]: a stored keyframe, for a picture of the stream.
//! - [`message`]: what workers and the control plane say to each other.

pub mod buffer;
pub mod clock;
pub mod hub;
pub mod keyframe;
pub mod ladder;
pub mod lane;
pub mod message;
pub mod packet;
pub mod sublayers;

pub use buffer::{BufferLimits, Inserted, LayerBuffer};
pub use clock::{Arrivals, ClockPoint, PublisherClock};
pub use hub::Hub;
pub use keyframe::Keyframe;
pub use ladder::{Ladder, Rung};
pub use lane::{Lane, Layer, MAX_LAYERS, SourceKey};
pub use message::{EndReason, Message, Muted, Notice, RoutedPacket, Source};
pub use packet::{Carried, MediaPacket};
