//! Which temporal and spatial layer a packet belongs to, and where a viewer of fewer layers may take up more.

use super::dependency::{self, Switches};
use super::{vp8, vp9};
use crate::core::media::Codec;

/// The highest layers that are sent; [`ALL`](Self::ALL) in either: every one there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerBounds {
    pub spatial: u8,
    pub temporal: u8,
}

impl LayerBounds {
    pub const ALL: u8 = u8::MAX;

    /// Whether a frame is sent.
    #[inline]
    pub fn hold(self, frame: FrameLayer) -> bool {
        frame.spatial <= self.spatial && frame.temporal <= self.temporal
    }

    /// Nothing beyond either.
    pub fn within(self, other: Self) -> Self {
        Self {
            spatial: self.spatial.min(other.spatial),
            temporal: self.temporal.min(other.temporal),
        }
    }
}

impl Default for LayerBounds {
    fn default() -> Self {
        Self {
            spatial: Self::ALL,
            temporal: Self::ALL,
        }
    }
}

/// Where a packet's frame stands among the layers of its stream. A frame is one spatial layer of a picture. What tells
/// of no layers is of the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameLayer {
    pub spatial: u8,
    pub temporal: u8,
    /// The first packet of its frame, where that is told.
    pub starts: bool,
    /// The last packet of its frame, where that is told.
    pub ends: bool,
    rise: Rise,
}

/// Where a viewer that got fewer layers may get more. The codecs tell it in different ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rise {
    #[default]
    No,
    /// VP8's Y (RFC 7741 §4.2): the frame refers to the base layer alone.
    Temporal,
    /// VP9 (RFC 9628 §4.2). U: what is above this frame's temporal layer does not refer to what came before it.
    /// Not P: the frame refers to no other picture.
    Above { temporal: bool, spatial: bool },
    /// The dependency descriptor's switch indications, and whether the frame refers to no other picture.
    To { switches: Switches, own_picture: bool },
}

impl FrameLayer {
    /// Of a plain payload, where the codec tells there.
    pub fn of_payload(codec: Codec, payload: &[u8]) -> Self {
        let found = match codec {
            Codec::Vp8 => vp8::Descriptor::parse(payload).map(Self::of_vp8),
            Codec::Vp9 { .. } => vp9::Descriptor::parse(payload).map(Self::of_vp9),
            _ => None,
        };
        found.unwrap_or_default()
    }

    fn of_vp8(descriptor: vp8::Descriptor) -> Self {
        let (temporal, sync) = descriptor.temporal_layer.unwrap_or_default();
        Self {
            temporal,
            starts: descriptor.partition_start && descriptor.partition == 0,
            rise: if sync { Rise::Temporal } else { Rise::No },
            ..Self::default()
        }
    }

    fn of_vp9(descriptor: vp9::Descriptor) -> Self {
        let Some(layer) = descriptor.layer else {
            return Self::default();
        };
        Self {
            spatial: layer.spatial,
            temporal: layer.temporal,
            starts: descriptor.frame_start,
            ends: descriptor.frame_end,
            rise: Rise::Above {
                temporal: layer.switching_up,
                spatial: !descriptor.inter_predicted,
            },
        }
    }

    pub fn of_descriptor(descriptor: &dependency::Descriptor) -> Self {
        Self {
            spatial: descriptor.spatial,
            temporal: descriptor.temporal,
            starts: descriptor.start_of_frame,
            ends: descriptor.end_of_frame,
            rise: Rise::To {
                switches: descriptor.switches,
                own_picture: descriptor.own_picture,
            },
        }
    }

