//! A built-in stream of chosen bitrate, frame rate and keyframe interval, packetised as RFC 7741 and RFC 6184 say.
//! A frame is a valid picture ([`super::picture`]) and filler that decoders pass over, up to the size it should have.

use crate::client::offer::VideoCodec;
use crate::source::picture;
use crate::source::stamp::{self, Stamp};

/// What fits beside IP, UDP, RTP and SRTP overhead with room for a server's header extensions.
pub const MAX_PAYLOAD: usize = 1150;
/// A keyframe is this many times a delta frame.
const KEYFRAME_RATIO: f64 = 8.0;
#[derive(Clone, Copy, Debug)]
pub struct VideoPlan {
    pub codec: VideoCodec,
    /// Bits per second of payload.
    pub bitrate: u64,
    pub fps: f64,
    /// Seconds.
    pub keyframe_interval: f64,
}

impl VideoPlan {
    /// (keyframe, delta frame) in bytes, so that a whole keyframe interval meets the bitrate.
    pub fn frame_sizes(&self) -> (usize, usize) {
        let frames = (self.fps * self.keyframe_interval).round().max(1.0);
        let bytes = self.bitrate as f64 / 8.0 * frames / self.fps;
        let delta = bytes / (frames - 1.0 + KEYFRAME_RATIO);
        let least = (stamp::LEN + 16) as f64;
        (
            (delta * KEYFRAME_RATIO).max(least) as usize,
            delta.max(least) as usize,
        )
    }

    pub fn frames_per_keyframe(&self) -> u64 {
        (self.fps * self.keyframe_interval).round().max(1.0) as u64
    }
}

/// Which frame is to be packetised.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub stream: u32,
    /// Of a simulcast, worst first.
    pub layer: u8,
    pub number: u32,
    pub keyframe: bool,
    /// Frames since the last keyframe.
    pub since_keyframe: u32,
    /// µs since 1970.
    pub captured: u64,
    /// Bytes it should have.
    pub size: usize,
}

/// Calls `packet` with the RTP payload of each packet of the frame, and whether it is the last. Each ends with the
/// stamp.
pub fn packetise(codec: VideoCodec, frame: &Frame, mut packet: impl FnMut(&[u8], bool)) {
    let packets = frame.size.div_ceil(MAX_PAYLOAD).max(1);
    let share = frame.size.div_ceil(packets);
    let mut payload = Vec::with_capacity(MAX_PAYLOAD);
    for index in 0..packets {
        payload.clear();
        let last = index + 1 == packets;
        // The last packet is a little shorter, as real frames end anywhere.
        let until = if last { share.saturating_sub(7) } else { share };
        match codec {
            VideoCodec::H264 => h264_head(&mut payload, frame, index == 0, until),
            _ => vp8_head(&mut payload, frame, index == 0),
        }
        let filler = until.saturating_sub(payload.len() + stamp::LEN);
        payload.extend((0..filler).map(|i| 0x80 | (i as u8 ^ frame.number as u8)));
        let stamp = Stamp {
            stream: frame.stream,
            layer: frame.layer,
            frame: frame.number,
            packet: index as u32,
            packets: packets as u32,
            captured: frame.captured,
        };
        stamp.write(&mut payload);
        packet(&payload, last);
    }
}

/// RFC 7741 §4.2, and the picture in the first packet. What follows there is the end of its last partition.
fn vp8_head(payload: &mut Vec<u8>, frame: &Frame, first: bool) {
    // X with I (15-bit picture id), S on the first packet, partition 0.
    let picture = (frame.number & 0x7fff) as u16 | 0x8000;
    payload.extend_from_slice(&[0x80 | if first { 0x10 } else { 0 }, 0x80]);
    payload.extend_from_slice(&picture.to_be_bytes());
    if first {
        payload.extend_from_slice(picture::vp8(frame.layer, frame.keyframe));
    }
}

/// The picture in the first packet, and a NAL unit of filler (type 12) in each. `until` is how long the payload will be.
fn h264_head(payload: &mut Vec<u8>, frame: &Frame, first: bool, until: usize) {
    const FILLER: u8 = 12;
    if first {
        // STAP-A (RFC 6184 §5.7.1).
        payload.push(0x78);
        let mut aggregate = |unit: &[u8]| {
            payload.extend_from_slice(&(unit.len() as u16).to_be_bytes());
            payload.extend_from_slice(unit);
        };
        if frame.keyframe {
            aggregate(&picture::h264_sps(frame.layer));
            aggregate(&picture::h264_pps());
        }
        let since_keyframe = if frame.keyframe { 0 } else { frame.since_keyframe };
        aggregate(&picture::h264_slice(frame.layer, since_keyframe, frame.number));
        let filler = until.saturating_sub(payload.len() + 2).max(1 + stamp::LEN);
        payload.extend_from_slice(&(filler as u16).to_be_bytes());
    }
    payload.push(FILLER);
}

