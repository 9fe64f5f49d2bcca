//! Each finding where it is, and not where it is not.

use super::doctor::{Chart, Doctor, Specimen};
use crate::core::ids::{Bitrate, Mid, PayloadType, Rid, SeqNo};
use crate::core::media::{Codec, MediaKind, NegotiatedCodec, PublisherMedia, PublisherTrack};
use crate::core::statistics::{Finding, FindingCode, LayerReport};
use std::time::{Duration, Instant};

const H264: Codec = Codec::H264 {
    packetization_mode: 1,
    profile: [0x42, 0xe0, 0x1f],
};
const STEREO_FULLBAND: &[u8] = &[31 << 3 | 4, 1, 2, 3];
const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00];
const PPS: &[u8] = &[0x68, 0xce, 0x0f];
const IDR: &[u8] = &[0x65, 0x88, 0x84];
const SLICE: &[u8] = &[0x41, 0x9a, 0x20];

/// A publisher whose every second is the same, but for what a test changes.
struct Patient {
    doctor: Doctor,
    start: Instant,
    now: Instant,
    media: PublisherMedia,
    seq: u64,
    audio_seq: u64,
    /// Packets of video lost before the next one.
    lost: u64,
    ticks: u64,
    bitrate: u64,
    sends: bool,
}

impl Patient {
    fn new() -> Self {
        let start = origin();
        let track = |kind, codec, rids: &[&str]| PublisherTrack {
            kind,
            mid: Mid("0".into()),
            codecs: vec![NegotiatedCodec {
                pt: PayloadType(96),
                codec,
                rtx: None,
                red: None,
                feedback: Default::default(),
            }],
            extensions: Default::default(),
            ssrcs: Vec::new(),
            rtx_ssrcs: Vec::new(),
            rids: rids.iter().map(|rid| Rid((*rid).into())).collect(),
        };
        Self {
            doctor: Doctor::default(),
            start,
            now: start,
            media: PublisherMedia {
                tracks: vec![
                    track(MediaKind::Video, H264, &[]),
                    track(MediaKind::Audio, Codec::Opus, &[]),
                ],
            },
            seq: 70_000,
            audio_seq: 70_000,
            lost: 0,
            ticks: 1 << 33,
            bitrate: 2_000_000,
            sends: true,
        }
    }

    /// One packet of video.
    fn video(&mut self, timestamp: u64, payload: &[u8]) {
        let highest = SeqNo(self.seq);
        self.seq += 1 + std::mem::take(&mut self.lost);
        let contents = crate::core::rtp::h264::contents(payload);
        let specimen = Specimen {
            key: (0, 0),
            codec: H264,
            highest: Some(highest),
            seq: SeqNo(self.seq),
            timestamp,
            keyframe: contents.is_idr || contents.has_sps,
            payload,
        };
        self.doctor.packet(self.now, &specimen);
    }

    fn audio(&mut self, timestamp: u64, payload: &[u8]) {
        let highest = SeqNo(self.audio_seq);
        self.audio_seq += 1;
        let specimen = Specimen {
            key: (1, 0),
            codec: Codec::Opus,
            highest: Some(highest),
            seq: SeqNo(self.audio_seq),
            timestamp,
            keyframe: false,
            payload,
        };
        self.doctor.packet(self.now, &specimen);
    }

    /// A second: a keyframe and 29 pictures, each in one packet but for the keyframe; and 50 of sound.
    fn second(
        &mut self,
        keyframe: &[&[u8]],
        order: impl Fn(u64) -> u64,
        sound: Option<&[u8]>,
    ) -> Vec<Finding> {
        for picture in 0..30 {
            let timestamp = self.ticks + order(picture) * 3000;
            match picture {
                0 => keyframe.iter().for_each(|payload| self.video(timestamp, payload)),
                _ => self.video(timestamp, SLICE),
            }
            self.now += Duration::from_micros(33_333);
        }
        if let Some(payload) = sound {
            (0..50).for_each(|packet| self.audio(self.ticks / 90 * 48 + packet * 960, payload));
        }
        self.ticks += 90_000;
        self.examine()
    }

