//! What publishers send.
//!
//! - [`synthetic`]: frames of chosen size and rhythm, packetised as VP8 or H.264, and Opus-like audio.
//! - [`mod@file`]: IVF, Annex B and Ogg Opus files, looped; [`mp4`]: MP4.
//! - [`picture`]: the grey pictures of the synthetic streams.
//! - [`stamp`]: the stamp in each synthetic packet that viewers read latency from.

pub mod file;
pub mod mp4;
pub mod picture;
pub mod stamp;
pub mod synthetic;

use std::sync::Arc;
use std::time::Duration;

use crate::client::offer::VideoCodec;
use file::VideoFile;
use synthetic::VideoPlan;

/// Where a publisher's video comes from.
#[derive(Clone, Debug)]
pub enum VideoSource {
    Synthetic(VideoPlan),
    File(Arc<VideoFile>),
}

impl VideoSource {
    pub fn codec(&self) -> VideoCodec {
        match self {
            VideoSource::Synthetic(plan) => plan.codec,
            VideoSource::File(file) => file.codec,
        }
    }

    /// Mean time between frames.
    pub fn frame_time(&self) -> Duration {
        match self {
            VideoSource::Synthetic(plan) => Duration::from_secs_f64(1.0 / plan.fps),
            VideoSource::File(file) => file.length / file.frames.len().max(1) as u32,
        }
    }

    pub fn synthetic(&self) -> Option<VideoPlan> {
        match self {
            VideoSource::Synthetic(plan) => Some(*plan),
            VideoSource::File(_) => None,
        }
    }
}