    /// What one who got the layers within `now` may get from this frame on, on the way to `wanted`, which is not lower.
    /// A keyframe's first packet allows everything, which is for the caller to know.
    pub fn raised(self, now: LayerBounds, wanted: LayerBounds) -> LayerBounds {
        let mut bounds = now;
        if !self.starts {
            return bounds;
        }
        match self.rise {
            Rise::No => {}
            Rise::Temporal => {
                // One at a time: what is between may refer to its own layer's past.
                if now.temporal < wanted.temporal && self.temporal == now.temporal + 1 {
                    bounds.temporal = self.temporal;
                }
            }
            Rise::Above { temporal, spatial } => {
                if temporal && now.hold(self) {
                    bounds.temporal = wanted.temporal;
                }
                if spatial && now.spatial < wanted.spatial && self.spatial == now.spatial + 1 {
                    bounds.spatial = self.spatial;
                }
            }
            Rise::To {
                switches,
                own_picture,
            } => {
                if now.hold(self) && switches.allow(now.spatial, wanted.temporal) {
                    bounds.temporal = wanted.temporal;
                }
                // One at a time: of this picture all that is below was sent then.
                if own_picture
                    && now.spatial < wanted.spatial
                    && self.spatial == now.spatial + 1
                    && switches.allow(self.spatial, bounds.temporal)
                {
                    bounds.spatial = self.spatial;
                }
            }
        }
        bounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VP9: Codec = Codec::Vp9 { profile_id: 0 };

    fn bounds(spatial: u8, temporal: u8) -> LayerBounds {
        LayerBounds { spatial, temporal }
    }

    #[test]
    fn vp8_rises_layer_by_layer_at_frames_that_refer_to_the_base_alone() {
        let frame = |temporal: u8, sync: bool| {
            let byte = temporal << 6 | u8::from(sync) << 5;
            FrameLayer::of_payload(Codec::Vp8, &[0x90, 0xe0, 0x80, 0x01, 0x07, byte, 0x01])
        };
        let all = LayerBounds::default();
        assert_eq!(frame(1, true).temporal, 1);
        assert_eq!(frame(1, true).raised(bounds(9, 0), all), bounds(9, 1));
        assert_eq!(frame(1, false).raised(bounds(9, 0), all), bounds(9, 0));
        assert_eq!(frame(2, true).raised(bounds(9, 0), all), bounds(9, 0));
        assert_eq!(frame(2, true).raised(bounds(9, 1), all), bounds(9, 2));
        assert_eq!(frame(2, true).raised(bounds(9, 1), bounds(9, 1)), bounds(9, 1));
        // A packet in the middle of its frame.
        let middle = FrameLayer::of_payload(Codec::Vp8, &[0x80, 0xe0, 0x80, 0x01, 0x07, 0x60, 0x01]);
        assert_eq!(middle.raised(bounds(9, 0), all), bounds(9, 0));
    }

    #[test]
    fn vp9_rises_above_a_switching_up_point_and_to_a_frame_of_its_own_picture() {
        // I, L, B; P where predicted; temporal, U, spatial, D.
        let frame = |predicted: bool, temporal: u8, up: bool, spatial: u8| {
            let flags = 0xa8 | u8::from(predicted) << 6;
            let layer = temporal << 5 | u8::from(up) << 4 | spatial << 1;
            FrameLayer::of_payload(VP9, &[flags, 0x80, 0x05, layer, 0x09, 0x82])
        };
        let all = LayerBounds::default();
        assert_eq!(
            frame(true, 0, true, 0).raised(bounds(0, 0), bounds(0, 2)),
            bounds(0, 2)
        );
        assert_eq!(
            frame(true, 0, false, 0).raised(bounds(0, 0), bounds(0, 2)),
            bounds(0, 0)
        );
        assert_eq!(
            frame(true, 1, true, 0).raised(bounds(0, 0), bounds(0, 2)),
            bounds(0, 0)
        );
        assert_eq!(frame(true, 0, false, 1).raised(bounds(0, 9), all), bounds(0, 9));
        assert_eq!(frame(false, 0, false, 1).raised(bounds(0, 9), all), bounds(1, 9));
        assert_eq!(frame(false, 0, false, 2).raised(bounds(0, 9), all), bounds(0, 9));
        assert!(bounds(1, 0).hold(frame(true, 0, false, 1)));
        assert!(!bounds(0, 9).hold(frame(true, 0, false, 1)));
        assert!(!bounds(1, 0).hold(frame(true, 1, false, 0)));
    }

    #[test]
    fn a_descriptors_switches_say_where_to_rise() {
        let mut known = None;
        let bytes = dependency::tests::with_structure(0, 7, 0, &dependency::tests::L1T3, None);
        let base = FrameLayer::of_descriptor(&dependency::read(&bytes, &mut known).unwrap());
        let all = LayerBounds::default();
        assert_eq!(base.raised(bounds(LayerBounds::ALL, 0), all), all);
        let upper = FrameLayer::of_descriptor(&dependency::read(&[0x80 | 3, 0, 9], &mut known).unwrap());
        assert_eq!(upper.temporal, 2);
        assert_eq!(upper.raised(bounds(0, 0), bounds(0, 2)), bounds(0, 0));
    }
}