    fn healthy(&mut self) -> Vec<Finding> {
        self.second(&[SPS, PPS, IDR], |n| n, Some(STEREO_FULLBAND))
    }

    fn examine(&mut self) -> Vec<Finding> {
        let layer = |kind, codec, bitrate| LayerReport {
            kind,
            rid: None,
            codec,
            size: None,
            top: (0, 0),
            packets: 1,
            bytes: 1,
            lost: 0,
            bitrate: Bitrate(bitrate),
            rate: 30.0,
            keyframe_interval: Some(Duration::from_secs(1)),
            keyframe_age: Some(Duration::ZERO),
        };
        let video = if self.sends { self.bitrate } else { 0 };
        let layers = [
            ((0, 0), layer(MediaKind::Video, H264, video)),
            ((1, 0), layer(MediaKind::Audio, Codec::Opus, 64_000)),
        ];
        let chart = Chart {
            media: &self.media,
            layers: &layers,
            expected: 200,
            missing: 0,
            answers_pli: Some(false),
        };
        self.doctor.examine(self.now, self.start, &chart)
    }
}

fn codes(findings: &[Finding]) -> Vec<FindingCode> {
    let active = findings.iter().filter(|finding| finding.active);
    active.map(|finding| finding.code).collect()
}

#[test]
fn nothing_is_found_where_all_is_well() {
    let mut patient = Patient::new();
    for second in 0..90 {
        let found = patient.healthy();
        assert!(found.is_empty(), "{second}: {found:?}");
    }
}

#[test]
fn b_frames_are_pictures_out_of_order() {
    let mut patient = Patient::new();
    // I P B B P B B …
    let order = |n: u64| match n % 3 {
        1 => n + 2,
        _ => n.saturating_sub(1),
    };
    let found = patient.second(&[SPS, PPS, IDR], order, Some(STEREO_FULLBAND));
    assert_eq!(codes(&found), [FindingCode::BFrames]);
    assert!(found[0].advice.contains("OBS"));
    // Over when it was not seen for a while; remembered all the same.
    let mut last = Vec::new();
    for _ in 0..20 {
        last = patient.healthy();
    }
    assert!(codes(&last).is_empty() && last.len() == 1);
    assert_eq!(last[0].first_seen, last[0].last_seen);
}

#[test]
fn packets_that_are_overtaken_are_no_b_frames() {
    let mut patient = Patient::new();
    patient.healthy();
    for n in 0..10 {
        let timestamp = patient.ticks - 90_000 + 3000 * n;
        let late = Specimen {
            key: (0, 0),
            codec: H264,
            highest: Some(SeqNo(patient.seq)),
            seq: SeqNo(patient.seq - 20 + n),
            timestamp,
            keyframe: false,
            payload: SLICE,
        };
        patient.doctor.packet(patient.now, &late);
    }
    assert!(patient.examine().is_empty());
}

