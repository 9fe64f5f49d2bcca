//! The dependency descriptor (AV1 RTP payload specification, appendix A): a header extension that says which layers a
//! frame belongs to and who can do without it. Most packets carry three bytes of it, which name a template; the
//! templates come with each keyframe.

use super::bits::Bits;

/// Templates of one structure (§A.8.2: their ids have six bits).
const MAX_TEMPLATES: usize = 64;
/// Spatial ids have two bits in AV1, temporal ids three (AV1 specification §5.3.3).
const MAX_SPATIAL: u8 = 3;
const MAX_TEMPORAL: u8 = 7;
/// References that one frame may have.
const MAX_FRAME_DIFFS: u32 = 64;

/// The fields that each packet's descriptor begins with.
const MANDATORY: usize = 3;
/// Switch indication (§A.8.3.3, table A.1): whoever can decode this frame can decode all later ones of the target.
const SWITCH: u32 = 2;

/// What one packet's descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub start_of_frame: bool,
    pub end_of_frame: bool,
    pub frame_number: u16,
    /// Templates come with it: the first packet of a keyframe.
    pub has_structure: bool,
    pub spatial: u8,
    pub temporal: u8,
    pub switches: Switches,
    /// It refers to no frame but those of its own picture.
    pub own_picture: bool,
}

/// For which upper bounds of layers a frame is a beginning: who can decode it, and gets what lies within them from then
/// on, can decode that, whatever was missing before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches(u32);

impl Switches {
    /// Bounds beyond the stream's highest layers stand for these.
    pub fn allow(self, spatial: u8, temporal: u8) -> bool {
        self.0 >> Self::bit(spatial.min(MAX_SPATIAL), temporal.min(MAX_TEMPORAL)) & 1 == 1
    }

    fn bit(spatial: u8, temporal: u8) -> u32 {
        u32::from(spatial) * (u32::from(MAX_TEMPORAL) + 1) + u32::from(temporal)
    }
}

/// The templates of a coded video sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    offset: u8,
    targets: usize,
    templates: Vec<Template>,
    /// Spatial and temporal layer of each decode target: the highest it has.
    target_layers: Vec<(u8, u8)>,
    /// Width and height by spatial layer, where told.
    sizes: [Option<(u16, u16)>; MAX_SPATIAL as usize + 1],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Template {
    spatial: u8,
    temporal: u8,
    /// Two bits for each decode target, the first lowest.
    indications: u64,
    /// How many frames back the farthest reference goes.
    farthest: u32,
}

impl Structure {
    /// Width and height of the highest spatial layer's picture.
    pub fn largest(&self) -> Option<(u16, u16)> {
        self.sizes.iter().rev().copied().flatten().next()
    }
}

/// Reads a descriptor. `known` is the structure that came with an earlier packet; it is replaced where this packet
/// brings another. `None` if the bytes end too early, or name a template that is not known.
pub fn read(bytes: &[u8], known: &mut Option<Box<Structure>>) -> Option<Descriptor> {
    let mut bits = Bits::new(bytes);
    let start_of_frame = bits.bit()?;
    let end_of_frame = bits.bit()?;
    let template = bits.bits(6)? as u8;
    let frame_number = bits.bits(16)? as u16;
    let mut has_structure = false;
    let mut custom_indications = false;
    let mut custom_references = false;
    if bytes.len() > MANDATORY {
        has_structure = bits.bit()?;
        let has_active_targets = bits.bit()?;
        custom_indications = bits.bit()?;
        custom_references = bits.bit()?;
        bits.skip(1)?; // custom chains, which come last
        if has_structure {
            *known = Some(Box::new(structure(&mut bits)?));
        }
        if has_active_targets {
            bits.skip(known.as_ref()?.targets)?;
        }
    }
    let structure = known.as_ref()?;
    let index = template.wrapping_sub(structure.offset) & 0x3f;
    let template = structure.templates.get(usize::from(index))?;
    let indications = if custom_indications {
        indications(&mut bits, structure.targets)?
    } else {
        template.indications
    };
    let farthest = if custom_references {
        farthest_reference(&mut bits)?
    } else {
        template.farthest
    };
    Some(Descriptor {
        start_of_frame,
        end_of_frame,
        frame_number,
        has_structure,
        spatial: template.spatial,
        temporal: template.temporal,
        switches: structure.switches(indications),
        // Numbers go by one from spatial layer to spatial layer of a picture.
        own_picture: farthest <= template.spatial.into(),
    })
}

