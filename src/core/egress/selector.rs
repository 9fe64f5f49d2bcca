//! Which layer a viewer is to get. That it gets it without a break is the track's business
//! ([`EgressTrack`](super::EgressTrack)).

use crate::core::media::LayerChoice;
use crate::core::route::{Lane, Layer};
use crate::core::rtp::LayerBounds;

#[derive(Debug)]
pub struct LayerSelector {
    choice: LayerChoice,
    target: Option<u8>,
    /// The lane's revision that the target was worked out for.
    revision: Option<u32>,
}

impl LayerSelector {
    pub fn new(choice: LayerChoice) -> Self {
        Self {
            choice,
            target: None,
            revision: None,
        }
    }

    /// The viewer wants something else; counts from the next [`update`](Self::update) on.
    pub fn choose(&mut self, choice: LayerChoice) {
        self.choice = choice;
        self.revision = None;
    }

    /// The layer to send; `None` while there is none.
    #[inline]
    pub fn target(&self) -> Option<u8> {
        self.target
    }

    /// The spatial and temporal layers of it to send.
    pub fn bounds(&self) -> LayerBounds {
        LayerBounds {
            spatial: self.choice.max_spatial.unwrap_or(LayerBounds::ALL),
            temporal: self.choice.max_temporal.unwrap_or(LayerBounds::ALL),
        }
    }

    /// Works the target out anew where the layers have changed. Call before packets are forwarded.
    #[inline]
    pub fn update(&mut self, lane: &Lane) {
        if self.revision != Some(lane.revision()) {
            self.revision = Some(lane.revision());
            self.target = self.pick(lane);
        }
    }

    fn pick(&self, lane: &Lane) -> Option<u8> {
        let choice = &self.choice;
        let named = choice
            .rid
            .as_ref()
            .and_then(|rid| lane.ranked().find(|(_, layer)| layer.rid.as_ref() == Some(rid)));
        let found = named.or_else(|| match choice.max_height {
            Some(max) => up_to(lane, max),
            // Automatic: the best there is. What the viewer's link carries is to be asked here.
            None => lane.ranked().next(),
        });
        found.map(|(index, _)| index)
    }
}

/// The largest picture that is not higher, or the smallest. A layer of unknown height is the last resort.
fn up_to(lane: &Lane, max: u16) -> Option<(u8, &Layer)> {
    let known = || {
        lane.ranked()
            .filter_map(|(index, layer)| Some((index, layer, layer.size?.1)))
    };
    let found = known()
        .find(|(_, _, height)| *height <= max)
        .or_else(|| known().next_back());
    match found {
        Some((index, layer, _)) => Some((index, layer)),
        None => lane.ranked().next(),
    }
}
