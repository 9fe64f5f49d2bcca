//! What encoders really write, packetized by somebody else: keyframes are found where they start and nowhere else.
//!
//! Each file of `corpus/` holds three pictures of 160x96 (a keyframe, one that refers to it, another keyframe), each
//! behind its length in 32 bits: from x264 (three slices a picture), x265, libvpx twice, SVT-AV1.

use super::payload::{PayloadInfo, inspect};
use crate::core::media::Codec;
use bytes::Bytes;
use rtc::rtp::codec as other;
use rtc::rtp::packetizer::Payloader;

const H264: &[u8] = include_bytes!("corpus/h264.frames");
const H265: &[u8] = include_bytes!("corpus/h265.frames");
const VP8: &[u8] = include_bytes!("corpus/vp8.frames");
const VP9: &[u8] = include_bytes!("corpus/vp9.frames");
const AV1: &[u8] = include_bytes!("corpus/av1.frames");

#[test]
fn h264_flags_the_parameter_sets_and_every_idr_slice() {
    let codec = Codec::H264 {
        packetization_mode: 1,
        profile: [0x64, 0, 0x0b],
    };
    each_size(codec, H264, &mut other::h264::H264Payloader::default(), |infos| {
        assert_eq!(keyframe_starts(infos).count(), 1 + 3);
    });
}

#[test]
fn h265_flags_the_parameter_sets_and_the_irap_slice() {
    let codec = Codec::H265 { profile_id: 1 };
    each_size(codec, H265, &mut other::h265::HevcPayloader, |infos| {
        assert!(keyframe_starts(infos).count() >= 1);
    });
}

#[test]
fn vp8_flags_one_packet() {
    let mut payloader = other::vp8::Vp8Payloader::default();
    payloader.enable_picture_id = true;
    each_size(Codec::Vp8, VP8, &mut payloader, |infos| {
        assert_eq!(keyframe_starts(infos).count(), 1)
    });
}

#[test]
fn vp9_flags_one_packet() {
    let mut payloader = other::vp9::Vp9Payloader::default();
    each_size(Codec::Vp9 { profile_id: 0 }, VP9, &mut payloader, |infos| {
        assert_eq!(keyframe_starts(infos).count(), 1);
    });
}

#[test]
fn av1_flags_one_packet() {
    let mut payloader = other::av1::Av1Payloader::default();
    each_size(Codec::Av1 { profile: 0 }, AV1, &mut payloader, |infos| {
        assert_eq!(keyframe_starts(infos).count(), 1);
    });
}

/// Packetizes a corpus in several packet sizes. Of the keyframes, the first packet starts both picture and keyframe,
/// and `check` sees all; of the picture between them, only the first packet starts the picture, and none a keyframe.
fn each_size(codec: Codec, corpus: &'static [u8], payloader: &mut dyn Payloader, check: fn(&[PayloadInfo])) {
    for mtu in [100, 300, 1200] {
        let pictures: Vec<Vec<PayloadInfo>> = pictures(corpus)
            .map(|picture| {
                payloader
                    .payload(mtu, &Bytes::from_static(picture))
                    .expect("payloads")
            })
            .map(|payloads| payloads.iter().map(|payload| inspect(codec, payload)).collect())
            .collect();
        let [first, between, last] = &pictures[..] else {
            panic!("three pictures")
        };
        for key in [first, last] {
            assert!(key[0].keyframe_start && key[0].frame_start, "{mtu}: {key:?}");
            assert!(
                key.iter().any(|info| info.resolution == Some((160, 96))),
                "{mtu}: {key:?}"
            );
            check(key);
        }
        assert_eq!(keyframe_starts(between).count(), 0, "{mtu}: {between:?}");
        let starts: Vec<bool> = between.iter().map(|info| info.frame_start).collect();
        assert!(starts[0] && !starts[1..].contains(&true), "{mtu}: {between:?}");
    }
}

fn keyframe_starts(infos: &[PayloadInfo]) -> impl Iterator<Item = &PayloadInfo> {
    infos.iter().filter(|info| info.keyframe_start)
}

fn pictures(mut corpus: &'static [u8]) -> impl Iterator<Item = &'static [u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = corpus.split_first_chunk()?;
        let (picture, rest) = rest.split_at(u32::from_be_bytes(*len) as usize);
        corpus = rest;
        Some(picture)
    })
}