/// An Opus-like payload of 80–160 bytes: a TOC byte for 20 ms fullband stereo CELT, the stamp, filler.
pub fn audio_payload(out: &mut Vec<u8>, stream: u32, number: u32, captured: u64) {
    let len = 80 + (number.wrapping_mul(2_654_435_761) >> 16) as usize % 81;
    let start = out.len();
    out.push(0xfc);
    Stamp {
        stream,
        layer: 0,
        frame: number,
        packet: 0,
        packets: 1,
        captured,
    }
    .write(out);
    let filler = (start + len).saturating_sub(out.len());
    out.extend((0..filler).map(|i| 0x80 | i as u8));
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::rtp::packetizer::Depacketizer;

    fn payloads(codec: VideoCodec, keyframe: bool, size: usize) -> Vec<Vec<u8>> {
        let frame = Frame {
            stream: 1,
            layer: 0,
            number: 5,
            keyframe,
            since_keyframe: 5,
            captured: 77,
            size,
        };
        let mut all = Vec::new();
        packetise(codec, &frame, |payload, last| all.push((payload.to_vec(), last)));
        assert!(all.iter().rev().skip(1).all(|(_, last)| !last) && all.last().is_some_and(|(_, last)| *last));
        all.into_iter().map(|(payload, _)| payload).collect()
    }

    #[test]
    fn a_keyframe_interval_meets_the_bitrate() {
        for keyframe_interval in [1.0, 2.0, 8.33] {
            let plan = VideoPlan {
                codec: VideoCodec::Vp8,
                bitrate: 2_500_000,
                fps: 30.0,
                keyframe_interval,
            };
            let (key, delta) = plan.frame_sizes();
            let frames = plan.frames_per_keyframe() as usize;
            let bits = 8 * (key + delta * (frames - 1));
            let rate = bits as f64 / (frames as f64 / 30.0);
            assert!((rate / 2_500_000.0 - 1.0).abs() < 0.01, "{rate}");
            assert!((key as f64 / delta as f64 - 8.0).abs() < 0.01);
        }
    }

    #[test]
    fn packets_fit_and_carry_their_stamps() {
        for codec in [VideoCodec::Vp8, VideoCodec::H264] {
            for size in [100, 1_000, 10_000, 80_000] {
                let all = payloads(codec, false, size);
                assert!(all.iter().all(|payload| payload.len() <= MAX_PAYLOAD + 8));
                let total: usize = all.iter().map(Vec::len).sum();
                assert!(total.abs_diff(size) <= 16 + all.len(), "{total} for {size}");
                for (index, payload) in all.iter().enumerate() {
                    let stamp = Stamp::find(payload).expect("a stamp");
                    assert_eq!(
                        (stamp.packet, stamp.packets, stamp.frame),
                        (index as u32, all.len() as u32, 5)
                    );
                }
            }
        }
    }

    #[test]
    fn vp8_reads_as_vp8() {
        for keyframe in [true, false] {
            let all = payloads(VideoCodec::Vp8, keyframe, 5_000);
            let mut depacketizer = rtc::rtp::codec::vp8::Vp8Packet::default();
            let first = depacketizer
                .depacketize(&all[0].clone().into())
                .expect("a descriptor");
            assert_eq!(
                (depacketizer.s, depacketizer.pid, depacketizer.picture_id),
                (1, 0, 5)
            );
            assert_eq!(first[0] & 1 == 0, keyframe);
            assert_eq!(first[3..6] == [0x9d, 0x01, 0x2a], keyframe);
            depacketizer
                .depacketize(&all[1].clone().into())
                .expect("a descriptor");
            assert_eq!(depacketizer.s, 0);
        }
    }

    #[test]
    fn h264_reads_as_h264() {
        for (keyframe, expected) in [(true, vec![7, 8, 5]), (false, vec![1])] {
            let mut depacketizer = rtc::rtp::codec::h264::H264Packet::default();
            let mut stream = Vec::new();
            for payload in payloads(VideoCodec::H264, keyframe, 5_000) {
                stream.extend(
                    depacketizer
                        .depacketize(&payload.into())
                        .expect("a NAL unit or a part of one"),
                );
            }
            let starts = stream
                .windows(4)
                .enumerate()
                .filter(|(_, window)| *window == [0, 0, 0, 1]);
            let kinds = starts.map(|(at, _)| stream[at + 4] & 0x1f);
            // Without the filler.
            let kinds: Vec<u8> = kinds.filter(|kind| *kind != 12).collect();
            assert_eq!(kinds, expected);
        }
    }
}