/// Where the frame number stands in a descriptor's bytes.
pub fn write_frame_number(bytes: &mut [u8], number: u16) {
    if let Some(place) = bytes.get_mut(1..MANDATORY) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}

/// The frame number, which every descriptor has.
pub fn frame_number(bytes: &[u8]) -> Option<u16> {
    let &[high, low] = bytes.get(1..)?.first_chunk()?;
    Some(u16::from_be_bytes([high, low]))
}

impl Structure {
    fn switches(&self, indications: u64) -> Switches {
        let mut switches = 0;
        for spatial in 0..=MAX_SPATIAL {
            for temporal in 0..=MAX_TEMPORAL {
                // The largest target within these bounds.
                let targets = self.target_layers.iter().enumerate();
                let within = targets.filter(|(_, (s, t))| *s <= spatial && *t <= temporal);
                let largest = within.max_by_key(|(_, layers)| **layers);
                if largest.is_some_and(|(index, _)| indication(indications, index) == SWITCH) {
                    switches |= 1 << Switches::bit(spatial, temporal);
                }
            }
        }
        Switches(switches)
    }
}

fn indication(indications: u64, target: usize) -> u32 {
    (indications >> (2 * target) & 3) as u32
}

fn indications(bits: &mut Bits<'_>, targets: usize) -> Option<u64> {
    let mut all = 0;
    for target in 0..targets {
        all |= u64::from(bits.bits(2)?) << (2 * target);
    }
    Some(all)
}

/// §A.8.2, `frame_fdiffs`: 4, 8 or 12 bits each.
fn farthest_reference(bits: &mut Bits<'_>) -> Option<u32> {
    let mut farthest = 0;
    for _ in 0..MAX_FRAME_DIFFS {
        match bits.bits(2)? {
            0 => return Some(farthest),
            size => farthest = farthest.max(bits.bits(4 * size)? + 1),
        }
    }
    None
}

/// §A.8.2, `template_dependency_structure`. Ends after 64 templates, as many as can be named.
fn structure(bits: &mut Bits<'_>) -> Option<Structure> {
    let offset = bits.bits(6)? as u8;
    let targets = bits.bits(5)? as usize + 1;
    let mut templates = Vec::new();
    let (mut spatial, mut temporal) = (0, 0);
    loop {
        if templates.len() == MAX_TEMPLATES || spatial > MAX_SPATIAL || temporal > MAX_TEMPORAL {
            return None;
        }
        templates.push(Template {
            spatial,
            temporal,
            indications: 0,
            farthest: 0,
        });
        match bits.bits(2)? {
            0 => {}
            1 => temporal += 1,
            2 => (spatial, temporal) = (spatial + 1, 0),
            _ => break,
        }
    }
    for template in &mut templates {
        template.indications = indications(bits, targets)?;
    }
    for template in &mut templates {
        let mut count = 0;
        while bits.bit()? {
            template.farthest = template.farthest.max(bits.bits(4)? + 1);
            count += 1;
            if count > MAX_FRAME_DIFFS {
                return None;
            }
        }
    }
    let chains = non_symmetric(bits, targets as u32 + 1)?;
    if chains > 0 {
        for _ in 0..targets {
            non_symmetric(bits, chains)?;
        }
        bits.skip(templates.len() * chains as usize * 4)?;
    }
    let mut target_layers = vec![(0, 0); targets];
    for (index, layers) in target_layers.iter_mut().enumerate() {
        for template in &templates {
            if indication(template.indications, index) != 0 {
                layers.0 = template.spatial.max(layers.0);
                layers.1 = template.temporal.max(layers.1);
            }
        }
    }
    let mut sizes = [None; MAX_SPATIAL as usize + 1];
    if bits.bit()? {
        for size in sizes.iter_mut().take(usize::from(spatial) + 1) {
            let (width, height) = (bits.bits(16)? + 1, bits.bits(16)? + 1);
            *size = u16::try_from(width).ok().zip(u16::try_from(height).ok());
        }
    }
    Some(Structure {
        offset,
        targets,
        templates,
        target_layers,
        sizes,
    })
}

