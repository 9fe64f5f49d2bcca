//! AV1 in RTP (AV1 RTP payload specification, version 1.0).

use super::bits::Bits;
use super::payload::PayloadInfo;

/// OBU types (AV1 specification §6.2.2).
mod obu {
    pub const SEQUENCE_HEADER: u8 = 1;
    pub const TEMPORAL_DELIMITER: u8 = 2;
    pub const FRAME_HEADER: u8 = 3;
    pub const METADATA: u8 = 5;
    pub const FRAME: u8 = 6;
}

/// The aggregation header (§4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregationHeader {
    /// Z: the first OBU element continues one from the packet before.
    pub continues: bool,
    /// Y: the last OBU element goes on in the next packet.
    pub continued: bool,
    /// W: the number of OBU elements, the last of which has no length; 0: any number, each with its length.
    pub elements: u8,
    /// N: the first packet of a coded video sequence, which starts with a keyframe.
    pub new_sequence: bool,
}

impl AggregationHeader {
    pub fn parse(payload: &[u8]) -> Option<AggregationHeader> {
        let byte = *payload.first()?;
        Some(AggregationHeader {
            continues: byte & 0x80 != 0,
            continued: byte & 0x40 != 0,
            elements: byte >> 4 & 3,
            new_sequence: byte & 0x08 != 0,
        })
    }
}

pub(super) fn inspect(payload: &[u8]) -> Option<PayloadInfo> {
    let header = AggregationHeader::parse(payload)?;
    let mut info = PayloadInfo::default();
    let elements = Elements {
        rest: payload.get(1..)?,
        count: header.elements,
        index: 0,
    };
    // An element that continues an OBU has no OBU header to read.
    for element in elements.skip(header.continues.into()) {
        let Some(obu) = Obu::parse(element) else { continue };
        let (temporal, spatial) = obu.layers.unwrap_or_default();
        match obu.kind {
            obu::SEQUENCE_HEADER => {
                info.frame_start = true;
                info.resolution = info.resolution.or_else(|| sequence_header_resolution(obu.data));
            }
            obu::TEMPORAL_DELIMITER | obu::METADATA => info.frame_start = true,
            // Higher spatial layers are further frames of the same picture.
            obu::FRAME_HEADER | obu::FRAME => info.frame_start |= spatial == 0,
            _ => {}
        }
        if obu.layers.is_some() {
            info.temporal_layer = info.temporal_layer.or(Some(temporal));
        }
    }
    // N must not be set on a packet that begins within an OBU.
    info.keyframe_start = header.new_sequence && !header.continues && payload.len() > 1;
    info.frame_start |= info.keyframe_start;
    Some(info)
}

/// The OBU elements of a packet, until one is malformed.
struct Elements<'a> {
    rest: &'a [u8],
    count: u8,
    index: u8,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return None;
        }
        self.index = self.index.saturating_add(1);
        if self.count != 0 && self.index >= self.count {
            return Some(rest);
        }
        let (len, rest) = leb128(rest)?;
        let (element, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        Some(element)
    }
}

struct Obu<'a> {
    kind: u8,
    /// Temporal and spatial id.
    layers: Option<(u8, u8)>,
    /// May be cut short where the OBU goes on in the next packet.
    data: &'a [u8],
}

