//! VP9 in RTP (RFC 9628).

use super::payload::PayloadInfo;

/// The payload descriptor (RFC 9628 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// P: refers to earlier pictures. Without it a picture at most refers to lower spatial layers of its own.
    pub inter_predicted: bool,
    /// F: flexible mode, where each picture names those it refers to.
    pub flexible: bool,
    /// B: starts a frame (one spatial layer of a picture).
    pub frame_start: bool,
    /// E: ends one.
    pub frame_end: bool,
    pub layer: Option<Layer>,
    /// Width and height of the highest spatial layer, from the scalability structure.
    pub resolution: Option<(u16, u16)>,
    /// The descriptor's length; here the VP9 data begins.
    pub len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// TID, 0–7.
    pub temporal: u8,
    /// U: a receiver may switch up to this temporal layer here.
    pub switching_up: bool,
    /// SID, 0–7.
    pub spatial: u8,
    /// D: refers to the spatial layer below.
    pub inter_layer: bool,
}

impl Descriptor {
    /// `None` if the payload ends within the descriptor.
    pub fn parse(payload: &[u8]) -> Option<Descriptor> {
        let mut reader = Reader { payload, at: 0 };
        let flags = reader.byte()?;
        let inter_predicted = flags & 0x40 != 0;
        let flexible = flags & 0x10 != 0;
        let mut picture_id = None;
        if flags & 0x80 != 0 {
            let high = reader.byte()?;
            let value = u16::from(high & 0x7f);
            picture_id = Some(if high & 0x80 != 0 {
                value << 8 | u16::from(reader.byte()?)
            } else {
                value
            });
        }
        let mut layer = None;
        if flags & 0x20 != 0 {
            let byte = reader.byte()?;
            layer = Some(Layer {
                temporal: byte >> 5,
                switching_up: byte & 0x10 != 0,
                spatial: byte >> 1 & 7,
                inter_layer: byte & 1 != 0,
            });
            if !flexible {
                reader.byte()?; // TL0PICIDX
            }
        }
        if flexible && inter_predicted {
            // Up to three references, each saying whether another follows.
            for _ in 0..3 {
                if reader.byte()? & 1 == 0 {
                    break;
                }
            }
        }
        let resolution = if flags & 0x02 != 0 {
            reader.scalability_structure()?
        } else {
            None
        };
        Some(Descriptor {
            picture_id,
            inter_predicted,
            flexible,
            frame_start: flags & 0x08 != 0,
            frame_end: flags & 0x04 != 0,
            layer,
            resolution,
            len: reader.at,
        })
    }
}

/// A keyframe starts with the base spatial layer of a picture that isn't predicted from earlier ones.
pub(super) fn inspect(payload: &[u8]) -> Option<PayloadInfo> {
    let descriptor = Descriptor::parse(payload)?;
    let base = descriptor.layer.is_none_or(|layer| layer.spatial == 0);
    let frame_start = descriptor.frame_start && base && payload.len() > descriptor.len;
    Some(PayloadInfo {
        keyframe_start: frame_start && !descriptor.inter_predicted,
        frame_start,
        temporal_layer: descriptor.layer.map(|layer| layer.temporal),
        resolution: descriptor.resolution,
    })
}

struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.payload.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// RFC 9628 §4.2.1: the layers' sizes, then the pictures of a group. The outer `None`: it ends early.
    fn scalability_structure(&mut self) -> Option<Option<(u16, u16)>> {
        let flags = self.byte()?;
        let mut resolution = None;
        if flags & 0x10 != 0 {
            for _ in 0..=flags >> 5 {
                let (width, height) = (self.u16()?, self.u16()?);
                if width > 0 && height > 0 {
                    resolution = Some((width, height));
                }
            }
        }
        if flags & 0x08 != 0 {
            for _ in 0..self.byte()? {
                let references = self.byte()? >> 2 & 3;
                for _ in 0..references {
                    self.byte()?;
                }
            }
        }
        Some(resolution)
    }
}