/// A number below `count` (AV1 specification §4.10.7).
fn non_symmetric(bits: &mut Bits<'_>, count: u32) -> Option<u32> {
    let width = u32::BITS - count.leading_zeros();
    let short = (1 << width) - count;
    let value = bits.bits(width.saturating_sub(1))?;
    if value < short {
        return Some(value);
    }
    Some((value << 1) - short + u32::from(bits.bit()?))
}

#[cfg(test)]
pub(in crate::core) mod tests {
    use super::super::bits::BitWriter;
    use super::*;
    use proptest::prelude::*;

    /// Layers and indications of templates, as letters: `-` not present, `D` discardable, `S` switch, `R` required. The
    /// first template of each spatial layer refers to its own picture alone, the others to what is eight frames back.
    pub fn with_structure(
        template: u8,
        number: u16,
        offset: u8,
        templates: &[(u8, u8, &str)],
        size: Option<(u16, u16)>,
    ) -> Vec<u8> {
        let mut bits = BitWriter::default();
        let targets = templates[0].2.len() as u64;
        bits.bits(0b11, 2)
            .bits(template.into(), 6)
            .bits(number.into(), 16);
        bits.bits(0b10000, 5).bits(offset.into(), 6).bits(targets - 1, 5);
        for (index, (spatial, temporal, _)) in templates.iter().enumerate() {
            let step = match templates.get(index + 1) {
                None => 3,
                Some((next, _, _)) if next > spatial => 2,
                Some((_, next, _)) if next > temporal => 1,
                Some(_) => 0,
            };
            bits.bits(step, 2);
        }
        for (_, _, letters) in templates {
            for letter in letters.chars() {
                bits.bits("-DSR".find(letter).unwrap() as u64, 2);
            }
        }
        for (index, (spatial, _, _)) in templates.iter().enumerate() {
            let first = index == 0 || templates[index - 1].0 < *spatial;
            match (first, spatial) {
                (true, 0) => bits.bits(0, 1),
                (true, _) => bits.bits(0b10_0000, 6),
                (false, _) => bits.bits(0b10_1110, 6),
            };
        }
        // One chain, which is everybody's: ns(targets + 1) of 1; a number below 1 takes no bits.
        let count = targets as u32 + 1;
        let width = u32::BITS - count.leading_zeros();
        let short = (1 << width) - count;
        if 1 < short {
            bits.bits(1, width - 1);
        } else {
            bits.bits(u64::from((1 + short) >> 1), width - 1)
                .bits(u64::from((1 + short) & 1), 1);
        }
        for _ in templates {
            bits.bits(2, 4);
        }
        bits.bits(size.is_some().into(), 1);
        if let Some((width, height)) = size {
            for _ in 0..=templates.last().unwrap().0 {
                bits.bits(u64::from(width) - 1, 16)
                    .bits(u64::from(height) - 1, 16);
            }
        }
        bits.bytes()
    }

    pub const L1T3: [(u8, u8, &str); 4] = [(0, 0, "SSS"), (0, 0, "SSS"), (0, 1, "-DS"), (0, 2, "--D")];

    #[test]
    fn three_temporal_layers() {
        let mut known = None;
        let bytes = with_structure(10, 0x1234, 10, &L1T3, Some((1280, 720)));
        let key = read(&bytes, &mut known).unwrap();
        assert!(key.has_structure && key.start_of_frame && key.end_of_frame);
        assert_eq!((key.frame_number, key.spatial, key.temporal), (0x1234, 0, 0));
        assert!(key.switches.allow(0, 0) && key.switches.allow(3, 7));
        let structure = known.as_deref().unwrap();
        assert_eq!(structure.largest(), Some((1280, 720)));
        assert_eq!(structure.target_layers, [(0, 0), (0, 1), (0, 2)]);
        let middle = read(&[0x80 | 12, 0, 5], &mut known).unwrap();
        assert_eq!((middle.temporal, middle.frame_number), (1, 5));
        assert!(middle.start_of_frame && !middle.end_of_frame && !middle.has_structure);
        assert!(
            !middle.switches.allow(0, 1),
            "it says no more than that it can be left out"
        );
        assert!(middle.switches.allow(0, 2) && middle.switches.allow(u8::MAX, u8::MAX));
        assert!(!middle.switches.allow(0, 0));
        let upper = read(&[13, 0, 6], &mut known).unwrap();
        assert_eq!((upper.temporal, upper.switches), (2, Switches(0)));
        assert_eq!(read(&[14, 0, 6], &mut known), None, "no such template");
        assert_eq!(read(&[9, 0, 6], &mut known), None, "no such template");
    }

