//! What the spatial and temporal layers within a layer take.

use std::time::Instant;

use super::ladder::RateWindow;
use crate::core::ids::Bitrate;
use crate::core::rtp::{FrameLayer, LayerBounds};

/// Told apart of each kind; what is higher counts with the highest of these.
const MAX: usize = 4;

/// Bitrates of the layers above the lowest. Takes no room while there are none.
#[derive(Clone, Debug, Default)]
pub struct SublayerRates {
    /// By spatial, then by temporal layer.
    rates: Option<Box<[[RateWindow; MAX]; MAX]>>,
}

impl SublayerRates {
    #[inline]
    pub fn add(&mut self, at: Instant, frame: FrameLayer, bytes: usize) {
        if (frame.spatial, frame.temporal) == (0, 0) {
            return;
        }
        let rates = self.rates.get_or_insert_default();
        let of_spatial = rates.get_mut(usize::from(frame.spatial).min(MAX - 1));
        if let Some(rate) = of_spatial.and_then(|all| all.get_mut(usize::from(frame.temporal).min(MAX - 1))) {
            rate.add(at, bytes);
        }
    }

    /// What the layers beyond the bounds take.
    pub fn beyond(&self, bounds: LayerBounds, now: Instant) -> Bitrate {
        let layers = self.rates.iter().flat_map(|all| all.iter()).enumerate();
        let rates = layers.flat_map(|(spatial, all)| {
            all.iter()
                .enumerate()
                .map(move |(temporal, rate)| (spatial, temporal, rate))
        });
        let is_beyond = |spatial: usize, temporal: usize| {
            spatial > usize::from(bounds.spatial) || temporal > usize::from(bounds.temporal)
        };
        let beyond = rates.filter(|(spatial, temporal, _)| is_beyond(*spatial, *temporal));
        Bitrate(beyond.map(|(_, _, rate)| rate.bitrate(now).0).sum())
    }
}