impl<'a> Obu<'a> {
    /// AV1 specification §5.3.
    fn parse(element: &'a [u8]) -> Option<Obu<'a>> {
        let (&header, mut data) = element.split_first()?;
        let mut layers = None;
        if header & 0x04 != 0 {
            let (&extension, rest) = data.split_first()?;
            layers = Some((extension >> 5, extension >> 3 & 3));
            data = rest;
        }
        if header & 0x02 != 0 {
            // The size is redundant here, and senders should leave it out.
            (_, data) = leb128(data)?;
        }
        Some(Obu {
            kind: header >> 3 & 0x0f,
            layers,
            data,
        })
    }
}

/// A little-endian number in groups of seven bits (AV1 specification §4.10.5), of at most 8 bytes and below 2³².
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((usize::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

/// The largest frame's size (AV1 specification §5.5).
fn sequence_header_resolution(data: &[u8]) -> Option<(u16, u16)> {
    let mut bits = Bits::new(data);
    bits.skip(3 + 1)?; // seq_profile, still_picture
    if bits.bit()? {
        bits.skip(5)?; // reduced_still_picture_header: only seq_level_idx
    } else {
        skip_operating_points(&mut bits)?;
    }
    let width_bits = bits.bits(4)? + 1;
    let height_bits = bits.bits(4)? + 1;
    let width = bits.bits(width_bits)? + 1;
    let height = bits.bits(height_bits)? + 1;
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

fn skip_operating_points(bits: &mut Bits<'_>) -> Option<()> {
    let mut decoder_model_delay_bits = None;
    if bits.bit()? {
        bits.skip(32 + 32)?; // num_units_in_display_tick, time_scale
        if bits.bit()? {
            bits.exp_golomb()?; // num_ticks_per_picture_minus_1
        }
        if bits.bit()? {
            decoder_model_delay_bits = Some(bits.bits(5)? as usize + 1);
            bits.skip(32 + 5 + 5)?; // num_units_in_decoding_tick, two lengths
        }
    }
    let initial_display_delay = bits.bit()?;
    for _ in 0..=bits.bits(5)? {
        bits.skip(12)?; // operating_point_idc
        if bits.bits(5)? > 7 {
            bits.skip(1)?; // seq_tier
        }
        if let Some(delay_bits) = decoder_model_delay_bits
            && bits.bit()?
        {
            bits.skip(2 * delay_bits + 1)?; // decoder and encoder buffer delay, low_delay_mode_flag
        }
        if initial_display_delay && bits.bit()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::bits::BitWriter;
    use super::*;
    use proptest::prelude::*;

    // Written by SVT-AV1, without the size fields: the sequence header of 1280x720, a keyframe's beginning.
    const SEQUENCE: &[u8] = &[
        0x08, 0x00, 0x00, 0x00, 0x2d, 0x4c, 0xff, 0xb3, 0xc4, 0xaf, 0x90, 0x04,
    ];
    const FRAME: &[u8] = &[
        0x30, 0x10, 0x00, 0x8c, 0x20, 0x81, 0x45, 0x08, 0x20, 0x40, 0x00, 0x00, 0x03, 0x25, 0x0e, 0x47, 0x0d,
    ];

    #[test]
    fn a_keyframes_first_packet() {
        let expected = PayloadInfo {
            keyframe_start: true,
            frame_start: true,
            temporal_layer: None,
            resolution: Some((1280, 720)),
        };
        // W = 2: the last element has no length. W = 0: each has one.
        let counted = [&[0x28, 12], SEQUENCE, FRAME].concat();
        let sized = [&[0x48, 12], SEQUENCE, &[17], FRAME].concat();
        // An OBU with its own size field, which senders should leave out.
        let doubled = [&[0x28, 13, 0x0a, 11], &SEQUENCE[1..], FRAME].concat();
        for payload in [counted, sized, doubled] {
            assert_eq!(inspect(&payload), Some(expected), "{payload:x?}");
        }
    }

    #[test]
    fn what_starts_a_picture() {
        let start = PayloadInfo {
            frame_start: true,
            ..PayloadInfo::default()
        };
        assert_eq!(inspect(&[&[0x10], FRAME].concat()), Some(start));
        // Continues a frame; then the same with a tile group of its own behind it.
        assert_eq!(inspect(&[&[0x90], FRAME].concat()), Some(PayloadInfo::default()));
        assert_eq!(
            inspect(&[&[0xa0, 17], FRAME, &[4 << 3, 1]].concat()),
            Some(PayloadInfo::default())
        );
        // Layers: temporal 1, spatial 0; temporal 1, spatial 1.
        let layered = |extension| inspect(&[0x10, 6 << 3 | 4, extension, 1, 2]).unwrap();
        assert_eq!(
            layered(0x20),
            PayloadInfo {
                temporal_layer: Some(1),
                ..start
            }
        );
        assert_eq!(
            layered(0x28),
            PayloadInfo {
                temporal_layer: Some(1),
                frame_start: false,
                ..start
            }
        );
        // N without anything, and N where it cannot be.
        assert_eq!(inspect(&[0x08]), Some(PayloadInfo::default()));
        assert_eq!(inspect(&[&[0x98], FRAME].concat()), Some(PayloadInfo::default()));
    }

    #[test]
    fn lengths_of_hostile_size() {
        for payload in [
            &[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1][..],
            &[0x00, 0x80],
            &[0x20, 200, 8],
        ] {
            assert_eq!(inspect(payload), Some(PayloadInfo::default()), "{payload:x?}");
        }
        assert_eq!(leb128(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None);
        assert_eq!(leb128(&[0xe5, 0x8e, 0x26, 7]), Some((624_485, &[7][..])));
    }

    proptest! {
        #[test]
        fn the_size_is_found_behind_whatever_precedes_it(
            size in (1..=65_535u32, 1..=65_535u32), reduced: bool, timing: bool, ticks in proptest::option::of(0..99u32),
            delay_bits in proptest::option::of(1..=32u32), display_delay: bool,
            points in proptest::collection::vec((0..32u64, any::<bool>(), any::<bool>()), 1..=32),
        ) {
            let mut header = BitWriter::default();
            header.bits(0, 4).bits(reduced.into(), 1);
            if reduced {
                header.bits(8, 5);
            } else {
                let delay_bits = delay_bits.filter(|_| timing);
                header.bits(timing.into(), 1);
                if timing {
                    header.bits(1, 32).bits(30, 32).bits(ticks.is_some().into(), 1);
                    if let Some(ticks) = ticks {
                        header.exp_golomb(ticks);
                    }
                    header.bits(delay_bits.is_some().into(), 1);
                    if let Some(bits) = delay_bits {
                        header.bits(u64::from(bits) - 1, 5).bits(7, 32).bits(3, 5).bits(4, 5);
                    }
                }
                header.bits(display_delay.into(), 1).bits(points.len() as u64 - 1, 5);
                for (level, model, delay) in &points {
                    header.bits(0, 12).bits(*level, 5).bits(0, u32::from(*level > 7));
                    if let Some(bits) = delay_bits {
                        header.bits(u64::from(*model), 1).bits(0, if *model { 2 * bits + 1 } else { 0 });
                    }
                    if display_delay {
                        header.bits(u64::from(*delay), 1).bits(9, if *delay { 4 } else { 0 });
                    }
                }
            }
            header.bits(15, 4).bits(15, 4).bits(u64::from(size.0) - 1, 16).bits(u64::from(size.1) - 1, 16);
            let payload = [&[0x18, 1 << 3], &header.bytes()[..]].concat();
            let found = inspect(&payload).unwrap().resolution;
            prop_assert_eq!(found, Some((size.0 as u16, size.1 as u16)));
        }
    }
}