    #[test]
    fn spatial_layers_and_indications_of_a_frames_own() {
        let templates = [(0, 0, "SR"), (0, 0, "SR"), (1, 0, "-S"), (1, 0, "-S")];
        let mut known = None;
        let base = read(&with_structure(0, 7, 0, &templates, Some((640, 360))), &mut known).unwrap();
        assert!(base.switches.allow(0, 0) && !base.switches.allow(1, 0) && !base.switches.allow(3, 7));
        let upper = read(&[0xc0 | 2, 0, 8], &mut known).unwrap();
        assert_eq!(upper.spatial, 1);
        assert!(upper.switches.allow(1, 0) && upper.switches.allow(3, 7) && !upper.switches.allow(0, 0));
        assert!(base.own_picture && upper.own_picture);
        let later = read(&[0xc0 | 3, 0, 9], &mut known).unwrap();
        assert!(later.spatial == 1 && !later.own_picture);
        // References of its own: one back, then two.
        for (back, own) in [(0, true), (1, false)] {
            let mut bits = BitWriter::default();
            bits.bits(0b11, 2).bits(3, 6).bits(9, 16).bits(0b00010, 5);
            bits.bits(1, 2).bits(back, 4).bits(0, 2);
            assert_eq!(read(&bits.bytes(), &mut known).unwrap().own_picture, own);
        }
        // Active targets, then required for the second.
        let mut bits = BitWriter::default();
        bits.bits(0b11, 2)
            .bits(2, 6)
            .bits(9, 16)
            .bits(0b01100, 5)
            .bits(0b11, 2)
            .bits(0b0011, 4);
        let own = read(&bits.bytes(), &mut known).unwrap();
        assert_eq!((own.spatial, own.switches), (1, Switches(0)));
    }

    #[test]
    fn the_frame_number_is_where_it_is_written() {
        let mut bytes = with_structure(0, 7, 0, &L1T3, None);
        write_frame_number(&mut bytes, 0xfffe);
        assert_eq!(frame_number(&bytes), Some(0xfffe));
        assert_eq!(read(&bytes, &mut None).unwrap().frame_number, 0xfffe);
        write_frame_number(&mut [1, 2], 3);
        assert_eq!(frame_number(&[1, 2]), None);
    }

    #[test]
    fn a_descriptor_that_is_cut_short_or_comes_without_templates_says_nothing() {
        let bytes = with_structure(0, 7, 0, &L1T3, None);
        for len in 0..bytes.len() - 1 {
            assert_eq!(read(&bytes[..len], &mut None), None, "{len} bytes");
        }
        assert_eq!(read(&[0xc0, 0, 1], &mut None), None);
    }

    #[test]
    fn numbers_that_are_not_a_power_of_two() {
        let read = |count, pattern: u64, len| {
            let mut bits = BitWriter::default();
            bits.bits(pattern, len);
            let bytes = bits.bytes();
            non_symmetric(&mut Bits::new(&bytes), count)
        };
        assert_eq!(read(5, 0b00, 2), Some(0));
        assert_eq!(read(5, 0b10, 2), Some(2));
        assert_eq!(read(5, 0b110, 3), Some(3));
        assert_eq!(read(5, 0b111, 3), Some(4));
        assert_eq!(read(1, 0, 0), Some(0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(first in proptest::collection::vec(any::<u8>(), 0..260), second in proptest::collection::vec(any::<u8>(), 0..20)) {
            let mut known = None;
            read(&first, &mut known);
            read(&second, &mut known);
            if let Some(structure) = known {
                prop_assert!(structure.templates.len() <= MAX_TEMPLATES && structure.targets <= 32);
            }
        }

        #[test]
        fn any_structure_is_survived(first in proptest::collection::vec(any::<u8>(), 30..260), second in proptest::collection::vec(any::<u8>(), 0..20)) {
            let mut first = first;
            first[3] |= 0x80;
            let mut known = None;
            read(&first, &mut known);
            read(&second, &mut known);
        }
    }
}