#[test]
fn keyframes_need_both_parameter_sets() {
    for bare in [&[IDR][..], &[SPS, IDR], &[PPS, IDR]] {
        let mut patient = Patient::new();
        let found = patient.second(bare, |n| n, Some(STEREO_FULLBAND));
        assert_eq!(codes(&found), [FindingCode::MissingParameterSets], "{bare:?}");
    }
    // In one packet is as good.
    let mut aggregate = vec![0x78];
    for unit in [SPS, PPS, IDR] {
        aggregate.extend((unit.len() as u16).to_be_bytes());
        aggregate.extend(unit);
    }
    let mut patient = Patient::new();
    let found = patient.second(&[&aggregate[..]], |n| n, Some(STEREO_FULLBAND));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_keyframe_with_losses_tells_nothing_about_parameter_sets() {
    let mut patient = Patient::new();
    patient.healthy();
    // What was before the slice is lost.
    patient.lost = 2;
    let found = patient.second(&[IDR], |n| n, Some(STEREO_FULLBAND));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn profiles_that_browsers_do_not_play_are_named() {
    for (profile, playable) in [
        (66, true),
        (77, true),
        (100, true),
        (110, false),
        (122, false),
        (244, false),
    ] {
        let mut sps = SPS.to_vec();
        sps[1] = profile;
        let mut patient = Patient::new();
        let found = patient.second(&[&sps[..], PPS, IDR], |n| n, Some(STEREO_FULLBAND));
        let expected = if playable {
            vec![]
        } else {
            vec![FindingCode::Profile]
        };
        assert_eq!(codes(&found), expected, "{profile}");
    }
}

#[test]
fn sound_is_judged_by_its_packets() {
    let mono = [31 << 3, 1, 2, 3];
    let telephone = [9 << 3 | 4, 1, 2, 3];
    let silence = [31 << 3];
    for (payload, expected) in [
        (Some(STEREO_FULLBAND), vec![]),
        (Some(&mono[..]), vec![FindingCode::MonoAudio]),
        (Some(&telephone[..]), vec![FindingCode::NarrowAudio]),
        (Some(&silence[..]), vec![]),
        (None, vec![FindingCode::NoAudio]),
    ] {
        let mut patient = Patient::new();
        let mut found = Vec::new();
        for _ in 0..8 {
            found = patient.second(&[SPS, PPS, IDR], |n| n, payload);
        }
        assert_eq!(codes(&found), expected, "{payload:?}");
    }
}

#[test]
fn a_bitrate_that_swings_is_found_and_one_that_rises_is_not() {
    let swinging = |second: u64| {
        if (second / 5).is_multiple_of(2) {
            6_000_000
        } else {
            600_000
        }
    };
    let rising = |second: u64| 300_000 + 50_000 * second;
    for (bitrate, expected) in [
        (&swinging as &dyn Fn(u64) -> u64, vec![FindingCode::BitrateSwings]),
        (&rising, vec![]),
        // Nothing moves in the picture, and it costs next to nothing.
        (&|second| swinging(second) / 20, vec![]),
    ] {
        let mut patient = Patient::new();
        let mut found = Vec::new();
        for second in 0..60 {
            patient.bitrate = bitrate(second);
            found = patient.healthy();
        }
        assert_eq!(codes(&found), expected);
    }
}

#[test]
fn an_announced_layer_that_never_comes_or_stops_is_found() {
    let mut patient = Patient::new();
    patient.media.tracks[0].rids = vec![Rid("f".into()), Rid("q".into())];
    let mut found = Vec::new();
    for _ in 0..9 {
        found = patient.healthy();
        assert!(found.is_empty(), "{found:?}");
    }
    for _ in 0..3 {
        found = patient.healthy();
    }
    assert_eq!(codes(&found), [FindingCode::MissingLayer]);
    assert_eq!(found[0].layer, Some(Rid("q".into())));
    assert!(found[0].advice.contains("never came"));
    patient.sends = false;
    for _ in 0..12 {
        found = patient.healthy();
    }
    let stopped = found
        .iter()
        .find(|finding| finding.layer == Some(Rid("f".into())));
    assert!(stopped.is_some_and(|finding| finding.advice.contains("has stopped")));
}

#[test]
fn a_clock_that_jumps_is_found() {
    for jump in [450_000i64, -450_000] {
        let mut patient = Patient::new();
        for _ in 0..10 {
            assert!(patient.healthy().is_empty());
        }
        patient.ticks = patient.ticks.wrapping_add_signed(jump);
        let mut found = Vec::new();
        for _ in 0..8 {
            found = patient.second(&[SPS, PPS, IDR], |n| n, None);
        }
        assert!(
            codes(&found).contains(&FindingCode::ClockJump),
            "{jump}: {found:?}"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}
